"""Batch norm that can be frozen by scope.

Arg scopes give `slim.batch_norm` one mode for a whole network. Fine-tuning often keeps
the statistics of some layers as the checkpoint has them, because the batches are too
small or too few to estimate them anew. So networks normalize by the `batch_norm` here,
which is slim's in all but the mode of the layers below frozen scopes.

A network in evaluation mode can also be built with the statistics of its batches, by
`batch_statistics`, to see what its moving averages are worth and to estimate them anew.
Clones and workers that train together share their statistics by `synchronized`.
"""

import contextlib
import weakref

from slim_zoo.nets import synchronized_batch_norm
from slim_zoo.tf_compat import slim, tf

# The default of slim.batch_norm.
_SLIM_DECAY = 0.999
# The scopes of the `frozen_batch_norm` blocks that are open.
_frozen_scopes: list[tuple[str, ...]] = []
# What is to be given to each layer in `batch_statistics` blocks that are open.
_forced: list[dict] = []
# What averages over replicas, in `synchronized` blocks that are open.
_statistics: list[synchronized_batch_norm.Statistics] = []
# Graphs, and the decay of each layer in them whose statistics are updated.
_decays: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


@contextlib.contextmanager
def frozen_batch_norm(scopes):
  """Freezes the statistics of the batch norm layers that are built in the block.

  A frozen layer normalizes by its moving mean and variance in training too, and
  makes no update of them. Its gamma and beta are not touched: whether they are
  trained is the optimizer's matter.

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
  """Normalizes by each batch's own statistics, in networks that are built in the block.

  As in training; but what else depends on the network's mode, such as dropout, stays
  as the network is told. Frozen layers go on with their moving averages. The updates
  go to tf.GraphKeys.UPDATE_OPS.

  Args:
    decay: of the updates, in place of the network's; 0 makes the moving averages
      those of the last batch.
  """
  _forced.append({'is_training': True} | ({} if decay is None else {'decay': decay}))
  try:
    yield
  finally:
    _forced.pop()


@contextlib.contextmanager
def synchronized(statistics: synchronized_batch_norm.Statistics | None):
  """Normalizes by the statistics of all replicas, in training networks of the block.

  Args:
    statistics: average over the replicas; None: each has its own.
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
  """Returns the decay of each layer's statistics, by the layer's scope.

  Args:
    graph: by default the current one.

  Returns:
    What layers built in training mode have; frozen ones have none.
  """
  return dict(_decays.get(graph or tf.get_default_graph(), {}))


def batch_norm(inputs, **kwargs) -> tf.Tensor:
  """Normalizes as `slim.batch_norm` does, with its arguments and its arg scopes.

  Ioffe and Szegedy 2015, arXiv 1502.03167. Below a scope of `frozen_batch_norm` the
  layer is in evaluation mode, whatever `is_training` says.
  """
  name = _layer_name(kwargs.get('scope'))
  # What is given in the call goes before what arg scopes give.
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


# slim.arg_scope takes it for slim.batch_norm, so either name may stand in its list.
batch_norm._key_op = slim.arg_scope_func_key(slim.batch_norm)


def _layer_name(scope) -> str:
  if isinstance(scope, tf.VariableScope):
    return scope.name
  return '/'.join(filter(None, (tf.get_variable_scope().name, scope or 'BatchNorm')))


def _options(kwargs):
  """Returns the arguments of a layer, those of arg scopes included."""
  defaults = slim.current_arg_scope().get(slim.arg_scope_func_key(slim.batch_norm), {})
  return {'is_training': True, 'decay': _SLIM_DECAY, **defaults, **kwargs}
