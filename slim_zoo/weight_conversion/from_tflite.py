"""An 8-bit TensorFlow Lite file of a network of the zoo, back to a checkpoint.

The layers of the file are those of the network in the same order. Its weights become
weights with batch norm that changes nothing (scale 1, mean 0, and the bias as beta);
its scales and zero points become the ranges of a quantized checkpoint.

A file may read pixels in another way than the preprocessing here, such as
(pixel - 128) / 128: the difference goes into the first layer.
"""

import dataclasses
import importlib
import struct
import warnings

import numpy as np

from slim_zoo import diagnostics
from slim_zoo.catalog import networks
from slim_zoo.catalog import variables as catalog_variables
from slim_zoo.checkpoints import comparison, quantization
from slim_zoo.inference import quiet
from slim_zoo.nets import nets_factory
from slim_zoo.tf_compat import slim, tf
from slim_zoo.weight_conversion import slim_networks

_LAYERS = {'CONV_2D': 'Conv2D', 'DEPTHWISE_CONV_2D': 'DepthwiseConv2dNative',
           'FULLY_CONNECTED': 'MatMul'}
# Pixels are values * scale + shift of these preprocessing families.
_PIXELS = {'inception': (127.5, 127.5), 'lenet': (128.0, 128.0)}
# What a range may be of in a network that can be converted.
_KINDS = ('weights_quant', 'act_quant', 'post_activation_bypass_quant')
_LEAST_CORRELATION = 0.98
# In bytes 4 to 7 of every file.
_MARK = b'TFL3'
# What the reader of the format raises for a file that is cut off or changed.
_OF_DAMAGE = (ValueError, TypeError, AttributeError, IndexError, KeyError,
              OverflowError, struct.error)
_COMPARED = 4


@dataclasses.dataclass(frozen=True)
class _Layer:
  """A layer of the file.

  Attributes:
    kernel: the weights, float32, as the file lays them out.
    bias: float32 [channels].
    weight_range: (min, max), numbers or arrays [channels].
    output_range: (min, max) of its output.
  """

  kernel: np.ndarray
  bias: np.ndarray
  weight_range: tuple
  output_range: tuple


class _File:
  """A TensorFlow Lite file.

  Args:
    path: of the file.
  """

  def __init__(self, path):
    self._content = _readable(path)
    try:
      # Without delegates each operation stays one.
      self._interpreter = _interpreter(self._content, with_xnnpack=False)
    except (ValueError, RuntimeError) as error:
      raise diagnostics.UserError(
          f"cannot read '{path}' as a TensorFlow Lite file: its interpreter says:"
          f' {str(error).splitlines()[0]}') from error
    self._tensors = {details['index']: details
                     for details in self._interpreter.get_tensor_details()}
    (self.input,) = self._interpreter.get_input_details()
    operations = self._interpreter._get_ops_details()
    self.layers = [self._layer(path, operation) for operation in operations
                   if operation['op_name'] in _LAYERS]
    self.additions = [_range(self._tensors[operation['outputs'][0]])
                      for operation in operations if operation['op_name'] == 'ADD']
    self._logits = next((operation['inputs'][0] for operation in operations
                         if operation['op_name'] in ('SOFTMAX', 'LOGISTIC')),
                        self._interpreter.get_output_details()[0]['index'])
    if not self.layers or self.input['dtype'] not in (np.uint8, np.int8):
      raise diagnostics.UserError(
          f"'{path}' is not an 8-bit network: its input is"
          f" {self.input['dtype'].__name__}, expected uint8 or int8")

  def _layer(self, path, operation):
    kernel, bias = (self._tensors[index] for index in operation['inputs'][1:3])
    if kernel['dtype'] not in (np.uint8, np.int8):
      raise diagnostics.UserError(
          f"'{path}' has weights of {kernel['dtype'].__name__} in {kernel['name']},"
          ' expected 8 bits')
    return _Layer(self._real(kernel), self._real(bias), _range(kernel, is_narrow=True),
                  _range(self._tensors[operation['outputs'][0]]))

  def _real(self, details):
    """Returns what the whole numbers of a tensor stand for."""
    given = details['quantization_parameters']
    values = self._interpreter.get_tensor(details['index']).astype(np.float64)
    shape = [1] * values.ndim
    if len(given['scales']) > 1:
      shape[given['quantized_dimension']] = -1
    return ((values - given['zero_points'].reshape(shape))
            * given['scales'].astype(np.float64).reshape(shape))

  @property
  def pixels(self):
    """(scale, zero point) of uint8 pixels."""
    scale, zero_point = self.input['quantization']
    return scale, zero_point + (128 if self.input['dtype'] == np.int8 else 0)

  def logits(self, images):
    """Returns float64 [batch, classes] for uint8 images.

    Computed with XNNPACK, as interpreters usually do: it rounds each result once. The
    built-in kernels round it twice, and upwards too often.
    """
    try:
      interpreter = _interpreter(self._content, with_xnnpack=True)
    except RuntimeError:  # It takes no integer convolutions in groups.
      interpreter = self._interpreter
    scale, zero_point = self._tensors[self._logits]['quantization']
    outputs = []
    for image in images:
      if self.input['dtype'] == np.int8:
        image = (image.astype(np.int16) - 128).astype(np.int8)
      interpreter.set_tensor(self.input['index'], image[np.newaxis])
      interpreter.invoke()
      values = interpreter.get_tensor(self._logits).astype(np.float64)
      outputs.append((values.reshape(1, -1) - zero_point) * scale)
    return np.concatenate(outputs)


