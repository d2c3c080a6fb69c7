"""Compares the outline of a graph with that of a network, and reads its weights.

In this module `own` is a part of the network, and `other` the part of the graph that it
is compared with. A step is an operation with constants, such as a bias or batch norm.
Folded batch norm becomes batch norm that changes nothing: gamma 1, mean 0, variance 1
less epsilon, and the bias as beta.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from slim_zoo.tf_compat import tf
from slim_zoo.weight_conversion.graphs import outline
from slim_zoo.weight_conversion.graphs.outline import Landmark, Value

# The inputs of batch norm after the features.
_NORM_INPUTS = ('gamma', 'beta', 'moving_mean', 'moving_variance')
# A sum of a layer without a bias: the rounding error of zero.
_LARGEST_ROUNDING_ERROR = 1e-6


class DifferenceError(Exception):
  """The graph has another network; the text is the first difference."""


@dataclasses.dataclass(frozen=True)
class _Affine:
  """x * scale + shift, float64, each one number or [channels]."""

  scale: np.ndarray
  shift: np.ndarray

  def then(self, other: '_Affine') -> '_Affine':
    """Returns the composition: this function first, then the other."""
    return _Affine(self.scale * other.scale, self.shift * other.scale + other.shift)

  def without(self, last: '_Affine') -> '_Affine':
    """Returns the function that, with `last` after it, is this function."""
    return _Affine(self.scale / last.scale, (self.shift - last.shift) / last.scale)


_IDENTITY = _Affine(np.float64(1), np.float64(0))


class Matcher:
  """Reads the weights of a graph into the variables of a network.

  Args:
    network: outline of the network, with variables.
    source: outline of the graph, with constants.
    value_of: returns the value of a tensor of either graph that depends on constants
      alone.
  """

  def __init__(self, network: outline.Outline, source: outline.Outline,
               value_of: Callable[[tf.Tensor], np.ndarray]):
    self._network, self._source = network, source
    self._value_of = value_of
    self._values: dict[str, np.ndarray] = {}

  def read(self, head: Landmark, source_head: Landmark) -> dict[str, np.ndarray]:
    """Returns float32 values by the names of the network's variables.

    Args:
      head: the last layer of the network.
      source_head: the same layer of the graph; their head signatures are equal.

    Raises:
      DifferenceError: the graph has another network.
    """
    self._values = {}
    seen = set()
    waiting = [(self._head_value(self._network, head),
                self._head_value(self._source, source_head))]
    while waiting:
      own, other = waiting.pop()
      if (own.tensor.name, other.tensor.name) in seen:
        continue
      seen.add((own.tensor.name, other.tensor.name))
      self._compare(own, other)
      if own.landmark:
        if len(own.landmark.inputs) != len(other.landmark.inputs):
          raise DifferenceError(f'{own.landmark.operation.name} reads other features')
        waiting.extend(zip(own.landmark.inputs, other.landmark.inputs, strict=True))
    return self._values

  def _head_value(self, graph_outline, head):
    return graph_outline.values[graph_outline.logits(head).name]

  def _compare(self, own: Value, other: Value):
    """Reads the weights of one landmark, and of what follows it."""
    if (own.landmark is None) != (other.landmark is None):
      raise DifferenceError('one reads images, the other features')
    if own.landmark is None:
      return
    is_layer = own.landmark.kernel is not None
    if is_layer != (other.landmark.kernel is not None):
      raise DifferenceError(f'{own.landmark.operation.name} has another type')
    if is_layer:
      self._read_layer(own, other)
    standalone = self._standalone(self._network, own, int(is_layer))
    others = self._standalone(self._source, other, int(is_layer))
    if len(standalone) != len(others):
      raise DifferenceError(
          f'after {own.landmark.operation.name} the batch norm is different')
    for group, other_group in zip(standalone, others, strict=True):
      self._read_group(group, other_group)

  def _standalone(self, graph_outline, value, start):
    """Returns the groups from `start` that have a number for each channel."""
    return [group for group in value.groups[start:] if any(
        np.prod(tensor.shape.as_list()) > 1 for operation in group
        for tensor in graph_outline.fixed_inputs(operation))]

  def _read_layer(self, own, other):
    """Reads the weights of a layer, its biases and its batch norm."""
    name = variable_of(own.landmark.kernel)
    kernel = self._kernel(own.landmark, other.landmark).astype(np.float64)
    steps, other_steps = own.groups[0], other.groups[0]
    if self._copy(steps, other_steps):
      self._set(name, kernel)
      return
    affine = self._affine(self._source, other_steps).without(
        self._affine(self._network, self._constants(steps)))
    depthwise = own.landmark.operation.type == outline.DEPTHWISE
    scale = affine.scale
    if depthwise and scale.ndim:
      scale = scale.reshape(kernel.shape[2:])
    self._set(name, kernel * scale)
    channels = kernel.shape[2] * kernel.shape[3] if depthwise else kernel.shape[-1]
    self._set_shift(own, steps, np.broadcast_to(affine.shift, [channels]))

  def _kernel(self, own, other):
    """Returns the weights of a layer of the graph, shaped as the network's variable."""
    kernel = self._value_of(other.kernel)
    if other.operation.type == 'MatMul' and other.operation.get_attr('transpose_b'):
      kernel = kernel.T
    shape = tuple(own.kernel.shape.as_list())
    if kernel.shape[:-1] != shape[:-1] and 2 not in (kernel.ndim, len(shape)):
      raise DifferenceError(f'the weights of {own.operation.name} have the shape'
                      f' {list(kernel.shape)}, not {list(shape)}')
    variable = tuple(variable_shape(own.kernel))
    # The number of classes is the graph's.
    return kernel.reshape(*variable[:-1], -1)

  def _constants(self, steps):
    """Returns the steps of the network that have no variables."""
    return [step for step in steps if not self._variables(step)]

  def _variables(self, step):
    return [name for name in map(
        variable_of, self._network.fixed_inputs(step)) if name]

  def _copy(self, steps, other_steps) -> bool:
    """Copies biases and batch norm if both have the same form; returns whether."""
    own = [step for step in steps if self._variables(step)]
    others = [step for step in other_steps if step.type in outline.BATCH_NORMS or any(
        np.prod(tensor.shape.as_list()) > 1
        for tensor in self._source.fixed_inputs(step))]
    if (len(self._constants(steps)) != len(other_steps) - len(others)
        or [_form(step) for step in own] != [_form(step) for step in others]):
      return False
    if not _equal(self._affine(self._network, self._constants(steps)),
                  self._affine(self._source, [
                      step for step in other_steps if step not in others])):
      return False
    found = {}
    for step, other_step in zip(own, others, strict=True):
      if step.type in outline.BATCH_NORMS:
        norm = self._norm(step, other_step)
        if norm is None:
          return False
        found |= norm
      else:
        (name,) = self._variables(step)
        (tensor,) = self._source.fixed_inputs(other_step)
        value = self._value_of(tensor).reshape(-1)
        found[name] = -value if other_step.type == 'Sub' else value
    for name, value in found.items():
      self._set(name, value)
    return True

  def _norm(self, step, other_step):
    """Returns the values of a batch norm; None if the network has no gamma for them."""
    values, found = {}, {}
    for key, own, other in zip(
        _NORM_INPUTS, step.inputs[1:5], other_step.inputs[1:5], strict=True):
      name, values[key] = variable_of(own), self._value_of(other)
      if name:
        found[name] = values[key]
      elif not (values[key] == self._value_of(own)).all():
        return None
    variance = variable_of(step.inputs[4])
    epsilons = [one.get_attr('epsilon') for one in (other_step, step)]
    if epsilons[0] != epsilons[1]:
      found[variance] = values['moving_variance'] + (epsilons[0] - epsilons[1])
    return found

  def _read_group(self, group, other_group):
    """Reads batch norm that is not directly after a layer."""
    if self._copy(group, other_group):
      return
    affine = self._affine(self._source, other_group).without(
        self._affine(self._network, self._constants(group)))
    norms = [step for step in group if step.type in outline.BATCH_NORMS]
    if len(norms) != 1 or not variable_of(norms[0].inputs[1]):
      raise DifferenceError('a scale has no place in the network')
    shape = variable_shape(norms[0].inputs[1])
    self._set_norm(norms[0], np.broadcast_to(affine.scale, shape),
                   np.broadcast_to(affine.shift, shape))

  def _set_shift(self, own, steps, shift):
    """Sets the batch norm or the biases of a layer that adds `shift`, [channels]."""
    with_variables = [step for step in steps if self._variables(step)]
    norms = [step for step in with_variables if step.type in outline.BATCH_NORMS]
    biases = [step for step in with_variables if step not in norms]
    for step in biases:
      (name,) = self._variables(step)
      self._set(name, np.zeros_like(shift) if norms else shift)
    if norms:
      self._set_norm(norms[0], np.ones_like(shift), shift)
    elif not biases and np.abs(shift).max() > _LARGEST_ROUNDING_ERROR:
      raise DifferenceError(
          f'{own.landmark.operation.name} has no biases in the network')

  def _set_norm(self, step, gamma, beta):
    """Sets batch norm that scales by gamma and adds beta, each [channels]."""
    variance = np.float32(1) - np.float32(step.get_attr('epsilon'))
    for tensor, value in zip(step.inputs[1:5], (
        gamma, beta, np.zeros_like(beta), np.full_like(beta, variance)), strict=True):
      name = variable_of(tensor)
      if name:
        self._set(name, value)

  def _set(self, name, value):
    """Sets a variable; one that is read twice must have the same value."""
    value = np.asarray(value, np.float32)
    known = self._values.setdefault(name, value)
    if known.shape != value.shape or not np.allclose(known, value, 1e-3, 1e-5):
      raise DifferenceError(f'{name} has two values')

  def _affine(self, graph_outline, steps) -> _Affine:
    """Returns the function of several sums and products with constants."""
    affine = _IDENTITY
    for step in steps:
      affine = affine.then(self._affine_of_step(graph_outline, step))
    return affine

  def _affine_of_step(self, graph_outline, step):
    if step.type in outline.BATCH_NORMS:
      gamma, beta, mean, variance = (
          self._value_of(tensor).astype(np.float64) for tensor in step.inputs[1:5])
      scale = gamma / np.sqrt(variance + step.get_attr('epsilon'))
      return _Affine(scale, beta - mean * scale)
    (tensor,) = graph_outline.fixed_inputs(step)
    value = self._value_of(tensor).astype(np.float64)
    if value.size != max(value.shape, default=1) or value.size > 1 == value.shape[-1]:
      raise DifferenceError(f'{step.name} has a value for each position')
    value = value.reshape(()) if value.size == 1 else value.reshape(-1)
    is_first = tensor is step.inputs[0]
    one, zero = _IDENTITY.scale, _IDENTITY.shift
    if step.type in ('Mul', 'RealDiv'):
      if step.type == 'RealDiv' and is_first:
        raise DifferenceError(f'{step.name} divides by features')
      return _Affine(1 / value if step.type == 'RealDiv' else value, zero)
    if step.type == 'Sub':
      return _Affine(-one, value) if is_first else _Affine(one, -value)
    return _Affine(one, value)


def _form(step):
  return 'norm' if step.type in outline.BATCH_NORMS else (
      'biases' if step.type in ('BiasAdd', 'Add', 'AddV2', 'Sub') else 'scale')


def _equal(affine, other):
  return np.allclose(affine.scale, other.scale, 1e-6) and np.allclose(
      affine.shift, other.shift, 1e-6, 1e-6)


def source_of(tensor: tf.Tensor) -> tf.Operation:
  """Returns the constant or variable that a tensor is read from."""
  operation = tensor.op
  while operation.type in ('Identity', 'Reshape', 'ReadVariableOp', 'Transpose'):
    operation = operation.inputs[0].op
  return operation


def variable_of(tensor: tf.Tensor) -> str | None:
  """Returns the name of the variable that a tensor is read from, or None."""
  operation = source_of(tensor)
  return operation.name if operation.type == 'VarHandleOp' else None


def variable_shape(tensor: tf.Tensor) -> list[int]:
  """Returns the shape of the variable that a tensor is read from."""
  shape = source_of(tensor).get_attr('shape')
  return [dimension.size for dimension in shape.dim]
