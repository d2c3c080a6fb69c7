"""Variable scopes in flags: prefixes of names, as in slim."""

import difflib
import re

from slim_zoo import diagnostics
from slim_zoo.catalog import networks
from slim_zoo.tf_compat import tf

# Names of the last layer in various networks.
_HEAD = re.compile(r'(aux)?logit\w*|fc_?\d*|predictions?\w*|classifier\d*|classes'
                   r'|softmax\d*|(final_)?dense\w*|head|output\w*|linear|top')


def in_scope(name: str, scope: str) -> bool:
  """Returns whether the variable `name` is `scope` or below it.

  As in slim, a scope is a prefix of names: 'vgg_16/fc' matches fc6, fc7 and fc8.
  """
  return name.startswith(scope)


def check(flag: str, scopes: list[str], variables) -> None:
  """Raises UserError for a scope without variables, with the nearest one."""
  names = [variable.op.name for variable in variables]
  for scope in scopes:
    if not any(in_scope(name, scope) for name in names):
      raise diagnostics.UserError(
          f"--{flag}: scope '{scope}' matches no variable of the network"
          f'{_suggestion(scope, names)}')


def _suggestion(scope, names):
  """Returns "; did you mean 'NEAR'?" for a scope without variables, or ''."""
  heads = _head_scopes(names)
  misspelt = difflib.get_close_matches(scope, heads, n=1, cutoff=0.9)
  is_head = _HEAD.fullmatch(scope.rstrip('/').rpartition('/')[2].lower())
  if heads and is_head and not misspelt:
    return f"; did you mean '{','.join(heads)}', the head?"
  known = {'/'.join(name.split('/')[:depth]): None
           for name in names for depth in range(1, name.count('/') + 1)}
  return diagnostics.suggestion(scope, known)


def _head_scopes(names):
  """Returns the head scopes of the network with these variables, or ()."""
  for row in networks.NETWORKS.values():
    if row.head_scopes and all(any(in_scope(name, scope) for name in names)
                               for scope in row.head_scopes):
      return row.head_scopes
  return ()


def variables_to_train(trainable_scopes: list[str]):
  """Returns the trainable variables below any of the scopes; all without scopes."""
  variables = tf.trainable_variables()
  if not trainable_scopes:
    return variables
  check('trainable_scopes', trainable_scopes, variables)
  return [variable for variable in variables
          if any(in_scope(variable.op.name, scope) for scope in trainable_scopes)]
