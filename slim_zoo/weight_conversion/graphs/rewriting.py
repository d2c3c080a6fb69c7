"""Rewrites parts of a GraphDef in the form that networks of today have.

The meaning stays the same: values of 16 bits become float32, and the batch norm
operation of 2015 becomes the one of today.
"""

import numpy as np

from slim_zoo.inference import graph_editing
from slim_zoo.tf_compat import tf

_OLD_BATCH_NORM = 'BatchNormWithGlobalNormalization'
_NEW_BATCH_NORM = 'FusedBatchNormV3'


def widen(graph_def: tf.GraphDef) -> list[str]:
  """Makes all values of 16 bits float32; returns the names of the types that changed.

  A conversion between types that are now the same becomes an Identity.
  """
  # Made here, because the numbers of types are TensorFlow's.
  narrow = {dtype.as_datatype_enum: dtype.name for dtype in (tf.float16, tf.bfloat16)}
  wide, found = tf.float32.as_datatype_enum, set()
  for node in graph_def.node:
    if node.op == 'Const' and node.attr['dtype'].type in narrow:
      found.add(node.attr['dtype'].type)
      graph_editing.set_constant(
          node, graph_editing.constant(node).astype(np.float32))
    for value in node.attr.values():
      if value.type in narrow:
        found.add(value.type)
        value.type = wide
      for index, dtype in enumerate(value.list.type):
        if dtype in narrow:
          found.add(dtype)
          value.list.type[index] = wide
    if node.op == 'Cast' and (
        node.attr['SrcT'].type == node.attr['DstT'].type == wide):
      node.op = 'Identity'
      node.attr.clear()
      node.attr['T'].type = wide
  return sorted(narrow[dtype] for dtype in found)


def renew_batch_norms(graph_def: tf.GraphDef) -> None:
  """Replaces the batch norm operation of 2015, which TensorFlow no longer has."""
  wide = tf.float32.as_datatype_enum
  for node in list(graph_def.node):
    if node.op != _OLD_BATCH_NORM:
      continue
    features, mean, variance, beta, gamma = node.input
    if not node.attr['scale_after_normalization'].b:
      ones = graph_def.node.add(name=f'{node.name}/ones', op='OnesLike')
      ones.input.append(gamma)
      ones.attr['T'].type = wide
      gamma = ones.name
    epsilon = node.attr['variance_epsilon'].f
    node.op = _NEW_BATCH_NORM
    del node.input[:]
    node.input.extend([features, gamma, beta, mean, variance])
    node.attr.clear()
    node.attr['T'].type = node.attr['U'].type = wide
    node.attr['epsilon'].f = epsilon
    node.attr['is_training'].b = False
