"""Validation: how the run does on images that it is not trained on."""

import math
import os

from absl import flags

from slim_zoo import diagnostics
from slim_zoo.catalog import datasets as dataset_catalog
from slim_zoo.commands import common_flags
from slim_zoo.commands.train_flags import machines

FLAGS = flags.FLAGS

_SOURCES = '--validation_split_name or --validation_share'


def define() -> None:
  """Defines the flags of this group."""
  flags.DEFINE_string('validation_split_name', None,
                      'Split to validate on while training; by default there is no'
                      ' validation.')
  flags.DEFINE_float('validation_share', None,
                     'In place of it: share of the training split, such as 0.1, that'
                     ' is not trained on but validated on. Always the same images.')
  flags.DEFINE_integer('validate_every_steps', None,
                       'Steps between validations, of which the last is at the end; by'
                       ' default an epoch.', lower_bound=1)
  flags.DEFINE_float('validate_every_epochs', None,
                     'The same in epochs, of all workers together.')
  flags.DEFINE_integer('early_stop_patience', None,
                       'Stop after so many validations in a row without a better'
                       ' accuracy (mean average precision, where an image may have'
                       ' several classes); by default never.', lower_bound=1)
  flags.DEFINE_float('early_stop_min_delta', 0.0,
                     'By how much it must be higher to be better, 0 to 1.',
                     lower_bound=0, upper_bound=1)


def check() -> None:
  """Refuses flags that make no sense."""
  for flag in ('validate_every_steps', 'validate_every_epochs', 'early_stop_patience'):
    if FLAGS[flag].value is not None and not is_wanted():
      raise diagnostics.UserError(
          f'--{flag}={FLAGS[flag].value} says nothing of the images to validate on: add'
          f' {_SOURCES}')
  for one, other in (('validation_split_name', 'validation_share'),
                     ('validate_every_steps', 'validate_every_epochs')):
    if FLAGS[one].value is not None and FLAGS[other].value is not None:
      raise diagnostics.UserError(
          f'--{one} and --{other} are given: leave out one of them')
  share, epochs = FLAGS.validation_share, FLAGS.validate_every_epochs
  if share is not None and not 0 < share < 1:
    raise diagnostics.UserError(
        f'--validation_share={share:g}: expected a share between 0 and 1, such as 0.1')
  if epochs is not None and not 0 < epochs < math.inf:
    raise diagnostics.UserError(
        f'--validate_every_epochs={epochs:g}: expected a number above 0, such as 1')
  if FLAGS.early_stop_min_delta and not FLAGS.early_stop_patience:
    raise diagnostics.UserError(
        f'--early_stop_min_delta={FLAGS.early_stop_min_delta:g} needs an'
        ' --early_stop_patience')
  if is_wanted():
    _check_split()


def _check_split():
  spec = dataset_catalog.find_dataset(FLAGS.dataset_name, FLAGS.dataset_dir)
  split = FLAGS.validation_split_name
  if split is not None:
    spec.check_split(split)
    if split == FLAGS.dataset_split_name:
      raise diagnostics.UserError(
          f'--validation_split_name={split} is the split that is trained on: name'
          ' another one, or hold out a --validation_share of it')
    dataset_catalog.split_files(spec, split, FLAGS.dataset_dir)


def notes() -> list[str]:
  """Returns a line for every flag that changes nothing."""
  return []


def is_wanted() -> bool:
  """Returns whether the run is to be validated."""
  return bool(FLAGS.validation_split_name) or FLAGS.validation_share is not None


def trained_part():
  """Returns the part of the training split that is trained on; None: all."""
  from slim_zoo.datasets import held_out
  if FLAGS.validation_share is None:
    return None
  return held_out.Part(FLAGS.validation_share, is_held_out=False)


def count_trained(dataset, batches) -> None:
  """Makes the images of a data set those that are trained on, of which epochs are.

  Args:
    dataset: of the training split.
    batches: the training input.

  Raises:
    UserError: nothing is left to train on, or to validate on.
  """
  from slim_zoo.datasets import held_out
  if batches.part is None:
    return
  trained = batches.count_records()
  held = held_out.count(batches.files, batches.part.other)
  if not trained or not held:
    raise diagnostics.UserError(
        f'--validation_share={FLAGS.validation_share:g} of {trained + held} images'
        f' leaves {trained} to train on and {held} to validate on: choose another')
  dataset.num_samples = trained


def every_steps(num_images: int) -> int:
  """Returns the steps between validations; `num_images` are an epoch."""
  if FLAGS.validate_every_steps is not None:
    return FLAGS.validate_every_steps
  epochs = FLAGS.validate_every_epochs or 1.0
  return max(1, round(epochs * num_images / machines.images_per_step()))


