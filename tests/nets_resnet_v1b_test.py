"""ResNet v1b computes what PyTorch's ResNet does, with PyTorch's weights.

The reference is written from torchvision's description of the network: its layers by
their names, its paddings, batch norm with epsilon 1e-5. PyTorch is not needed.
"""

import numpy as np
import pytest

from slim_zoo.catalog import architectures, networks
from slim_zoo.weight_conversion import engine, layers, pairs, slim_networks
from tests import random_weights
from tests.evaluated_networks import skip_as_larger

NAMES = [name for name in networks.NETWORKS if name.startswith('resnet_v1b_')]


def windows(images, kernel, stride, padding, value=0.0):
  """Returns [batch, channels, height, width, kernel, kernel] of NCHW images."""
  sides = (padding, padding)
  images = np.pad(images, ((0, 0), (0, 0), sides, sides), constant_values=value)
  found = np.lib.stride_tricks.sliding_window_view(images, (kernel, kernel), (2, 3))
  return found[:, :, ::stride, ::stride]


class Reference:
  """torchvision's resnet50, resnet101 or resnet152 in evaluation mode, in NumPy.

  Args:
    arrays: the tensors of its state_dict by name.
    units: of layer1 to layer4.
  """

  def __init__(self, arrays, units):
    self._arrays, self._units = arrays, units

  def _convolve(self, net, name, norm, stride=1, padding=0):
    weight = self._arrays[f'{name}.weight']  # [out, in, height, width].
    net = np.einsum('bchwij,ocij->bohw', windows(
        net, weight.shape[2], stride, padding), weight, optimize=True)
    gamma, beta, mean, variance = (
        self._arrays[f'{norm}.{kind}'][:, None, None].astype(np.float64)
        for kind in ('weight', 'bias', 'running_mean', 'running_var'))
    return (net - mean) / np.sqrt(variance + 1e-5) * gamma + beta

  def _unit(self, net, name, stride):
    shortcut = net
    if f'{name}.downsample.0.weight' in self._arrays:
      shortcut = self._convolve(
          net, f'{name}.downsample.0', f'{name}.downsample.1', stride)
    net = np.maximum(self._convolve(net, f'{name}.conv1', f'{name}.bn1'), 0)
    net = np.maximum(
        self._convolve(net, f'{name}.conv2', f'{name}.bn2', stride, padding=1), 0)
    return np.maximum(
        self._convolve(net, f'{name}.conv3', f'{name}.bn3') + shortcut, 0)

  def logits(self, images):
    """Returns [batch, classes] for images [batch, height, width, channels]."""
    net = images.astype(np.float64).transpose(0, 3, 1, 2)
    net = np.maximum(self._convolve(net, 'conv1', 'bn1', stride=2, padding=3), 0)
    net = windows(net, 3, 2, 1, value=-np.inf).max((4, 5))
    for layer, count in enumerate(self._units, 1):
      for unit in range(count):
        stride = 2 if layer > 1 and unit == 0 else 1
        net = self._unit(net, f'layer{layer}.{unit}', stride)
    return net.mean((2, 3)) @ self._arrays['fc.weight'].T + self._arrays['fc.bias']


@pytest.mark.parametrize('name', NAMES)
def test_logits_are_those_of_pytorchs_network(name):
  """On an image of even and odd sides, where paddings would show."""
  skip_as_larger(name)
  number = int(name.rpartition('_')[2])
  pair = pairs.find(f'resnet{number}', 'pytorch')
  assert pair.model_name == name
  assert (pair.slim_variant, pair.needs_training) == ('', False)
  values = random_weights.values(pair.shapes(7, 3))
  arrays = engine.from_slim(values, pair.rows(), layers.PYTORCH).arrays
  images = np.random.default_rng(0).uniform(-2, 2, [2, 64, 53, 3]).astype(np.float32)
  expected = Reference(arrays, architectures.RESNET_UNITS[number]).logits(images)
  actual = slim_networks.run(pair, values, images)
  spread = np.ptp(expected)
  assert spread > 0
  assert np.abs(actual - expected).max() < 1e-6 * spread
