"""TextScanner: a fully convolutional network that reads the digits of a line in order.

Wan et al. 2020, arXiv 1912.12422. Three branches on the features of a backbone:

    characters    the class of each cell: background or one of ten digits
    localization  where the centres of the digits are
    order         which position in the line a cell belongs to; a recurrent layer over
                  the columns counts the digits

Differences from the paper: the number of channels; the features of the branches are the
sum of the backbone's maps; the recurrent layer goes from left to right only; there is
no mutual supervision.
"""

import contextlib
import dataclasses
import json
import os
from collections.abc import Callable
from typing import NamedTuple

from examples.read_text import lines, targets
from slim_zoo import diagnostics
from slim_zoo.files import atomic
from slim_zoo.nets import nets_factory, normalization
from slim_zoo.tf_compat import slim, tf

SCOPE = 'TextScanner'
_DECAY = 0.99
_FILE = 'architecture.json'


@dataclasses.dataclass(frozen=True)
class Architecture:
  """What the network is made of.

  Attributes:
    backbone: a name of `catalog.networks.NETWORKS`.
    strides: of the feature maps, in pixels of the enlarged image.
    enlarged: how often larger the backbone sees the lines: at stride 8, a line of 32
      pixels has 4 rows only.
    channels: of the features of the branches.
  """

  backbone: str = 'lenet'
  strides: tuple[int, ...] = (2, 4)
  enlarged: int = 1
  channels: int = 64

  def __str__(self):
    strides = ','.join(map(str, self.strides))
    return f'--backbone={self.backbone} --strides={strides} --enlarged={self.enlarged}'


def save_architecture(architecture: Architecture, folder: str) -> None:
  """Writes an architecture to the folder of its checkpoints, which is created.

  Raises:
    UserError: the folder has another one.
  """
  os.makedirs(folder, exist_ok=True)
  if atomic.read_json(os.path.join(folder, _FILE)) and (
      load_architecture(folder) != architecture):
    raise diagnostics.UserError(
        f"'{folder}' has a network of {load_architecture(folder)}: give the network of"
        f' {architecture} another --train_dir')
  atomic.write_text(os.path.join(folder, _FILE), json.dumps(
      dataclasses.asdict(architecture), indent=2) + '\n')


def load_architecture(folder: str) -> Architecture:
  """Returns the architecture of the checkpoints in a folder.

  Raises:
    UserError: there is none.
  """
  values = atomic.read_json(os.path.join(folder, _FILE))
  if values is None:
    raise diagnostics.UserError(
        f"'{folder}' has no trained network: expected {_FILE} and checkpoints; train"
        ' one with python -m examples.read_text train')
  return Architecture(**{**values, "strides": tuple(values["strides"])})


class Maps(NamedTuple):
  """The outputs of the network, rows x columns cells.

  Attributes:
    characters: float32 [batch, rows, columns, CLASSES], logits; 0 is the background.
    localization: float32 [batch, rows, columns], logits.
    order: float32 [batch, rows, columns, ORDERS], logits; 0 is the background.
  """

  characters: tf.Tensor
  localization: tf.Tensor
  order: tf.Tensor


class Readings(NamedTuple):
  """Probabilities, as the word formation needs them.

  Attributes:
    characters: float32 [batch, rows, columns, CLASSES].
    orders: float32 [batch, rows, columns, MOST_DIGITS]: the order segmentation times
      the localization, for each position of the line.
    localization: float32 [batch, rows, columns].
  """

  characters: tf.Tensor
  orders: tf.Tensor
  localization: tf.Tensor