def watchers(start, dataset, num_classes: int, image_size: int, config,
             batches, fresh) -> list:
  """Returns what validates between the steps; call it after the graph.

  Args:
    start: what the run begins from.
    dataset: of the training split.
    num_classes: how many there are.
    image_size: height and width of the images.
    config: of the deployment.
    batches: the training input.
    fresh: the decays of batch norm layers that begin without statistics.
  """
  from slim_zoo.datasets import batch_labels
  from slim_zoo.nets import normalization
  from slim_zoo.training import best_checkpoint, validation, validation_history
  if not is_wanted() or FLAGS.task:
    return []
  best = best_checkpoint.BestCheckpoint(
      os.path.join(FLAGS.train_dir, best_checkpoint.FOLDER))
  history = validation_history.History(FLAGS.train_dir, _source())
  _put_aside(start, best, history)
  evaluate, modes = _evaluation(
      dataset, num_classes, image_size, config, batches, bool(normalization.decays()))
  rules = validation.Rules(
      every_steps(dataset.num_samples), FLAGS.early_stop_patience,
      FLAGS.early_stop_min_delta, 'mean average precision'
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


def _source() -> str:
  """Returns in words on which images is validated."""
  if FLAGS.validation_split_name:
    return f'{FLAGS.validation_split_name} of {FLAGS.dataset_name}'
  return (f'{FLAGS.validation_share:g} of {FLAGS.dataset_split_name} of'
          f' {FLAGS.dataset_name}')


def _evaluation(dataset, num_classes, image_size, config, batches, has_batch_norm):
  """Returns what `validation.Validator` calls, and the two modes, or None."""
  from slim_zoo.datasets import batch_labels, pipeline
  from slim_zoo.nets import nets_factory
  from slim_zoo.tf_compat import tf
  from slim_zoo.training import eval_network, mode_gap
  if FLAGS.validation_split_name:
    dataset, _ = common_flags.get_dataset(FLAGS.validation_split_name)
  preprocess = pipeline.preprocess_with(
      common_flags.get_preprocessing_fn(is_training=False), image_size)
  with tf.device(config.inputs_device()):
    images = pipeline.evaluation_input(
        dataset, preprocess, FLAGS.batch_size, FLAGS.labels_offset,
        FLAGS.num_preprocessing_threads, runs_here=not FLAGS.master,
        part=batches.part and batches.part.other, cache_dir=FLAGS.cache_dir)
    batch = images.next_batch()
    inputs = tf.placeholder_with_default(batch.images, [None, *batch.images.shape[1:]])
  network_fn = nets_factory.get_network_fn(FLAGS.model_name, num_classes)
  getter = eval_network.moving_averages() if FLAGS.moving_average_decay else None

  def build():
    return eval_network.build(network_fn, inputs, config, getter)

  network, multi_label = build(), batch_labels.is_multi_label(dataset)
  modes = mode_gap.ModeGap(
      network, build, dataset, preprocess, images, FLAGS.labels_offset,
      FLAGS.batch_size) if has_batch_norm and not multi_label else None
  probabilities = (tf.nn.sigmoid if multi_label else tf.nn.softmax)(network.logits)
  return _counting(images, batch, probabilities, num_classes, multi_label), modes


def _counting(images, batch, probabilities, num_classes, multi_label):
  """Returns a function that counts as eval_image_classifier.py does."""
  from slim_zoo.evaluation import over_split, predictions
  from slim_zoo.training import validation, validation_history
  told = set()

  def evaluate(session, step, is_to_stop):
    try:
      metrics, _ = over_split.evaluate(
          session, images, batch, probabilities, num_classes, FLAGS.labels_offset,
          shows_progress=False, is_to_stop=is_to_stop, told=told,
          multi_label=multi_label)
    except over_split.EvaluationStoppedError as interrupted:
      raise validation.ValidationStoppedError from interrupted
    except predictions.NotFiniteError:
      return validation_history.Finding(int(step), None, 0, images.count_records())
    if multi_label:
      return validation_history.Finding(
          int(step), _finite(metrics.mean_average_precision), int(metrics.exact),
          int(metrics.num_images))
    return validation_history.Finding(
        int(step), float(metrics.top1.value), int(metrics.top1.correct),
        int(metrics.top1.total), _finite(metrics.cross_entropy))

  return evaluate


def _finite(value) -> float | None:
  return float(value) if math.isfinite(value) else None


def rows(dataset, fresh) -> list[tuple[str, str | list[str]]]:
  """Returns the lines of the banner that are of this group; `fresh` as above."""
  from slim_zoo.training import batch_norm_health
  found = []
  if is_wanted():
    stop = (f', stops after {FLAGS.early_stop_patience} without improvement'
            if FLAGS.early_stop_patience else '')
    found.append(('validation', f'on {_source()}, every'
                  f' {every_steps(dataset.num_samples):,} steps{stop}'))
  last = FLAGS.max_number_of_steps
  stale = last and batch_norm_health.stale(fresh, last)
  return found + ([('note', stale)] if stale else [])
