"""The layers of a graph and how they are connected, to compare two graphs.

Names are not used. Between two layers two kinds of operations count: sums, products and
concatenations of features, and sums and products with constants (biases, batch norm in
every form). Activations, pools, paddings and changes of the shape do not count.
"""

import dataclasses
import math

from slim_zoo.tf_compat import tf

# Layers, and the index of their weights among the inputs.
DEPTHWISE = 'DepthwiseConv2dNative'
LAYERS = {'Conv2D': 1, DEPTHWISE: 1, 'MatMul': 1}
BATCH_NORMS = {'FusedBatchNorm', 'FusedBatchNormV2', 'FusedBatchNormV3'}
_SUMS = {'Add', 'AddV2', 'AddN'}
_CONCATENATIONS = {'ConcatV2', 'Concat'}
_MERGES = {'Mul', 'Sub', 'RealDiv', 'Maximum', 'Minimum', *_CONCATENATIONS, *_SUMS}
# Their inputs can be in any order.
_COMMUTATIVE = {'Mul', *_SUMS}
STEPS = {'BiasAdd', 'Add', 'AddV2', 'Sub', 'Mul', 'RealDiv'}
# Operations between a layer and its batch norm that do not change the values.
_TRANSPARENT = {'Identity', 'Reshape', 'Squeeze', 'ExpandDims', 'BatchToSpaceND',
                'StopGradient', 'PreventGradient', 'Snapshot', 'CheckNumerics',
                'EnsureShape'}
# Values that depend on no pixel.
_OF_SHAPES = {'Shape', 'ShapeN', 'Size', 'Rank'}
_VARIABLES = {'VarHandleOp', 'VariableV2', 'ReadVariableOp'}
_RANDOM = ('Random', 'StatelessRandom', 'TruncatedNormal', 'StatelessTruncatedNormal',
           'Multinomial')


@dataclasses.dataclass(frozen=True, eq=False)
class Landmark:
  """A layer, or an operation that combines features.

  Attributes:
    operation: in the graph.
    inputs: the features that it reads.
    kernel: the weights of a layer; None for others.
    signature: equal for equal networks up to here.
    head_signature: the same for any number of channels of this layer.
  """

  operation: tf.Operation
  inputs: tuple['Value', ...]
  kernel: tf.Tensor | None
  signature: int
  head_signature: int


@dataclasses.dataclass(frozen=True, eq=False)
class Value:
  """The content of a tensor: the output of a landmark, changed by constants.

  Attributes:
    tensor: in the graph.
    landmark: None for images, before all layers.
    groups: sums and products with constants since the landmark, as operations.
      Activations and the like separate the groups.
  """

  tensor: tf.Tensor
  landmark: Landmark | None
  groups: tuple[tuple[tf.Operation, ...], ...] = ((),)

  @property
  def signature(self) -> int:
    """Equal for equal networks up to here."""
    return self.landmark.signature if self.landmark else 0