def _interpreter(content, with_xnnpack):
  """Returns an interpreter that keeps the values of all tensors."""
  types = tf.lite.experimental.OpResolverType
  with warnings.catch_warnings(), quiet.captured_output():
    # Of the interpreter's next name, and of the memory that all tensors take.
    warnings.simplefilter('ignore', UserWarning)
    interpreter = tf.lite.Interpreter(
        model_content=content, experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=(
            types.AUTO if with_xnnpack else types.BUILTIN_WITHOUT_DEFAULT_DELEGATES))
    interpreter.allocate_tensors()
  return interpreter


def _readable(path):
  """Returns the content of a file, with an old fault repaired.

  Early converters gave biases the channel dimension of their weights, which the
  interpreter refuses.

  Raises:
    UserError: it is another file, or damaged.
  """
  files = importlib.import_module('tensorflow.lite.tools.flatbuffer_utils')
  with open(path, 'rb') as file:
    data = file.read()
  if data[4:8] != _MARK:
    raise diagnostics.UserError(
        f"cannot read '{path}' as a TensorFlow Lite file: it has {len(data)} bytes, and"
        f' not {_MARK.decode()} in bytes 4 to 7; name another --source')
  try:
    content = files.convert_bytearray_to_object(bytearray(data))
    _repair(content)
    return bytes(files.convert_object_to_bytearray(content))
  except _OF_DAMAGE as error:
    raise diagnostics.UserError(
        f"'{path}' is damaged: it begins as a TensorFlow Lite file, but its"
        f' {len(data)} bytes are cut off or changed; copy it again') from error


def _repair(content):
  """Sets the channel dimension of tensors that have another number of dimensions."""
  for graph in content.subgraphs:
    for tensor in graph.tensors:
      rank = 0 if tensor.shape is None else len(tensor.shape)
      if tensor.quantization and tensor.quantization.quantizedDimension >= max(1, rank):
        tensor.quantization.quantizedDimension = 0


def _range(details, is_narrow=False):
  """Returns (min, max) of what a tensor of 8 bits can hold."""
  parameters = details['quantization_parameters']
  scales = parameters['scales'].astype(np.float64)
  zero_points = parameters['zero_points']
  lowest, highest = (0, 255) if details['dtype'] == np.uint8 else (-128, 127)
  ends = [(end - zero_points) * scales for end in (lowest + is_narrow, highest)]
  return tuple(end if len(scales) > 1 else float(end[0]) for end in ends)


