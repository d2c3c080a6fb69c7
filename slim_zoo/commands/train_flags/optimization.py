"""The optimizer: how gradients become updates."""

from absl import flags

from slim_zoo import diagnostics
from slim_zoo.commands import train_flags
from slim_zoo.commands.train_flags import (
  computation,
  fine_tuning,
  learning_rate,
  machines,
)

FLAGS = flags.FLAGS


def define() -> None:
  """Defines the flags of this group."""
  flags.DEFINE_enum('optimizer', 'rmsprop',
                    ['adadelta', 'adagrad', 'adam', 'adamw', 'ftrl', 'lars',
                     'momentum', 'nesterov', 'sgd', 'rmsprop'],
                    'How gradients become updates. adamw and lars do the'
                    ' --weight_decay themselves, in place of the loss.')
  flags.DEFINE_float('adadelta_rho', 0.95, 'Decay rate of adadelta.')
  flags.DEFINE_float('adagrad_initial_accumulator_value', 0.1,
                     'Start of the adagrad accumulators.')
  flags.DEFINE_float('adam_beta1', 0.9, 'Decay of the first moment of adam, adamw.')
  flags.DEFINE_float('adam_beta2', 0.999,
                     'Decay of the second moment of adam, adamw.')
  flags.DEFINE_float('opt_epsilon', 1.0,
                     'Epsilon of adadelta, adam and rmsprop; for adam 1e-8 is usual.'
                     ' adamw has 1e-8 unless this is given.')
  flags.DEFINE_float('ftrl_learning_rate_power', -0.5, 'Learning rate power of ftrl.')
  flags.DEFINE_float('ftrl_initial_accumulator_value', 0.1,
                     'Start of the ftrl accumulators.')
  flags.DEFINE_float('ftrl_l1', 0.0, 'L1 regularization of ftrl.')
  flags.DEFINE_float('ftrl_l2', 0.0, 'L2 regularization of ftrl.')
  flags.DEFINE_float('lars_trust_coefficient', 0.001,
                     'How far lars may change a layer, relative to its norm.',
                     lower_bound=0)
  flags.DEFINE_float('momentum', 0.9, 'Momentum of momentum, nesterov and lars.')
  flags.DEFINE_float('rmsprop_momentum', 0.9, 'Momentum of rmsprop.')
  flags.DEFINE_float('rmsprop_decay', 0.9, 'Decay of the mean square of rmsprop.')
  flags.DEFINE_float('moving_average_decay', None,
                     'Also keep moving averages of the variables, for evaluation.',
                     lower_bound=0, upper_bound=1)
  flags.DEFINE_float('clip_gradient_norm', 0.0,
                     'Largest norm of the gradients, summed over the clones; those'
                     ' beyond are scaled down to it. 0 lets them be.', lower_bound=0)
  flags.DEFINE_enum('clip_gradients_by', 'global', ['global', 'variable'],
                    'Whether --clip_gradient_norm is of all gradients together, or of'
                    " each variable's own.")
  flags.DEFINE_integer('accumulate_steps', 1,
                       'Batches of a step: it updates once, with their mean gradient,'
                       ' and the global step counts updates.', lower_bound=1)
  flags.DEFINE_integer('quantize_delay', -1,
                       'Steps before quantization-aware training; only -1, never, is'
                       ' supported: its rewriter went with tf.contrib.')


def check() -> None:
  """Refuses flags that make no sense."""
  if FLAGS.quantize_delay != -1:
    raise diagnostics.UserError(
        f'--quantize_delay={FLAGS.quantize_delay}: quantization-aware training is'
        ' not supported, its rewriter went with tf.contrib; leave it at -1')
  if FLAGS['clip_gradients_by'].present and not FLAGS.clip_gradient_norm:
    raise diagnostics.UserError(
        f'--clip_gradients_by={FLAGS.clip_gradients_by} needs a --clip_gradient_norm')


