"""The table of operations: the step of each operation of TensorFlow.

Images are [batch, height, width, channels] in TensorFlow and [batch, channels, height,
width] in PyTorch. Tensors of other ranks have the same axes in both.
"""

from collections.abc import Callable

import numpy as np

from slim_zoo.exporting import known, layout
from slim_zoo.exporting.torch_source import layers, windows
from slim_zoo.exporting.torch_source.steps import Step, Translation, refuse, shape_of
from slim_zoo.tf_compat import tf

Function = Callable[[Translation, tf.Operation], Step]


def _passed_on(state, operation):
  return state.step(operation.inputs[0])


def _by_value(template: str, kind: str = '') -> Function:
  """Returns the function of an operation on each value of one tensor."""
  def translate(state, operation):
    source = state.step(operation.inputs[0])
    if source.kind != 'widened':
      return state.new(operation, template, [source], kind=kind)
    # The shape may change afterwards, too.
    values = state.new(operation, template, source.inputs, kind=kind)
    return state.new(operation, source.template, [values], kind='widened')
  return translate


def _by_pair(sign: str, kind: str) -> Function:
  """Returns the function of an operation on the values of two tensors."""
  def translate(state, operation):
    rank = operation.outputs[0].shape.rank
    steps, texts, number = [], [], None
    for tensor in operation.inputs:
      operand = state.operand(tensor, rank, operation)
      if isinstance(operand, str):
        number = np.float32(operand)
        texts.append(operand.removesuffix('.0'))
      else:
        texts.append(f'{{{len(steps)}}}')
        steps.append(operand)
    return state.new(
        operation, f' {sign} '.join(texts), steps, kind=kind, value=number)
  return translate


_add, _multiply = _by_pair('+', 'sum'), _by_pair('*', 'product')


def _sum(state, operation):
  """Translates a sum; the bias of a layer becomes a part of the layer."""
  return layers.with_bias(state, operation) or _add(state, operation)


def _product(state, operation):
  """Translates a product, or both hard activations of Howard 2019, arXiv 1905.02244."""
  step = _multiply(state, operation)
  if step.value == 1:
    return step.inputs[0]
  if step.value is None or abs(float(step.value) * 6 - 1) > 1e-6:
    return step
  (source,) = step.inputs
  step.template = '{0} / 6'
  read_once = all(state.is_read_once(tensor) for tensor in operation.inputs
                  if not known.is_known(tensor))
  if read_once and source.kind == 'product' and len(source.inputs) == 2:
    net, limited = source.inputs
    if _is_shifted(limited) and limited.inputs[0].inputs[0] is net:
      step.template, step.inputs = 'F.hardswish({0})', [net]
  elif read_once and _is_shifted(source):
    step.template, step.inputs = 'F.hardsigmoid({0})', source.inputs[0].inputs
  return step


def _is_shifted(step):
  """Returns whether a step is relu6(net + 3)."""
  return (step.kind == 'relu6' and step.inputs[0].kind == 'sum'
          and step.inputs[0].value == 3)


def _concatenation(state, operation):
  *tensors, axis = operation.inputs
  rank = operation.outputs[0].shape.rank
  steps = [state.operand(tensor, rank, operation) for tensor in tensors]
  if any(isinstance(step, str) for step in steps):
    raise refuse(operation, 'with a constant')
  names = ', '.join(f'{{{number}}}' for number in range(len(steps)))
  return state.new(
      operation, f'torch.cat([{names}],'
      f' {layout.position(int(known.value(axis)), rank)})', steps)


def _mean(state, operation):
  rank = len(shape_of(operation.inputs[0], operation))
  axes = tuple(sorted(layout.position(int(axis), rank) for axis in np.atleast_1d(
      known.value(operation.inputs[1]))))
  axes = axes[0] if len(axes) == 1 else axes
  kept = ', keepdim=True' if operation.get_attr('keep_dims') else ''
  if not kept and rank == 4 and axes not in ((2, 3), 2, 3, (1, 2, 3)):
    raise refuse(operation, f'over the axes {axes}')
  if not kept and axes in (2, 3):
    raise refuse(operation, 'over one axis of an image')
  return state.new(operation, f'{{0}}.mean({axes}{kept})',
                   [state.step(operation.inputs[0])])


