"""A network that predicts the motion between two frames from coarse to fine.

Its parts are those of PWC-Net (Sun et al. 2018, arXiv 1709.02371), at a small size:
features of both frames at several resolutions; at each one the features are warped by
the flow so far and compared at nearby positions, and convolutions predict a correction.

The flow is defined at the pixels of a frame at a `time`. At the time 0 these are the
pixels of the first frame. At the time 0.5 they are those of the middle frame, which
needs no known flow: both frames are warped to it and mixed, as in Liu et al. 2017,
Video frame synthesis using deep voxel flow, arXiv 1702.02463.
"""

from typing import NamedTuple

from slim_zoo import image_ops
from slim_zoo.tf_compat import slim, tf

SCOPE = 'MotionNet'
TIMES = {'flow': 0.0, 'middle': 0.5}
# By stride: the depth of the features, and the depths of the layers that predict.
_FEATURES = {2: 16, 4: 32, 8: 48, 16: 64}
_PREDICTORS = {4: (64, 48, 32), 8: (64, 48, 32), 16: (64, 48, 32)}
# Of the losses.
_WEIGHTS = {4: 1.0, 8: 0.5, 16: 0.25}
LARGEST_STRIDE = max(_FEATURES)
# Compared positions: this many to each side.
_RADIUS = 2


class Motion(NamedTuple):
  """The result of `build`.

  Attributes:
    flow: float32 [batch, height, width, 2] in pixels.
    pyramid: {stride: flow}, the coarsest first; float32 [batch, height / stride,
      width / stride, 2], in pixels of the frames.
    image: float32 [batch, height, width, 3], the frame at the time.
  """

  flow: tf.Tensor
  pyramid: dict
  image: tf.Tensor


def build(first: tf.Tensor, second: tf.Tensor, time: float,
          weight_decay: float = 1e-5) -> Motion:
  """Builds the network.

  Args:
    first: float32 [batch, height, width, 3], values from 0 to 1. The sides are
      multiples of `LARGEST_STRIDE`.
    second: the same shape.
    time: 0: the flow of the first frame; 0.5: that of the middle one.
    weight_decay: L2 penalty on the weights.
  """
  with tf.variable_scope(SCOPE), slim.arg_scope(
      [slim.conv2d], activation_fn=_leaky_relu,
      weights_initializer=tf.variance_scaling_initializer(2.0),
      weights_regularizer=slim.l2_regularizer(weight_decay)):
    maps = _features(tf.concat([first, second], 0))
    flow, hidden, pyramid = None, None, {}
    for stride in sorted(_PREDICTORS, reverse=True):
      flow, hidden = _refine(maps[stride], flow, hidden, stride, time)
      pyramid[stride] = flow
    flow = _resize(flow, min(_PREDICTORS))
    if not time:
      return Motion(flow, pyramid, first)
    return Motion(flow, pyramid, _mix(first, second, flow, hidden, time))


def warp_both(first, second, flow, time: float) -> tuple:
  """Returns both images, moved to a time by the flow that is defined at its pixels."""
  if not time:
    return first, image_ops.inverse_warp(second, flow)
  return (image_ops.inverse_warp(first, -time * flow),
          image_ops.inverse_warp(second, (1 - time) * flow))


def _leaky_relu(values):
  # TensorFlow's optimizer of graphs prints an error about tf.nn.leaky_relu.
  return tf.maximum(values, 0.1 * values)


def _features(images):
  """Returns {stride: features} of both frames, the second behind the first."""
  net, maps = images - 0.5, {}
  for stride, depth in _FEATURES.items():
    net = slim.conv2d(net, depth, 3, 2, scope=f'features_{stride}/reduced')
    net = slim.conv2d(net, depth, 3, scope=f'features_{stride}/same')
    maps[stride] = net
  return maps


def _normalized(features):
  """Returns features without their mean in each image, of the length 1 at each pixel.

  Their products are then a measure of likeness from the first step on. Jonschkowski et
  al. 2020, What matters in unsupervised optical flow, arXiv 2006.04902, found that
  normalized features are needed.
  """
  centred = features - tf.reduce_mean(features, [1, 2], keepdims=True)
  squares = tf.reduce_sum(centred ** 2, 3, keepdims=True)
  return centred * tf.math.rsqrt(squares + 1e-6)


