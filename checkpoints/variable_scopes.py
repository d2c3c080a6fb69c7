"""Variable scopes that users name: they are prefixes of names, as in slim."""

import diagnostics
from tf_compat import tf


def in_scope(name: str, scope: str) -> bool:
  """Tells whether the variable `name` is `scope` or lies below it.

  As in slim, a scope is a prefix of names: 'vgg_16/fc' covers fc6, fc7 and fc8.
  """
  return name.startswith(scope)


def check(flag: str, wanted: list[str], variables) -> None:
  """Raises UserError for a scope that no variable lies in, with the nearest one."""
  names = [variable.op.name for variable in variables]
  for scope in wanted:
    if not any(in_scope(name, scope) for name in names):
      known = {'/'.join(name.split('/')[:depth]): None
               for name in names for depth in range(1, name.count('/') + 1)}
      raise diagnostics.UserError(
          f"--{flag}: scope '{scope}' matches no variable of the network"
          f'{diagnostics.suggestion(scope, known)}')


def variables_to_train(trainable_scopes: list[str]):
  """Returns the trainable variables below any of the scopes; all without scopes."""
  variables = tf.trainable_variables()
  if not trainable_scopes:
    return variables
  check('trainable_scopes', trainable_scopes, variables)
  return [variable for variable in variables
          if any(in_scope(variable.op.name, scope) for scope in trainable_scopes)]
