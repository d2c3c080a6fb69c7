"""The beginning: which checkpoint the weights come from, and which are trained."""

import dataclasses
import os

from absl import flags

from slim_zoo import diagnostics
from slim_zoo.catalog import networks
from slim_zoo.checkpoints import (
  checkpoint_names,
  renaming,
  run_checkpoints,
  run_facts,
  trained_input,
)
from slim_zoo.commands import path_flags, train_flags

FLAGS = flags.FLAGS


def define() -> None:
  """Defines the flags of this group."""
  flags.DEFINE_enum('init', 'auto', ['auto', 'resume', 'finetune', 'scratch'],
                    'Where the weights come from. auto: the run in --train_dir if'
                    ' there is one, else --checkpoint_path, else random weights. The'
                    ' others insist: on that run, on --checkpoint_path or on random'
                    ' weights, and never write over a run.')
  path_flags.DEFINE_path('checkpoint_path', None,
                         'Checkpoint, or folder of checkpoints, to begin from.')
  flags.DEFINE_string('checkpoint_exclude_scopes', None,
                      'Scopes, separated by commas, that are not restored from it;'
                      ' auto: the head of the network if its classes are others.')
  flags.DEFINE_string('checkpoint_rename', None,
                      'Rules OLD=NEW, separated by commas, for scopes that have other'
                      ' names in it: vgg=vgg_16, module/= takes a prefix off,'
                      ' /ExponentialMovingAverage= takes the moving averages for the'
                      ' weights.')
  path_flags.DEFINE_path('transfer_classes_from', None,
                         'Its labels.txt, of lines LABEL:NAME: classes that have the'
                         ' same name in the data set keep their weights.')
  flags.DEFINE_string('trainable_scopes', None,
                      'Scopes, separated by commas, to train; by default all.')
  flags.DEFINE_string('frozen_scopes', None,
                      'Scopes, separated by commas, that stay as they are to the last'
                      ' bit, the statistics of batch norm included; also within'
                      ' --trainable_scopes.')
  flags.DEFINE_string('frozen_batch_norm_scopes', None,
                      'Scopes, separated by commas, whose batch norm keeps its'
                      ' statistics and normalizes by them in training too; its gamma'
                      ' and beta are trained.')
  flags.DEFINE_boolean('ignore_missing_vars', False,
                       'Begin with what --checkpoint_path lacks, or has in another'
                       ' shape, at initial values.')


def check() -> None:
  """Refuses flags that make no sense."""
  for flag in ('checkpoint_exclude_scopes', 'checkpoint_rename',
               'transfer_classes_from'):
    if FLAGS[flag].value and not FLAGS.checkpoint_path:
      raise diagnostics.UserError(f'--{flag} has no effect without --checkpoint_path')
  if FLAGS.init == 'finetune' and not FLAGS.checkpoint_path:
    raise diagnostics.UserError(
        '--init=finetune needs --checkpoint_path: the checkpoint to begin from')
  if FLAGS.init == 'scratch' and FLAGS.checkpoint_path:
    raise diagnostics.UserError(
        f'--init=scratch begins with random weights, but --checkpoint_path='
        f'{FLAGS.checkpoint_path} is given: leave out one of them')
  _rename_rules()
  labels_file = FLAGS.transfer_classes_from
  if labels_file and not os.path.isfile(labels_file):
    raise diagnostics.UserError(
        f'--transfer_classes_from={labels_file}: there is no such file; name the'
        ' labels.txt of the data set that the checkpoint was trained on')
  # A run that is there goes on from its own.
  if FLAGS.checkpoint_path and not checkpoint_names.holds_run(FLAGS.train_dir):
    checkpoint_names.check_there(FLAGS.checkpoint_path)


# Where a run goes on from another checkpoint, what its images are is that one's, too.
_ADOPTED = ('model_name', 'train_image_size', 'preprocessing_name', 'use_grayscale',
            'labels_offset')


