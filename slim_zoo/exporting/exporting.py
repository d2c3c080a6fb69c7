"""Writes an export, checks it in its own runtime, and keeps it if it is right."""

import os
import shutil
from collections.abc import Sequence

import numpy as np

from slim_zoo import diagnostics
from slim_zoo.checkpoints.trained_network import TrainedNetwork
from slim_zoo.exporting import (
  formats,
  parity,
  pixel_graph,
  to_keras,
  to_onnx,
  to_openvino,
  to_saved_model,
  to_tflite,
  to_torch,
)
from slim_zoo.files import owners, staging
from slim_zoo.inference import inference_graph
from slim_zoo.inference.inference_graph import InferenceGraph

# Whoever finds one knows that it was never checked.
_UNCHECKED = '.unchecked'
# Formats of a folder, and a file that tells one.
_FOLDERS = {'saved_model': 'saved_model.pb', 'torch': to_torch.WEIGHTS,
            'openvino': to_openvino.MODEL}


def export(name: str, folder: str, trained: TrainedNetwork, network: InferenceGraph,
           calibration: Sequence[np.ndarray] = (),
           reference: parity.Reference | None = None,
           python: str = '') -> list[parity.Parity]:
  """Writes one format; an export that is off is removed.

  Args:
    name: one of `formats.FORMATS`.
    folder: of the exports. One of the same format in it is replaced.
    trained: the network to export.
    network: of `trained`, frozen and folded.
    calibration: see `to_tflite.write`.
    reference: the answers of the checkpoint; None: the export is not checked.
    python: the interpreter that has PyTorch or OpenVINO; '' is this one.

  Returns:
    How the export compares, for each thing that can be asked of it; [] if unchecked.

  Raises:
    UserError: it cannot be written or run, another process writes it now, or something
      that is not an export of the format has its name.
  """
  path = os.path.join(folder, formats.FORMATS[name].file)
  _check_replaceable(name, path)
  unchecked = path + _UNCHECKED
  with (staging.created(os.path.dirname(path)),
        owners.writing(path, '--export_dir')):
    _remove(unchecked)
    try:
      _write(name, unchecked, trained, network, calibration, python)
      comparisons = _compare(
          name, unchecked, reference, trained.quantized is not None,
          python if name in ('torch', 'openvino') else '') if reference else []
      if all(one.passed for one in comparisons):
        if os.path.isdir(path):
          _remove(path)
        os.replace(unchecked, path)
        if name == 'keras':
          to_keras.write_card(path, trained)
    finally:
      _remove(unchecked)
  return comparisons


def _check_replaceable(name, path):
  """Raises UserError where a new export would remove something else."""
  if not os.path.lexists(path):
    return
  is_export = os.path.isfile(path)
  if name in _FOLDERS:
    is_export = os.path.isdir(path) and (
        _FOLDERS[name] in os.listdir(path) or not os.listdir(path))
  if not is_export:
    raise diagnostics.UserError(
        f"'{path}' is there and is no {name} export: it is left as it is; move it, or"
        ' name another --export_dir')


def _write(name, path, trained, network, calibration, python):
  if name == 'saved_model':
    to_saved_model.write(path, trained, network)
  elif name == 'frozen_graph':
    pixel_graph.write_frozen_graph(path, trained, network)
  elif name == 'onnx':
    to_onnx.write(path, trained, network)
  elif name == 'openvino':
    to_openvino.write(path, trained, network, python)
  elif name == 'torch':
    # It can be trained further: batch norm stays.
    to_torch.write(path, trained, inference_graph.of_network(trained, fold=False))
  elif name == 'keras':
    # It can be trained further: batch norm stays.
    to_keras.write(path, trained, inference_graph.of_network(trained, fold=False))
  else:
    to_tflite.write(path, name, trained, network, calibration)


def _compare(name, path, reference, is_quantized, python):
  tolerance = formats.tolerance_of(name, is_quantized)
  results = parity.run(name, path, reference.inputs, python)
  if not results:
    raise diagnostics.UserError(f'the {name} export gives nothing')
  return [parity.compare(signature, answers.probabilities, reference.of(signature),
                         tolerance, answers.unrounded,
                         reference.classes, reference.multi_label)
          for signature, answers in results.items()]


def _remove(path):
  if os.path.isdir(path):
    shutil.rmtree(path)
  elif os.path.exists(path):
    os.remove(path)