def _refine(features, flow, hidden, stride, time):
  """Returns the flow at a resolution, and the features that predict it."""
  first, second = tf.split(_normalized(features), 2)
  if flow is None:
    warped, inputs = (first, second), []
  else:
    flow, hidden = _resize(flow, 2), _resize(hidden, 2)
    warped = warp_both(first, second, flow / stride, time)
    inputs = [flow / stride, hidden]
  net = tf.concat([correlate(*warped, time), *warped, *inputs], 3)
  for number, depth in enumerate(_PREDICTORS[stride], 1):
    net = slim.conv2d(net, depth, 3, scope=f'flow_{stride}/conv{number}')
  change = stride * slim.conv2d(
      net, 2, 3, activation_fn=None, scope=f'flow_{stride}/change',
      weights_initializer=tf.truncated_normal_initializer(stddev=0.01))
  return (change if flow is None else flow + change), net


def correlate(first: tf.Tensor, second: tf.Tensor, time: float,
              radius: int = _RADIUS) -> tf.Tensor:
  """Returns the products of features at nearby positions, added up over the depth.

  At the time 0 the position in the second map changes by an offset. At other times it
  changes in both maps, in opposite directions.

  Args:
    first: float32 [batch, height, width, depth].
    second: the same shape.
    time: of the pixels, see `build`.
    radius: the largest offset.

  Returns:
    float32 [batch, height, width, (2 * radius + 1) ** 2]: an offset (x, y) is at
    (y + radius) * (2 * radius + 1) + x + radius.
  """
  count = 2 * radius + 1
  size = tf.shape(first)[1:3]
  # All rows at once: fewer operations than one for each offset.
  second = _shifted_rows(_padded(second, radius), size[0], range(count))
  if time:
    first = _shifted_rows(_padded(first, radius), size[0], range(count)[::-1])
  else:
    first = first[:, None]
  products = []
  for column in range(count):
    left = count - 1 - column
    own = first[..., left:left + size[1], :] if time else first
    products.append(tf.reduce_sum(own * second[..., column:column + size[1], :], 4))
  # [batch, rows of offsets, height, width, columns of offsets].
  products = tf.transpose(tf.stack(products, 4), [0, 2, 3, 1, 4])
  products = tf.reshape(products, tf.concat([tf.shape(products)[:3], [count ** 2]], 0))
  products.set_shape([None, None, None, count ** 2])
  return products


def _padded(features, radius):
  return tf.pad(features, [[0, 0], [radius, radius], [radius, radius], [0, 0]])


def _shifted_rows(features, height, starts):
  """Returns parts that begin at different rows, [batch, starts, height, ...]."""
  return tf.stack([features[:, row:row + height] for row in starts], 1)


def _resize(values, factor):
  size = tf.shape(values)[1:3] * factor
  resized = tf.image.resize_bilinear(values, size, half_pixel_centers=True)
  resized.set_shape([values.shape[0], None, None, values.shape[3]])
  return resized


def _mix(first, second, flow, hidden, time):
  """Returns the frame at a time, from both frames and small corrections."""
  warped = warp_both(first, second, flow, time)
  net = tf.concat([*warped, flow / 8, _resize(hidden, min(_PREDICTORS))[..., :8]], 3)
  net = slim.conv2d(net, 16, 3, scope='mix/conv1')
  net = slim.conv2d(net, 16, 3, scope='mix/conv2')
  net = slim.conv2d(net, 4, 3, activation_fn=None, scope='mix/output',
                    weights_initializer=tf.truncated_normal_initializer(stddev=0.01))
  share = tf.sigmoid(net[..., :1])
  return share * warped[0] + (1 - share) * warped[1] + net[..., 1:]


def losses(motion: Motion, clip: dict[str, tf.Tensor],
           mode: str) -> dict[str, tuple[tf.Tensor, float]]:
  """Returns the losses of a mode and their weights by name.

  The losses of low resolutions make the coarse flows useful.

  Args:
    motion: of `build`.
    clip: of `records.batches`.
    mode: 'flow': the distance to the flow, in pixels; 'middle': the mean absolute error
      of the middle frame, and of both warped frames at low resolutions.

  Returns:
    {name: (float32 scalar, weight)}.
  """
  found = {}
  for stride, flow in motion.pyramid.items():
    if mode == 'flow':
      difference = flow - _reduce(clip['flow'], stride)
      # The square root has no finite gradient at 0.
      value = tf.reduce_mean(tf.sqrt(tf.reduce_sum(difference ** 2, 3) + 1e-4))
    else:
      first, second, middle = (
          _reduce(clip[name], stride) for name in ('first', 'second', 'middle'))
      warped = warp_both(first, second, flow / stride, TIMES[mode])
      value = sum(tf.reduce_mean(tf.abs(image - middle)) for image in warped) / 2
    found[f'{mode}_{stride}'] = value, _WEIGHTS[stride]
  if mode == 'middle':
    found['middle'] = tf.reduce_mean(tf.abs(motion.image - clip['middle'])), 1.0
  return found


def _reduce(values, stride):
  return tf.nn.avg_pool2d(values, stride, stride, 'VALID')
