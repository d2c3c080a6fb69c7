"""The learning rate: where it starts, and how it falls."""

from absl import flags

import train_flags

FLAGS = flags.FLAGS


def define() -> None:
  """Defines the flags of this group."""
  flags.DEFINE_enum('learning_rate_decay_type', 'exponential',
                    ['fixed', 'exponential', 'polynomial'],
                    'How the learning rate falls.')
  flags.DEFINE_float('learning_rate', 0.01, 'Initial learning rate.', lower_bound=0)
  flags.DEFINE_float('end_learning_rate', 0.0001,
                     'Final learning rate of a polynomial decay.', lower_bound=0)
  flags.DEFINE_float('learning_rate_decay_factor', 0.94,
                     'What an exponential decay multiplies by.', lower_bound=0)
  flags.DEFINE_float('num_epochs_per_decay', 2.0,
                     'Epochs between decays, counted by the batches of one clone.',
                     lower_bound=1e-6)
  flags.DEFINE_float('warmup_epochs', 0.0,
                     'Epochs over which the learning rate first rises to its start.',
                     lower_bound=0)


def check() -> None:
  """Refuses flags that make no sense."""


def notes() -> list[str]:
  """Returns a line for every flag that changes nothing."""
  decay = f'--learning_rate_decay_type={FLAGS.learning_rate_decay_type}'
  useless = {name: decay for name, kind in (
      ('learning_rate_decay_factor', 'exponential'),
      ('end_learning_rate', 'polynomial')) if FLAGS.learning_rate_decay_type != kind}
  if FLAGS.learning_rate_decay_type == 'fixed':
    useless['num_epochs_per_decay'] = decay
  return train_flags.notes_of_flags_without_effect(useless)


def schedule(num_images: int):
  """Returns the learning-rate schedule, in steps."""
  from training import learning_rates
  # As ever, an epoch of the schedule is one of a clone's batches; synchronous
  # replicas share it.
  share = FLAGS.replicas_to_aggregate if FLAGS.sync_replicas else 1
  steps = lambda epochs: learning_rates.steps_of_epochs(
      epochs, num_images, FLAGS.batch_size * share)
  return learning_rates.Schedule(
      FLAGS.learning_rate_decay_type, FLAGS.learning_rate,
      steps(FLAGS.num_epochs_per_decay), FLAGS.learning_rate_decay_factor,
      FLAGS.end_learning_rate,
      steps(FLAGS.warmup_epochs) if FLAGS.warmup_epochs else 0)


def rows(schedule) -> list[tuple[str, str]]:
  """Returns the lines of the banner that are of this group."""
  return [('learning rate', schedule.describe())]
