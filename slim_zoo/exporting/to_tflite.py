"""TensorFlow Lite models: float32, float16, dynamic range and whole numbers."""

import dataclasses
import zipfile
from collections.abc import Sequence

import numpy as np

from slim_zoo import diagnostics
from slim_zoo.checkpoints.trained_network import TrainedNetwork
from slim_zoo.datasets import labels
from slim_zoo.exporting import (
  dense_layers,
  pixel_graph,
  quantized_graph,
  tflite_types,
)
from slim_zoo.inference import inference_graph, quiet
from slim_zoo.tf_compat import tf

KINDS = ('tflite', 'tflite_float16', 'tflite_dynamic_range', 'tflite_int8')


def write(path: str, kind: str, trained: TrainedNetwork,
          network: inference_graph.InferenceGraph,
          calibration: Sequence[np.ndarray] = ()) -> None:
  """Writes a model that takes one image at a time and gives its probabilities.

  The images are pixels [1, height, width, channels] of 0 to 255: uint8 for
  tflite_int8, whose probabilities are uint8 too, float32 for all others. labels.txt
  lies inside, where phones' libraries look for it: `unzip` shows it.

  tflite_int8 of a quantized network has the ranges that its training learned, of
  others those of the calibration images, and an input of scale 1 and zero point 0.

  Args:
    path: the file to write.
    kind: one of KINDS.
    trained: the network to export.
    network: of `trained`, frozen and folded.
    calibration: uint8 images [height, width, channels] for tflite_int8, from which
      it learns the range of every value; not used for a quantized network.

  Raises:
    UserError: the network cannot be converted, or does not take pixels as they are.
  """
  has_ranges = kind == 'tflite_int8' and trained.quantized is not None
  if has_ranges:
    source = quantized_graph.build(trained, network)
    if trained.quantized.per_channel:
      source = _with_convolutions(source)
  else:
    source = pixel_graph.build(trained, network, batch_size=1)
  with source.graph.as_default(), tf.Session(graph=source.graph) as session:
    converter = tf.lite.TFLiteConverter.from_session(
        session, [source.images], [source.probabilities])
    if has_ranges:
      _take_ranges(converter, trained, source)
    else:
      _set_kind(converter, kind, calibration)
    with quiet.captured_output() as messages:
      try:
        model = converter.convert()
      except Exception as error:  # Converters raise nearly anything.
        raise diagnostics.UserError(
            f'{trained.model_name} cannot be converted to {kind}:'
            f' {quiet.first_line(error, messages)}; use another --format'
        ) from error
    if has_ranges and trained.quantized.per_channel:
      model = tflite_types.with_uint8_ends(model)
    if kind == 'tflite_int8':
      scale, zero_point = (
          (source.scale, source.zero_point) if has_ranges else (1, 0))
      _check_input(model, scale, zero_point)
  with open(path, 'wb') as file:
    file.write(model)
  # As TensorFlow Lite's metadata has it: a zip archive behind the model.
  with zipfile.ZipFile(path, 'a') as archive:
    names = labels.label_lines(dict(enumerate(trained.class_names)))
    archive.writestr('labels.txt', names.encode('utf-8', 'surrogateescape'))


def _with_convolutions(source):
  """Returns a quantized graph without fully connected layers."""
  graph_def = dense_layers.as_convolutions(source.graph.as_graph_def())
  with tf.Graph().as_default() as graph:
    tf.import_graph_def(graph_def, name='')
  return dataclasses.replace(
      source, graph=graph, **{
          name: graph.get_tensor_by_name(getattr(source, name).name)
          for name in ('images', 'logits', 'probabilities')})


def _with_full_range(image):
  """Returns the image with one black and one white pixel.

  The range of the input is that of the brightest and the darkest pixel that the
  converter sees. Two pixels hardly change the range of any other value.
  """
  image = image.copy()
  image[0, 0], image[-1, -1] = 0, 255
  return image


def _take_ranges(converter, trained, source):
  """Sets a converter to the ranges in the graph of a quantized network."""
  quantized = trained.quantized
  if (quantized.weight_bits, quantized.activation_bits) != (8, 8):
    raise diagnostics.UserError(
        f'{trained.checkpoint} is quantized to {quantized}: tflite_int8 has 8 bits for'
        ' both; use --format=saved_model, which rounds as training did')
  # Weights by channel are int8 in TensorFlow Lite, and activations with them.
  converter.inference_type = tf.int8 if quantized.per_channel else tf.uint8
  zero_point = source.zero_point - (128 if quantized.per_channel else 0)
  converter.quantized_input_stats = {
      source.images.op.name: (zero_point, 1 / source.scale)}


def _check_input(model, scale, zero_point):
  """Raises UserError unless the input of a model is uint8 pixels of this scale."""
  with quiet.captured_output():
    interpreter = tf.lite.Interpreter(model_content=model)
    (details,) = interpreter.get_input_details()
  quantization = details['quantization']
  if details['dtype'] != np.uint8 or quantization[1] != zero_point or not np.isclose(
      quantization[0], scale, rtol=1e-6):
    raise diagnostics.UserError(
        f"the input of the tflite_int8 model is {details['dtype'].__name__} of scale"
        f' {quantization[0]:.6g} and zero point {quantization[1]}, expected uint8 of'
        f' {scale:.6g} and {zero_point}: the version of TensorFlow converts it in'
        ' another way; use --format=tflite_dynamic_range')


def _set_kind(converter, kind, calibration):
  if kind == 'tflite':
    return
  converter.optimizations = [tf.lite.Optimize.DEFAULT]
  if kind == 'tflite_float16':
    converter.target_spec.supported_types = [tf.float16]
  if kind == 'tflite_int8':
    converter.representative_dataset = lambda: (
        [image[np.newaxis].astype(np.float32)]
        for image in [*calibration, _with_full_range(calibration[0])])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.uint8
    converter.inference_output_type = tf.uint8
