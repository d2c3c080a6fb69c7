"""Translates rounding to 8 bits to the nodes QuantizeLinear and DequantizeLinear.

A pair of these nodes replaces one rounding of an activation (TensorFlow's fake
quantization). Weights are whole numbers in the file, followed by DequantizeLinear.
Runtimes find these patterns and compute in whole numbers between them.

A value of 8 bits is (number - zero point) * scale: Jacob et al. 2018, arXiv 1712.05877,
section 2.1.
"""

import dataclasses

import numpy as np

from slim_zoo import diagnostics
from slim_zoo.exporting import known
from slim_zoo.exporting.frozen_graph import name_of
from slim_zoo.exporting.onnx_graph.translation import Translation, refuse
from slim_zoo.tf_compat import tf

_BY_TENSOR = 'FakeQuantWithMinMaxVars'
_FAKE_QUANTIZATIONS = (_BY_TENSOR, 'FakeQuantWithMinMaxVarsPerChannel')

_NEARLY_0 = 1e-20


@dataclasses.dataclass(frozen=True)
class Grid:
  """The values that whole numbers stand for.

  Attributes:
    scale: float32 [] or [channels].
    zero_point: the number that stands for 0, int of the same shape.
    lowest: the lowest number.
    highest: the highest number.
  """

  scale: np.ndarray
  zero_point: np.ndarray
  lowest: int = 0
  highest: int = 255

  @property
  def limits(self) -> tuple[np.ndarray, np.ndarray]:
    """The lowest and the highest value, float32."""
    return tuple(((number - self.zero_point) * self.scale).astype(np.float32)
                 for number in (self.lowest, self.highest))

  @property
  def is_symmetric(self) -> bool:
    """Whether 0 is in the middle."""
    return bool(np.all(2 * self.zero_point == self.lowest + self.highest))

  def numbers(self, values: np.ndarray) -> np.ndarray:
    """Returns the numbers that are nearest to values, int of the same shape.

    Args:
      values: float [..., channels].
    """
    numbers = np.floor(values / self.scale.astype(np.float64) + self.zero_point + 0.5)
    return np.clip(numbers, self.lowest, self.highest).astype(np.int64)


