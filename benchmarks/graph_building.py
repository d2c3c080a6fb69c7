"""Measures the time in which Python builds each network, and tf_slim's own network.

  python -m benchmarks.graph_building
  python -m benchmarks.graph_building --filter=resnet_v2_152 --rounds=5

Both are built in turn in one process, in training mode, under their own arg scopes. The
medians and their ratio are printed as a Markdown table. tf_slim's networks are built
with this project's tf_compat, because they do not start without it.
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
flags.DEFINE_integer('rounds', 3, 'Number of rounds.', lower_bound=1)


def wheel_network_fn(name: str):
  """Returns build(images) of the network in tf_slim.nets, or None."""
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
  """Returns the time of build(images) in an empty graph."""
  from slim_zoo.tf_compat import tf
  gc.collect()
  with tf.Graph().as_default():
    images = tf.placeholder(tf.float32, shape)
    start = time.perf_counter()
    build(images)
    return time.perf_counter() - start


def measure(name: str) -> tuple[float, float | None]:
  """Returns the median times of this project's network and of tf_slim's."""
  from slim_zoo.catalog import networks
  from slim_zoo.nets import nets_factory
  row = networks.NETWORKS[name]
  own = nets_factory.get_network_fn(name, 1001, 1e-4, is_training=True)
  frames = [row.frames] if row.frames else []
  shape = [None, *frames, *[own.default_image_size] * 2, row.channels]
  peer = wheel_network_fn(name)
  times = {own: [], peer: []}
  for _ in range(FLAGS.rounds):
    for build in (own, peer):
      if build is not None:
        times[build].append(seconds_to_build(build, shape))
  return statistics.median(times[own]), (
      statistics.median(times[peer]) if peer else None)


def main(_):
  """Prints one line for each network."""
  from slim_zoo.catalog import networks
  names = [name for name in networks.NETWORKS if fnmatch.fnmatch(name, FLAGS.filter)]
  if not names:
    raise diagnostics.UserError(f"--filter='{FLAGS.filter}' matches no network")
  print('| network | this project, s | tf_slim.nets, s | ratio |')
  print('|---|---:|---:|---:|')
  for name in names:
    own, peer = measure(name)
    cells = f'{peer:.2f} | {own / peer:.2f}' if peer else '- | -'
    print(f'| {name} | {own:.2f} | {cells} |', flush=True)


if __name__ == '__main__':
  running.run(main)