def notes() -> list[str]:
  """Returns a line for every flag that changes nothing, or not what one expects."""
  from slim_zoo.training import optimizers
  used = optimizers.options_of(FLAGS.optimizer)
  lines = train_flags.notes_of_flags_without_effect({
      option: f'--optimizer={FLAGS.optimizer}'
      for option in optimizers.all_options()
      if option not in used and option != 'weight_decay'})
  if FLAGS.optimizer == 'adam' and not FLAGS['opt_epsilon'].present:
    lines.append('adam with its established epsilon of 1.0 learns slowly:'
                 ' --opt_epsilon=1e-8 is usual')
  if FLAGS.optimizer == 'adamw' and not FLAGS['weight_decay'].present:
    lines.append(f'adamw hardly decays with the --weight_decay of'
                 f' {FLAGS.weight_decay:g}, which is meant for a penalty in the loss:'
                 ' 0.01 to 0.1 is usual')
  return lines


def make_optimizer(learning_rate):
  """Returns the optimizer of the flags, at a learning rate (a scalar tensor)."""
  from slim_zoo.training import optimizers
  options = {option: FLAGS[option].value
             for option in optimizers.options_of(FLAGS.optimizer)}
  if 'opt_epsilon' in options:
    options['opt_epsilon'] = _epsilon()
  return optimizers.get_optimizer(FLAGS.optimizer, learning_rate, **options)


def loss_weight_decay() -> float:
  """Returns the L2 penalty of the loss: 0 where the optimizer does the decay."""
  return 0.0 if _decays_weights() else FLAGS.weight_decay


def update_options():
  """Returns which variables an update changes, and how."""
  from slim_zoo.training import updates
  return updates.UpdateOptions(
      tuple(fine_tuning.trainable_scopes()), FLAGS.moving_average_decay,
      machines.aggregated_replicas(), tuple(fine_tuning.frozen_scopes()),
      tuple(train_flags.comma_separated(FLAGS.frozen_batch_norm_scopes)),
      learning_rate.multipliers(), FLAGS.clip_gradient_norm,
      FLAGS.clip_gradients_by == 'variable', FLAGS.accumulate_steps,
      computation.scales_loss())


def trained_variables() -> list:
  """Returns the variables of the default graph that the flags let be trained."""
  from slim_zoo.training import updates
  return updates.trained_variables(update_options())


def rows() -> list[tuple[str, str]]:
  """Returns the lines of the banner that are of this group."""
  clipped = FLAGS.clip_gradient_norm
  by = 'all together' if FLAGS.clip_gradients_by == 'global' else 'each variable'
  decay = (f'{FLAGS.weight_decay:g}, by {FLAGS.optimizer} itself: of weights, not of'
           ' biases or batch norm' if _decays_weights() else
           f'{FLAGS.weight_decay:g}, an L2 penalty in the loss')
  return [('optimizer', FLAGS.optimizer + (
      f', epsilon {_epsilon():g}' if FLAGS.optimizer == 'adamw' else '') + (
          f', gradients of a norm up to {clipped:g}, {by}' if clipped else '')),
          ('weight decay', decay if FLAGS.weight_decay else 'none'),
          *_batch_norm_rows()]


def _batch_norm_rows():
  """Says of partly trained networks which batch norm keeps its statistics."""
  from slim_zoo.training import freezing
  layers = freezing.batch_norm_layers()
  if not layers:
    return []
  frozen = freezing.frozen_layers(layers, fine_tuning.frozen_batch_norm_scopes())
  adrift = freezing.untrained_layers(set(layers) - set(frozen), trained_variables())
  rows = []
  if frozen:
    rows.append(f'the statistics of {len(frozen)} of {len(layers)} layers are frozen')
  if adrift:
    rows.append(f'{len(adrift)} layers are not trained, but their statistics move, as'
                ' ever: --frozen_scopes keeps them')
  return [('batch norm', rows)] if rows else []


def _epsilon() -> float:
  # The established 1.0 is meant for rmsprop; a new optimizer need not inherit it.
  if FLAGS.optimizer == 'adamw' and not FLAGS['opt_epsilon'].present:
    return 1e-8
  return FLAGS.opt_epsilon


def _decays_weights() -> bool:
  return FLAGS.optimizer in ('adamw', 'lars')
