"""ONNX models, by tf2onnx where it is installed."""

import importlib
import importlib.util
import json
import logging

from slim_zoo import diagnostics
from slim_zoo.checkpoints.trained_network import TrainedNetwork
from slim_zoo.exporting import pixel_graph, quiet
from slim_zoo.inference import graph_editing, inference_graph

# Of onnxruntime 1.13 and later, and of tf2onnx 1.14 and later.
_OPSET = 17
_NEEDED = ('tf2onnx', 'onnx', 'onnxruntime')


def check_installed() -> None:
  """Raises UserError unless what writes and runs ONNX is installed."""
  missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
  if missing:
    raise diagnostics.UserError(
        f"--format=onnx needs {' and '.join(missing)}, not installed here:"
        ' python -m pip install "tf2onnx>=1.17,<1.18" "onnxruntime>=1.20,<2"')


def write(path: str, trained: TrainedNetwork,
          network: inference_graph.InferenceGraph) -> None:
  """Writes a model from 'input:0' to 'probabilities:0'.

  The images are pixels, float32 [batch, height, width, channels] of 0 to 255. The
  names of the classes are a JSON list in the model's metadata, under 'labels'.

  Args:
    path: the file to write.
    trained: the network to export.
    network: of `trained`, frozen and folded.

  Raises:
    UserError: the converter is not installed, or cannot convert the network.
  """
  check_installed()
  graph_def = pixel_graph.build(trained, network).graph.as_graph_def()
  graph_editing.prune(graph_def, ['probabilities'])
  with quiet.held_back() as messages:
    try:
      convert = importlib.import_module('tf2onnx.convert')
      logging.getLogger('tf2onnx').setLevel(logging.ERROR)
      model, _ = convert.from_graph_def(
          graph_def, input_names=[f'{pixel_graph.INPUT}:0'],
          output_names=['probabilities:0'], opset=_OPSET)
    except Exception as error:  # Converters raise nearly anything.
      raise diagnostics.UserError(
          f'{trained.model_name} cannot be converted to ONNX:'
          f' {quiet.first_line(error, messages)}') from error
  names = [label.encode('utf-8', 'surrogateescape').decode('utf-8', 'replace')
           for label in trained.class_names]
  model.metadata_props.add(key='labels', value=json.dumps(names))
  with open(path, 'wb') as file:
    file.write(model.SerializeToString())
