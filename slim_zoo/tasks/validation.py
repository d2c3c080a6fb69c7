"""Validation during a training run: its graph and its counts."""

import dataclasses
import math
import os

from slim_zoo.config.training import TrainConfig
from slim_zoo.deployment.agreement import Agreement
from slim_zoo.evaluation import (
    over_masks,
    over_split,
    predictions,
    segmentation,
    shards,
)
from slim_zoo.input import batch_labels, held_out, pipeline
from slim_zoo.nets import fcn, nets_factory, normalization
from slim_zoo.tasks import training_input
from slim_zoo.tf_compat import tf
from slim_zoo.training import eval_network
from slim_zoo.training.callbacks import batch_norm_health, best_checkpoint, validation
from slim_zoo.training.callbacks.callback import Callback
from slim_zoo.training.team import Team


def callbacks(config: TrainConfig, start, dataset, num_classes: int, image_size: int,
              devices, batches, fresh: dict[str, float], team: Team, precision: str,
              agreement: Agreement | None) -> list[Callback]:
  """Returns the validator of the run, for the chief; [] where there is none.

  The other workers evaluate shards of the split: those of a job with parameter servers
  in pauses, all-reduce workers by a callback, which is returned for them.
  Call it after the training graph is built.

  Args:
    config: of the run.
    start: the `StartingPoint` of the run.
    dataset: of the training split.
    num_classes: of the network.
    image_size: height and width in pixels.
    devices: the `DeploymentConfig`.
    batches: the training input.
    fresh: the decays of batch norm layers that begin without statistics.
    team: the workers of a job with parameter servers.
    precision: the type in which the sessions of the run compute.
    agreement: of all-reduce workers, or None.
  """
  options, machines = config.validation, config.distribution
  if not options.is_on or not (machines.is_chief or team.state or agreement):
    return []
  evaluate, modes = _evaluation(
      config, dataset, num_classes, image_size, devices, batches,
      bool(normalization.decays()), team, agreement)
  every_steps = config.validate_every_steps(dataset.num_samples)
  if not machines.is_chief:
    return [validation.ShardValidator(evaluate, every_steps)] if agreement else []
  train_dir = config.run.train_dir
  best = best_checkpoint.BestCheckpoint(
      os.path.join(train_dir, best_checkpoint.FOLDER))
  history = validation.History(train_dir, options.source(config.data))
  _put_aside(start, best, history)
  rules = validation.Rules(
      every_steps, options.early_stop_patience, options.early_stop_min_delta,
      _measure(config, dataset), precision)
  return [validation.Validator(evaluate, rules, history, best, fresh, modes)]


def _measure(config, dataset):
  """Returns the name of the measure of the best checkpoint."""
  if config.segmentation.is_on:
    return 'mean IoU'
  return ('mean average precision' if batch_labels.is_multi_label(dataset)
          else 'accuracy')


def _batch_size(config):
  """Returns the images of a batch; 1 for whole images of several sizes."""
  if config.segmentation.is_on and not config.data.spec().image_size:
    return 1
  return config.data.batch_size


def _put_aside(start, best, history):
  """Keeps a best checkpoint that the coming ones cannot be compared with."""
  if start.resumed and not history.forgotten:
    return
  aside = best.rename_existing()
  if aside:
    why = (f'it was found on {history.forgotten}' if start.resumed
           else 'it is of an earlier run')
    print(f'the best checkpoint so far is kept in {aside}: {why}', flush=True)


def _evaluation(config, dataset, num_classes, image_size, devices, batches,
                has_batch_norm, team, agreement):
  """Returns the evaluate function of `validation.Validator`, and the modes or None."""
  data = config.data
  if config.validation.validation_split_name:
    dataset, _ = training_input.find_dataset(
        data, config.validation.validation_split_name)
  is_segmented = config.segmentation.is_on
  preprocess = (
      training_input.mask_preprocess(config) if is_segmented else
      pipeline.preprocess_with(
          training_input.preprocessing_fn(config.network, is_training=False),
          image_size))
  # Fed when an evaluation begins: the chief may evaluate a shard of a lost worker.
  shard = pipeline.fed_shard() if team.state or agreement else None
  with tf.device(devices.inputs_device()):
    images = pipeline.evaluation_input(
        dataset, preprocess, _batch_size(config), data.labels_offset,
        data.num_preprocessing_threads, runs_here=not config.distribution.master,
        part=batches.part and batches.part.other, cache_dir=data.cache_dir,
        shard=shard)
    batch = images.next_batch()
    inputs = tf.placeholder_with_default(batch.images, [None, *batch.images.shape[1:]])
  network_fn = (
      fcn.get_network_fn(
          config.network.model_name, num_classes, config.segmentation.strides)
      if is_segmented else nets_factory.get_network_fn(
          config.network.model_name, num_classes,
          **config.quantization.network_options(is_training=False)))
  getter = (eval_network.moving_averages()
            if config.optimizer.moving_average_decay else None)

  def build():
    return eval_network.build(network_fn, inputs, devices, getter)

  network, multi_label = build(), batch_labels.is_multi_label(dataset)
  if is_segmented:
    split = _MaskSplit(images, batch, over_masks.outputs_of(
        network.logits, batch.labels), num_classes)
    return (_SharedEvaluation(split, agreement).finding if agreement else
            split.finding), None
  modes = batch_norm_health.ModeGap(
      network, build, dataset, preprocess, images, data.labels_offset,
      data.batch_size) if has_batch_norm and not multi_label else None
  probabilities = (tf.nn.sigmoid if multi_label else tf.nn.softmax)(network.logits)
  machines = config.distribution
  split = _Split(
      images, batch, probabilities, num_classes, data.labels_offset, multi_label)
  if agreement:
    return _SharedEvaluation(split, agreement).finding, modes
  if multi_label:
    return _whole_split(split), modes
  counting = _Counting(split)
  if team.state is None:
    return counting.finding, modes
  team.work = lambda session: counting.count(
      session, team.is_to_stop, (machines.task, machines.worker_replicas))
  return (lambda session, step, is_to_stop: counting.finding_of_shards(
      session, step, is_to_stop, team, machines.worker_replicas)), modes


