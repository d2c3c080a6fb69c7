"""How long Python takes to build each network, beside tf_slim's own where it has it.

  python -m benchmarks.graph_building
  python -m benchmarks.graph_building --filter=resnet_v2_152 --rounds=5

Both are built in turn in one process, in training mode, under their own arg scopes;
the medians and their ratio are printed as a Markdown table. tf_slim's networks are
built with this project's door to TensorFlow too: without it they do not start.
"""

import fnmatch
import gc
import importlib
import statistics
import time

from absl import flags

from slim_zoo import diagnostics
from slim_zoo.commands import running

FLAGS = flags.FLAGS
flags.DEFINE_string('filter', '*', 'Glob pattern of the names of the networks.')
flags.DEFINE_integer('rounds', 3, 'How often each network is built.', lower_bound=1)


def wheel_network_fn(name: str):
  """Returns build(images) of the network in tf_slim.nets; None if it has none."""
  from slim_zoo.catalog import networks
  from slim_zoo.tf_compat import slim
  row = networks.NETWORKS[name]
  module_name = row.builder.split(':')[0]
  try:
    module = importlib.import_module(f'tf_slim.nets.{module_name}')
    network = getattr(module, name)
  except (ImportError, AttributeError):
    return None
  arg_scope = getattr(module, row.arg_scope, None)
  if arg_scope is None:
    return None

  def build(images):
    with slim.arg_scope(arg_scope(weight_decay=1e-4)):
      return network(images, num_classes=1001, is_training=True)

  return build


def seconds_to_build(build, shape) -> float:
  """Returns the time that build(images) takes in an empty graph."""
  from slim_zoo.tf_compat import tf
  gc.collect()
  with tf.Graph().as_default():
    images = tf.placeholder(tf.float32, shape)
    start = time.perf_counter()
    build(images)
    return time.perf_counter() - start


def measure(name: str) -> tuple[float, float | None]:
  """Returns the median times of ours and of the wheel's, built in turn."""
  from slim_zoo.catalog import networks
  from slim_zoo.nets import nets_factory
  row = networks.NETWORKS[name]
  ours = nets_factory.get_network_fn(name, 1001, 1e-4, is_training=True)
  frames = [row.frames] if row.frames else []
  shape = [None, *frames, *[ours.default_image_size] * 2, row.channels]
  theirs = wheel_network_fn(name)
  times = {ours: [], theirs: []}
  for _ in range(FLAGS.rounds):
    for build in (ours, theirs):
      if build is not None:
        times[build].append(seconds_to_build(build, shape))
  return statistics.median(times[ours]), (
      statistics.median(times[theirs]) if theirs else None)


def main(_):
  """Prints a line for each network as soon as it is measured."""
  from slim_zoo.catalog import networks
  names = [name for name in networks.NETWORKS if fnmatch.fnmatch(name, FLAGS.filter)]
  if not names:
    raise diagnostics.UserError(f"--filter='{FLAGS.filter}' fits no network's name")
  print('| network | ours, s | tf_slim.nets, s | ours / theirs |')
  print('|---|---:|---:|---:|')
  for name in names:
    ours, theirs = measure(name)
    beside = f'{theirs:.2f} | {ours / theirs:.2f}' if theirs else '- | -'
    print(f'| {name} | {ours:.2f} | {beside} |', flush=True)


if __name__ == '__main__':
  running.run(main)
