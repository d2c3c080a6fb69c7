"""A network that rounds as its 8-bit program would, and learns the ranges for that.

Jacob et al. 2018, arXiv 1712.05877. The places, the variables and their updates are
those of tf.contrib.quantize in TensorFlow 1, so checkpoints are the same:

    SCOPE/weights_quant/min, max        the range of the weights in the last step
    SCOPE/act_quant/min, max            a moving average of the range of activations
    SCOPE/act_quant/SCOPE/act_quant/min/biased, local_step
                                        the sums behind the average, in training
    fake_quantization_step              steps so far, where quantization begins later

The network is changed when it is finished, not layer by layer: where a tensor is
quantized depends on what follows it, see `placement`.
"""

import collections
import dataclasses
import math
import re

from slim_zoo import diagnostics
from slim_zoo.nets.quantization import folding, placement
from slim_zoo.tf_compat import tf

_DECAY = 0.999
_STEP = 'fake_quantization_step'
_ENDS = ('min', 'max')


@dataclasses.dataclass(frozen=True)
class Quantization:
  """How a network is quantized.

  Attributes:
    delay: training steps before the values are rounded. Ranges are learned before too.
    weight_bits: bits of weights, 2 to 16.
    activation_bits: bits of activations, 2 to 16.
    per_channel: whether each output channel of a layer has a range of its own for its
      weights; their variables are then vectors.
    symmetric: whether the ranges of weights are symmetric about 0, as integer programs
      with int8 weights require.
    batch_norm_freeze_delay: training steps before batch norm normalizes by its moving
      statistics and keeps them; None never does.
  """
  delay: int = 0
  weight_bits: int = 8
  activation_bits: int = 8
  per_channel: bool = False
  symmetric: bool = False
  batch_norm_freeze_delay: int | None = None

  def __post_init__(self):
    for name in ('weight_bits', 'activation_bits'):
      if not 2 <= getattr(self, name) <= 16:
        raise diagnostics.UserError(
            f'{name} is {getattr(self, name)}, it must be 2 to 16')
    if self.delay < 0:
      raise diagnostics.UserError(
          f'the delay of quantization is {self.delay} steps, it must be 0 or more')


def build(network, images, is_training: bool, quantization: Quantization):
  """Builds a network and quantizes it.

  Args:
    network: called as network(images), returns (logits, end_points).
    images: float [batch, height, width, channels].
    is_training: whether ranges are learned. Their updates go to
      tf.GraphKeys.UPDATE_OPS.
    quantization: how.

  Returns:
    (logits, end_points) of the network, each tensor as the layers after it see it.

  Raises:
    UserError: the network has no layer that can be quantized.
  """
  graph = tf.get_default_graph()
  before = len(graph.get_operations())
  logits, end_points = network(images)
  return _Network(graph.get_operations()[before:], is_training, quantization).quantized(
      logits, end_points)


def quantize_operations(operations, is_training: bool,
                        quantization: Quantization) -> None:
  """Quantizes a network that is built already.

  Operations that read its tensors, such as a loss, then read the rounded ones. Call it
  before the gradients are built.

  Args:
    operations: of the network, in the order of their creation.
    is_training: as for `build`.
    quantization: how.

  Raises:
    UserError: there is no layer that can be quantized.
  """
  _Network(operations, is_training, quantization).quantized(None, {})


