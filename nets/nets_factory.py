"""Networks by name, built under their arg scopes.

The rows are in `catalog.networks`; here they meet the functions they name.
"""

import functools
import importlib
import inspect

import diagnostics
from catalog import networks, taps
from nets import normalization, precision
from tf_compat import slim, tf


def _function(row: networks.Network, name: str):
  return getattr(importlib.import_module('nets.' + row.builder.split(':')[0]), name)


networks_map = {
    name: _function(row, row.builder.split(':')[1])
    for name, row in networks.NETWORKS.items()}
arg_scopes_map = {
    name: _function(row, row.arg_scope) for name, row in networks.NETWORKS.items()}


def get_network_fn(name, num_classes, weight_decay=0.0, is_training=False,
                   frozen_batch_norm_scopes=(), compute_dtype=tf.float32,
                   data_format='NHWC'):
  """Returns the function that builds a network.

  Args:
    name: a name of `catalog.networks.NETWORKS`.
    num_classes: number of logits; 0 or None returns the features before them.
    weight_decay: L2 penalty on the weights that the network regularizes.
    is_training: whether dropout is on and batch norm uses the batch's statistics.
    frozen_batch_norm_scopes: scopes whose batch norm keeps its moving statistics and
      normalizes by them in training too, see `normalization.frozen_batch_norm`.
    compute_dtype: what the network computes in: tf.float32, or tf.float16 or
      tf.bfloat16 with float32 variables, see `precision.build`.
    data_format: 'NHWC', or 'NCHW' for networks that compute channels first. The
      images are channels last in either case.

  Returns:
    network_fn(images, **kwargs) -> (logits, end_points), with images float32
    [batch, height, width, channels] and kwargs as the network's function takes
    them, and with the attribute `default_image_size`.

  Raises:
    UserError: there is no such network, or it has no such data format; it is a
      ValueError.
  """
  networks.get_network(name)
  network, arg_scope_fn = networks_map[name], arg_scopes_map[name]
  if data_format != 'NHWC':
    if data_format not in data_formats(name):
      raise diagnostics.unknown_name(
          'data format', data_format, data_formats(name), f' for {name}')
    network = _channels_first(network)

  @functools.wraps(networks_map[name])
  def network_fn(images, **kwargs):
    arg_scope = arg_scope_fn(weight_decay=weight_decay)
    build = functools.partial(
        network, num_classes=num_classes, is_training=is_training, **kwargs)
    with normalization.frozen_batch_norm(frozen_batch_norm_scopes):
      if compute_dtype != tf.float32:
        return precision.build(build, images, arg_scope, compute_dtype)
      with slim.arg_scope(arg_scope):
        return build(images)

  # Some callers ask a network function for its size whatever the network.
  network_fn.default_image_size = getattr(
      networks_map[name], 'default_image_size', None)
  return network_fn


def data_formats(name: str) -> tuple[str, ...]:
  """Returns the data formats that a network can compute in, 'NHWC' before 'NCHW'."""
  network = networks_map[name]
  takes_one = hasattr(network, 'default_config') or (
      'data_format' in inspect.signature(network).parameters)
  return ('NHWC', 'NCHW') if takes_one else ('NHWC',)


def _channels_first(network):
  """Returns a network that computes channels first, on images channels last."""
  if hasattr(network, 'default_config'):  # Searched cells, which turn the images.
    config = network.default_config()
    config.data_format = 'NCHW'
    return functools.partial(network, config=config)

  def of_clips(images, **kwargs):
    return network(
        tf.transpose(images, [0, 4, 1, 2, 3]), data_format='NCDHW', **kwargs)

  return of_clips


def feature_taps(name: str) -> dict[int, str]:
  """Returns {stride: end point name} of a network; see `catalog.taps.feature_taps`.

  Raises:
    UserError: there is no such network, or it has no taps.
  """
  return taps.feature_taps(name)