@dataclasses.dataclass(frozen=True)
class _Split:
  """A split, and the predictions for it.

  Attributes:
    images: the validation input.
    batch: its batch.
    probabilities: float32 [batch, classes], of the network.
    num_classes: of the network.
    labels_offset: subtracted from the labels of the records.
    multi_label: whether an image may have several classes, or none.
    reported: the images that cannot be decoded and whose names were printed.
  """

  images: pipeline.Input
  batch: pipeline.Batch
  probabilities: tf.Tensor
  num_classes: int
  labels_offset: int
  multi_label: bool
  reported: set = dataclasses.field(default_factory=set)

  def compute(self, function, session, is_to_stop, shard=None):
    """Returns what a function of `over_split` returns for all images or a shard."""
    return function(
        session, self.images, self.batch, self.probabilities, self.num_classes,
        self.labels_offset, shows_progress=False, is_to_stop=is_to_stop,
        reported=self.reported, multi_label=self.multi_label, shard=shard)

  def not_finite(self, step):
    """Returns the `validation.Finding` of a network that gives NaN."""
    return validation.Finding(int(step), None, 0, self.images.count_records())

  def packed(self, session, is_to_stop, shard):
    """Returns the predictions for a shard as bytes, for `merged`."""
    found, keys = self.compute(over_split.collect, session, is_to_stop, shard)
    return shards.packed(found, keys, self.num_classes)

  def merged(self, contents, step):
    """Returns the `validation.Finding` of the shards of all workers."""
    found, _ = shards.merged(contents, self.multi_label, self.images.count_records())
    metrics = over_split.metrics_of(found, self.num_classes)
    if self.multi_label:
      return _multi_label_finding(metrics, step)
    return _finding_of_counts(step, _counts(metrics))


@dataclasses.dataclass(frozen=True)
class _MaskSplit:
  """A split of images with masks, and what the network gives for it.

  Attributes:
    images: the validation input.
    batch: its batch.
    outputs: of the network.
    num_classes: of the network.
    reported: the images that cannot be decoded and whose names were printed.
  """

  images: pipeline.Input
  batch: pipeline.Batch
  outputs: over_masks.Outputs
  num_classes: int
  reported: set = dataclasses.field(default_factory=set)

  def _counts(self, session, is_to_stop, shard=None):
    return over_masks.collect(
        session, self.images, self.batch, self.outputs, self.num_classes,
        shows_progress=False, is_to_stop=is_to_stop, reported=self.reported,
        shard=shard)

  def finding(self, session, step, is_to_stop):
    """Returns the `validation.Finding` of the whole split."""
    try:
      counts = self._counts(session, is_to_stop)
    except over_split.EvaluationStoppedError as interrupted:
      raise validation.ValidationStoppedError from interrupted
    except predictions.NotFiniteError:
      return self.not_finite(step)
    return self._finding(counts, step)

  def not_finite(self, step):
    """Returns the `validation.Finding` of a network that gives NaN."""
    return validation.Finding(
        int(step), None, 0, self.images.count_records(), unit='pixels')

  def packed(self, session, is_to_stop, shard):
    """Returns the counts for a shard as bytes, for `merged`."""
    return self._counts(session, is_to_stop, shard).to_bytes()

  def merged(self, contents, step):
    """Returns the `validation.Finding` of the shards of all workers."""
    return self._finding(segmentation.add_up(
        [segmentation.Counts.of_bytes(content) for content in contents],
        self.images.count_records()), step)

  def _finding(self, counts, step):
    metrics = segmentation.evaluate(counts, [''] * self.num_classes)
    return validation.Finding(
        int(step), _finite(metrics.mean_iou), metrics.num_correct, metrics.num_pixels,
        _finite(metrics.cross_entropy), unit='pixels')


