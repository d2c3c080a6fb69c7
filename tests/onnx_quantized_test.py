"""ONNX models of quantized checkpoints: weights of 8 bits, rounded activations."""

import collections

import numpy as np
import onnx
import pytest

from slim_zoo import diagnostics
from slim_zoo.exporting import pixel_graph, to_onnx
from slim_zoo.inference import inference_graph
from slim_zoo.tf_compat import tf
from tests import evaluated_networks, onnx_models, quantized_networks

# The logits of a network with random weights differ by few steps from image to image.
NETWORKS = {'mobilenet_v1_025': 32, 'lenet': 28}
LARGER = {'mobilenet_v2_035': 64, 'mobilenet_v3_small': 64, 'resnet_v1_50': 65,
          'inception_v1': 65, 'cifarnet': 32, 'resnet_v2_50': 65, 'se_resnet_v1_50': 65}


def export(folder, trained):
  """Returns the path of a model and its content."""
  path = str(folder / 'model.onnx')
  to_onnx.write(path, trained, inference_graph.of_network(trained))
  return path, onnx.load(path)


def expected_logits(trained, pixels):
  """Returns what the graph with fake quantization says."""
  network = inference_graph.of_network(trained)
  with tf.Graph().as_default(), tf.Session() as session:
    return session.run(network.attach(
        pixel_graph.scaled(tf.constant(pixels), trained))[0])


def constants(model):
  return {one.name: onnx.numpy_helper.to_array(one) for one in model.graph.initializer}


def step_of_logits(model):
  """Returns the scale of the values that the output 'logits:0' has."""
  makers = {node.output[0]: node for node in model.graph.node}
  node = makers[to_onnx.LOGITS]
  while node.op_type != 'DequantizeLinear':
    node = makers[node.input[0]]
  return float(constants(model)[node.input[1]])


def check_steps(path, trained, pixels, most=2):
  """Compares the logits with those of the fake quantization, in steps of the output."""
  expected, found = expected_logits(trained, pixels), onnx_models.run(path, pixels)
  step = step_of_logits(onnx.load(path))
  steps = np.abs(found - expected) / step
  assert steps.max() <= most + 0.01
  best = np.take_along_axis(expected, found.argmax(1)[:, None], 1)[:, 0]
  assert np.all(best >= expected.max(1) - (most + 0.01) * step)


@pytest.mark.parametrize('per_channel', [False, True], ids=['by tensor', 'by channel'])
@pytest.mark.parametrize('name', [*NETWORKS, *LARGER])
def test_a_network_rounds_as_its_checkpoint(name, per_channel, tmp_path):
  if name in LARGER:
    evaluated_networks.skip_unless_every_network()
  trained, pixels = quantized_networks.make(
      tmp_path, name, {**NETWORKS, **LARGER}[name], per_channel)
  path, model = export(tmp_path, trained)
  onnx_models.check(model)
  check_steps(path, trained, pixels)
  check_weights(model, per_channel)


def check_weights(model, per_channel):
  """Each layer has weights of 8 bits, and a bias of 32 if its input is rounded."""
  values = constants(model)
  makers = {node.output[0]: node for node in model.graph.node}
  kinds = collections.Counter()
  for layer in model.graph.node:
    if layer.op_type not in ('Conv', 'Gemm'):
      continue
    inputs, weights, *bias = [makers.get(name) for name in layer.input]
    assert weights.op_type == 'DequantizeLinear'
    numbers, scale, zero_point = (values[name] for name in weights.input)
    # A range of the whole tensor may be symmetric too.
    assert numbers.dtype == zero_point.dtype == np.int8 or not per_channel
    if numbers.dtype == np.int8:
      assert not zero_point.any()
      assert numbers.min() >= -127
    else:
      assert numbers.dtype == zero_point.dtype == np.uint8
      assert numbers.min() >= 1
    if per_channel:
      (axis,) = weights.attribute
      assert scale.shape == (numbers.shape[axis.i],)
    is_rounded = inputs.op_type == 'DequantizeLinear'
    kinds[is_rounded] += 1
    if is_rounded and bias:
      whole, product, zero_point = (values[name] for name in bias[0].input)
      assert whole.dtype == zero_point.dtype == np.int32
      np.testing.assert_allclose(
          product, values[inputs.input[1]] * scale, rtol=1e-6)
  assert kinds[True]


def test_the_file_is_a_quarter(tmp_path):
  trained, _ = quantized_networks.make(tmp_path, 'lenet', 28)
  export(tmp_path, trained)
  floats = onnx_models.network('lenet', 28)
  to_onnx.write(str(tmp_path / 'floats.onnx'), onnx_models.trained('lenet', 28),
                floats.folded)
  size = lambda name: (tmp_path / name).stat().st_size
  assert size('model.onnx') < 0.26 * size('floats.onnx')


def test_fewer_bits(tmp_path):
  trained, pixels = quantized_networks.make(
      tmp_path, 'lenet', 28, weight_bits=4, activation_bits=5)
  path, _ = export(tmp_path, trained)
  check_steps(path, trained, pixels)


def test_more_bits_are_refused(tmp_path):
  trained, _ = quantized_networks.make(tmp_path, 'lenet', 28, activation_bits=12)
  with pytest.raises(diagnostics.UserError, match=r'to 12 bits: .* at most 8'):
    export(tmp_path, trained)
