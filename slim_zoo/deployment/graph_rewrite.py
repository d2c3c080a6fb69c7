"""Computes in 16 bits with TensorFlow's graph rewriter, an option of a session.

The rewriter converts the inputs of convolutions and matrix products to 16 bits, and the
values between these operations. Variables, statistics of batch norm, softmax and losses
stay float32. The graph itself does not change, so it can run in float32 in one session
and in bfloat16 in another one.

  bfloat16  on CPUs, with the kernels of oneDNN
  float16   on GPUs
"""

import os

import numpy as np

from slim_zoo import diagnostics
from slim_zoo.deployment import (
    computation,
    session_configs,
    session_settings,
    small_trials,
)
from slim_zoo.deployment.session_settings import SessionSettings
from slim_zoo.files.user_cache import UserCache
from slim_zoo.tf_compat import tf

FLOAT32, BFLOAT16, FLOAT16 = 'float32', 'bfloat16', 'float16'

# The gradients of depthwise convolutions are slower in bfloat16. Their forward pass is
# faster on some processors and slower on others; docs/precision.md has measurements.
_FORWARD = 'DepthwiseConv2dNative'
_BACKWARD = (f'{_FORWARD}BackpropFilter', f'{_FORWARD}BackpropInput')
# The rewriter reads it whenever it rewrites a graph: what stays in float32.
_KEPT = 'TF_AUTO_MIXED_PRECISION_GRAPH_REWRITE_ALLOWLIST_REMOVE'
# Passes of the rewriter that do not make a network with constant weights faster in
# float32. Each copies the graph with its weights. The passes that choose the order of
# axes and that fuse layers stay on.
_WITHOUT_GAIN = (
    'arithmetic_optimization', 'common_subgraph_elimination', 'constant_folding',
    'debug_stripper', 'dependency_optimization', 'function_optimization',
    'implementation_selector', 'loop_optimization', 'shape_optimization')


def kept_operations(factor_of_depthwise: float) -> tuple[str, ...]:
  """Returns the types of the operations that stay in float32 beside bfloat16.

  Args:
    factor_of_depthwise: time of float32 divided by that of bfloat16 for the forward
      pass of a depthwise convolution.
  """
  return _BACKWARD if factor_of_depthwise >= 1 else (_FORWARD, *_BACKWARD)


def set_precision(config: tf.ConfigProto, dtype: str) -> tf.ConfigProto:
  """Sets in which type a session computes products; returns the same config.

  Args:
    config: of the session; it is changed.
    dtype: 'float32', 'bfloat16' on a CPU, or 'float16' on a GPU.
  """
  options = config.graph_options.rewrite_options
  if dtype == BFLOAT16:
    # A user may have a list of their own.
    if _KEPT not in os.environ:
      os.environ[_KEPT] = ','.join(kept_operations(
          small_trials.factor_of_depthwise(UserCache(small_trials.FILE))))
    options.auto_mixed_precision_onednn_bfloat16 = type(options).ON
  elif dtype == FLOAT16:
    options.auto_mixed_precision = type(options).ON
  return config


def frozen_config(settings: SessionSettings = session_settings.DEFAULTS,
                  dtype: str = FLOAT32, num_cpus: int = 1) -> tf.ConfigProto:
  """Returns the configuration of a session for a network with constant weights.

  In float32 most passes of the rewriter are off: the first run of vgg_a takes 8 s and
  5.2 GiB, not 20 s and 7.9 GiB as with `session_config`; later runs take the same time.
  In 16 bits all passes stay on: they convert the weights once, not in each run.

  Args:
    settings: memory of GPUs, threads.
    dtype: as for `set_precision`.
    num_cpus: logical devices that the CPU is divided into.
  """
  config = session_configs.session_config(settings, num_cpus=num_cpus)
  if dtype != FLOAT32:
    return set_precision(config, dtype)
  options = config.graph_options.rewrite_options
  for name in _WITHOUT_GAIN:
    setattr(options, name, type(options).OFF)
  options.memory_optimization = type(options).NO_MEM_OPT
  options.meta_optimizer_iterations = type(options).ONE
  return config


def rewrites(dtype: str, device: str = '') -> bool:
  """Returns whether the rewriter is what computes a type on a device."""
  return dtype == (FLOAT16 if is_on_gpu(device) else BFLOAT16)


def check(dtype: str, device: str = '') -> None:
  """Raises UserError if a session cannot compute in a type by the rewriter.

  Args:
    dtype: 'float32', 'bfloat16' or 'float16'.
    device: '' for TensorFlow's choice.
  """
  if dtype == FLOAT32:
    return
  where = 'the GPU' if is_on_gpu(device) else 'the CPU'
  if not rewrites(dtype, device):
    other = FLOAT16 if is_on_gpu(device) else BFLOAT16
    raise diagnostics.UserError(
        f'--precision={dtype}: finished networks compute in {other} on {where}, not in'
        f' {dtype}: use --precision={other} or --precision=float32')
  if not _has_effect(dtype, device):
    reason = (': oneDNN is turned off, unset TF_ENABLE_ONEDNN_OPTS'
              if os.environ.get('TF_ENABLE_ONEDNN_OPTS') == '0' else '')
    raise diagnostics.UserError(
        f'--precision={dtype}: this TensorFlow computes nothing in {dtype} on {where}'
        f'{reason}; use --precision=float32')


def is_on_gpu(device: str = '') -> bool:
  """Returns whether operations of a device, '' for the default, are on a GPU."""
  return 'CPU' not in device.upper() and bool(tf.config.list_physical_devices('GPU'))


def _has_effect(dtype, device):
  """Returns whether convolutions have the type in a session of that precision.

  What XLA compiles has no nodes that show a type, but the values are rounded.
  """
  nodes, values = _convolve(dtype, device)
  wanted = tf.as_dtype(dtype).as_datatype_enum
  if any(node.op in computation.COMPILED for node in nodes):
    return not np.array_equal(values, _convolve(FLOAT32, device)[1])
  return any('Conv2D' in node.op and node.attr['T'].type == wanted for node in nodes)


def _convolve(dtype, device):
  """Returns (nodes that ran, values) of convolutions in a session of a precision."""
  metadata = tf.RunMetadata()
  config = set_precision(session_configs.session_config(), dtype)
  with tf.Graph().as_default(), tf.device(device):
    images = tf.placeholder(tf.float32, [4, 16, 16, 8])
    # TensorFlow does not rewrite graphs of three operations.
    result = images
    for _ in range(2):
      result = tf.nn.relu(tf.nn.conv2d(result, tf.ones([3, 3, 8, 8]), 1, 'SAME'))
    with tf.Session(config=config) as session:
      # This number is not a number of 16 bits.
      values = session.run(
          result, {images: np.full(images.shape, 1.001)},
          options=tf.RunOptions(output_partition_graphs=True), run_metadata=metadata)
  return [node for part in metadata.partition_graphs for node in part.node], values
