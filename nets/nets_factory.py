"""Networks by name, built under their arg scopes.

The rows are in `catalog.networks`; here they meet the functions they name.
"""

import functools
import importlib

from catalog import networks, taps
from nets import normalization
from tf_compat import slim


def _function(row: networks.Network, name: str):
  return getattr(importlib.import_module('nets.' + row.builder.split(':')[0]), name)


networks_map = {
    name: _function(row, row.builder.split(':')[1])
    for name, row in networks.NETWORKS.items()}
arg_scopes_map = {
    name: _function(row, row.arg_scope) for name, row in networks.NETWORKS.items()}


def get_network_fn(name, num_classes, weight_decay=0.0, is_training=False,
                   frozen_batch_norm_scopes=()):
  """Returns the function that builds a network.

  Args:
    name: a name of `catalog.networks.NETWORKS`.
    num_classes: number of logits; 0 or None returns the features before them.
    weight_decay: L2 penalty on the weights that the network regularizes.
    is_training: whether dropout is on and batch norm uses the batch's statistics.
    frozen_batch_norm_scopes: scopes whose batch norm keeps its moving statistics and
      normalizes by them in training too, see `normalization.frozen_batch_norm`.

  Returns:
    network_fn(images, **kwargs) -> (logits, end_points), with images float32
    [batch, height, width, channels] and kwargs as the network's function takes
    them, and with the attribute `default_image_size`.

  Raises:
    UserError: there is no such network; it is a ValueError.
  """
  networks.get_network(name)
  network, arg_scope_fn = networks_map[name], arg_scopes_map[name]

  @functools.wraps(network)
  def network_fn(images, **kwargs):
    with (slim.arg_scope(arg_scope_fn(weight_decay=weight_decay)),
          normalization.frozen_batch_norm(frozen_batch_norm_scopes)):
      return network(
          images, num_classes=num_classes, is_training=is_training, **kwargs)

  # Some callers ask a network function for its size whatever the network.
  network_fn.default_image_size = getattr(network, 'default_image_size', None)
  return network_fn


def feature_taps(name: str) -> dict[int, str]:
  """Returns {stride: end point name} of a network; see `catalog.taps.feature_taps`.

  Raises:
    UserError: there is no such network, or it has no taps.
  """
  return taps.feature_taps(name)