def convert(model_name: str | None, source: str, target: str) -> list[str]:
  """Writes the checkpoint of a file; returns lines about it.

  Args:
    model_name: a name of `catalog.networks.NETWORKS`; None: the network whose layers
      have the sizes of those in the file.
    source: the file.
    target: the prefix of the checkpoint.

  Raises:
    UserError: the file is not of this network, or the checkpoint computes other
      things.
  """
  file = _File(source)
  if model_name is None:
    model_name = _network_of(file, source)
  family = networks.get_image_network(model_name).preprocessing
  if family not in _PIXELS:
    raise diagnostics.UserError(
        f'{model_name} has {family} preprocessing: an 8-bit file of it cannot be'
        f" converted; those of {' and '.join(_PIXELS)} preprocessing can")
  _, size, _, channels = (int(side) for side in file.input['shape'])
  num_classes = len(file.layers[-1].bias)
  with tf.Graph().as_default(), tf.Session() as session:
    images = tf.placeholder(tf.float32, [None, size, size, channels])
    per_channel = any(len(np.shape(layer.weight_range[0])) for layer in file.layers)
    logits, _ = nets_factory.get_network_fn(
        model_name, num_classes, quantize=True,
        quantize_options={'per_channel': per_channel})(images)
    variables = {variable.op.name: variable for variable in slim.get_model_variables()}
    values = _values(file, variables, _PIXELS[family], source, model_name)
    slim_networks.assign(session, variables, values)
    pixels = np.random.default_rng(0).integers(
        0, 256, [_COMPARED, size // 8 + 1, size // 8 + 1, channels])
    pixels = pixels.repeat(8, 1).repeat(8, 2)[:, :size, :size].astype(np.uint8)
    scale, shift = _PIXELS[family]
    ours = session.run(logits, {images: (pixels - shift) / scale})
  theirs = file.logits(pixels)
  correlation = np.corrcoef(ours.ravel(), theirs.ravel())[0, 1]
  if not correlation >= _LEAST_CORRELATION:
    raise diagnostics.UserError(
        f"'{source}' computes other things than {model_name} with its weights: the"
        f' correlation of the logits is {correlation:.3f}, at least'
        f' {_LEAST_CORRELATION} is expected; check --model_name')
  slim_networks.write_with_card(
      values, target, model_name, num_classes, size, channels)
  return [
      f"'{target}': {model_name}, {num_classes} classes, images of {size} x {size} x"
      f' {channels}, quantized as the file is',
      f'logits of {_COMPARED} images: correlation {correlation:.4f}, farthest apart by'
      f' {np.abs(ours - theirs).max():.3g} of {np.ptp(theirs):.3g}',
      f"'{target}.card.json' keeps the size, the channels and the network for later"
      ' commands']


def _network_of(file, source):
  """Returns the network whose layers have as many weights as those of a file.

  Raises:
    UserError: there is none, or more than one.
  """
  dimensions = {catalog_variables.CLASSES: len(file.layers[-1].bias),
                catalog_variables.CHANNELS: int(file.input['shape'][3])}
  there = sorted(layer.kernel.size for layer in file.layers)
  fitting = [
      name for name, known in catalog_variables.load().items()
      if networks.NETWORKS[name].preprocessing in _PIXELS and there == sorted(
          _size(shape, dimensions) for variable, shape in known.shapes.items()
          if variable.endswith('weights') and not comparison.is_auxiliary(variable))]
  if len(fitting) == 1:
    return fitting[0]
  found = f"'{source}' has {len(there)} layers, "
  if fitting:
    raise diagnostics.UserError(
        f'{found}and may be of {diagnostics.some(fitting)}: set --model_name')
  raise diagnostics.UserError(
      f'{found}of sizes that no network of this project has with'
      f' {dimensions[catalog_variables.CLASSES]} classes: it cannot be converted')


def _size(shape, dimensions):
  """Returns the number of values of a shape of the catalog."""
  size = 1
  for dimension in shape:
    if isinstance(dimension, str):  # 'classes', 'channels' or '8*channels'.
      factor, _, name = dimension.rpartition('*')
      dimension = int(factor or 1) * dimensions[name]
    size *= dimension
  return size


def _values(file, variables, pixels, source, model_name):
  """Returns the value of each variable of the network in the default graph."""
  layers = [operation for operation in tf.get_default_graph().get_operations()
            if operation.type in _LAYERS.values()
            and not operation.name.endswith('_Fold')]
  others = [name for name in variables if quantization.is_range(name)
            and name.split('/')[-2] not in _KINDS]
  if others:
    raise diagnostics.UserError(
        f'{model_name} has ranges such as {others[0]}, which an 8-bit file does not'
        ' keep: its files cannot be converted')
  if len(layers) != len(file.layers):
    raise diagnostics.UserError(
        f"'{source}' has {len(file.layers)} layers, {model_name} has {len(layers)}:"
        ' check --model_name')
  values, first = {}, True
  for operation, layer in zip(layers, file.layers, strict=True):
    if first:
      layer, first = _with_pixels(layer, operation, file.pixels, pixels), False
    values |= _layer_values(operation, layer, variables, source)
  additions = [name.removesuffix('/min') for name in variables
               if name.endswith('post_activation_bypass_quant/min')]
  if len(additions) != len(file.additions):
    raise diagnostics.UserError(
        f"'{source}' has {len(file.additions)} additions, {model_name} has"
        f' {len(additions)}: check --model_name')
  for scope, (lowest, highest) in zip(additions, file.additions, strict=True):
    values |= {f'{scope}/min': lowest, f'{scope}/max': highest}
  return {name: np.broadcast_to(
      np.asarray(value, np.float32), variables[name].shape.as_list()).copy()
          for name, value in values.items()}


def _kernel(layer, operation):
  """Returns the weights of a layer as TensorFlow lays them out."""
  shape, kernel = operation.inputs[1].shape.as_list(), layer.kernel
  if operation.type == 'MatMul':
    # Our exports have a convolution of 1 x 1 in its place.
    return kernel.reshape(len(kernel), -1).T
  if kernel.shape[0] == 1 and (operation.type == 'DepthwiseConv2dNative'
                               or kernel.shape[3] == shape[3] != 1):
    # A convolution of one channel is a depthwise one in the file.
    return kernel.reshape(shape) if kernel.size == np.prod(shape) else kernel
  return kernel.transpose(1, 2, 3, 0)


def _with_pixels(layer, operation, theirs, ours):
  """Returns the first layer for other values of the same pixels."""
  (their_scale, zero_point), (scale, shift) = theirs, ours
  factor, offset = their_scale * scale, their_scale * (shift - zero_point)
  kernel = _kernel(layer, operation)
  sums = kernel.sum((0, 1)) if operation.type == 'DepthwiseConv2dNative' else (
      kernel.sum(tuple(range(kernel.ndim - 1))))
  return dataclasses.replace(
      layer, kernel=layer.kernel * factor, bias=layer.bias + offset * sums.reshape(-1),
      weight_range=tuple(end * factor for end in layer.weight_range))


def _variable_of(weights):
  """Returns the name of the variable that the weights of a layer are read from."""
  operation = weights.op
  while operation.type != 'VarHandleOp':
    operation = operation.inputs[0].op
  return operation.name


def _layer_values(operation, layer, variables, source):
  """Returns the values of the variables of one layer."""
  kernel, scope = _kernel(layer, operation), operation.name.rpartition('/')[0]
  name = _variable_of(operation.inputs[1])
  if kernel.shape != tuple(variables[name].shape.as_list()):
    raise diagnostics.UserError(
        f"'{source}' has weights {list(kernel.shape)} for {name}, the network"
        f' {variables[name].shape.as_list()}: check --model_name')
  values, parent = {name: kernel}, name.rpartition('/')[0]
  if f'{parent}/biases' in variables:
    values[f'{parent}/biases'] = layer.bias
  else:
    norm = f'{parent}/BatchNorm'
    (batch_norm,) = operation.outputs[0].consumers()
    epsilon = np.float32(batch_norm.get_attr('epsilon'))
    constant = {'gamma': 1.0, 'beta': layer.bias, 'moving_mean': 0.0,
                'moving_variance': np.float32(1) - epsilon}
    values |= {f'{norm}/{key}': value for key, value in constant.items()
               if f'{norm}/{key}' in variables}
  for kind, ends in (('weights_quant', layer.weight_range),
                     ('act_quant', layer.output_range)):
    values |= {f'{scope}/{kind}/min': ends[0], f'{scope}/{kind}/max': ends[1]}
  return values
