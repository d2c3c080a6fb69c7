"""The learning rate: where it starts, how it falls, and where it differs."""

from absl import flags

from slim_zoo import diagnostics
from slim_zoo.commands import train_flags

FLAGS = flags.FLAGS


def define() -> None:
  """Defines the flags of this group."""
  flags.DEFINE_enum('learning_rate_decay_type', 'exponential',
                    ['fixed', 'exponential', 'polynomial', 'cosine', 'piecewise'],
                    'How the learning rate falls.')
  flags.DEFINE_float('learning_rate', 0.01, 'Initial learning rate.', lower_bound=0)
  flags.DEFINE_float('end_learning_rate', 0.0001,
                     'Final learning rate of a polynomial or cosine decay.',
                     lower_bound=0)
  flags.DEFINE_float('learning_rate_decay_factor', 0.94,
                     'What an exponential decay multiplies by.', lower_bound=0)
  flags.DEFINE_float('num_epochs_per_decay', 2.0,
                     'Epochs between decays, or to the end of a polynomial or cosine'
                     ' decay. A cosine decay without it ends at'
                     ' --max_number_of_steps.', lower_bound=1e-6)
  flags.DEFINE_string('learning_rate_at_epochs', None,
                      'Rates of a piecewise decay, such as 30:0.001,60:0.0001: from'
                      ' the beginning of each EPOCH on the RATE.')
  flags.DEFINE_float('warmup_epochs', 0.0,
                     'Epochs over which the learning rate first rises to its start.',
                     lower_bound=0)
  flags.DEFINE_enum('epochs_are', 'per_clone', ['per_clone', 'global'],
                    'Whose batches count the epochs of these flags: those of one'
                    ' clone, as ever, so that N clones see every image N times in'
                    ' one; or those of all clones.')
  flags.DEFINE_string('learning_rate_multipliers', None,
                      'Factors of the learning rate, such as'
                      ' InceptionV3/Logits:10,InceptionV3/Conv2d:0, by scope, of'
                      ' which the longest that matches holds; 0 does not train.')


def check() -> None:
  """Refuses flags that make no sense."""
  kind = FLAGS.learning_rate_decay_type
  changes, piecewise = _changes(), kind == 'piecewise'
  if changes and not piecewise:
    raise diagnostics.UserError(
        '--learning_rate_at_epochs needs --learning_rate_decay_type=piecewise, it is'
        f' {kind}')
  if piecewise and not changes:
    raise diagnostics.UserError(
        '--learning_rate_decay_type=piecewise needs --learning_rate_at_epochs, such as'
        ' 30:0.001,60:0.0001')
  if kind == 'cosine' and not (
      FLAGS['num_epochs_per_decay'].present or FLAGS.max_number_of_steps):
    raise diagnostics.UserError(
        '--learning_rate_decay_type=cosine needs an end: give --max_number_of_steps,'
        ' or --num_epochs_per_decay for the epochs that it takes')
  multipliers()


def notes() -> list[str]:
  """Returns a line for every flag that changes nothing."""
  kind = FLAGS.learning_rate_decay_type
  decay = f'--learning_rate_decay_type={kind}'
  useless = {name: decay for name, kinds in (
      ('learning_rate_decay_factor', ('exponential',)),
      ('end_learning_rate', ('polynomial', 'cosine')),
      ('num_epochs_per_decay', ('exponential', 'polynomial', 'cosine')))
             if kind not in kinds}
  if not _counts_epochs():
    useless['epochs_are'] = f'{decay} and no warm-up'
  elif FLAGS.num_clones == 1:
    useless['epochs_are'] = 'one clone'
  return train_flags.notes_of_flags_without_effect(useless)


def multipliers() -> dict[str, float]:
  """Returns the factors of --learning_rate_multipliers by scope."""
  factors = {}
  for scope, factor in _pairs('learning_rate_multipliers', 'SCOPE:FACTOR'):
    if scope in factors:
      raise diagnostics.UserError(
          f"--learning_rate_multipliers names '{scope}' twice: give it one factor")
    factors[scope] = factor
  return factors


