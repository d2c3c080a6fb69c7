"""Batch norm that can be frozen by scope.

Arg scopes set one mode of `slim.batch_norm` for a whole network. Fine-tuning often
keeps the checkpoint's statistics of some layers, because the batches are too small or
too few for new estimates. So networks use the `batch_norm` of this module: slim's,
except that layers below frozen scopes are in evaluation mode.

`batch_statistics` builds a network in evaluation mode with the statistics of its
batches, to check its moving averages or to estimate them again. `synchronized` averages
the statistics of clones and workers that train together.
"""

import contextlib
import weakref

from slim_zoo.nets import synchronized_batch_norm
from slim_zoo.tf_compat import slim, tf

# The default decay of slim.batch_norm.
_SLIM_DECAY = 0.999
# The scopes of the `frozen_batch_norm` blocks that are open.
_frozen_scopes: list[tuple[str, ...]] = []
# The arguments that open `batch_statistics` blocks set on each layer.
_forced: list[dict] = []
# The averages over replicas that open `synchronized` blocks set.
_statistics: list[synchronized_batch_norm.Statistics] = []
# By graph: the decay of each layer whose statistics are updated.
_decays: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


@contextlib.contextmanager
def frozen_batch_norm(scopes):
  """Freezes the statistics of the batch norm layers built in the block.

  A frozen layer uses its moving mean and variance in training too and does not update
  them. Gamma and beta are not affected: the optimizer decides whether they are trained.

  Args:
    scopes: a sequence of variable scopes. As in slim, each is a prefix of names:
      'vgg_16/conv' covers conv1 to conv5.
  """
  _frozen_scopes.append(tuple(scopes))
  try:
    yield
  finally:
    _frozen_scopes.pop()


@contextlib.contextmanager
def batch_statistics(decay: float | None = None):
  """Uses each batch's own statistics in networks built in the block.

  This is as in training, but other parts that depend on the mode, such as dropout,
  keep the network's mode. Frozen layers still use their moving averages. The updates
  are added to tf.GraphKeys.UPDATE_OPS.

  Args:
    decay: decay of the updates in place of the network's; 0 sets the moving averages to
      the statistics of the last batch.
  """
  _forced.append({'is_training': True} | ({} if decay is None else {'decay': decay}))
  try:
    yield
  finally:
    _forced.pop()


@contextlib.contextmanager
def synchronized(statistics: synchronized_batch_norm.Statistics | None):
  """Networks for training that are built in this block share statistics over replicas.

  Args:
    statistics: averages over the replicas; None: each replica has its own statistics.
  """
  if statistics is None:
    yield
    return
  _statistics.append(statistics)
  try:
    yield
  finally:
    _statistics.pop()


def decays(graph: tf.Graph | None = None) -> dict[str, float]:
  """Returns the decay of each layer's statistics, by layer scope.

  Args:
    graph: None means the current one.

  Returns:
    The decays of layers built in training mode; frozen layers are not included.
  """
  return dict(_decays.get(graph or tf.get_default_graph(), {}))


def batch_norm(inputs, **kwargs) -> tf.Tensor:
  """Normalizes like `slim.batch_norm`, with its arguments and its arg scopes.

  Ioffe and Szegedy 2015, arXiv 1502.03167. Below a scope of `frozen_batch_norm` the
  layer is always in evaluation mode.
  """
  name = _layer_name(kwargs.get('scope'))
  # Arguments of the call have priority over arg scopes.
  if any(f'{name}/'.startswith(scopes) for scopes in _frozen_scopes):
    kwargs['is_training'] = False
  elif _forced:
    kwargs |= _forced[-1]
  else:
    options = _options(kwargs)
    if options['is_training'] is not False:
      _decays.setdefault(tf.get_default_graph(), {})[name] = options['decay']
      if _statistics:
        return synchronized_batch_norm.batch_norm(_statistics[-1], inputs, **options)
  return slim.batch_norm(inputs, **kwargs)


# slim.arg_scope treats it as slim.batch_norm, so both names work in its list.
batch_norm._key_op = slim.arg_scope_func_key(slim.batch_norm)


def _layer_name(scope) -> str:
  if isinstance(scope, tf.VariableScope):
    return scope.name
  return '/'.join(filter(None, (tf.get_variable_scope().name, scope or 'BatchNorm')))


def _options(kwargs):
  """Returns the arguments of a layer, including those of arg scopes."""
  scoped = slim.current_arg_scope().get(slim.arg_scope_func_key(slim.batch_norm), {})
  return {'is_training': True, 'decay': _SLIM_DECAY, **scoped, **kwargs}
