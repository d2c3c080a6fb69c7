"""Translates pools, padding and normalization over channels.

`SAME` padding may depend on the size of the images. If it does not, it is written as a
number; else a function in the source computes it, so that the network runs on images of
other sizes as in TensorFlow.
"""

from slim_zoo.exporting import known, layout
from slim_zoo.exporting.torch_source.layers import pair
from slim_zoo.exporting.torch_source.steps import Step, Translation, refuse, shape_of
from slim_zoo.tf_compat import tf

MAX_POOL, AVERAGE_POOL = 'max_pool_same', 'average_pool_same'


def max_pool(state: Translation, operation: tf.Operation) -> Step:
  """Translates MaxPool; padding is never the largest value."""
  return _pool(state, operation, 'F.max_pool2d', MAX_POOL, '')


def average_pool(state: Translation, operation: tf.Operation) -> Step:
  """Translates AvgPool: the average is that of the pixels inside the image."""
  window, _, padding = _arguments(operation)
  shape = shape_of(operation.inputs[0], operation)
  if padding == b'VALID' and window == shape[1:3]:
    # All of the map, so that there is one value for images of any size.
    return state.new(operation, '{0}.mean((2, 3), keepdim=True)',
                     [state.step(operation.inputs[0])])
  return _pool(state, operation, 'F.avg_pool2d', AVERAGE_POOL,
               ', count_include_pad=False')


def _arguments(operation):
  if operation.get_attr('data_format') != b'NHWC':
    raise refuse(operation, 'with channels first')
  axes = layout.spatial(4)
  window, strides = ([operation.get_attr(name)[axis] for axis in axes]
                     for name in ('ksize', 'strides'))
  return window, strides, operation.get_attr('padding')


def _pool(state, operation, function, same_function, when_padded):
  window, strides, padding = _arguments(operation)
  inputs = [state.step(operation.inputs[0])]
  text = f'{{0}}, {pair(window)}, {pair(strides)}'
  if padding == b'VALID' or window == [1, 1]:
    return state.new(operation, f'{function}({text})', inputs)
  if padding != b'SAME':
    raise refuse(operation, f'with the padding {padding.decode()}')
  if strides == [1, 1] and all(size % 2 for size in window):
    padded = pair([size // 2 for size in window])
    return state.new(
        operation, f'{function}({text}, padding={padded}{when_padded})', inputs)
  return state.new(operation, f'{same_function}({text})', inputs)


def pad(state: Translation, operation: tf.Operation) -> Step:
  """Translates Pad and PadV2: padding with one number."""
  rank = operation.inputs[0].shape.rank
  paddings = layout.permuted(known.value(operation.inputs[1]).tolist(), rank)
  while paddings[0] == [0, 0] and len(paddings) > 1:
    del paddings[0]
  number = float(known.value(operation.inputs[2])) if (
      operation.type == 'PadV2') else 0.0
  # The last axis is first.
  sizes = tuple(size for one in reversed(paddings) for size in one)
  symmetric = None
  if not number and rank == 4 and len(paddings) <= 2 and all(
      before == after for before, after in paddings):
    symmetric = ([0, 0] + [before for before, _ in paddings])[-2:]
  value = f', value={number:g}' if number else ''
  return state.new(operation, f'F.pad({{0}}, {sizes}{value})',
                   [state.step(operation.inputs[0])], kind='padding', value=symmetric)


def local_response_norm(state: Translation, operation: tf.Operation) -> Step:
  """Translates LRN over channels; PyTorch divides alpha by the number of them."""
  size = 2 * operation.get_attr('depth_radius') + 1
  alpha, beta, bias = (
      f'{operation.get_attr(name):.7g}' for name in ('alpha', 'beta', 'bias'))
  return state.new(
      operation, f'F.local_response_norm({{0}}, {size}, alpha={alpha} * {size},'
      f' beta={beta}, k={bias})', [state.step(operation.inputs[0])])
