"""Restores a network without its last layers from a checkpoint of the whole network."""

import collections
import sys
from collections.abc import Callable, Sequence

from slim_zoo import diagnostics
from slim_zoo.checkpoints import restore
from slim_zoo.tf_compat import slim

_LAYERS = 6


def restore_fn(checkpoint_path: str, new_scopes: Sequence[str] = (),
               variables: Sequence | None = None) -> Callable:
  """Returns init_fn(session), which restores a backbone.

  It prints to stderr the number of restored variables, and the layers of the checkpoint
  that the graph does not have. tf.global_variables_initializer must run before it;
  slim.learning.train does so.

  Args:
    checkpoint_path: a checkpoint, a folder of them, or 'published:NAME'.
    new_scopes: scopes of layers that are not in the checkpoint, such as ['FCN'].
    variables: the variables to restore; None: all model variables.

  Raises:
    UserError: there is no checkpoint, it lacks a variable of the backbone, has one in
      another shape, or a scope matches no variable.
  """
  if variables is None:
    variables = slim.get_model_variables()
  backbone = {variable.op.name: variable for variable in variables}
  for scope in new_scopes:
    found = [name for name in backbone if name.startswith(f'{scope}/')]
    if not found:
      raise diagnostics.UserError(
          f"new_scopes: no variable is below '{scope}'"
          f"{diagnostics.suggestion(scope, {name.split('/')[0] for name in backbone})}")
    for name in found:
      del backbone[name]
  plan = restore.plan_restore(restore.find(checkpoint_path), backbone)
  _check(plan)
  restore_plan = restore.restore_fn(plan)

  def init_fn(session):
    restore_plan(session)
    print(_summary(plan), file=sys.stderr, flush=True)

  return init_fn


def _check(plan):
  """Raises UserError unless all variables of the backbone are in the checkpoint."""
  if plan.mismatched:
    raise diagnostics.UserError(
        f'{plan.first_mismatch()}: give a checkpoint of this network')
  if plan.missing and not plan.restored:
    raise diagnostics.UserError(
        f'{plan.of_another_network()}: give a checkpoint of this network')
  if plan.missing:
    raise diagnostics.UserError(
        f"'{plan.path}' lacks {len(plan.missing)} variables of the network"
        f' ({diagnostics.some(plan.missing)}): name the scopes of new layers in'
        ' new_scopes')


def _summary(plan):
  text = f"restored {len(plan.restored)} variables from '{plan.path}'"
  if not plan.unused:
    return text
  layers = collections.Counter(
      '/'.join(name.split('/')[:2]) for name in sorted(plan.unused))
  shown = diagnostics.some(
      [f'{layer} ({count})' for layer, count in layers.items()], _LAYERS)
  return f'{text}; {len(plan.unused)} are of layers that are not built: {shown}'
