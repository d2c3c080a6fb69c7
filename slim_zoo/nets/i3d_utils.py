"""Layers of the video networks I3D and S3D-G: Inception v1 inflated to clips.

Carreira and Zisserman 2017 (arXiv 1705.07750) add a third dimension, time, to each
filter of Inception v1; Xie et al. 2018 (arXiv 1712.04851) split such a filter into one
over space and one over time. Clips are [batch, frames, height, width, channels]
('NDHWC'), or with channels second ('NCDHW'), which only some GPUs support.
"""

from collections.abc import Callable
from typing import NamedTuple

from slim_zoo import diagnostics
from slim_zoo.nets import inception_blocks, inception_heads, inception_v1, normalization
from slim_zoo.nets.rows import Options, trunc_normal
from slim_zoo.tf_compat import slim, tf

DATA_FORMATS = ('NDHWC', 'NCDHW')


def center_initializer():
  """Returns an initializer with which a temporal filter is the identity.

  The shape is [frames, 1, 1, in, out]: the identity at the central frame, zeros at the
  others. So an inflated network starts with the outputs of the image network.
  """

  def initialize(shape, dtype=tf.float32, partition_info=None):
    del partition_info
    frames, height, width, depth_in, depth_out = [int(length) for length in shape]
    if (height, width) != (1, 1):
      raise ValueError(
          f'center_initializer is for filters over time, [frames, 1, 1, in, out],'
          f' not {list(shape)}')
    center = tf.reshape(tf.eye(depth_in, depth_out, dtype=dtype),
                        [1, 1, 1, depth_in, depth_out])
    before = (frames - 1) // 2
    return tf.pad(center, [[before, frames - 1 - before]] + [[0, 0]] * 4)

  return initialize


def _triple(size):
  return [size] * 3 if isinstance(size, int) else list(size)


@slim.add_arg_scope
def conv3d_spatiotemporal(inputs, num_outputs, kernel_size, stride=1, padding='SAME',
                          activation_fn=None, normalizer_fn=None,
                          normalizer_params=None, weights_regularizer=None,
                          separable=False, data_format='NDHWC', scope=''):
  """Convolves over time and space, at once or one after the other.

  Args:
    inputs: float [batch, frames, height, width, channels], or in `data_format`.
    num_outputs: depth of the output.
    kernel_size: frames, height and width of the kernel; an int is all three.
    stride: as `kernel_size`.
    padding: 'SAME' or 'VALID'.
    activation_fn: after each convolution, or None.
    normalizer_fn: after the convolution; after the spatial one if it is split.
    normalizer_params: arguments of `normalizer_fn`.
    weights_regularizer: regularizer of the weights, or None.
    separable: whether a kernel over time and space is split in two: over space under
      `scope`, then over time under `scope`/temporal.
    data_format: 'NDHWC' or 'NCDHW'.
    scope: variable scope.

  Returns:
    float [batch, frames / stride, height / stride, width / stride, num_outputs].
  """
  frames, *space = _triple(kernel_size)
  frame_stride, *space_stride = _triple(stride)
  normalizer_params = dict(normalizer_params or {})
  if normalizer_fn is not None and data_format == 'NCDHW':
    # The normalizers know the channel axis by the names of image formats.
    normalizer_params['data_format'] = 'NCHW'
  common = {'padding': padding, 'activation_fn': activation_fn,
            'weights_regularizer': weights_regularizer, 'data_format': data_format}
  normalizer = {'normalizer_fn': normalizer_fn,
                'normalizer_params': normalizer_params}
  if not separable or frames == 1 or space == [1, 1]:
    return slim.conv3d(inputs, num_outputs, [frames, *space],
                       stride=[frame_stride, *space_stride], scope=scope,
                       **common, **normalizer)
  net = slim.conv3d(inputs, num_outputs, [1, *space], stride=[1, *space_stride],
                    scope=scope, **common, **normalizer)
  return slim.conv3d(net, num_outputs, [frames, 1, 1], stride=[frame_stride, 1, 1],
                     weights_initializer=center_initializer(), normalizer_fn=None,
                     scope=f'{scope}/temporal', **common)


