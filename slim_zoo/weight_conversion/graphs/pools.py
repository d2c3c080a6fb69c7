"""Finds a pool in which a graph and a network with the same layers differ."""

from slim_zoo.tf_compat import tf
from slim_zoo.weight_conversion.graphs import outline

_POOLS = {'MaxPool': 'a maximum', 'AvgPool': 'an average'}


def difference(network: outline.Outline, head: outline.Landmark,
               source: outline.Outline, source_head: outline.Landmark) -> str:
  """Returns a message about the pool nearest to the logits that differs, or ''.

  Args:
    network: outline of the network.
    head: its last layer.
    source: outline of the graph.
    source_head: the same layer of the graph; their head signatures are equal.
  """
  waiting, seen = [(head, source_head)], set()
  for own, other in waiting:
    for value, other_value in zip(own.inputs, other.inputs, strict=True):
      pools, others = _before(network, value), _before(source, other_value)
      if len(pools) == len(others):
        for pool, other_pool in zip(pools, others, strict=True):
          if pool.type != other_pool.type:
            return (f"'{other_pool.name}' is {_POOLS[other_pool.type]} pool, in the"
                    f' network it is {_POOLS[pool.type]} pool')
      pair = value.landmark, other_value.landmark
      if None not in pair and pair not in seen:
        seen.add(pair)
        waiting.append(pair)
  return ''


def _before(graph_outline, value) -> list[tf.Operation]:
  """Returns the pools between a landmark and the tensor that is read from it."""
  pools, operation = [], value.tensor.op
  while value.landmark and operation is not value.landmark.operation:
    if operation.type in _POOLS:
      pools.append(operation)
    operation = next((
        tensor.op for tensor in operation.inputs
        if (known := graph_outline.values.get(tensor.name))
        and known.landmark is value.landmark), None)
    if operation is None:
      break
  return pools
