"""Validation inside a training run: its graph, and how it counts."""

import math
import os

from slim_zoo.config.training import TrainConfig
from slim_zoo.evaluation import over_split, predictions
from slim_zoo.input import batch_labels, pipeline
from slim_zoo.nets import nets_factory, normalization
from slim_zoo.tasks import training_input
from slim_zoo.tf_compat import tf
from slim_zoo.training import eval_network
from slim_zoo.training.callbacks import batch_norm_health, best_checkpoint, validation


def callbacks(config: TrainConfig, start, dataset, num_classes: int, image_size: int,
              devices, batches, fresh: dict[str, float]) -> list[validation.Validator]:
  """Returns the validator of the run; [] where it has none, or is not the chief's.

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
  """
  options = config.validation
  if not options.is_on or not config.distribution.is_chief:
    return []
  train_dir = config.run.train_dir
  best = best_checkpoint.BestCheckpoint(
      os.path.join(train_dir, best_checkpoint.FOLDER))
  history = validation.History(train_dir, options.source(config.data))
  _put_aside(start, best, history)
  evaluate, modes = _evaluation(
      config, dataset, num_classes, image_size, devices, batches,
      bool(normalization.decays()))
  rules = validation.Rules(
      config.validate_every_steps(dataset.num_samples), options.early_stop_patience,
      options.early_stop_min_delta, 'mean average precision'
      if batch_labels.is_multi_label(dataset) else 'accuracy')
  return [validation.Validator(evaluate, rules, history, best, fresh, modes)]


def _put_aside(start, best, history):
  """Keeps a best checkpoint that the coming ones cannot be compared with."""
  if start.resumed and not history.forgotten:
    return
  aside = best.put_aside()
  if aside:
    why = (f'it was found on {history.forgotten}' if start.resumed
           else 'it is of an earlier run')
    print(f'the best checkpoint so far is kept in {aside}: {why}', flush=True)


def _evaluation(config, dataset, num_classes, image_size, devices, batches,
                has_batch_norm):
  """Returns the evaluate function of `validation.Validator`, and the modes or None."""
  data = config.data
  if config.validation.validation_split_name:
    dataset, _ = training_input.find_dataset(
        data, config.validation.validation_split_name)
  preprocess = pipeline.preprocess_with(
      training_input.preprocessing_fn(config.network, is_training=False), image_size)
  with tf.device(devices.inputs_device()):
    images = pipeline.evaluation_input(
        dataset, preprocess, data.batch_size, data.labels_offset,
        data.num_preprocessing_threads, runs_here=not config.distribution.master,
        part=batches.part and batches.part.other, cache_dir=data.cache_dir)
    batch = images.next_batch()
    inputs = tf.placeholder_with_default(batch.images, [None, *batch.images.shape[1:]])
  network_fn = nets_factory.get_network_fn(
      config.network.model_name, num_classes,
      **config.quantization.network_options(is_training=False))
  getter = (eval_network.moving_averages()
            if config.optimizer.moving_average_decay else None)

  def build():
    return eval_network.build(network_fn, inputs, devices, getter)

  network, multi_label = build(), batch_labels.is_multi_label(dataset)
  modes = batch_norm_health.ModeGap(
      network, build, dataset, preprocess, images, data.labels_offset,
      data.batch_size) if has_batch_norm and not multi_label else None
  probabilities = (tf.nn.sigmoid if multi_label else tf.nn.softmax)(network.logits)
  return _counting(images, batch, probabilities, num_classes, data.labels_offset,
                   multi_label), modes


def _counting(images, batch, probabilities, num_classes, labels_offset, multi_label):
  """Returns a function that counts as the evaluation command does."""
  reported = set()

  def evaluate(session, step, is_to_stop):
    try:
      metrics, _ = over_split.evaluate(
          session, images, batch, probabilities, num_classes, labels_offset,
          shows_progress=False, is_to_stop=is_to_stop, reported=reported,
          multi_label=multi_label)
    except over_split.EvaluationStoppedError as interrupted:
      raise validation.ValidationStoppedError from interrupted
    except predictions.NotFiniteError:
      return validation.Finding(int(step), None, 0, images.count_records())
    if multi_label:
      return validation.Finding(
          int(step), _finite(metrics.mean_average_precision), int(metrics.exact),
          int(metrics.num_images))
    return validation.Finding(
        int(step), float(metrics.top1.value), int(metrics.top1.correct),
        int(metrics.top1.total), _finite(metrics.cross_entropy))

  return evaluate


def _finite(value):
  return float(value) if math.isfinite(value) else None
