"""How timm_logits.npz was made: the logits of timm's networks for shared weights.

Not part of the suite and in need of what the project does not need: torch and timm
(made with 2.13.0 and 1.0.31). Every weight of a PyTorch network is given the value
that `tests/recipe.py` draws for the name and shape of the same variable here, and
the logits for two deterministic images are stored. From the root:

    python -m tests.data.se_contracts.make_se_logits
"""

import pathlib
import re

import numpy as np
import timm
import torch

from tests import recipe

# Neither square nor even on both sides: a wrong padding or axis shows.
IMAGES = (2, 75, 96, 3)
SEED = 7
TIMM_NAMES = {
    'se_resnet_v1_50': 'seresnet50',
    'se_resnet_v1_101': 'seresnet101',
    'se_resnet_v1_152': 'seresnet152',
    'resnext_50': 'resnext50_32x4d',
    'resnext_101': 'resnext101_32x4d',
    'se_resnext_50': 'seresnext50_32x4d',
    'se_resnext_101': 'seresnext101_32x4d',
}
LAYERS = {
    'conv1': 'conv1', 'bn1': 'conv1/BatchNorm', 'conv2': 'conv2',
    'bn2': 'conv2/BatchNorm', 'conv3': 'conv3', 'bn3': 'conv3/BatchNorm',
    'downsample.0': 'shortcut', 'downsample.1': 'shortcut/BatchNorm',
    'se.fc1': 'squeeze_excite/Conv', 'se.fc2': 'squeeze_excite/Conv_1',
    'fc': 'logits',
}
NORM_FIELDS = {'weight': 'gamma', 'bias': 'beta', 'running_mean': 'moving_mean',
               'running_var': 'moving_variance'}
FIELDS = {'weight': 'weights', 'bias': 'biases'}


def variable_name(network, key):
  """Returns the variable's name for a key of a PyTorch state."""
  layer, field = key.rsplit('.', 1)
  unit = re.fullmatch(r'layer(\d)\.(\d+)\.(.+)', layer)
  place = ''
  if unit:
    place = f'block{unit[1]}/unit_{int(unit[2]) + 1}/bottleneck_v1/'
    layer = unit[3]
  layer = LAYERS[layer]
  fields = NORM_FIELDS if layer.endswith('BatchNorm') else FIELDS
  return f'{network}/{place}{layer}/{fields[field]}'


def values(network, key, like):
  """Returns the recipe's values for `key`, in PyTorch's layout."""
  shape = tuple(like.shape)
  if key == 'fc.weight':  # Here the logits are a 1x1 convolution.
    shape += (1, 1)
  if len(shape) == 4:
    filled = recipe.fill(
        variable_name(network, key), (*shape[2:], shape[1], shape[0]), SEED)
    return torch.from_numpy(filled.transpose(3, 2, 0, 1).reshape(like.shape).copy())
  return torch.from_numpy(recipe.fill(variable_name(network, key), shape, SEED))


def logits(network, timm_name):
  """Returns float32 [images, 1000]."""
  model = timm.create_model(timm_name).eval()
  state = model.state_dict()
  model.load_state_dict({
      key: like if key.endswith('num_batches_tracked') else values(network, key, like)
      for key, like in state.items()})
  images = recipe.images(IMAGES, SEED).transpose(0, 3, 1, 2).copy()
  with torch.inference_mode():
    return model(torch.from_numpy(images)).numpy()


if __name__ == '__main__':
  torch.set_num_threads(1)
  np.savez_compressed(
      pathlib.Path(__file__).parent / 'timm_logits.npz',
      **{name: logits(name, timm_name) for name, timm_name in TIMM_NAMES.items()})
