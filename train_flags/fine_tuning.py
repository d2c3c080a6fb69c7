"""The beginning: which checkpoint the weights come from, and which are trained."""

from absl import flags

import diagnostics
import train_flags

FLAGS = flags.FLAGS


def define() -> None:
  """Defines the flags of this group."""
  flags.DEFINE_string('checkpoint_path', None,
                      'Checkpoint, or folder of checkpoints, to begin from.')
  flags.DEFINE_string('checkpoint_exclude_scopes', None,
                      'Scopes, separated by commas, that are not restored from it.')
  flags.DEFINE_string('trainable_scopes', None,
                      'Scopes, separated by commas, to train; by default all.')
  flags.DEFINE_boolean('ignore_missing_vars', False,
                       'Begin with what --checkpoint_path lacks at initial values.')


def check() -> None:
  """Refuses flags that make no sense."""
  if not FLAGS.checkpoint_path and FLAGS.checkpoint_exclude_scopes:
    raise diagnostics.UserError(
        '--checkpoint_exclude_scopes has no effect without --checkpoint_path')


def notes() -> list[str]:
  """Returns a line for every flag that changes nothing."""
  return train_flags.notes_of_flags_without_effect(
      {} if FLAGS.checkpoint_path else {'ignore_missing_vars': 'no --checkpoint_path'})


def trainable_scopes() -> list[str]:
  """Returns the scopes to train; all if there are none."""
  return train_flags.comma_separated(FLAGS.trainable_scopes)


def starting_point():
  """Returns what the run begins from, before the graph is built."""
  from training import starting_point
  return starting_point.find(FLAGS.train_dir, FLAGS.checkpoint_path)


def prepare(start):
  """Compares the graph with its beginning; returns banner lines and an init_fn."""
  return start.prepare(train_flags.comma_separated(FLAGS.checkpoint_exclude_scopes),
                       FLAGS.ignore_missing_vars)


def rows(beginning) -> list[tuple[str, str]]:
  """Returns the lines of the banner that are of this group."""
  return [('weights', beginning)]