def _whole_split(split):
  """Returns the evaluate function for images that may have several classes.

  Mean average precision is no sum over shards.
  """
  def evaluate(session, step, is_to_stop):
    try:
      metrics, _ = split.compute(over_split.evaluate, session, is_to_stop)
    except over_split.EvaluationStoppedError as interrupted:
      raise validation.ValidationStoppedError from interrupted
    except predictions.NotFiniteError:
      return split.not_finite(step)
    return _multi_label_finding(metrics, step)

  return evaluate


def _multi_label_finding(metrics, step):
  return validation.Finding(
      int(step), _finite(metrics.mean_average_precision), int(metrics.exact),
      int(metrics.num_images))


class _SharedEvaluation:
  """Evaluates a split with all all-reduce workers, each a shard.

  The predictions for all images come together, so the numbers are those of one process,
  mean average precision too. Each worker has to call `finding` at the same steps.

  Args:
    split: the split.
    agreement: of the workers.
  """

  # In place of the length of a shard's predictions.
  _STOPPED, _NOT_FINITE, _FAILED = -1, -2, -3

  def __init__(self, split, agreement):
    self._split, self._agreement = split, agreement

  def finding(self, session, step, is_to_stop):
    """Returns the `validation.Finding` of the whole split to the chief."""
    if self._agreement.has_left:
      raise validation.ValidationStoppedError
    failure, content = None, b''
    try:
      content = self._own_shard(session, is_to_stop)
      state = len(content)
    except over_split.EvaluationStoppedError:
      state = self._STOPPED
    except predictions.NotFiniteError:
      state = self._NOT_FINITE
    except Exception as error:
      failure, state = error, self._FAILED
    exchange = self._agreement.exchange
    states = exchange.numbers(session, state)
    if failure is not None:
      raise failure
    # One worker that stops or fails ends the validation of all.
    if {self._STOPPED, self._FAILED} & set(states):
      raise validation.ValidationStoppedError
    split = self._split
    if self._NOT_FINITE in states:
      return split.not_finite(step)
    contents = exchange.contents(session, content, states)
    if not self._agreement.workers.is_chief:
      return None
    return split.merged(contents, step)

  def _own_shard(self, session, is_to_stop):
    workers = self._agreement.workers
    return self._split.packed(
        session, is_to_stop, (workers.cluster.task, workers.count))


def _counts(metrics):
  """Returns the counts that add up over shards, see `_Counting`."""
  readable = metrics.num_images - metrics.num_unreadable
  return [metrics.top1.correct, metrics.top1.total, readable,
          metrics.cross_entropy * readable if readable else 0.0]


def _finding_of_counts(step, counts):
  right, images, readable, cross_entropy = counts
  return validation.Finding(
      int(step), float(right / images), int(right), int(images),
      _finite(cross_entropy / readable) if readable else None)


class _Counting:
  """Counts as the evaluation command does, of the split or of a shard.

  Counts are numbers that add up over shards: right images, images, readable images, and
  the sum of their cross entropies.

  Args:
    split: the split.
  """

  def __init__(self, split):
    self._split = split

  def count(self, session, is_to_stop, shard=None):
    """Returns the counts; `right` is -1 if the network gives NaN. None if stopped."""
    if shard and not self._split.images.count_records(held_out.Shard(*shard)):
      return [0, 0, 0, 0.0]
    try:
      metrics, _ = self._split.compute(
          over_split.evaluate, session, is_to_stop, shard)
    except over_split.EvaluationStoppedError:
      return None
    except predictions.NotFiniteError:
      return [-1, 0, 0, 0.0]
    return _counts(metrics)

  def finding(self, session, step, is_to_stop):
    """Returns the `validation.Finding` of the whole split."""
    return self._finding(step, [self.count(session, is_to_stop)])

  def finding_of_shards(self, session, step, is_to_stop, team, num_workers):
    """Returns the `validation.Finding`; workers that are held count their shards."""
    if not team.held:
      return self.finding(session, step, is_to_stop)
    counts = [self.count(session, is_to_stop, (0, num_workers))]
    for task in range(1, num_workers):
      found = team.numbers_of(session, task)
      counts.append(self.count(session, is_to_stop, (task, num_workers))
                    if found is None else found)
    return self._finding(step, counts)

  def _finding(self, step, counts):
    if any(found is None for found in counts):
      raise validation.ValidationStoppedError
    if any(found[0] < 0 for found in counts):
      return self._split.not_finite(step)
    return _finding_of_counts(step, map(sum, zip(*counts, strict=True)))


def _finite(value):
  return float(value) if math.isfinite(value) else None
