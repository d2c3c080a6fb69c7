"""Translates a frozen TensorFlow graph to the nodes of an ONNX graph."""

from collections.abc import Sequence

import numpy as np

from slim_zoo import diagnostics
from slim_zoo.exporting import frozen_graph, known, layout
from slim_zoo.exporting.frozen_graph import FrozenGraph, name_of
from slim_zoo.exporting.onnx_graph import builder
from slim_zoo.tf_compat import tf


def refuse(operation: tf.Operation, reason: str) -> diagnostics.UserError:
  """Returns the error for an operation that cannot be translated."""
  return frozen_graph.refusal('onnx', operation, reason)


def shape_of(tensor: tf.Tensor, operation: tf.Operation) -> list[int | None]:
  """Returns the shape of a tensor, of which only the batch may be unknown.

  Raises:
    UserError: more is unknown.
  """
  return frozen_graph.shape_in('onnx', tensor, operation)


class Translation(FrozenGraph):
  """The ONNX values of the tensors of one graph, as far as they are translated.

  Attributes:
    builder: has the nodes.
    biases: the additions that are part of the layer before them.
    grids: the `quantized.Grid` of each value that is rounded to 8 bits, by its name.
  """

  def __init__(self, output_operations: Sequence[tf.Operation]):
    super().__init__(output_operations)
    self.builder = builder.Builder()
    self.biases: set[tf.Operation] = set()
    self.grids: dict[str, object] = {}
    self._values: dict[str, str] = {}

  def set_value(self, tensor: tf.Tensor, name: str) -> None:
    """Says that `name` is the value of a tensor."""
    self._values[tensor.name] = name

  def value(self, tensor: tf.Tensor) -> str:
    """Returns the value of a tensor that is not a constant, channels first."""
    return self._values[tensor.name]

  def operand(self, tensor: tf.Tensor, rank: int, operation: tf.Operation) -> str:
    """Returns the value of a tensor or constant that meets tensors of `rank`.

    Raises:
      UserError: a tensor for `operation` has another rank, so that ONNX would match
        other axes.
    """
    constant = known.value(tensor)
    if constant is None:
      if tensor.shape.rank not in (0, rank):
        raise refuse(operation, f'of tensors of {tensor.shape.rank} and {rank}'
                     ' dimensions')
      return self.value(tensor)
    return self.builder.constant(
        layout.broadcastable(constant, rank), name_of(tensor.op))

  def reshaped(self, value: str, before: Sequence[int | None],
               after: Sequence[int | None], name: str) -> str:
    """Adds what makes a value one of another shape, as TensorFlow orders the axes.

    Args:
      value: its name.
      before: its shape in TensorFlow; one dimension may be None.
      after: the new shape in TensorFlow; likewise.
      name: of the result.
    """
    value = self.in_order(
        value, layout.held(len(before)), range(len(before)), before, name)
    order = layout.held(len(after))
    if layout.moves(range(len(after)), order, after):
      value = self._with_shape(value, after, name)
      return self.in_order(value, range(len(after)), order, after, name)
    return self._with_shape(value, layout.permuted(after, len(after)), name)

  def in_order(self, value: str, order: Sequence[int], wanted: Sequence[int],
               shape: Sequence[int | None], name: str) -> str:
    """Adds a transposition, unless the order of the axes makes no difference.

    The shape of the value may have other places for axes of size 1 afterwards; a
    Reshape must follow where that is not wanted.
    """
    order, wanted = list(order), list(wanted)
    if not layout.moves(order, wanted, shape):
      return value
    return self.builder.node('Transpose', [value], f'{name}/transposed',
                             perm=[order.index(axis) for axis in wanted])

  def _with_shape(self, value, shape, name):
    sizes = np.array([-1 if size is None else size for size in shape], np.int64)
    return self.builder.node(
        'Reshape', [value, self.builder.constant(sizes, f'{name}/shape')], name)
