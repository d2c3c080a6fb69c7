"""The formats of exports: what their files are called, how far they may be off.

Needs no TensorFlow.
"""

import dataclasses
from collections.abc import Sequence

from slim_zoo import diagnostics


@dataclasses.dataclass(frozen=True)
class Tolerance:
  """How far an export may be off.

  Attributes:
    difference: of the scores of a class, as a share of their spread; see
      `parity.compare`.
    agreement: the least share of images of which the most probable class is the same.
      An image whose scores of two classes are as near as a quarter of `difference`, the
      usual error of a class where the farthest is off by all of it, agrees with
      either.
  """

  difference: float
  agreement: float


# The same arithmetic in another order.
_EXACT = Tolerance(1e-3, 1.0)

# Of quantized networks: values near the middle of two steps are rounded up in one
# program and down in another. TensorFlow's own formats share its kernels. In the other
# formats this puts the farthest of the 1,001 classes of published 8-bit MobileNets, V1
# of width 0.25 and V2, off by 0.04 to 0.11, and all images agree.
_SAME_ROUNDING = Tolerance(0.05, 0.98)
_OTHER_ROUNDING = Tolerance(0.2, 0.98)


@dataclasses.dataclass(frozen=True)
class Format:
  """A format of exports.

  Attributes:
    file: its path in the folder of exports.
    tolerance: how far it may be off.
    description: of the format, in words.
    of_quantized: how far it may be off for a network that rounds its values.
  """

  file: str
  tolerance: Tolerance
  description: str
  of_quantized: Tolerance = _SAME_ROUNDING


# 8 bits: what is allowed separates rounding from a wrong conversion. Of the 1,001
# classes of a MobileNet V1 trained on photographs, rounding alone puts the farthest off
# by 0.3 in either format. Reversed classes are off by 1.4 and more.
_DYNAMIC_RANGE, _INT8 = Tolerance(0.5, 0.9), Tolerance(0.6, 0.85)

FORMATS = {
    'saved_model': Format(
        'saved_model/1', _EXACT,
        'SavedModel for TensorFlow 2 and TensorFlow Serving, from files or tensors'),
    'frozen_graph': Format(
        'frozen_graph.pb', _EXACT, 'GraphDef with the weights in it'),
    'tflite': Format('model.tflite', _EXACT, 'TensorFlow Lite, float32',
                     _OTHER_ROUNDING),
    # 11 bits for a weight.
    'tflite_float16': Format(
        'model_float16.tflite', Tolerance(0.05, 0.98),
        'TensorFlow Lite, weights of float16', _OTHER_ROUNDING),
    'tflite_dynamic_range': Format(
        'model_dynamic_range.tflite', _DYNAMIC_RANGE,
        'TensorFlow Lite, weights of 8 bits', _DYNAMIC_RANGE),
    'tflite_int8': Format(
        'model_int8.tflite', _INT8,
        'TensorFlow Lite, whole numbers of 8 bits throughout', _INT8),
    'onnx': Format(
        'model.onnx', _EXACT,
        'ONNX, float32, or 8 bits of a quantized checkpoint', _OTHER_ROUNDING),
    'torch': Format(
        'torch_model', _EXACT,
        'source of PyTorch, and its weights as safetensors'),
    'keras': Format(
        'model.keras', _EXACT,
        'Keras 3, a functional model of standard layers'),
    'openvino': Format(
        'openvino_model', _EXACT,
        'OpenVINO IR, float32, or 8 bits of a quantized checkpoint', _OTHER_ROUNDING),
}


def tolerance_of(name: str, is_quantized: bool) -> Tolerance:
  """Returns how far an export may be off.

  Args:
    name: of the format.
    is_quantized: whether the network itself rounds its values.
  """
  row = FORMATS[name]
  return row.of_quantized if is_quantized else row.tolerance


def check_names(names: Sequence[str]) -> None:
  """Raises UserError for an unknown format, or for none."""
  if not names:
    raise diagnostics.UserError(
        f"--format names no format: choose from {', '.join(FORMATS)}")
  for name in names:
    if name not in FORMATS:
      raise diagnostics.unknown_name('format', name, FORMATS)
