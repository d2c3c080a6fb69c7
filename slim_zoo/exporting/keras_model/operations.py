"""The table of operations: which layer of Keras each operation of TensorFlow becomes.

Each function gets the plan and an operation of TensorFlow, adds layers, and returns the
name of the last one. A function that does not know an argument of an operation raises
the UserError of `plan.refuse`.
"""

from collections.abc import Callable

import numpy as np

from slim_zoo.exporting import known
from slim_zoo.exporting.frozen_graph import name_of
from slim_zoo.exporting.keras_model import layers
from slim_zoo.exporting.keras_model.plan import Plan, refuse, shape_of
from slim_zoo.tf_compat import tf

Function = Callable[[Plan, tf.Operation], str]
# Names of layers that users of the model may ask for.
LOGITS, PROBABILITIES = 'logits', 'probabilities'


def _identity(plan, operation):
  value = plan.value(operation.inputs[0])
  return plan.add('Identity', LOGITS, [value]) if (
      name_of(operation) == LOGITS) else value


def _by_value(kind: str, **config) -> Function:
  """Returns the function of an operation on each value of one tensor."""
  return lambda plan, operation: plan.add(
      kind, plan.name_of(operation), [plan.value(operation.inputs[0])], **config)


def _pool(kind: str) -> Function:
  """Returns the function of a pool; averages are those of the pixels in the image."""
  def translate(plan, operation):
    axes = layers.spatial(operation)
    return plan.add(
        f'{kind}Pooling{len(axes)}D', plan.name_of(operation),
        [plan.value(operation.inputs[0])],
        pool_size=[operation.get_attr('ksize')[axis] for axis in axes],
        strides=[operation.get_attr('strides')[axis] for axis in axes],
        padding=operation.get_attr('padding').decode().lower())
  return translate


# --- Pairs, of two tensors or with a constant.


def _by_pair(kind: str) -> Function:
  """Returns the function of an operation on two tensors."""
  return lambda plan, operation: plan.add(
      kind, plan.name_of(operation), list(map(plan.value, operation.inputs)))


def _constant(operation):
  """Returns (the tensor, the constant, its place in the inputs), or None.

  The constant is one float, or a list with one for each channel.
  """
  places = [place for place, tensor in enumerate(operation.inputs)
            if known.is_known(tensor)]
  if not places:
    return None
  (place,), values = places, known.value(operation.inputs[places[0]])
  tensor = operation.inputs[1 - place]
  if values.size == 1:
    return tensor, float(values.reshape(())), place
  if values.shape[-1] != values.size or tensor.shape[-1] != values.size:
    raise refuse(operation, f'with a constant of {list(values.shape)}')
  return tensor, values.reshape(-1).tolist(), place


def _sum(plan, operation):
  if operation in plan.absorbed:
    return plan.value(next(
        tensor for tensor in operation.inputs if not known.is_known(tensor)))
  found = _constant(operation)
  if found is None:
    return _by_pair('Add')(plan, operation)
  tensor, offset, _ = found
  return plan.add('Rescaling', plan.name_of(operation), [plan.value(tensor)],
                  scale=1.0, offset=offset)


def _difference(plan, operation):
  if operation in plan.absorbed:
    return plan.value(operation.inputs[0])
  found = _constant(operation)
  if found is None:
    return _by_pair('Subtract')(plan, operation)
  tensor, offset, place = found
  if place == 0:
    raise refuse(operation, 'from a constant')
  return plan.add('Rescaling', plan.name_of(operation), [plan.value(tensor)],
                  scale=1.0, offset=_negated(offset))


def _product(plan, operation):
  """Translates a product, with the constant that is added to it."""
  found = _constant(operation)
  if found is None:
    return _by_pair('Multiply')(plan, operation)
  tensor, scale, _ = found
  offset, reader = 0.0, plan.reader(operation.outputs[0])
  if reader is not None and reader.type in ('Add', 'AddV2', 'Sub'):
    added = _constant(reader)
    if added is not None and (reader.type != 'Sub' or added[2] == 1):
      offset = _negated(added[1]) if reader.type == 'Sub' else added[1]
      plan.absorbed.add(reader)
  return plan.add('Rescaling', plan.name_of(operation), [plan.value(tensor)],
                  scale=scale, offset=offset)


def _negated(constant):
  return np.negative(constant).tolist()


def _quotient(plan, operation):
  if _constant(operation) is not None:
    raise refuse(operation, 'with a constant')
  return _by_pair('ops.divide')(plan, operation)