class Outline:
  """The landmarks of a graph.

  Args:
    graph: its weights are constants or variables.

  Attributes:
    graph: the graph.
    values: a `Value` for each tensor that depends on images, by its name.
    layers: the landmarks that have weights, inputs first.
  """

  def __init__(self, graph: tf.Graph):
    self.graph = graph
    self.values: dict[str, Value] = {}
    self.layers: list[Landmark] = []
    self._fixed: set[str] = set()  # Names of operations that depend on weights alone.
    self._free: set[str] = set()  # The same for shapes and random numbers.
    for operation in graph.get_operations():
      self._add(operation)

  def is_fixed(self, tensor: tf.Tensor) -> bool:
    """Returns whether a tensor depends on constants and variables alone."""
    return tensor.op.name in self._fixed

  def fixed_inputs(self, operation: tf.Operation) -> list[tf.Tensor]:
    """Returns the inputs that depend on constants and variables alone."""
    return [tensor for tensor in operation.inputs if self.is_fixed(tensor)]

  def _add(self, operation):
    """Adds the outputs of an operation."""
    inputs = list(operation.inputs)
    read = [self.values[tensor.name] for tensor in inputs if tensor.name in self.values]
    if not read:
      self._add_constant(operation, inputs)
    elif operation.type in _OF_SHAPES:
      self._free.add(operation.name)
    else:
      value = self._output(operation, inputs, read)
      for tensor in operation.outputs:
        self.values[tensor.name] = dataclasses.replace(value, tensor=tensor)

  def _add_constant(self, operation, inputs):
    """Adds an operation that reads no images: of weights, of shapes, or the images."""
    if (operation.type in ('Const', *_VARIABLES) and not _is_text(operation)) or (
        inputs and all(self.is_fixed(tensor) for tensor in inputs)
        and operation.type != 'PlaceholderWithDefault'
        and not operation.op_def.is_stateful):
      self._fixed.add(operation.name)
    elif operation.type.startswith(_RANDOM) or (inputs and all(
        tensor.op.name in self._fixed | self._free for tensor in inputs)):
      self._free.add(operation.name)
    else:
      for tensor in operation.outputs:
        self.values[tensor.name] = Value(tensor, None)

  def _output(self, operation, inputs, read):
    """Returns the `Value` of an operation; the caller sets its tensor."""
    first, kind = read[0], operation.type
    if kind in LAYERS and self.is_fixed(inputs[LAYERS[kind]]):
      return Value(first.tensor, self._layer(operation, first, inputs[LAYERS[kind]]))
    if kind in _TRANSPARENT:
      return first
    if all(value.landmark is None for value in read):
      return Value(first.tensor, None)
    if kind in _MERGES and len(read) > 1:
      return Value(first.tensor, self._merge(operation, read))
    if kind in BATCH_NORMS or (
        kind in STEPS and len(self.fixed_inputs(operation)) == 1):
      *before, last = first.groups
      return dataclasses.replace(first, groups=(*before, (*last, operation)))
    if kind == 'Mul' or kind.startswith('Select'):
      # Dropout that is off multiplies by random numbers that are all 1.
      return next(value for value in read if value.landmark)
    return dataclasses.replace(first, groups=(*first.groups, ()))

  def _layer(self, operation, features, kernel):
    shape = tuple(kernel.shape.as_list())
    if operation.type == DEPTHWISE:
      size, depth = (DEPTHWISE, *shape), 0
    else:
      if operation.type == 'MatMul' and operation.get_attr('transpose_b'):
        shape = shape[::-1]
      # A matrix product does the same as a convolution of the whole feature map.
      size, depth = (math.prod(shape[:-1]),), shape[-1]
    strides = [1] if operation.type == 'MatMul' else operation.get_attr('strides')
    known = ('layer', size, max(strides), features.signature)
    landmark = Landmark(operation, (features,), kernel, hash((*known, depth)),
                        hash(known))
    self.layers.append(landmark)
    return landmark

  def _merge(self, operation, read):
    kind = 'Add' if operation.type in _SUMS else operation.type
    if operation.type in _COMMUTATIVE:
      read = sorted(read, key=lambda value: value.signature)
    if operation.type in _CONCATENATIONS:
      kind = 'Concat'
      read = [part for value in read for part in _concatenated(value)]
    signature = hash((kind, *(value.signature for value in read)))
    return Landmark(operation, tuple(read), None, signature, signature)

  def logits(self, head: Landmark) -> tf.Tensor:
    """Returns the last tensor between a layer and the activation after it."""
    return next(value.tensor for value in reversed(self.values.values())
                if value.landmark is head and len(value.groups) == 1)

  def below(self, head: Landmark) -> list[Landmark]:
    """Returns the landmarks that a layer depends on, itself included, once each."""
    seen, waiting = {}, [head]
    while waiting:
      landmark = waiting.pop()
      if landmark not in seen:
        seen[landmark] = True
        waiting.extend(value.landmark for value in landmark.inputs if value.landmark)
    return list(seen)


def _is_text(operation):
  """Returns whether a constant is text, such as the content of an image file."""
  return operation.type == 'Const' and operation.outputs[0].dtype == tf.string


def _concatenated(value):
  """Returns the values that a concatenation in a concatenation joins, or the value."""
  is_unchanged = value.groups == ((),)
  if value.landmark and is_unchanged and (
      value.landmark.operation.type in _CONCATENATIONS):
    return value.landmark.inputs
  return (value,)


def num_outputs(layer: Landmark) -> int:
  """Returns the number of channels that a convolution or matrix product gives."""
  is_transposed = (layer.operation.type == 'MatMul'
                   and layer.operation.get_attr('transpose_b'))
  return layer.kernel.shape.as_list()[0 if is_transposed else -1]


def first_tensors(outline: Outline, head: Landmark) -> list[tf.Tensor]:
  """Returns the tensors of images that the first layers of a network read."""
  tensors = {value.tensor.name: value.tensor for landmark in outline.below(head)
             for value in landmark.inputs if value.landmark is None}
  return list(tensors.values())
