"""The optimizer: how gradients become updates."""

from absl import flags

import diagnostics
import train_flags
from train_flags import fine_tuning, machines

FLAGS = flags.FLAGS


def define() -> None:
  """Defines the flags of this group."""
  flags.DEFINE_enum('optimizer', 'rmsprop',
                    ['adadelta', 'adagrad', 'adam', 'ftrl', 'momentum', 'sgd',
                     'rmsprop'], 'How gradients become updates.')
  flags.DEFINE_float('adadelta_rho', 0.95, 'Decay rate of adadelta.')
  flags.DEFINE_float('adagrad_initial_accumulator_value', 0.1,
                     'Start of the adagrad accumulators.')
  flags.DEFINE_float('adam_beta1', 0.9, 'Decay of the first moment of adam.')
  flags.DEFINE_float('adam_beta2', 0.999, 'Decay of the second moment of adam.')
  flags.DEFINE_float('opt_epsilon', 1.0,
                     'Epsilon of adadelta, adam and rmsprop; for adam 1e-8 is usual.')
  flags.DEFINE_float('ftrl_learning_rate_power', -0.5, 'Learning rate power of ftrl.')
  flags.DEFINE_float('ftrl_initial_accumulator_value', 0.1,
                     'Start of the ftrl accumulators.')
  flags.DEFINE_float('ftrl_l1', 0.0, 'L1 regularization of ftrl.')
  flags.DEFINE_float('ftrl_l2', 0.0, 'L2 regularization of ftrl.')
  flags.DEFINE_float('momentum', 0.9, 'Momentum of the momentum optimizer.')
  flags.DEFINE_float('rmsprop_momentum', 0.9, 'Momentum of rmsprop.')
  flags.DEFINE_float('rmsprop_decay', 0.9, 'Decay of the mean square of rmsprop.')
  flags.DEFINE_float('moving_average_decay', None,
                     'Also keep moving averages of the variables, for evaluation.',
                     lower_bound=0, upper_bound=1)
  flags.DEFINE_integer('quantize_delay', -1,
                       'Steps before quantization-aware training; only -1, never, is'
                       ' supported: its rewriter went with tf.contrib.')


def check() -> None:
  """Refuses flags that make no sense."""
  if FLAGS.quantize_delay != -1:
    raise diagnostics.UserError(
        f'--quantize_delay={FLAGS.quantize_delay}: quantization-aware training is'
        ' not supported, its rewriter went with tf.contrib; leave it at -1')


def notes() -> list[str]:
  """Returns a line for every flag that changes nothing, or not what one expects."""
  from training import optimizers
  used = optimizers.options_of(FLAGS.optimizer)
  lines = train_flags.notes_of_flags_without_effect({
      option: f'--optimizer={FLAGS.optimizer}'
      for option in optimizers.all_options() if option not in used})
  if FLAGS.optimizer == 'adam' and not FLAGS['opt_epsilon'].present:
    lines.append('adam with its established epsilon of 1.0 learns slowly:'
                 ' --opt_epsilon=1e-8 is usual')
  return lines


def make_optimizer(learning_rate):
  """Returns the optimizer of the flags, at a learning rate (a scalar tensor)."""
  from training import optimizers
  return optimizers.get_optimizer(FLAGS.optimizer, learning_rate, **{
      option: FLAGS[option].value for option in optimizers.options_of(FLAGS.optimizer)})


def update_options():
  """Returns which variables an update changes, and how."""
  from training import updates
  return updates.UpdateOptions(
      tuple(fine_tuning.trainable_scopes()), FLAGS.moving_average_decay,
      machines.aggregated_replicas())


def rows() -> list[tuple[str, str]]:
  """Returns the lines of the banner that are of this group."""
  return [('optimizer', FLAGS.optimizer)]