@slim.add_arg_scope
def inception_block_v1_3d(inputs, num_outputs_0_0a, num_outputs_1_0a,
                          num_outputs_1_0b, num_outputs_2_0a, num_outputs_2_0b,
                          num_outputs_3_0b, temporal_kernel_size=3,
                          self_gating_fn=None, data_format='NDHWC', scope=''):
  """Builds a module of Inception v1 on clips.

  Args:
    inputs: float [batch, frames, height, width, depth], or in `data_format`.
    num_outputs_0_0a: depth of the 1x1 branch.
    num_outputs_1_0a: depth of the 1x1 before the first 3x3.
    num_outputs_1_0b: depth of the first 3x3.
    num_outputs_2_0a: depth of the 1x1 before the second 3x3.
    num_outputs_2_0b: depth of the second 3x3.
    num_outputs_3_0b: depth of the 1x1 after the pool.
    temporal_kernel_size: frames of the kernels of the 3x3 convolutions.
    self_gating_fn: called as self_gating_fn(net, scope=...) at the end of each branch.
    data_format: 'NDHWC' or 'NCDHW'.
    scope: variable scope.

  Returns:
    float [batch, frames, height, width, sum of the branches' depths].
  """
  kernel = [temporal_kernel_size, 3, 3]

  def conv(net, depth, size, name):
    return conv3d_spatiotemporal(
        net, depth, size, data_format=data_format, scope=name)

  def reduced_conv(reduced_depth, depth):
    net = conv(inputs, reduced_depth, 1, 'Conv2d_0a_1x1')
    return conv(net, depth, kernel, 'Conv2d_0b_3x3')

  def pool_projection():
    net = slim.max_pool3d(inputs, [3, 3, 3], stride=1, padding='SAME',
                          data_format=data_format, scope='MaxPool_0a_3x3')
    return conv(net, num_outputs_3_0b, 1, 'Conv2d_0b_1x1')

  branches = (  # The function that builds a branch, and the name of its last layer.
      (lambda: conv(inputs, num_outputs_0_0a, 1, 'Conv2d_0a_1x1'), 'Conv2d_0a_1x1'),
      (lambda: reduced_conv(num_outputs_1_0a, num_outputs_1_0b), 'Conv2d_0b_3x3'),
      (lambda: reduced_conv(num_outputs_2_0a, num_outputs_2_0b), 'Conv2d_0b_3x3'),
      (pool_projection, 'Conv2d_0b_1x1'),
  )
  outputs = []
  with tf.variable_scope(scope):
    for number, (branch, last) in enumerate(branches):
      with tf.variable_scope(f'Branch_{number}'):
        net = branch()
        outputs.append(self_gating_fn(net, scope=last) if self_gating_fn else net)
    return tf.concat(outputs, data_format.index('C'))


def reduced_kernel_size_3d(input_tensor, kernel_size):
  """Returns `kernel_size`, limited to the frames, height and width if known."""
  return [most if length is None else min(length, most) for length, most in zip(
      input_tensor.shape.as_list()[1:4], kernel_size, strict=True)]


class Conv(NamedTuple):
  """A row: a convolution with kernel [frames, height, width] and an optional gate.

  separable=None uses the value of the arg scope.
  """

  scope: str
  depth: int
  kernel: list[int]
  stride: int = 1
  gate: Callable | None = None
  separable: bool | None = None

  def build(self, net, options):
    """Convolves `net`."""
    separable = {} if self.separable is None else {'separable': self.separable}
    net = conv3d_spatiotemporal(net, options.width(self.depth), self.kernel,
                                stride=self.stride, scope=self.scope, **separable)
    return self.gate(net, scope=self.scope) if self.gate else net


class Pool(NamedTuple):
  """A row: a max pool of kernel and stride [frames, height, width]."""

  scope: str
  kernel: list[int]
  stride: list[int]

  def build(self, net, options):
    """Pools `net`."""
    del options
    return slim.max_pool3d(net, self.kernel, stride=self.stride, padding='SAME',
                           scope=self.scope)


class Mixed(NamedTuple):
  """A row: a module with the depths of `inception_v1.MODULES`."""

  scope: str
  frames: int
  gate: Callable | None = None

  def build(self, net, options):
    """Builds the module on `net`."""
    depths = [options.width(depth) for depth in inception_v1.MODULES[self.scope]]
    return inception_block_v1_3d(net, *depths, temporal_kernel_size=self.frames,
                                 self_gating_fn=self.gate, scope=self.scope)