def build(images: tf.Tensor, architecture: Architecture, is_training: bool = False,
          weight_decay: float = 1e-4) -> Maps:
  """Builds the network.

  Args:
    images: uint8 [batch, lines.HEIGHT, lines.WIDTH], dark ink on light paper.
    architecture: what it is made of.
    is_training: whether batch norm uses the batch's statistics.
    weight_decay: L2 penalty on the weights.

  Raises:
    UserError: the backbone does not exist, or has no feature map at a stride.
  """
  backbone = backbone_of(architecture, is_training, weight_decay)
  # Networks for ImageNet have slower averages than a run of minutes needs.
  with (normalization.batch_statistics(_DECAY) if is_training else
        contextlib.nullcontext()):
    maps, _ = backbone(_prepared(images, architecture.enlarged))
  size = [lines.HEIGHT // targets.CELL, lines.WIDTH // targets.CELL]
  with tf.variable_scope(SCOPE), slim.arg_scope(
      [slim.conv2d], normalizer_fn=normalization.batch_norm,
      normalizer_params={'is_training': is_training, 'decay': _DECAY, 'scale': True},
      weights_regularizer=slim.l2_regularizer(weight_decay)):
    features = _features(maps, size, architecture.channels)
    return Maps(_characters(features, architecture.channels, is_training),
                _localization(features, architecture.channels),
                _order(features, architecture.channels))


def backbone_of(architecture: Architecture, is_training: bool = False,
                weight_decay: float = 0.0) -> Callable:
  """Returns the function that builds the backbone; the arguments are those of `build`.

  Raises:
    UserError: the backbone does not exist, or has no feature map at a stride.
  """
  return nets_factory.get_feature_maps_fn(
      architecture.backbone, architecture.strides, weight_decay, is_training)


def readings(maps: Maps) -> Readings:
  """Returns the probabilities of the network's outputs."""
  localization = tf.sigmoid(maps.localization)
  orders = tf.nn.softmax(maps.order)[..., 1:] * localization[..., None]
  return Readings(tf.nn.softmax(maps.characters), orders, localization)


def _prepared(images, enlarged):
  """Returns lines with the mean 0 and the deviation 1, ink positive, in 3 channels."""
  images = tf.cast(images, tf.float32)[..., None]
  mean, variance = tf.nn.moments(images, [1, 2, 3], keepdims=True)
  images = (mean - images) * tf.rsqrt(variance + 16.0)
  if enlarged > 1:
    images = tf.image.resize_bilinear(
        images, [enlarged * lines.HEIGHT, enlarged * lines.WIDTH],
        half_pixel_centers=True)
  return tf.tile(images, [1, 1, 1, 3])


def _features(maps, size, channels):
  """Returns the sum of all maps at the size of the cells, the deepest first."""
  net = None
  for stride, features in maps.items():
    finer = features.shape.as_list()[1] // size[0]
    if finer > 1:
      features = slim.max_pool2d(features, finer, finer)
    features = slim.conv2d(features, channels, 1, scope=f'lateral_{stride}')
    net = features if net is None else _resized(net, features.shape[1:3]) + features
  net = slim.conv2d(_resized(net, size), channels, 3, scope='merged')
  return slim.conv2d(net, channels, 3, scope='features')


def _resized(net, size):
  size = [int(side) for side in size]
  if net.shape[1:3].as_list() == size:
    return net
  return tf.image.resize_bilinear(net, size, half_pixel_centers=True)


def _characters(net, channels, is_training):
  with tf.variable_scope('characters'):
    net = slim.conv2d(net, 2 * channels, 3, scope='conv1')
    net = slim.conv2d(net, 2 * channels, 3, scope='conv2')
    # There are few different digits to learn from.
    net = slim.dropout(net, 0.5, is_training=is_training)
    return _logits(net, targets.CLASSES)


def _localization(net, channels):
  with tf.variable_scope('localization'):
    net = slim.conv2d(net, channels // 2, 3, scope='conv1')
    return _logits(net, 1)[..., 0]


def _order(features, channels):
  """Returns the logits of the positions in the line."""
  with tf.variable_scope('order'):
    net = slim.conv2d(features, channels, 3, (2, 1), scope='conv1')
    net = slim.conv2d(net, channels, 3, (2, 1), scope='conv2')
    columns = tf.reduce_mean(net, 1)
    columns = recurrent(columns, channels, 'gru')
    context = slim.conv2d(columns[:, None], channels, 1, scope='context')
    net = slim.conv2d(features, channels, 1, scope='local') + context
    net = slim.conv2d(net, channels, 3, scope='conv3')
    return _logits(net, targets.ORDERS)


def _logits(net, depth):
  return slim.conv2d(net, depth, 1, activation_fn=None, normalizer_fn=None,
                     scope='logits')


def recurrent(columns: tf.Tensor, units: int, scope: str) -> tf.Tensor:
  """Returns the states of gated recurrent units along the columns, from the left.

  Cho et al. 2014, arXiv 1406.1078.

  Args:
    columns: float32 [batch, columns, channels], the number of columns known.
    units: length of the state.
    scope: of the variables.

  Returns:
    float32 [batch, columns, units].
  """
  with tf.variable_scope(scope):
    inputs = slim.fully_connected(
        columns, 3 * units, activation_fn=None, scope='inputs')
    state = tf.zeros([tf.shape(columns)[0], units])
    states = []
    with tf.variable_scope('cell', reuse=tf.AUTO_REUSE):
      for column in tf.unstack(inputs, axis=1):
        state = _cell(column, state, units)
        states.append(state)
  return tf.stack(states, 1)


def _cell(column, state, units):
  """Returns the state after a column."""
  of_gates, of_candidate = column[:, :2 * units], column[:, 2 * units:]
  weights = {'activation_fn': None, 'biases_initializer': None,
             'weights_initializer': tf.orthogonal_initializer()}
  update, reset = tf.split(tf.sigmoid(of_gates + slim.fully_connected(
      state, 2 * units, scope='gates', **weights)), 2, 1)
  candidate = tf.tanh(of_candidate + slim.fully_connected(
      reset * state, units, scope='candidate', **weights))
  return update * state + (1 - update) * candidate
