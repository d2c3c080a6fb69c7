"""Where a network is fake-quantized: the places of tf.contrib.quantize.

What an integer program computes in one operation is quantized once, at its end. So the
places depend on what follows a layer:

    weights -> convolution or product -> bias -> [addition] -> activation -> [addition]

    weights_quant                 the weights, batch norm folded into them
    act_quant                     the activation; without one the bias or the layer
    conv_quant                    the bias, where an addition is before the activation
    post_activation_bypass_quant  the addition after the activation
    activation_Mul_quant,         other products and sums of quantized values
    activation_AddV2_quant

An activation is a ReLU, a ReLU6 or an identity. An addition before a ReLU is not
quantized: the two are one operation. Names and order are those of the variables in
checkpoints of that rewriter; each place is named by the scope of its layer.
"""

import dataclasses
from collections.abc import Iterator

from slim_zoo.nets.quantization import folding
from slim_zoo.tf_compat import tf

_ACTIVATIONS = ('Relu', 'Relu6')
_ADDITIONS = ('Add', 'AddV2')
_PRODUCTS_AND_SUMS = (*_ADDITIONS, 'Mul')
_FAKE_QUANTIZATIONS = (
    'FakeQuantWithMinMaxVars', 'FakeQuantWithMinMaxVarsPerChannel')
# What does not change the values.
_PASSING_ON = ('Reshape', 'Identity', 'BatchToSpaceND', 'SpaceToBatchND')


@dataclasses.dataclass(frozen=True)
class Place:
  """One tensor to quantize.

  Attributes:
    scope: the name of the scope of its range.
    tensor: what is quantized, for all who read it.
    layer: the convolution or product whose weights it is, None for activations.
  """
  scope: str
  tensor: tf.Tensor
  layer: tf.Operation | None = None


@dataclasses.dataclass(frozen=True)
class _Match:
  """A layer and what follows it, each None where it is absent."""
  layer: tf.Operation
  bias: tf.Operation | None = None
  addition: tf.Operation | None = None
  activation: tf.Operation | None = None
  last_addition: tf.Operation | None = None


def layer_places(operations) -> Iterator[Place]:
  """Yields the places of the layers of a network whose batch norm is folded.

  Args:
    operations: of the network, in the order of their creation.
  """
  for match in _matches(operations):
    scope = _parent(match.layer.name)
    yield Place(_join(scope, 'weights_quant'), match.layer.inputs[1], match.layer)
    around = _parent(scope) if match.addition else scope
    yield Place(_join(around, 'act_quant'), match.activation.outputs[0])
    if match.addition:
      yield Place(_join(scope, 'conv_quant'), match.bias.outputs[0])
    if match.last_addition and not _is_activated(match.last_addition):
      yield Place(
          _join(_parent(match.last_addition.name), 'post_activation_bypass_quant'),
          match.last_addition.outputs[0])


def other_places(operations, quantized) -> Iterator[Place]:
  """Yields the products and sums of quantized values that no layer accounts for.

  Each place must be quantized before the next one is asked for.

  Args:
    operations: of the network, in the order of their creation.
    quantized: the operations that are the places of layers.
  """
  for operation in operations:
    if _is_of_quantized_values(operation, quantized):
      yield Place(f'{operation.name}/activation_{operation.type}_quant',
                  operation.outputs[0])


def is_quantized(tensor: tf.Tensor) -> bool:
  """Returns whether a fake quantization reads `tensor`, or a view of it."""
  return any(
      consumer.type in _FAKE_QUANTIZATIONS
      or (consumer.type in ('Reshape', 'Identity')
          and is_quantized(consumer.outputs[0]))
      for consumer in tensor.consumers())


def _parent(name):
  return name.rpartition('/')[0]


def _join(scope, name):
  return f'{scope}/{name}' if scope else name


def _is_activated(operation):
  return any(consumer.type in _ACTIVATIONS
             for consumer in operation.outputs[0].consumers())


