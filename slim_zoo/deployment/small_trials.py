"""Measures how much faster single operations are in bfloat16, once on each machine."""

import hashlib
import os
import time
from collections.abc import Callable

from slim_zoo.deployment import processor, session_configs
from slim_zoo.files.user_cache import UserCache
from slim_zoo.tf_compat import tf

FILE = 'precision.json'
# Part of each key. Increase it when the measurement or the key changes.
_VERSION = 2
_ROUNDS = 5


def machine_key(kind: str) -> str:
  """Returns the part of a key for the machine, TensorFlow, XLA, and the measurement.

  Args:
    kind: of the measurement, such as 'step'.
  """
  # Different processors may have the same name.
  instructions = hashlib.sha256(' '.join(sorted(processor.instructions())).encode())
  # --xla sets this variable before TensorFlow is loaded.
  xla_flags = os.environ.get('TF_XLA_FLAGS', '').strip()
  return '; '.join([
      str(_VERSION), processor.name(), instructions.hexdigest()[:8],
      f'TensorFlow {tf.__version__}', *([xla_flags] if xla_flags else []), kind])


def factor_of_products(cache: UserCache) -> float:
  """Returns the time of float32 divided by that of bfloat16 for matrix products."""
  def product(dtype):
    matrix = _filled([1024, 1024], dtype)
    return tf.matmul(matrix, matrix)

  return _factor('products of matrices', product, cache)


def factor_of_depthwise(cache: UserCache) -> float:
  """Returns the time of float32 divided by that of bfloat16 for depthwise layers."""
  def layer(dtype):
    return tf.nn.depthwise_conv2d(
        _filled([8, 56, 56, 96], dtype), _filled([3, 3, 96, 1], dtype), [1, 1, 1, 1],
        'SAME')

  return _factor('depthwise convolutions', layer, cache)


def _filled(shape, dtype):
  return tf.Variable(tf.ones(shape, dtype), use_resource=False)


def _factor(kind: str, make: Callable, cache: UserCache) -> float:
  key = machine_key(kind)
  factor = (cache.find(key) or {}).get('factor')
  if not isinstance(factor, (int, float)):
    usual, reduced = (_seconds(make, dtype) for dtype in (tf.float32, tf.bfloat16))
    factor = round(usual / reduced, 2)
    cache.add(key, {'factor': factor})
  return factor


def _seconds(make, dtype):
  """Returns the shortest time of an operation."""
  with tf.Graph().as_default(), tf.device('/device:CPU:0'), tf.Session(
      config=session_configs.session_config()) as session:
    run = session.make_callable(make(dtype).op)
    session.run(tf.global_variables_initializer())
    shortest = float('inf')
    # The first run prepares the others.
    for _ in range(_ROUNDS + 1):
      start = time.perf_counter()
      run()
      shortest = min(shortest, time.perf_counter() - start)
  return shortest
