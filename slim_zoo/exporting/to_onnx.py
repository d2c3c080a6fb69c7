"""ONNX models, written with `onnx` from the frozen graph."""

import importlib.util
import json

import numpy as np

from slim_zoo import diagnostics
from slim_zoo.checkpoints.trained_network import TrainedNetwork
from slim_zoo.exporting import layout, pixel_graph, quantized_graph
from slim_zoo.exporting.onnx_graph import operations, quantized
from slim_zoo.exporting.onnx_graph.translation import Translation
from slim_zoo.inference import inference_graph
from slim_zoo.tf_compat import tf

# Names as in TensorFlow.
INPUT, PROBABILITIES, LOGITS = 'input:0', 'probabilities:0', 'logits:0'
_NEEDED = ('onnx', 'onnxruntime')


def check_installed() -> None:
  """Raises UserError unless what writes and runs ONNX is installed."""
  missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
  if missing:
    raise diagnostics.UserError(
        f"--format=onnx needs {' and '.join(missing)}, not installed here:"
        ' python -m pip install "onnx>=1.17,<2" "onnxruntime>=1.20,<2"')


def write(path: str, trained: TrainedNetwork,
          network: inference_graph.InferenceGraph) -> None:
  """Writes a model from 'input:0' to 'probabilities:0' and 'logits:0'.

  The images are pixels, float32 [batch, height, width, channels] of 0 to 255. The
  batch has any size. The names of the classes are a JSON list in the model's metadata,
  under 'labels'.

  A quantized network has weights of 8 bits, and QuantizeLinear and DequantizeLinear
  where training rounded activations. Its pixels are rounded too.

  Args:
    path: the file to write.
    trained: the network to export.
    network: of `trained`, frozen and folded.

  Raises:
    UserError: a package is missing, or the network cannot be translated.
  """
  if trained.quantized is None or not quantized_graph.takes_pixels(trained):
    model = _model(pixel_graph.build(trained, network), None)
  else:
    source = quantized_graph.build(trained, network, batch_size=None)
    model = _model(source, quantized.Grid(
        np.float32(source.scale), np.array(source.zero_point)))
  model.metadata_props.add(key='labels', value=json.dumps(labels(trained)))
  with open(path, 'wb') as file:
    file.write(model.SerializeToString())


def labels(trained: TrainedNetwork) -> list[str]:
  """Returns the names of the classes; what is not UTF-8 in them is replaced."""
  return [label.encode('utf-8', 'surrogateescape').decode('utf-8', 'replace')
          for label in trained.class_names]


def _model(source, grid):
  """Returns the onnx.ModelProto of a graph with images, logits and probabilities.

  Args:
    source: a PixelGraph or QuantizedGraph.
    grid: what the pixels stand for; None: the graph takes them as they are.
  """
  outputs = {PROBABILITIES: source.probabilities, LOGITS: source.logits}
  return translated(source.images, outputs, grid)


def translated(images: tf.Tensor, outputs: dict[str, tf.Tensor],
               grid: quantized.Grid | None = None):
  """Returns the onnx.ModelProto of a frozen graph.

  Args:
    images: the placeholder, float32 [batch, ..., channels]; it is called 'input:0'.
    outputs: [batch, classes], or with channels last, by their names in the model.
    grid: if the images are rounded to 8 bits: what the pixels 0 to 255 stand for.

  Raises:
    UserError: the graph has an operation that is not translated.
  """
  state = Translation([tensor.op for tensor in outputs.values()])
  for operation in state.operations():
    if operation is images.op:
      state.set_value(images, _with_channels_first(state, images, grid))
    else:
      operations.translate(state, operation)
  for name, tensor in outputs.items():
    _add_output(state, tensor, name)
  return state.builder.model(
      {INPUT: (np.float32, _shape(images))},
      {name: (np.float32, _shape(tensor)) for name, tensor in outputs.items()})


def _with_channels_first(state, images, grid):
  """Adds what makes the network's input of the model's; returns its value."""
  value, rank = INPUT, images.shape.rank
  if grid is not None:
    value = state.builder.node('QuantizeLinear', [value, *(
        state.builder.constant(number, f'pixel/{name}') for name, number in (
            ('scale', np.float32(1)), ('zero_point', np.uint8(0))))], 'pixel')
  # Also where the channel is the only one: a shape that says what it is.
  value = state.builder.node(
      'Transpose', [value], 'images', perm=layout.held(rank))
  return value if grid is None else quantized.restored(
      state, value, grid, 'images/values')


def _add_output(state, tensor, name):
  """Adds an output of the model, with the axes as in TensorFlow."""
  held, value = layout.held(tensor.shape.rank), [state.value(tensor)]
  if held == tuple(sorted(held)):
    state.builder.node('Identity', value, name)
  else:
    state.builder.node(
        'Transpose', value, name, perm=[held.index(axis) for axis in sorted(held)])


def _shape(tensor):
  return ['batch' if size is None else size for size in tensor.shape.as_list()]
