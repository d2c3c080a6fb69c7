"""Lists the layers of a Keras model, for the process that builds it (`builder.py`).

Keras 3 needs eager mode, which tf_compat turns off, so no layer is built here.
"""

import dataclasses
import re
from collections.abc import Sequence

import numpy as np

from slim_zoo import diagnostics
from slim_zoo.exporting import frozen_graph
from slim_zoo.exporting.frozen_graph import FrozenGraph, name_of
from slim_zoo.tf_compat import tf

_OF_WEIGHTS = re.compile(r'(/|_)weights$')


@dataclasses.dataclass(frozen=True)
class Layer:
  """A layer of a Keras model.

  Attributes:
    kind: a name in keras.layers, or 'ops.' and a name in keras.ops; 'Input' for the
      images.
    name: of the layer and of its output.
    inputs: names of the layers that it reads.
    config: its keyword arguments, for JSON.
    weights: in the order of Keras's `set_weights`.
  """

  kind: str
  name: str
  inputs: tuple[str, ...]
  config: dict
  weights: tuple[np.ndarray, ...] = ()


class Plan(FrozenGraph):
  """The layers of the tensors of one graph, as far as they are translated.

  Attributes:
    layers: in the order in which they are built.
    absorbed: operations that became a part of the layer before them, such as biases.
  """

  def __init__(self, outputs: Sequence[tf.Operation], scope: str = ''):
    """Makes a plan without layers.

    Args:
      outputs: operations of a frozen graph.
      scope: the scope of the network, which the names of layers leave out.
    """
    super().__init__(outputs)
    self.layers: list[Layer] = []
    self.absorbed: set[tf.Operation] = set()
    self._scope = scope
    self._values: dict[str, str] = {}
    self._names: set[str] = set()

  def add(self, kind: str, name: str, inputs: Sequence[str],
          weights: Sequence[np.ndarray] = (), **config) -> str:
    """Adds a layer; returns its name, which has a number if it was taken."""
    unique, number = name, 0
    # Some runtimes ignore the case of names.
    while unique.lower() in self._names:
      number += 1
      unique = f'{name}_{number}'
    self._names.add(unique.lower())
    self.layers.append(Layer(kind, unique, tuple(inputs), config, tuple(weights)))
    return unique

  def set_value(self, tensor: tf.Tensor, name: str) -> None:
    """Says which layer computes a tensor."""
    self._values[tensor.name] = name

  def value(self, tensor: tf.Tensor) -> str:
    """Returns the name of the layer that computes a tensor that is not a constant."""
    return self._values[tensor.name]

  def name(self, name: str) -> str:
    """Returns the name of a layer for the name of an operation or a scope."""
    while self._scope and name.startswith(f'{self._scope}/'):
      name = name[len(self._scope) + 1:]
    return name.replace('/', '_')

  def name_of(self, operation: tf.Operation) -> str:
    """Returns the name of the layer of an operation without weights."""
    scope, _, last = name_of(operation).rpartition('/')
    return self.name(scope if scope and last == operation.type else name_of(operation))

  def name_of_weights(self, operation: tf.Operation) -> str:
    """Returns the name of the layer of an operation with weights: their scope."""
    variable = name_of(operation.inputs[1].op)
    scope = _OF_WEIGHTS.sub('', variable)
    if scope == variable:
      # The weights were computed from a variable.
      scope = name_of(operation).rpartition('/')[0] or name_of(operation)
    elif scope.endswith('depthwise/depthwise'):
      scope = scope.rpartition('/')[0]
    return self.name(scope)


def refuse(operation: tf.Operation, reason: str) -> diagnostics.UserError:
  """Returns the error for an operation that cannot be translated."""
  return frozen_graph.refusal('keras', operation, reason)


def shape_of(tensor: tf.Tensor, operation: tf.Operation) -> list[int | None]:
  """Returns the shape of a tensor, of which only the batch may be unknown.

  Raises:
    UserError: more is unknown.
  """
  return frozen_graph.shape_in('keras', tensor, operation)
