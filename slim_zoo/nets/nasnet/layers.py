"""Layers of searched cells in the arg scope's data format."""

from slim_zoo import diagnostics
from slim_zoo.nets import normalization
from slim_zoo.tf_compat import slim, tf

DATA_FORMAT_NCHW = 'NCHW'
DATA_FORMAT_NHWC = 'NHWC'
INVALID = 'null'  # There is no default format: the arg scope must set it.

_CHANNEL_INDICES = {DATA_FORMAT_NHWC: 3, DATA_FORMAT_NCHW: 1}


@slim.add_arg_scope
def get_channel_index(data_format=INVALID) -> int:
  """Returns the channel dimension of an image batch: 3 or 1.

  Raises:
    UserError: `data_format` is neither 'NHWC' nor 'NCHW'; it is a ValueError.
  """
  if data_format not in _CHANNEL_INDICES:
    raise diagnostics.unknown_name('data_format', data_format, _CHANNEL_INDICES)
  return _CHANNEL_INDICES[data_format]


@slim.add_arg_scope
def get_channel_dim(shape, data_format=INVALID) -> int:
  """Returns the number of channels in the static shape of an image batch."""
  return int(shape[get_channel_index(data_format=data_format)])


@slim.add_arg_scope
def global_avg_pool(x, data_format=INVALID):
  """Averages a batch of feature maps over space, to [batch, channels]."""
  return tf.reduce_mean(x, spatial_indices(get_channel_index(data_format=data_format)))


def spatial_indices(channel_index: int) -> list[int]:
  """Returns the dimensions of height and width in an image batch."""
  return [index for index in (1, 2, 3) if index != channel_index]


def static_sizes(net) -> list[int | None]:
  """Returns the height and width of a batch of feature maps, None if unknown."""
  shape = net.shape.as_list()
  return [shape[index] for index in spatial_indices(get_channel_index())]


@slim.add_arg_scope
def factorized_reduction(net, output_filters, stride, data_format=INVALID):
  """Changes size and depth of feature maps; uses every pixel row and column offset.

  Half of the output channels are computed from the pixels at (0, 0), (0, stride), ...,
  the other half from the pixels one further down and right, each by a 1x1 convolution.

  Args:
    net: float, a batch of feature maps in `data_format`.
    output_filters: depth of the output; if odd, the second half has one more.
    stride: distance of the pixels; 1 is a plain 1x1 convolution.
    data_format: 'NHWC' or 'NCHW'.

  Returns:
    float, a batch of feature maps of size ceil(size / stride).
  """
  channels = get_channel_index(data_format=data_format)
  with slim.arg_scope([slim.conv2d, slim.batch_norm], data_format=data_format):
    if stride == 1:
      net = slim.conv2d(net, output_filters, 1, scope='path_conv')
      return normalization.batch_norm(net, scope='path_bn')
    half = output_filters // 2
    shift = [int(index in spatial_indices(channels)) for index in range(4)]
    shifted = tf.pad(net, [[0, pixels] for pixels in shift])
    shifted = tf.slice(shifted, shift, [-1] * 4)
    net = tf.concat([
        slim.conv2d(net, half, 1, stride=stride, scope='path1_conv'),
        slim.conv2d(shifted, output_filters - half, 1, stride=stride,
                    scope='path2_conv'),
    ], channels)
    return normalization.batch_norm(net, scope='final_path_bn')


@slim.add_arg_scope
def drop_path(net, keep_prob, is_training=True):
  """Drops a path for random examples, and scales up the other examples.

  Args:
    net: float [batch, ...] of rank 4.
    keep_prob: the share of examples that are kept, a float or a scalar tensor.
    is_training: if False, `net` is returned unchanged.
  """
  if not is_training:
    return net
  # In float32: 16 bits are too coarse for a share near 1.
  keep_prob = tf.cast(keep_prob, tf.float32)
  noise = tf.random_uniform([tf.shape(net)[0], 1, 1, 1])
  return net * tf.cast(tf.floor(noise + keep_prob) / keep_prob, net.dtype)