class _Network:
  """One network while it is changed."""

  def __init__(self, operations, is_training, quantization):
    self._operations = operations
    self._is_training = is_training
    self._options = quantization
    self._names = _Names(operations)
    self._step = None
    # What is read in place of a tensor, by its reference.
    self._replaced = {}

  def quantized(self, outputs, end_points):
    graph = tf.get_default_graph()
    before = len(graph.get_operations())
    freezes = self._is_training and self._options.batch_norm_freeze_delay is not None
    self._replaced |= folding.fold(
        self._operations, self._batch_norm_is_frozen if freezes else None)
    operations = [*self._operations, *graph.get_operations()[before:]]
    places = list(placement.layer_places(operations))
    if not places:
      raise diagnostics.UserError(
          'the network has no 2-D convolution or product, and only those are quantized')
    with tf.variable_scope(tf.get_variable_scope(), reuse=tf.AUTO_REUSE,
                           auxiliary_name_scope=False):
      for place in places:
        self._insert(place)
      quantized = {place.tensor.op for place in places if place.layer is None}
      for place in placement.other_places(operations, quantized):
        self._insert(place)
    return self._current(outputs), {
        name: self._current(value) for name, value in end_points.items()}

  def _current(self, value):
    """Returns what is read in place of a tensor; other values as they are."""
    while isinstance(value, tf.Tensor) and value.ref() in self._replaced:
      value = self._replaced[value.ref()]
    return value

  def _insert(self, place):
    """Quantizes the tensor of a place, once."""
    tensor = place.tensor
    if placement.is_quantized(tensor):
      return
    consumers = tensor.consumers()
    scope = self._names.variable_scope(place.scope)
    with tf.name_scope(f'{place.scope}/'):
      if place.layer is None:
        quantized = self._quantize_activation(tensor, scope)
      else:
        quantized = self._quantize_weights(tensor, scope, place.layer)
      if self._is_training and self._options.delay:
        quantized = tf.where(self._get_step() >= self._options.delay, quantized, tensor,
                             name='delayed_quant')
    folding.replace(tensor, quantized, consumers)
    self._replaced[tensor.ref()] = quantized

  def _quantize_weights(self, weights, scope, layer):
    bits = {'num_bits': self._options.weight_bits, 'narrow_range': True}
    if not self._options.per_channel:
      return tf.quantization.fake_quant_with_min_max_vars(
          weights, *self._range_of_weights(weights, scope, []), **bits)
    by_channel = weights
    if layer.type == 'DepthwiseConv2dNative':
      height, width, *depths = weights.shape.as_list()
      # In the shape of TensorFlow Lite: the last dimension is that of the channels.
      by_channel = tf.reshape(weights, [1, height, width, math.prod(depths)])
    quantized = tf.quantization.fake_quant_with_min_max_vars_per_channel(
        by_channel, *self._range_of_weights(
            by_channel, scope, by_channel.shape.as_list()[-1:]), **bits)
    return tf.reshape(quantized, weights.shape) if by_channel is not weights else (
        quantized)

  def _range_of_weights(self, weights, scope, shape):
    """Returns (min, max) of the weights now, or as they are stored in evaluation."""
    stored = _stored_range(scope, shape, -6.0, 6.0)
    if not self._is_training:
      return stored
    lowest, highest = _range_with_zero(
        weights, axis=list(range(weights.shape.rank - 1)) if shape else None)
    if self._options.symmetric or self._options.per_channel:
      highest = tf.maximum(-lowest, highest)
      lowest = -highest
    for variable, value in zip(stored, (lowest, highest), strict=True):
      _update(variable, value)
    return lowest, highest

  def _quantize_activation(self, tensor, scope):
    stored = _stored_range(scope, [], 0.0, 6.0)
    if self._is_training:
      stored = [_moving_average(variable, scope, end, value)
                for variable, end, value in zip(
                    stored, _ENDS, _range_with_zero(tensor), strict=True)]
    return tf.quantization.fake_quant_with_min_max_vars(
        tensor, *stored, num_bits=self._options.activation_bits)

  def _batch_norm_is_frozen(self):
    return self._get_step() >= self._options.batch_norm_freeze_delay

  def _get_step(self):
    """Returns how many steps there were, with this one."""
    if self._step is None:
      variable = tf.get_variable(
          _STEP, [], tf.int64, tf.zeros_initializer(), trainable=False)
      # Below the scope of the clone: only the first clone's update is made.
      with tf.name_scope(_STEP):
        self._step = variable + 1
        _update(variable, self._step)
    return self._step


class _Names:
  """Variable scopes of the ranges of one network.

  They are the name scopes of its layers. A network in the name scope of a clone, or one
  that shares the variables of an earlier network, has the names of the first.

  Args:
    operations: of the network.
  """

  def __init__(self, operations):
    scope = tf.get_default_graph().get_name_scope()
    self._prefix = f'{scope}/' if scope else ''
    # The first scope has a number if it was opened before: the variables do not.
    self._first_scopes = {}
    for operation in operations:
      if operation.type == 'ReadVariableOp':
        first = operation.name.removeprefix(self._prefix).partition('/')[0]
        variable = operation.inputs[0].op.name.removeprefix(self._prefix)
        if re.fullmatch(rf"{re.escape(variable.partition('/')[0])}_\d+", first):
          self._first_scopes[first] = variable.partition('/')[0]
    self._count = collections.Counter()

  def variable_scope(self, scope):
    """Returns a scope that no other place of the network has."""
    first, slash, rest = scope.removeprefix(self._prefix).partition('/')
    name = self._first_scopes.get(first, first) + slash + rest
    self._count[name] += 1
    count = self._count[name]
    return name if count == 1 else f'{name}_{count - 1}'


def _stored_range(scope, shape, lowest, highest):
  return [tf.get_variable(
      f'{scope}/{name}', shape, tf.float32, tf.constant_initializer(value),
      trainable=False,
      collections=[tf.GraphKeys.GLOBAL_VARIABLES, tf.GraphKeys.MODEL_VARIABLES])
          for name, value in zip(_ENDS, (lowest, highest), strict=True)]


def _range_with_zero(values, axis=None):
  """Returns min and max as constants; 0, the padding, is always in the range."""
  values = tf.stop_gradient(values)
  return (tf.minimum(tf.reduce_min(values, axis), 0.0),
          tf.maximum(tf.reduce_max(values, axis), 0.0))


def _moving_average(variable, scope, end, value):
  """Returns a variable's next value: an average that starts at the first value.

  Kingma and Ba 2015, arXiv 1412.6980, section 3: the sum is divided by what its weights
  add up to.
  """
  # Not from the name of the variable: that of another clone's copy is longer.
  of_range = '/'.join(filter(None, (tf.get_variable_scope().name, scope, end)))

  def accumulator(name):
    return tf.get_variable(
        f'{scope}/{of_range}/{name}', [], tf.float32, tf.zeros_initializer(),
        trainable=False)

  biased, steps = accumulator('biased'), accumulator('local_step')
  next_biased = biased - (biased - value) * (1 - _DECAY)
  next_steps = steps + 1
  average = next_biased / (1 - tf.pow(_DECAY, next_steps))
  for state, update in (
      (biased, next_biased), (steps, next_steps), (variable, average)):
    _update(state, update)
  return average


def _update(variable, value):
  tf.add_to_collection(tf.GraphKeys.UPDATE_OPS, tf.assign(variable, value).op)