def _matches(operations):
  """Yields a match of each layer: the longest ones first, then by their ends."""
  matched = set()
  for match_at in (_last_addition, _activation, _unactivated, _unbiased):
    for operation in operations:
      match = match_at(operation)
      if match is not None and match.layer not in matched and not (
          match_at is _activation and _is_normalized_later(match.activation)):
        matched.add(match.layer)
        yield match


def _first(operation, match_at):
  """Returns the first match at an input of `operation`."""
  return next(filter(None, (match_at(tensor.op) for tensor in operation.inputs)), None)


def _layer(operation):
  """Matches a convolution or product by the weights of a variable."""
  if operation.type not in folding.LAYERS:
    return None
  weights = operation.inputs[1].op
  if weights.type == 'Reshape':  # A convolution of the whole map, as a product.
    weights = weights.inputs[0].op
  return _Match(operation) if weights.type in (
      'ReadVariableOp', 'Mul', 'Identity') else None


def _layer_output(operation):
  if operation.type == 'BatchToSpaceND' or (
      operation.type == 'Reshape' and operation.inputs[0].op.type == 'MatMul'):
    return _layer(operation.inputs[0].op)
  return _layer(operation)


def _bias(operation):
  """Matches a bias: one addition, or those of a layer with folded batch norm."""
  if operation.type not in (*_ADDITIONS, 'BiasAdd'):
    return None
  match = _first(operation, _layer_output) or _first(operation, _corrected)
  return match and dataclasses.replace(match, bias=operation)


def _corrected(operation):
  """Matches the product of a layer with the correction of its batch norm."""
  return _first(operation, _layer_output) if operation.type == 'Mul' else None


def _addition(operation):
  if operation.type not in _ADDITIONS:
    return None
  match = _first(operation, _bias)
  return match and dataclasses.replace(match, addition=operation)


def _activation(operation):
  if operation.type not in (*_ACTIVATIONS, 'Identity'):
    return None
  before = operation.inputs[0].op
  match = _bias(before) or _addition(before) or _layer(before)
  return match and dataclasses.replace(match, activation=operation)


def _last_addition(operation):
  """Matches an addition to an activation, the second input before the first."""
  if operation.type not in _ADDITIONS:
    return None
  match = _activation(operation.inputs[1].op) or _activation(operation.inputs[0].op)
  return match and dataclasses.replace(match, last_addition=operation)


def _unactivated(operation):
  match = _bias(operation)
  return match and dataclasses.replace(match, activation=operation, bias=None)


def _unbiased(operation):
  """Matches a layer that another one follows, as in a separable convolution."""
  if operation.type not in folding.LAYERS:
    return None
  match = _first(operation, _layer_output)
  return match and dataclasses.replace(match, activation=match.layer)


def _is_normalized_later(activation):
  """Returns whether an identity only passes a layer on to a batch norm."""
  consumers = activation.outputs[0].consumers()
  return (activation.type == 'Identity' and len(consumers) == 1
          and consumers[0].type.startswith('FusedBatchNorm'))


def _is_of_quantized_values(operation, quantized):
  if operation.type not in _PRODUCTS_AND_SUMS or operation in quantized:
    return False
  consumers = operation.outputs[0].consumers()
  if len(consumers) == 1 and consumers[0].type in _ACTIVATIONS:
    return False
  for tensor in operation.inputs:
    source = tensor.op
    while source.type in _PASSING_ON:
      source = source.inputs[0].op
    if source.type in _FAKE_QUANTIZATIONS or _begins_later(source):
      return True
    if source.type in _PRODUCTS_AND_SUMS and any(
        _is_of_quantized_values(read.op, quantized) for read in source.inputs):
      return True
  return False


def _begins_later(operation):
  """Returns whether an operation is a quantization after a delay."""
  return operation.type in ('Select', 'SelectV2') and (
      operation.name.endswith('delayed_quant'))