def _grid(operation: tf.Operation) -> Grid:
  """Returns the grid of a fake quantization: its range, moved until it contains 0."""
  bits = operation.get_attr('num_bits')
  if bits > 8:
    raise diagnostics.UserError(
        f"the layer '{name_of(operation)}' is rounded to {bits} bits: --format=onnx has"
        ' at most 8; use --format=saved_model, which rounds as training did')
  lowest, highest = int(operation.get_attr('narrow_range')), 2 ** bits - 1
  least, most = (np.asarray(known.value(tensor), np.float32)
                 for tensor in operation.inputs[1:])
  scale = (most - least) / np.float32(highest - lowest)
  # What was 0 throughout the training has no range, and stays 0.
  has_range = scale > 0
  scale = np.where(has_range, scale, np.min(
      scale, initial=np.float32(_NEARLY_0), where=has_range)).astype(np.float32)
  zero_point = np.clip(np.floor(lowest - least / scale + 0.5), lowest, highest)
  if not has_range.all():
    zero_point = np.where(has_range, zero_point, (lowest + highest) // 2)
  return Grid(scale, zero_point.astype(np.int64), lowest, highest)


# --- Activations.


def rounding(state: Translation, operation: tf.Operation) -> str:
  """Translates the fake quantization of an activation."""
  grid = _grid(operation)
  value, name = state.value(operation.inputs[0]), name_of(operation)
  if (grid.lowest, grid.highest) != (0, 255):
    value = state.builder.node('Clip', [value, *(
        state.builder.constant(limit, f'{name}/limit') for limit in grid.limits)],
        f'{name}/clipped')
  return rounded(state, value, grid, name)


def rounded(state: Translation, value: str, grid: Grid, name: str) -> str:
  """Adds the pair that rounds a value to a grid of uint8."""
  quantized = state.builder.node(
      'QuantizeLinear', [value, *_parameters(state, grid, np.uint8, name)],
      f'{name}/quantized')
  return restored(state, quantized, grid, name)


def restored(state: Translation, quantized: str, grid: Grid, name: str) -> str:
  """Adds the node that makes values of numbers of uint8, and remembers their grid."""
  value = state.builder.node(
      'DequantizeLinear', [quantized, *_parameters(state, grid, np.uint8, name)], name)
  state.grids[value] = grid
  return value


def as_before(state: Translation, before: str, after: str) -> str:
  """Rounds the result of an operation to the grid of what it reads, if that has one.

  Pools and changes of the shape give values of the same grid; averages are rounded to
  it. So the layer that follows has an input of 8 bits.
  """
  grid = state.grids.get(before)
  return rounded(state, after, grid, f'{after}/rounded') if grid else after


def _parameters(state, grid, kind, name):
  return [state.builder.constant(grid.scale.astype(np.float32), f'{name}/scale'),
          state.builder.constant(grid.zero_point.astype(kind), f'{name}/zero_point')]


# --- Weights and biases.


@dataclasses.dataclass(frozen=True)
class Weights:
  """The weights of a layer.

  Attributes:
    values: float32, or the whole numbers of `grid`; the outputs are the last axis.
    name: of the constant.
    grid: None for weights that are not rounded.
  """

  values: np.ndarray
  name: str
  grid: Grid | None = None

  @property
  def shape(self) -> tuple[int, ...]:
    """The shape, as the layer has it in TensorFlow."""
    return self.values.shape

  def reshaped(self, shape) -> 'Weights':
    """Returns the same weights in another shape."""
    return dataclasses.replace(self, values=self.values.reshape(shape))

  def added(self, state: Translation, order) -> str:
    """Adds the constant, with its axes in another order; returns the value."""
    values = self.values.transpose(order)
    if self.grid is None:
      return state.builder.constant(values, self.name)
    grid, kind = self.grid, np.uint8
    if grid.is_symmetric:
      # Runtimes want weights by channel like this.
      values, kind = values - (grid.lowest + grid.highest) // 2, np.int8
      grid = dataclasses.replace(grid, zero_point=np.zeros_like(grid.zero_point))
    numbers = state.builder.constant(values.astype(kind), f'{self.name}/numbers')
    axis = {'axis': list(order).index(len(order) - 1)} if grid.scale.ndim else {}
    return state.builder.node(
        'DequantizeLinear', [numbers, *_parameters(state, grid, kind, self.name)],
        self.name, **axis)


def weights(layer: tf.Operation) -> Weights:
  """Returns the weights of a layer, as whole numbers if they are rounded.

  Raises:
    UserError: they depend on the images.
  """
  tensor, source = layer.inputs[1], _source_of_weights(layer)
  if source.type == 'Const':
    return Weights(known.value(tensor), name_of(source))
  if source.type not in _FAKE_QUANTIZATIONS or not known.is_known(tensor):
    raise refuse(layer, 'with weights that are not constant')
  grid = _grid(source)
  numbers = grid.numbers(known.value(source.inputs[0]))
  return Weights(numbers.reshape(tensor.shape.as_list()), name_of(source), grid)


def _source_of_weights(layer):
  operation = layer.inputs[1].op
  while operation.type == 'Reshape':
    operation = operation.inputs[0].op
  return operation


def bias(state: Translation, layer: tf.Operation, inputs: str, values: np.ndarray,
         name: str) -> str:
  """Adds the bias of a layer: int32 where the layer computes in whole numbers.

  Its scale is then that of the sums: the product of those of inputs and weights.

  Args:
    state: the translation.
    layer: has the weights.
    inputs: the value that the layer reads.
    values: float32 [channels].
    name: of the constant.
  """
  source = _source_of_weights(layer)
  if source.type == 'Const' or inputs not in state.grids:
    return state.builder.constant(values, name)
  scale = state.grids[inputs].scale * _grid(source).scale
  numbers = np.round(values / scale.astype(np.float64))
  if np.abs(numbers).max() > np.iinfo(np.int32).max:
    return state.builder.constant(values, name)
  grid = Grid(scale, np.zeros(scale.shape, np.int64))
  whole = state.builder.constant(numbers.astype(np.int32), f'{name}/numbers')
  axis = {'axis': 0} if scale.ndim else {}
  return state.builder.node(
      'DequantizeLinear', [whole, *_parameters(state, grid, np.int32, name)], name,
      **axis)
