"""What the devices of this machine can compute, tried on something small.

A kernel that is missing would else show after the graph is built, or a flag that
changes nothing not at all.
"""

import diagnostics
from tf_compat import tf, without_start_up_noise

# Of the operations that XLA made of others.
COMPILED = {'_XlaRun', 'XlaLaunch'}


def check_xla() -> None:
  """Raises UserError if XLA compiles nothing in this process."""
  with tf.Graph().as_default():
    matrix = tf.Variable(tf.ones([8, 8]))
    # XLA leaves alone what is of few operations.
    product = tf.nn.relu(tf.matmul(matrix, matrix) * 2.0 + 1.0) - matrix
    ran = {node.op for node in _ran(tf.square(product))}
  if not ran & COMPILED:
    raise diagnostics.UserError(
        '--xla: XLA compiles nothing here: this TensorFlow is built without it, or was'
        ' loaded before the flag could reach it; leave the flag out')


def check_dtype(dtype: tf.DType, device: str = '') -> None:
  """Raises UserError if a device cannot train convolutions in a type.

  Args:
    dtype: of images and weights.
    device: '' for TensorFlow's choice.
  """
  try:
    # TensorFlow says once that float16 has no fast kernels on most CPUs.
    with without_start_up_noise():
      _convolve(dtype, 'NHWC', device)
  except tf.errors.OpError as error:
    raise diagnostics.UserError(
        f'--mixed_precision={dtype.name}: {_kind(device)} of this machine has no'
        f' convolution in {dtype.name}: leave the flag out') from error


def check_data_format(data_format: str, name: str, is_built_for_it: bool,
                      dtype: tf.DType = tf.float32, device: str = '') -> None:
  """Raises UserError if a network will not be computed in a data format.

  A network that is not built for NCHW may be computed in it all the same: on GPUs
  TensorFlow lays out convolutions as they are fastest.

  Args:
    data_format: 'NHWC', which is always right, or 'NCHW'.
    name: of the network.
    is_built_for_it: whether its builder takes the data format.
    dtype: that it computes in.
    device: '' for TensorFlow's choice.
  """
  if data_format == 'NHWC':
    return
  kind = _kind(device)
  try:
    ran = _convolve(dtype, data_format if is_built_for_it else 'NHWC', device)
  except tf.errors.OpError as error:
    raise diagnostics.UserError(
        f'--data_format={data_format}: {kind} of this machine has no convolution for'
        ' it: leave the flag out, or say NHWC') from error
  if not is_built_for_it and data_format not in ran:
    raise diagnostics.UserError(
        f'--data_format={data_format}: {name} is built for NHWC, and TensorFlow does'
        f' not lay it out otherwise on {kind} of this machine: leave the flag out, or'
        ' take a network of the NASNet family')


def _convolve(dtype, data_format, device):
  """Trains a convolution; returns the data formats that its kernels had."""
  with tf.Graph().as_default(), tf.device(device):
    images, weights = [
        tf.cast(tf.Variable(tf.ones(shape)), dtype)
        for shape in ([8, 8, 8, 8], [3, 3, 8, 8])]
    result = tf.nn.conv2d(images, weights, 1, 'SAME', data_format=data_format)
    nodes = _ran([result, *tf.gradients(result, [images, weights])])
  return {node.attr['data_format'].s.decode() for node in nodes
          if 'data_format' in node.attr}


def _ran(fetches):
  """Runs something in the default graph; returns all nodes that it took."""
  metadata = tf.RunMetadata()
  with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
    session.run(tf.global_variables_initializer())
    session.run(fetches, options=tf.RunOptions(output_partition_graphs=True),
                run_metadata=metadata)
  return [node for part in metadata.partition_graphs for node in part.node]


def _kind(device):
  is_on_gpu = 'CPU' not in device and tf.config.list_physical_devices('GPU')
  return 'the GPU' if is_on_gpu else 'the CPU'
