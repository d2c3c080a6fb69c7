"""The steps of a network: expressions of PyTorch, and the layers that they call."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from slim_zoo import diagnostics
from slim_zoo.exporting import frozen_graph, known, layout
from slim_zoo.exporting.frozen_graph import FrozenGraph
from slim_zoo.tf_compat import tf

BATCH_NORM = 'FusedBatchNormV3'
_DEPTHWISE = 'depthwise'
# Layers of the graph.
LAYERS = ('Conv2D', 'DepthwiseConv2dNative', 'MatMul', BATCH_NORM)


@dataclasses.dataclass(frozen=True)
class Array:
  """A tensor of the network.

  Attributes:
    shape: as PyTorch has it.
    value: returns it, float32 or int64 of this shape; only called to write it.
  """

  shape: tuple[int, ...]
  value: Callable[[], np.ndarray]


@dataclasses.dataclass(eq=False)
class Layer:
  """A module of PyTorch.

  Attributes:
    kind: its class, as the source names it.
    arguments: of its constructor, by name.
    arrays: its tensors, by name.
  """

  kind: str
  arguments: dict[str, object]
  arrays: dict[str, Array]


@dataclasses.dataclass(eq=False)
class Step:
  """One expression.

  Attributes:
    path: the scope; for a layer the path of the module.
    name: of the operation in its scope.
    template: the expression, with '{0}' for the first input, and '{layer}'.
    inputs: the steps that give the inputs.
    layer: the layer that '{layer}' stands for.
    kind: for the translation of operations that read the step: 'padding', 'flattened',
      'widened' (height and width 1 were added), 'sum', 'product', 'relu6', or ''.
    value: for 'padding' [vertical, horizontal], if it is symmetric; for 'flattened'
      (height, width, channels); for sums and products the constant; else None.
  """

  path: tuple[str, ...]
  name: str
  template: str
  inputs: list['Step'] = dataclasses.field(default_factory=list)
  layer: Layer | None = None
  kind: str = ''
  value: object = None


def refuse(operation: tf.Operation, reason: str) -> diagnostics.UserError:
  """Returns the error for an operation that cannot be translated."""
  return frozen_graph.refusal('torch', operation, reason)


def shape_of(tensor: tf.Tensor, operation: tf.Operation) -> list[int | None]:
  """Returns the shape of a tensor, of which only the batch may be unknown.

  Raises:
    UserError: more is unknown.
  """
  return frozen_graph.shape_in('torch', tensor, operation)


class Translation(FrozenGraph):
  """The steps of the tensors of one graph, as far as they are translated.

  Args:
    images: the placeholder, float32 [batch, height, width, channels].
    logits: float32 [batch, classes].

  Attributes:
    images: the step of the images.
  """

  def __init__(self, images: tf.Tensor, logits: tf.Tensor):
    super().__init__([logits.op])
    self.images = Step((), 'images', 'net')
    self._steps = {images.name: self.images}
    self._constants: dict[str, Step] = {}
    self._paths = _paths_of_layers(self._needed)

  def operations(self) -> list[tf.Operation]:
    """Returns the operations that the logits need, each after its inputs."""
    return [operation for operation in super().operations()
            if operation.type != 'Placeholder']

  def set_step(self, tensor: tf.Tensor, step: Step) -> None:
    """Says which step gives a tensor."""
    self._steps[tensor.name] = step

  def step(self, tensor: tf.Tensor) -> Step:
    """Returns the step that gives a tensor that is not a constant."""
    return self._steps[tensor.name]

  def is_read_once(self, tensor: tf.Tensor) -> bool:
    """Returns whether one operation reads a tensor."""
    return self.reader(tensor) is not None

  def new(self, operation: tf.Operation, template: str, inputs: Sequence[Step],
          layer: Layer | None = None, kind: str = '', value: object = None) -> Step:
    """Returns the step of an operation."""
    *path, name = operation.name.split('/')
    path = self._paths[operation] if layer else tuple(path)
    return Step(path, name, template, list(inputs), layer, kind, value)

  def operand(self, tensor: tf.Tensor, rank: int, operation: tf.Operation
              ) -> Step | str:
    """Returns a tensor or constant that meets tensors of `rank`: a step, or a number.

    Raises:
      UserError: a tensor has another rank.
    """
    constant = known.value(tensor)
    if constant is None:
      if tensor.shape.rank != rank:
        raise refuse(operation, f'of tensors of {tensor.shape.rank} and {rank}'
                     ' dimensions')
      return self.step(tensor)
    if constant.size == 1:
      return str(np.float32(constant.reshape([])))
    if tensor.op.name not in self._constants:
      value = layout.broadcastable(constant, rank)
      self._constants[tensor.op.name] = Step(
          tuple(tensor.op.name.split('/')), 'constant', '{layer}', layer=Layer(
              'nn.Parameter', {'shape': value.shape},
              {'': Array(value.shape, lambda: value)}))
    return self._constants[tensor.op.name]


def _paths_of_layers(operations):
  """Returns the path of each layer: its scope, or its name if it shares the scope."""
  scopes = {operation: tuple(operation.name.split('/')[:-1])
            for operation in operations if operation.type in LAYERS}
  names = {operation.name for operation in scopes}
  paths = {}
  for operation, scope in scopes.items():
    # The batch norm of a layer is in a scope of its own below the layer's.
    inside = sum(
        other[:len(scope)] == scope for layer, other in scopes.items()
        if operation.type == BATCH_NORM or layer.type != BATCH_NORM)
    paths[operation] = scope if scope and inside == 1 else tuple(
        operation.name.split('/'))
    # The two layers of a separable convolution.
    if '/'.join(scope) in names:
      paths[operation] = (*scope[:-1], _DEPTHWISE)
    elif f'{operation.name}/{_DEPTHWISE}' in names:
      paths[operation] = (*scope, 'pointwise')
  return paths