def schedule(num_images: int):
  """Returns the learning-rate schedule, in steps."""
  from slim_zoo.training import learning_rates
  steps = lambda epochs: _steps(epochs, num_images)
  kind = FLAGS.learning_rate_decay_type
  to_last_step = kind == 'cosine' and not FLAGS['num_epochs_per_decay'].present
  return learning_rates.Schedule(
      kind, FLAGS.learning_rate,
      FLAGS.max_number_of_steps if to_last_step else steps(FLAGS.num_epochs_per_decay),
      FLAGS.learning_rate_decay_factor, FLAGS.end_learning_rate,
      steps(FLAGS.warmup_epochs) if FLAGS.warmup_epochs else 0,
      tuple((steps(epoch) if epoch else 0, rate) for epoch, rate in _changes()))


def rows(schedule, num_images: int) -> list[tuple[str, str]]:
  """Returns the lines of the banner that are of this group."""
  lines = [('learning rate', schedule.describe())]
  clones = FLAGS.num_clones
  if _counts_epochs() and clones > 1:
    steps = f'{_steps(1, num_images):,} steps'
    lines.append(('', {
        'per_clone': f'an epoch of these is {steps}, counted by one clone; the'
                     f' {clones} clones together see every image {clones} times in it'
                     ' (--epochs_are=global: once)',
        'global': f'an epoch of these is {steps}, counted by all {clones} clones',
    }[FLAGS.epochs_are]))
  lines += [('', f'{factor:g} times that in {scope}' if factor else
             f'{scope} is not trained') for scope, factor in multipliers().items()]
  return lines


def _counts_epochs() -> bool:
  """Tells whether epochs say anything about the schedule."""
  kind = FLAGS.learning_rate_decay_type
  return bool(FLAGS.warmup_epochs or kind in ('exponential', 'polynomial', 'piecewise')
              or (kind == 'cosine' and FLAGS['num_epochs_per_decay'].present))


def _steps(epochs: float, num_images: int) -> int:
  """Returns the steps of epochs as these flags count them."""
  from slim_zoo.training import learning_rates
  # Synchronous replicas share an epoch, as ever.
  replicas = FLAGS.replicas_to_aggregate if FLAGS.sync_replicas else 1
  clones = FLAGS.num_clones if FLAGS.epochs_are == 'global' else 1
  return learning_rates.steps_of_epochs(
      epochs, num_images, FLAGS.batch_size * FLAGS.accumulate_steps * replicas * clones)


def _changes() -> list[tuple[float, float]]:
  """Returns the (epoch, rate) of --learning_rate_at_epochs."""
  changes = []
  for text, rate in _pairs('learning_rate_at_epochs', 'EPOCH:RATE'):
    epoch = _number(text)
    if epoch is None or (changes and epoch <= changes[-1][0]):
      raise diagnostics.UserError(
          f'--learning_rate_at_epochs={FLAGS.learning_rate_at_epochs}: the epochs are'
          f" numbers that rise, '{text}' is out of order")
    changes.append((epoch, rate))
  return changes


def _pairs(flag: str, form: str) -> list[tuple[str, float]]:
  """Returns the parts of a flag of the form 'KEY:NUMBER,...'."""
  pairs = []
  for part in train_flags.comma_separated(FLAGS[flag].value):
    key, _, text = part.rpartition(':')
    number = _number(text)
    if not key or number is None:
      raise diagnostics.UserError(
          f"--{flag}: '{part}' is not of the form {form}, with a number of 0 or more;"
          ' commas separate several')
    pairs.append((key.strip(), number))
  return pairs


def _number(text: str) -> float | None:
  """Returns a finite number of 0 or more, None if the text is none."""
  try:
    number = float(text)
  except ValueError:
    return None
  return number if 0 <= number < float('inf') else None
