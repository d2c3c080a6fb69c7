"""OpenVINO IR, read by OpenVINO from the ONNX model that `to_onnx` writes."""

import json
import os
import tempfile

from slim_zoo import diagnostics
from slim_zoo.checkpoints.trained_network import TrainedNetwork
from slim_zoo.exporting import openvino_writer, runtime_process, to_onnx
from slim_zoo.inference.inference_graph import InferenceGraph

MODEL = 'model.xml'
_WRITER = os.path.abspath(openvino_writer.__file__)


def check_installed(python: str) -> None:
  """Raises UserError if a package that writes or runs the format is missing.

  Args:
    python: the interpreter that has OpenVINO; '' is this one.
  """
  missing = runtime_process.missing(['onnx'] if python else ['onnx', 'openvino'], '')
  if missing:
    raise diagnostics.UserError(
        f"--format=openvino needs {' and '.join(missing)}, not installed here: python"
        ' -m pip install "onnx>=1.17,<2" "openvino>=2024.0"; or name another'
        ' interpreter that has openvino by --python')
  if python and runtime_process.missing(['openvino'], python):
    raise diagnostics.UserError(
        f"--format=openvino needs openvino, not installed for --python='{python}':"
        f' {python} -m pip install "openvino>=2024.0", or name an interpreter that has'
        ' it (one --python serves all formats of a command)')


def write(path: str, trained: TrainedNetwork, network: InferenceGraph, python: str = ''
          ) -> None:
  """Writes a folder with model.xml and model.bin, from the model of `to_onnx.write`.

  Args:
    path: of the folder.
    trained: the network to export.
    network: of `trained`, frozen and folded.
    python: the interpreter that has OpenVINO; '' is this one.

  Raises:
    UserError: a package is missing, or the network cannot be translated.
  """
  check_installed(python)
  os.makedirs(path)
  with tempfile.TemporaryDirectory() as folder:
    source, labels = (os.path.join(folder, name) for name in ('m.onnx', 'labels.json'))
    to_onnx.write(source, trained, network)
    with open(labels, 'w', encoding='utf-8') as file:
      json.dump(to_onnx.labels(trained), file)
    runtime_process.run(
        'the openvino export cannot be written', python,
        [_WRITER, source, os.path.join(path, MODEL), labels])