def _maximum(plan, operation):
  found = _constant(operation)
  if found is None:
    return _by_pair('Maximum')(plan, operation)
  tensor, limit, _ = found
  return plan.add('ops.maximum', plan.name_of(operation), [plan.value(tensor)],
                  x2=limit)


# --- Channels, shapes and places.


def _concatenation(plan, operation):
  *tensors, axis = operation.inputs
  if any(map(known.is_known, tensors)):
    raise refuse(operation, 'with a constant')
  return plan.add('Concatenate', plan.name_of(operation),
                  list(map(plan.value, tensors)), axis=int(known.value(axis)))


def _mean(plan, operation):
  tensor = operation.inputs[0]
  rank, keeps = tensor.shape.rank, operation.get_attr('keep_dims')
  axes = sorted(int(axis) % rank
                for axis in np.atleast_1d(known.value(operation.inputs[1])))
  inputs, name = [plan.value(tensor)], plan.name_of(operation)
  if rank in (4, 5) and axes == list(range(1, rank - 1)):
    return plan.add(f'GlobalAveragePooling{rank - 2}D', name, inputs, keepdims=keeps)
  return plan.add('ops.mean', name, inputs, axis=axes, keepdims=keeps)


def _reshape(plan, operation):
  """Translates Reshape and Squeeze by the shapes before and after."""
  before, after = (shape_of(tensor, operation)[1:]
                   for tensor in (operation.inputs[0], operation.outputs[0]))
  inputs, name = [plan.value(operation.inputs[0])], plan.name_of(operation)
  if before == after:
    return inputs[0]
  if len(after) == 1:
    return plan.add('Flatten', name, inputs)
  return plan.add('Reshape', name, inputs, target_shape=after)


def _pad(plan, operation):
  pads = known.value(operation.inputs[1]).tolist()
  if len(pads) not in (4, 5) or any(pads[0] + pads[-1]):
    raise refuse(operation, f'of {pads}')
  return plan.add(f'ZeroPadding{len(pads) - 2}D', plan.name_of(operation),
                  [plan.value(operation.inputs[0])], padding=pads[1:-1])


def _part(plan, operation):
  """Translates Slice: the pixels from a place on, as many as the output has."""
  before, after = (shape_of(tensor, operation)[1:]
                   for tensor in (operation.inputs[0], operation.outputs[0]))
  begin = known.value(operation.inputs[1])
  if begin is None or begin[0] or before[-1:] != after[-1:] or len(before) != 3:
    raise refuse(operation, 'of other axes than height and width')
  begin = begin[1:-1].tolist()
  ends = [size - start - rest for size, start, rest in zip(
      before[:-1], begin, after[:-1], strict=True)]
  return plan.add('Cropping2D', plan.name_of(operation),
                  [plan.value(operation.inputs[0])],
                  cropping=list(zip(begin, ends, strict=True)))


OPERATIONS: dict[str, Function] = {
    # Layers, with the bias that follows.
    'Conv2D': layers.convolution,
    'Conv3D': layers.convolution,
    'DepthwiseConv2dNative': layers.convolution,
    'FusedBatchNormV3': layers.batch_norm,
    'LRN': layers.local_response_norm,
    'MatMul': layers.product,
    # Windows and padding.
    'AvgPool': _pool('Average'),
    'AvgPool3D': _pool('Average'),
    'MaxPool': _pool('Max'),
    'MaxPool3D': _pool('Max'),
    'Pad': _pad,
    # Single values.
    'Relu': _by_value('ReLU'),
    'Relu6': _by_value('ReLU', max_value=6.0),
    'Sigmoid': _by_value('Activation', activation='sigmoid'),
    'Softmax': _by_value('Softmax'),
    'Sqrt': _by_value('ops.sqrt'),
    'Square': _by_value('ops.square'),
    # Pairs.
    'Add': _sum,
    'AddV2': _sum,
    'BiasAdd': _sum,
    'Maximum': _maximum,
    'Mul': _product,
    'RealDiv': _quotient,
    'Sub': _difference,
    # Channels, shapes, and places.
    'ConcatV2': _concatenation,
    'Identity': _identity,
    'Mean': _mean,
    'Reshape': _reshape,
    'Slice': _part,
    'Squeeze': _reshape,
}


def translate(plan: Plan, operation: tf.Operation) -> None:
  """Adds the layers of one operation.

  Raises:
    UserError: it is not in the table, or one of its arguments is not translated.
  """
  if operation.type not in OPERATIONS:
    raise refuse(operation, 'is not in its table')
  plan.set_value(operation.outputs[0], OPERATIONS[operation.type](plan, operation))
