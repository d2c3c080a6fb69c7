"""The variables of a network, read from its graph."""

import inspect

from slim_zoo.catalog import networks, variables
from slim_zoo.nets import nets_factory
from slim_zoo.tf_compat import tf

# Primes that do not divide any layer's depth: a dimension that is a multiple of one
# depends on the images' channels or on the classes.
_CHANNELS = 1009
_CLASSES = 1013


def measure(name: str, **kwargs) -> variables.Variables:
  """Builds a network for training and returns its variables.

  Args:
    name: a name of `catalog.networks.NETWORKS`.
    **kwargs: go to the network's function, such as depth_multiplier=0.5.

  Raises:
    UserError: there is no such network.
  """
  row = networks.get_network(name)
  network_fn = nets_factory.get_network_fn(name, _CLASSES, is_training=True)
  size = network_fn.default_image_size
  frames = [] if row.frames is None else [row.frames]
  with tf.Graph().as_default():
    # Training has a global step; NASNet's drop path would create one otherwise.
    step = tf.train.get_or_create_global_step()
    network_fn(tf.placeholder(tf.float32, [2, *frames, size, size, _CHANNELS]),
               **kwargs)
    shapes = {variable.op.name: tuple(map(_dimension, variable.shape.as_list()))
              for variable in tf.global_variables() if variable is not step}
  return variables.Variables(
      shapes, kwargs.get('depth_multiplier', default_width(name)))


def default_width(name: str) -> float | None:
  """Returns the depth multiplier of a network; None if it has no such argument."""
  network = nets_factory.networks_map[name]
  # A network may be a partial of another, which the signature does not show.
  while hasattr(network, 'keywords'):
    if 'depth_multiplier' in network.keywords:
      return float(network.keywords['depth_multiplier'])
    network = network.func
  parameter = inspect.signature(network).parameters.get('depth_multiplier')
  return None if parameter is None else float(parameter.default)


def _dimension(size):
  """Returns a size, or its name if it depends on the channels or classes."""
  for prime, word in ((_CHANNELS, variables.CHANNELS), (_CLASSES, variables.CLASSES)):
    if size % prime == 0:
      return word if size == prime else f'{size // prime}*{word}'
  return size
