"""Which variables are trained, which are frozen, and learning rates by scope."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from slim_zoo import diagnostics
from slim_zoo.checkpoints import contents, variable_scopes
from slim_zoo.tf_compat import slim, tf


def variables_to_train(trainable_scopes: Sequence[str] = (),
                       frozen_scopes: Sequence[str] = (),
                       multipliers: Mapping[str, float] | None = None) -> list:
  """Returns the trainable variables that an update changes.

  Args:
    trainable_scopes: only what lies below these; all if empty.
    frozen_scopes: nothing that lies below these, trainable scope or not.
    multipliers: factors of the learning rate by scope; nothing whose factor is 0,
      see `factor_of`.

  Raises:
    UserError: a scope matches nothing, or nothing is left to train.
  """
  trainable = variable_scopes.variables_to_train(list(trainable_scopes))
  variable_scopes.check(
      'frozen_scopes', list(frozen_scopes), slim.get_model_variables())
  variable_scopes.check(
      'learning_rate_multipliers', list(multipliers or ()), tf.trainable_variables())
  chosen = [variable for variable in trainable
            if not any(variable_scopes.in_scope(variable.op.name, scope)
                       for scope in frozen_scopes)
            and factor_of(variable, multipliers or {})]
  if not chosen:
    raise diagnostics.UserError(
        f'nothing is left to train: {len(trainable)} variables below the'
        ' --trainable_scopes, all of them below the --frozen_scopes or with a'
        ' --learning_rate_multipliers of 0; leave some of them out')
  for scope, factor in (multipliers or {}).items():
    if factor and not any(variable_scopes.in_scope(variable.op.name, scope)
                          for variable in chosen):
      raise diagnostics.UserError(
          f"--learning_rate_multipliers: nothing in scope '{scope}' is trained; leave"
          ' it out, or train it')
  return chosen


def check_batch_norm(frozen_batch_norm_scopes: Sequence[str],
                     frozen_scopes: Sequence[str] = ()) -> None:
  """Checks that the batch norm of the graph is frozen where it should be.

  Args:
    frozen_batch_norm_scopes: each must hold a layer.
    frozen_scopes: others, which need not.

  Raises:
    UserError: a scope holds none.
    ValueError: the network was not built to keep the statistics.
  """
  layers = batch_norm_layers()
  for scope in frozen_batch_norm_scopes:
    if not any(variable_scopes.in_scope(f'{layer}/', scope) for layer in layers):
      known = {'/'.join(layer.split('/')[:depth]): None
               for layer in layers for depth in range(1, layer.count('/') + 2)}
      raise diagnostics.UserError(
          f"--frozen_batch_norm_scopes: scope '{scope}' holds no batch norm of the"
          f' network{diagnostics.suggestion(scope, known)}')
  updated = _updated_layers()
  moving = [layer for layer in frozen_layers(
      layers, (*frozen_batch_norm_scopes, *frozen_scopes)) if layer in updated]
  if moving:
    raise ValueError(
        f'the batch norm of {diagnostics.some(moving)} updates its statistics: build'
        ' the network with nets.normalization.batch_norm, in frozen_batch_norm()')


def batch_norm_layers() -> list[str]:
  """Returns the scopes of the batch norm layers in the default graph, in order."""
  return [variable.op.name.rpartition('/')[0] for variable in slim.get_model_variables()
          if variable.op.name.endswith('/moving_mean')]


def frozen_layers(layers: Iterable[str], scopes: Sequence[str]) -> list[str]:
  """Returns the batch norm layers below any of the scopes."""
  return [layer for layer in layers
          if any(variable_scopes.in_scope(f'{layer}/', scope) for scope in scopes)]


def untrained_layers(layers: Iterable[str], trained: list) -> list[str]:
  """Returns the batch norm layers of which no variable is trained."""
  scopes = {variable.op.name.rpartition('/')[0] for variable in trained}
  return [layer for layer in layers if layer not in scopes]


def _updated_layers() -> set[str]:
  """Returns the layers whose statistics the update ops change."""
  layers = {variable.op.outputs[0].ref(): variable.op.name.rpartition('/')[0]
            for variable in slim.get_model_variables()}
  updates = [getattr(update, 'op', update)
             for update in tf.get_collection(tf.GraphKeys.UPDATE_OPS)]
  # An update may be given as the value that it leaves.
  updates += [before for update in updates for before in update.control_inputs]
  return {layers[value.ref()] for update in updates if update.type.startswith('Assign')
          for value in update.inputs if value.ref() in layers}


def factor_of(variable, multipliers: Mapping[str, float]) -> float:
  """Returns the factor of the longest scope that a variable lies in, 1 if in none."""
  matching = [scope for scope in multipliers
              if variable_scopes.in_scope(variable.op.name, scope)]
  return multipliers[max(matching, key=len)] if matching else 1.0


def layer_factors(decay: float, head_scopes: Sequence[str]) -> dict[str, float]:
  """Returns factors of the learning rate that fall from the head to the input.

  A layer is a scope of the network, such as InceptionV3/Mixed_5b or
  resnet_v1_50/block1. The head has the factor 1, the layer before it `decay`, the next
  one its square, and so on, in the order in which the network was built: Clark et al.
  2020, ELECTRA, arXiv 2003.10555, and others.

  Args:
    decay: above 0; 1 gives no factors.
    head_scopes: of the network; an auxiliary head too.
  """
  if decay == 1:
    return {}
  paths = [variable.op.name.split('/')[:-1] for variable in tf.trainable_variables()]
  # The convolutions of hints are not layers of the network: they have the whole rate.
  paths = [path for path in paths if path[:1] != [contents.DISTILLATION]]
  # NASNet has no scope around the whole network.
  depth = 1 if len({path[0] for path in paths if path}) > 1 else 2
  layers = list(dict.fromkeys('/'.join(path[:depth]) for path in paths if path))
  heads = [layer for layer in layers
           if any(variable_scopes.in_scope(f'{layer}/', scope)
                  for scope in head_scopes)]
  body = [layer for layer in layers if layer not in heads]
  return {**{layer: decay ** (len(body) - place) for place, layer in enumerate(body)},
          **dict.fromkeys(heads, 1.0)}


class RateGroups(tf.train.Optimizer):
  """An optimizer for each factor, as one: each takes its multiple of the rate.

  Multiplied gradients would not do: the step of adam, rmsprop, adagrad, adadelta and
  LARS hardly depends on the scale of the gradients. Here the variables of a scope
  with factor f are trained exactly as a run with f times the learning rate would
  train them, their slots included.

  The slots have their usual names. What an optimizer keeps once for all variables,
  such as adam's beta1_power, is there once a factor: beta1_power_1 and so on.

  Args:
    optimizer_fn: makes an optimizer, given a learning rate.
    learning_rate: float scalar tensor.
    multipliers: factors, above 0, by variable scope; the longest that matches a
      variable holds.
  """

  def __init__(self, optimizer_fn: Callable[[tf.Tensor], tf.train.Optimizer],
               learning_rate: tf.Tensor, multipliers: Mapping[str, float]):
    self._multipliers = multipliers
    # The plain rate comes first, so that it has the plain names.
    factors = dict.fromkeys((1.0, *sorted(multipliers.values())))
    self._optimizers = {
        factor: optimizer_fn(learning_rate if factor == 1 else learning_rate * factor)
        for factor in factors}
    super().__init__(use_locking=False, name=self._optimizers[1.0].get_name())

  def _optimizer_of(self, variable):
    return self._optimizers[factor_of(variable, self._multipliers)]

  def compute_gradients(self, *args, **kwargs) -> list:
    """Returns (gradient, variable) pairs, as every optimizer computes them."""
    return self._optimizers[1.0].compute_gradients(*args, **kwargs)

  def apply_gradients(self, grads_and_vars, global_step=None, name=None):
    """Returns the op that applies each gradient by the optimizer of its factor."""
    pairs = [(gradient, variable) for gradient, variable in grads_and_vars
             if gradient is not None]
    updates = []
    for optimizer in self._optimizers.values():
      own = [pair for pair in pairs if self._optimizer_of(pair[1]) is optimizer]
      if own:
        updates.append(optimizer.apply_gradients(own))
    if not updates:
      raise ValueError('no variable has a gradient')
    if global_step is None:
      return tf.group(*updates, name=name)
    with tf.control_dependencies(updates), tf.device(global_step.device):
      return global_step.assign_add(1, read_value=False, name=name)

  def get_slot(self, var, name):
    """Returns the slot `name` of `var`, or None."""
    return self._optimizer_of(var).get_slot(var, name)

  def get_slot_names(self):
    """Returns the names of the slots."""
    return sorted({name for optimizer in self._optimizers.values()
                   for name in optimizer.get_slot_names()})

  def variables(self):
    """Returns the variables of all the optimizers."""
    return [variable for optimizer in self._optimizers.values()
            for variable in optimizer.variables()]
