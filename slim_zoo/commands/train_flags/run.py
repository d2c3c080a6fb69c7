"""The run: where it writes, how long it takes, what it tells."""

import os
import tempfile

from absl import flags

from slim_zoo import diagnostics
from slim_zoo.checkpoints import checkpoint_names
from slim_zoo.commands import path_flags

FLAGS = flags.FLAGS


def define() -> None:
  """Defines the flags of this group."""
  path_flags.DEFINE_path('train_dir', '/tmp/tfmodel/',
                         'Folder for checkpoints and summaries; a run found there is'
                         ' resumed.')
  flags.DEFINE_integer('max_number_of_steps', None,
                       'Global step to stop at; by default training never ends.',
                       lower_bound=1)
  flags.DEFINE_integer('log_every_n_steps', 10,
                       'Steps between progress lines; 0 prints none.', lower_bound=0)
  flags.DEFINE_integer('save_summaries_secs', 600,
                       'Seconds between summaries for TensorBoard; 0 writes none.',
                       lower_bound=0)
  flags.DEFINE_integer('save_interval_secs', 600,
                       'Seconds between checkpoints; 0 saves only at the end.',
                       lower_bound=0)
  flags.DEFINE_float('max_loss_growth', 1e4,
                     'Stop when the loss is this many times that of the first step;'
                     ' 0 lets it grow. A loss that is not finite always stops the'
                     ' run.', lower_bound=0)


def check() -> None:
  """Refuses flags that make no sense."""
  if not FLAGS.train_dir:
    raise diagnostics.UserError('--train_dir is empty: name a folder to write to')
  checkpoint_names.check_no_pattern(FLAGS.train_dir)


def notes() -> list[str]:
  """Returns a line for every flag that changes nothing."""
  return []


def make_train_dir() -> None:
  """Makes --train_dir and tries it: what is wrong with it is better said now."""
  os.makedirs(FLAGS.train_dir, exist_ok=True)
  # It has no name in the folder: a kill leaves nothing.
  with tempfile.TemporaryFile(dir=FLAGS.train_dir) as file:
    file.write(b'x')


def loop_options():
  """Returns how the loop runs."""
  from slim_zoo.training import loop
  # Otherwise '/job:worker' may be the device of any worker.
  own_devices = ('/job:ps', f'/job:worker/task:{FLAGS.task}')
  return loop.LoopOptions(
      FLAGS.train_dir, FLAGS.max_number_of_steps, FLAGS.log_every_n_steps,
      FLAGS.save_summaries_secs, FLAGS.save_interval_secs,
      FLAGS.batch_size * FLAGS.num_clones * FLAGS.accumulate_steps, FLAGS.master,
      is_chief=FLAGS.task == 0,
      replicas_to_aggregate=FLAGS.replicas_to_aggregate,
      device_filters=own_devices if FLAGS.num_ps_tasks else ())


def watchers(training_graph) -> list:
  """Returns what keeps the checkpoints sound."""
  from slim_zoo.training import numerics
  return [numerics.CheckpointGuard(training_graph.finite_check),
          numerics.ExplosionGuard(FLAGS.max_loss_growth)]


def rows() -> list[tuple[str, str]]:
  """Returns the lines of the banner that are of this group."""
  interval = (f'every {FLAGS.save_interval_secs} s and at the end'
              if FLAGS.save_interval_secs else 'at the end')
  return [('checkpoints', f'in {FLAGS.train_dir}, {interval}')]
