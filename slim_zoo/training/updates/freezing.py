"""Which variables are trained, and which stay as they are to the last bit."""

from collections.abc import Iterable, Mapping, Sequence

from slim_zoo import diagnostics
from slim_zoo.checkpoints import variable_scopes
from slim_zoo.tf_compat import slim, tf
from slim_zoo.training.updates import rate_groups


def variables_to_train(trainable_scopes: Sequence[str] = (),
                       frozen_scopes: Sequence[str] = (),
                       multipliers: Mapping[str, float] | None = None) -> list:
  """Returns the trainable variables that an update changes.

  Args:
    trainable_scopes: only what lies below these; all if empty.
    frozen_scopes: nothing that lies below these, trainable scope or not.
    multipliers: factors of the learning rate by scope; nothing whose factor is 0,
      see `rate_groups.factor_of`.

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
            and rate_groups.factor_of(variable, multipliers or {})]
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