def adopt_run_facts() -> str | None:
  """Sets flags that are not on the command line as the run card has them.

  The card is of the run in --train_dir, which goes on, or of --checkpoint_path. Call it
  before any check: what is wrong with the paths is for those to say.

  Returns:
    A line that says which flags were set, or which contradict the card; or None.
  """
  checkpoint = _beginning()
  facts, note = run_facts.read(checkpoint) if checkpoint else (None, None)
  if facts is None:
    return note
  given = {name: FLAGS[name].value if FLAGS[name].present else None
           for name in _ADOPTED}
  if given['model_name'] not in (None, facts.model_name):
    return None  # The table of restored variables says what becomes of them.
  if given['labels_offset'] is None and facts.dataset_name != FLAGS.dataset_name:
    # The offset is about the labels of another data set.
    facts = dataclasses.replace(facts, labels_offset=FLAGS.labels_offset)
  made = trained_input.choose(
      facts.model_name, facts.num_classes, checkpoint, facts, trained_input.Given(
          given['train_image_size'], given['preprocessing_name'],
          given['use_grayscale'], given['labels_offset'], given['model_name']),
      size_flag='train_image_size', default_model_name=FLAGS['model_name'].default)
  for name, value in made.taken.items():
    FLAGS[name].value = value
  return made.note


def _beginning() -> str | None:
  """Returns the prefix of the checkpoint that the run begins from, as far as seen."""
  for path in filter(None, (FLAGS.train_dir, FLAGS.checkpoint_path)):
    if os.path.isdir(path):
      newest = run_checkpoints.newest_first(path)
      if newest:
        return newest[0]
    elif path == FLAGS.checkpoint_path:
      return checkpoint_names.prefix_of(path)
  return None


def notes() -> list[str]:
  """Returns a line for every flag that changes nothing."""
  return train_flags.notes_of_flags_without_effect(
      {} if FLAGS.checkpoint_path else {'ignore_missing_vars': 'no --checkpoint_path'})


def trainable_scopes() -> list[str]:
  """Returns the scopes to train; all if there are none."""
  return train_flags.comma_separated(FLAGS.trainable_scopes)


def frozen_scopes() -> list[str]:
  """Returns the scopes that stay as they are."""
  return train_flags.comma_separated(FLAGS.frozen_scopes)


def frozen_batch_norm_scopes() -> list[str]:
  """Returns the scopes whose batch norm keeps its statistics."""
  return frozen_scopes() + train_flags.comma_separated(FLAGS.frozen_batch_norm_scopes)


def starting_point():
  """Returns what the run begins from, before the graph is built."""
  from slim_zoo.training import starting_point
  return starting_point.find(FLAGS.train_dir, FLAGS.checkpoint_path, FLAGS.init,
                             is_chief=FLAGS.task == 0)


def prepare(start, dataset, num_classes):
  """Compares the graph with its beginning; returns banner lines and an init_fn.

  Raises:
    UserError: the checkpoint does not fit, or its labels do not.
  """
  return start.prepare(*_how(dataset, num_classes))


def fresh_batch_norm(start, dataset, num_classes) -> dict[str, float]:
  """Returns the decays of batch norm layers that begin without statistics."""
  from slim_zoo.nets import normalization
  return start.fresh(normalization.decays(), *_how(dataset, num_classes))


def _how(dataset, num_classes):
  """Returns the network of the graph, and how another checkpoint is taken."""
  from slim_zoo.checkpoints import heads
  from slim_zoo.training import starting_point
  head = heads.Head(networks.get_network(FLAGS.model_name).head_scopes, num_classes)
  old_names, new_names = _class_names(dataset)
  return (
      starting_point.network_of(FLAGS.model_name, head),
      starting_point.FineTuning(
          train_flags.comma_separated(FLAGS.checkpoint_exclude_scopes),
          FLAGS.ignore_missing_vars, _rename_rules(), old_names, new_names))


def _rename_rules():
  return renaming.parse(train_flags.comma_separated(FLAGS.checkpoint_rename))


def _class_names(dataset):
  """Returns the names of the checkpoint's labels and of the network's classes."""
  from slim_zoo.datasets import labels
  if not FLAGS.transfer_classes_from:
    return None, None
  if not dataset.labels_to_names:
    raise diagnostics.UserError(
        f"--transfer_classes_from: '{FLAGS.dataset_dir}' has no"
        f' {labels.LABELS_FILENAME} that names its classes')
  folder, name = os.path.split(FLAGS.transfer_classes_from)
  return labels.read_label_file(folder or '.', name), {
      label - FLAGS.labels_offset: class_name
      for label, class_name in dataset.labels_to_names.items()
      if label >= FLAGS.labels_offset}


def rows(beginning) -> list[tuple[str, str]]:
  """Returns the lines of the banner that are of this group."""
  return [('weights', beginning)]
