"""Runs a network from a checkpoint over every image of a split, once."""

import dataclasses
from collections.abc import Callable

from slim_zoo.checkpoints import restore
from slim_zoo.deployment import graph_rewrite, session_configs, session_settings
from slim_zoo.evaluation import over_split
from slim_zoo.evaluation.precision_choice import PrecisionChooser
from slim_zoo.input import pipeline
from slim_zoo.preprocessing import views
from slim_zoo.tf_compat import slim, tf


@dataclasses.dataclass
class Evaluation:
  """A network and a split in the default graph, ready for any checkpoint.

  Attributes:
    images: the input pipeline.
    probabilities: float32 [batch, classes].
    batch: the `pipeline.Batch` they belong to.
    variables: the variables to restore, by the names in a checkpoint.
    saver: restores it.
    num_classes: how many classes there are.
    labels_offset: subtracted from the labels of the records.
    multi_label: whether an image may have several classes, or none.
    master: the address of the TensorFlow server to run on; '': this process.
    settings: of the session: memory of GPUs, threads.
  """

  images: pipeline.Input
  probabilities: tf.Tensor
  batch: pipeline.Batch
  variables: dict
  saver: tf.train.Saver
  num_classes: int
  labels_offset: int
  multi_label: bool = False
  master: str = ''
  settings: session_settings.SessionSettings = session_settings.DEFAULTS
  dtype = graph_rewrite.FLOAT32

  def run(self, checkpoint: str, max_num_batches: int | None = None):
    """Evaluates one checkpoint.

    Args:
      checkpoint: its prefix.
      max_num_batches: stop after so many batches; None: after the last.

    Returns:
      (metrics, keys), see `over_split.evaluate`.

    Raises:
      UserError: the checkpoint or the records cannot be read.
    """
    restore.verify(checkpoint)
    restore.plan_restore(checkpoint, self.variables).check_complete()
    config = session_configs.session_config(self.settings)
    with tf.Session(self.master, config=config) as session:
      with restore.damage_as_user_error(checkpoint):
        self.saver.restore(session, checkpoint)
      return over_split.evaluate(
          session, self.images, self.batch, self.probabilities, self.num_classes,
          self.labels_offset, max_num_batches, multi_label=self.multi_label)


@dataclasses.dataclass
class FrozenEvaluation:
  """A split, and a way to put a network with constant weights over it.

  Each checkpoint gets a graph of its own. That is quicker than one graph with
  variables: batch norm is folded and the runtime lays out the weights once.

  Attributes:
    make_images: returns the input pipeline, in the default graph.
    classify: classify(checkpoint, images) returns the probabilities, float32 [batch,
      classes], of images in their graph.
    num_classes: how many classes there are.
    labels_offset: subtracted from the labels of the records.
    multi_label: whether an image may have several classes, or none.
    settings: of the sessions: memory of GPUs, threads.
    precision: chooses the type of the sessions; None: float32.
    images: the input pipeline of the last run.
    dtype: the type of the last run.
  """

  make_images: Callable[[], pipeline.Input]
  classify: Callable[[str, tf.Tensor], tf.Tensor]
  num_classes: int
  labels_offset: int
  multi_label: bool = False
  settings: session_settings.SessionSettings = session_settings.DEFAULTS
  precision: PrecisionChooser | None = None
  images: pipeline.Input | None = None
  dtype: str = graph_rewrite.FLOAT32

  def run(self, checkpoint: str, max_num_batches: int | None = None):
    """Evaluates one checkpoint in this process.

    Arguments, result and errors are those of `Evaluation.run`.
    """
    predictions, keys = self.collect(checkpoint, max_num_batches)
    return over_split.metrics_of(predictions, self.num_classes), keys

  def collect(self, checkpoint: str, max_num_batches: int | None = None,
              shard: tuple[int, int] | None = None):
    """Returns what the network of one checkpoint predicts.

    Args:
      checkpoint: its prefix.
      max_num_batches: stop after so many batches; None: after the last.
      shard: see `over_split.collect`.

    Returns:
      (predictions, keys), see `over_split.collect`.

    Raises:
      UserError: the checkpoint or the records cannot be read.
    """
    restore.verify(checkpoint)
    with tf.Graph().as_default():
      self.images = self.make_images()
      batch = self.images.next_batch()
      probabilities = self.classify(checkpoint, batch.images)
      if self.precision is not None:
        self.dtype = self.precision.choose(self.images, batch, probabilities)
      config = graph_rewrite.frozen_config(self.settings, self.dtype)
      with tf.Session(config=config) as session:
        return over_split.collect(
            session, self.images, batch, probabilities, self.num_classes,
            self.labels_offset, max_num_batches, multi_label=self.multi_label,
            shard=shard)


def build(images: pipeline.Input, network_fn: Callable, num_classes: int,
          labels_offset: int = 0,
          moving_average_decay: float | None = None, master: str = '',
          multi_label: bool = False,
          settings: session_settings.SessionSettings = session_settings.DEFAULTS
          ) -> Evaluation:
  """Builds a network in evaluation mode over an input, in the default graph.

  Args:
    images: of `pipeline.evaluation_input`; with views, see `preprocessing.views`, or
      without.
    network_fn: of `nets_factory.get_network_fn`.
    num_classes: how many classes there are.
    labels_offset: subtracted from the labels of the records.
    moving_average_decay: restore the moving averages that training kept with
      this decay, in place of the weights.
    master: the address of the TensorFlow server to run on; '': this process.
    multi_label: whether an image may have several classes, or none: probabilities
      are then of sigmoids, not of the softmax.
    settings: of the session: memory of GPUs, threads.
  """
  tf.train.get_or_create_global_step()
  batch = images.next_batch()

  def classify(images):
    logits, _ = network_fn(images)
    return (tf.nn.sigmoid if multi_label else tf.nn.softmax)(logits)

  probabilities = views.mean_probabilities(classify, batch.images)
  variables = {variable.op.name: variable for variable in slim.get_model_variables()}
  if moving_average_decay:
    variables = restore.averages_by_name(slim.get_model_variables())
  return Evaluation(images, probabilities, batch, variables,
                    tf.train.Saver(variables), num_classes, labels_offset, multi_label,
                    master, settings)
