"""Small trials: which types, layouts and compilers this machine supports.

Without them a missing kernel is an error only after the graph is built, and a flag
without effect is not noticed. `nets/precision.py` lists the other code for 16 bits.
"""

import time
from collections.abc import Callable, Sequence

from slim_zoo import diagnostics
from slim_zoo.tf_compat import tf

# Of the operations that XLA made of others.
COMPILED = {'_XlaRun', 'XlaLaunch'}
# A type that takes so many times as long as float32 is reported, or refused. Without
# instructions for float16 a CPU takes 8 to 20 times as long in the trial, which is
# usable for a look at a run; 250 times was seen too, which is not.
SLOWER, TOO_SLOW = 1.5, 40.0
# A trial takes so many rounds, or fewer if one round takes long.
_ROUNDS, _MOST_SECONDS = 5, 1.0


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
    _convolve(dtype, 'NHWC', device)
  except tf.errors.OpError as error:
    raise diagnostics.UserError(
        f'--precision={dtype.name}: {_kind(device)} of this machine has no'
        f' convolution in {dtype.name}: leave the flag out') from error


def check_speed(dtype: tf.DType, device: str = '', is_refused: bool = True,
                measure: Callable | None = None) -> str | None:
  """Compares the time of training steps in a type with that in float32.

  Some CPUs compute a 16-bit type without instructions for it, hundreds of times slower.

  Args:
    dtype: of images and weights.
    device: '' for TensorFlow's choice.
    is_refused: whether a type that is far too slow is an error, not a note.
    measure: called as measure(dtypes, device), returns the seconds of a step in each;
      by default `seconds_of_steps`.

  Returns:
    A note with the factor if the type is slower than float32, else None.

  Raises:
    UserError: it takes more than `TOO_SLOW` times as long.
  """
  usual, seconds = (measure or seconds_of_steps)([tf.float32, dtype], device)
  factor = seconds / usual
  if factor < SLOWER:
    return None
  line = (f'--precision={dtype.name}: {_kind(device)} of this machine takes'
          f' {factor:.3g} times as long in {dtype.name} as in float32 (a step of a'
          f' small network: {seconds:.2g} s, not {usual:.2g} s)')
  if factor <= TOO_SLOW or not is_refused:
    return line
  other = ', or try bfloat16' if dtype == tf.float16 else ''
  raise diagnostics.UserError(f'{line}: leave the flag out{other}')


def seconds_of_steps(dtypes: Sequence[tf.DType], device: str = '') -> list[float]:
  """Returns the seconds of a training step of the same small network in some types."""
  with tf.Graph().as_default(), tf.device(device):
    steps = [_small_training_step(dtype) for dtype in dtypes]
    initializer = tf.global_variables_initializer()
    with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
      session.run(initializer)
      return shortest_seconds([session.make_callable(step) for step in steps])


def shortest_seconds(functions: Sequence[Callable], clock: Callable = time.perf_counter
                     ) -> list[float]:
  """Returns the shortest time of each function, called in turn.

  The first call of each, which prepares it, does not count. There are no more than
  `_ROUNDS` others, and no new round once `_MOST_SECONDS` have passed in them.

  Args:
    functions: called without arguments.
    clock: returns seconds.
  """
  for function in functions:
    function()
  shortest, begin = [float('inf')] * len(functions), clock()
  for _ in range(_ROUNDS):
    for index, function in enumerate(functions):
      start = clock()
      function()
      shortest[index] = min(shortest[index], clock() - start)
    if clock() - begin > _MOST_SECONDS:
      break
  return shortest


def _small_training_step(dtype):
  """Returns a value that takes both passes of layers that need a CPU's time."""
  images, kernel, weights = [
      tf.Variable(tf.fill(shape, tf.constant(0.01, dtype)))
      for shape in ([4, 14, 14, 32], [5, 5, 32, 64], [7 * 7 * 64, 128])]
  features = tf.nn.relu(tf.nn.conv2d(images, kernel, 1, 'SAME'))
  features = tf.nn.max_pool2d(features, 2, 2, 'SAME')
  logits = tf.matmul(tf.reshape(features, [4, -1]), weights)
  gradients = tf.gradients(logits, [images, kernel, weights])
  # One value of each: TensorFlow leaves out gradients whose values nobody reads.
  return tf.stack([tf.reshape(gradient, [-1])[0] for gradient in gradients])


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