# Kernel and stride; time is reduced later than space.
POOLS = {
    'MaxPool_4a_3x3': ([3, 3, 3], [2, 2, 2]),
    'MaxPool_5a_2x2': ([2, 2, 2], [2, 2, 2]),
}


def modules(frames_of, gate_of):
  """Yields the rows from Mixed_3b on; frames and gate are functions of the scope."""
  for scope in inception_v1.MODULES:
    if scope in inception_v1.POOLS:
      pool = inception_v1.POOLS[scope].scope
      yield Pool(pool, *POOLS[pool])
    yield Mixed(scope, frames_of(scope), gate_of(scope))


def build(inputs, rows, final_endpoint, scope, width=int, data_format='NDHWC'):
  """Builds the rows of a video network up to `final_endpoint`.

  Returns:
    (net, end_points): the output of that row, and all outputs by scope.

  Raises:
    UserError: the end point or data format does not exist, or `inputs` are not clips;
      it is a ValueError.
  """
  if data_format not in DATA_FORMATS:
    raise diagnostics.unknown_name('data_format', data_format, DATA_FORMATS)
  if inputs.shape.rank not in (None, 5):
    raise diagnostics.UserError(
        f'a video network needs clips [batch, frames, height, width, channels], not'
        f' inputs of shape {inputs.shape}')
  options = Options(width, data_format.index('C'))
  with tf.variable_scope(scope, 'InceptionV1', [inputs]):
    with slim.arg_scope([slim.conv3d], weights_initializer=trunc_normal(0.01)):
      with slim.arg_scope(
          [conv3d_spatiotemporal, inception_block_v1_3d, slim.max_pool3d],
          data_format=data_format):
        return inception_blocks.build(inputs, list(rows), final_endpoint, options)


def classify(net, end_points, num_classes, dropout_keep_prob, prediction_fn,
             spatial_squeeze, global_pool=False):
  """Adds the head: pool, logits of each pair of frames, mean over time.

  Args:
    net: features, float [batch, frames, height, width, depth].
    end_points: dict that receives the new end points.
    num_classes: number of logits; 0 or None builds none.
    dropout_keep_prob: share of activations that dropout keeps.
    prediction_fn: computes the end point 'Predictions' from the logits.
    spatial_squeeze: whether to remove the spatial dimensions of 1 x 1 logits.
    global_pool: whether to average over the whole images, of any size.

  Returns:
    (net, end_points): logits [batch, num_classes], or [batch, height, width,
    num_classes] without the squeeze; without classes, the pooled features.

  Raises:
    UserError: the logits are not 1 x 1 for the squeeze; it is a ValueError.
  """
  with tf.variable_scope('Logits'):
    if global_pool:
      net = tf.reduce_mean(net, [2, 3], keepdims=True, name='global_pool')
      end_points['global_pool'] = net
    net = slim.avg_pool3d(net, reduced_kernel_size_3d(net, [2, 7, 7]), stride=1,
                          padding='VALID', scope='AvgPool_0a_7x7')
    if not num_classes:
      return net, end_points
    net = slim.dropout(net, dropout_keep_prob, scope='Dropout_0b')
    logits = slim.conv3d(net, num_classes, [1, 1, 1], activation_fn=None,
                         normalizer_fn=None, scope='Conv2d_0c_1x1')
    logits = tf.reduce_mean(logits, 1, name='MeanOverTime')
    if spatial_squeeze:
      logits = inception_heads.squeeze(
          logits, 'global_pool=True or spatial_squeeze=False')
  end_points['Logits'] = logits
  end_points['Predictions'] = prediction_fn(logits, scope='Predictions')
  return logits, end_points


def arg_scope(weight_decay, batch_norm, **arguments):
  """Returns the arg scope of a video network.

  Args:
    weight_decay: L2 penalty on all weights.
    batch_norm: arguments of `slim.batch_norm`.
    **arguments: further arguments of `conv3d_spatiotemporal`.
  """
  with slim.arg_scope([slim.conv3d, conv3d_spatiotemporal],
                      weights_regularizer=slim.l2_regularizer(weight_decay)):
    with slim.arg_scope([conv3d_spatiotemporal], activation_fn=tf.nn.relu,
                        normalizer_fn=normalization.batch_norm,
                        normalizer_params=batch_norm, **arguments) as scope:
      return scope