def _reshape(state, operation):
  """Translates Reshape and Squeeze by the shapes before and after."""
  source = state.step(operation.inputs[0])
  before, after = (shape_of(tensor, operation)
                   for tensor in (operation.inputs[0], operation.outputs[0]))
  if before == after:
    return source
  if len(before) == 4 and len(after) == 2:
    return _flattened(state, operation, source, before)
  if len(before) == 2 and after[1:3] == [1, 1]:
    return state.new(operation, '{0}[:, :, None, None]', [source], kind='widened')
  text = '{0}'
  if layout.moves(layout.held(len(before)), range(len(before)), before):
    text += '.permute(0, 2, 3, 1)'
  held = layout.held(len(after))
  moves = layout.moves(range(len(after)), held, after)
  sizes = after if moves else layout.permuted(after, len(after))
  text += f".reshape({', '.join(str(-1 if size is None else size) for size in sizes)})"
  if moves:
    text += '.permute(0, 3, 1, 2)'
  return state.new(operation, text, [source])


def _flattened(state, operation, source, before):
  """Translates a flattening; a product after it gets weights in PyTorch's order."""
  if source.kind == 'widened':
    return source.inputs[0]
  _, height, width, channels = before
  if height * width == 1 or channels == 1:
    return state.new(operation, '{0}.flatten(1)', [source])
  readers = state.readers(operation.outputs[0])
  if readers and all(reader.type == 'MatMul' for reader in readers):
    return state.new(operation, '{0}.flatten(1)', [source], kind='flattened',
                     value=(height, width, channels))
  return state.new(operation, '{0}.permute(0, 2, 3, 1).flatten(1)', [source])


def _strided_part(state, operation):
  """Translates StridedSlice: every n-th value between two places on each axis."""
  for name in ('ellipsis_mask', 'new_axis_mask', 'shrink_axis_mask'):
    if operation.get_attr(name):
      raise refuse(operation, f'with {name}')
  begin, end, step = (known.value(tensor).tolist() for tensor in operation.inputs[1:])
  parts = [':'] * operation.inputs[0].shape.rank
  for axis, (first, last, by) in enumerate(zip(begin, end, step, strict=True)):
    if by < 1:
      raise refuse(operation, f'with the step {by}')
    whole_begin, whole_end = (operation.get_attr(name) >> axis & 1
                              for name in ('begin_mask', 'end_mask'))
    parts[axis] = _part(0 if whole_begin else first, None if whole_end else last, by)
  return _parts(state, operation, parts)


def _whole_part(state, operation):
  """Translates Slice: values from a place on each axis, as many as the output has."""
  begin = known.value(operation.inputs[1])
  if begin is None:
    raise refuse(operation, 'from a place that depends on the images')
  sizes = shape_of(operation.outputs[0], operation)
  return _parts(state, operation, [
      _part(int(first), None if size is None else int(first) + size, 1)
      for first, size in zip(begin, sizes, strict=True)])


def _part(first, last, by):
  return (f"{first or ''}:{'' if last is None else last}"
          + (f':{by}' if by > 1 else ''))


def _parts(state, operation, parts):
  held = layout.permuted(parts, len(parts))
  while held and held[-1] == ':':
    held.pop()
  source = state.step(operation.inputs[0])
  return state.new(
      operation, f"{{0}}[{', '.join(held)}]", [source]) if held else source


OPERATIONS: dict[str, Function] = {
    # Layers.
    'Conv2D': layers.convolution,
    'DepthwiseConv2dNative': layers.convolution,
    'FusedBatchNormV3': layers.batch_norm,
    'MatMul': layers.product,
    # Windows and padding.
    'AvgPool': windows.average_pool,
    'MaxPool': windows.max_pool,
    'Pad': windows.pad,
    'PadV2': windows.pad,
    # Single values.
    'Relu': _by_value('F.relu({0})'),
    'Relu6': _by_value('F.relu6({0})', 'relu6'),
    'Sigmoid': _by_value('{0}.sigmoid()'),
    # Pairs.
    'Add': _sum,
    'AddV2': _sum,
    'BiasAdd': _sum,
    'Mul': _product,
    # Channels, shapes, and places.
    'ConcatV2': _concatenation,
    'Identity': _passed_on,
    'LRN': windows.local_response_norm,
    'Mean': _mean,
    'Reshape': _reshape,
    'Slice': _whole_part,
    'Squeeze': _reshape,
    'StridedSlice': _strided_part,
}


def steps(images: tf.Tensor, logits: tf.Tensor) -> tuple[Step, Step]:
  """Returns the steps of a frozen graph: (that of the images, that of the logits).

  Args:
    images: the placeholder, float32 [batch, height, width, channels].
    logits: float32 [batch, classes].

  Raises:
    UserError: an operation is not in the table, or one of its arguments is not
      translated.
  """
  state = Translation(images, logits)
  for operation in state.operations():
    if operation.type not in OPERATIONS:
      raise refuse(operation, 'is not in its table')
    state.set_step(operation.outputs[0], OPERATIONS[operation.type](state, operation))
  return state.images, state.step(logits)
