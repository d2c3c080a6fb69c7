"""Measures the time in which Python builds each network, and tf_slim's own network.

  python -m benchmarks.graph_building
  python -m benchmarks.graph_building --filter=resnet_v2_152 --rounds=9

Both are built in turn in one process, in training mode, under their own arg scopes, and
then the first one again: the control, which shows how much two times of the same code
differ. The medians are printed as a Markdown table, and the ratios with an interval. A
network that tf_slim does not have is built once. tf_slim's networks are built with this
project's tf_compat, because they do not start without it.
"""

import fnmatch
import gc
import importlib
import statistics
import time

from absl import flags

from slim_zoo import diagnostics, start_up
from slim_zoo.commands import running
from slim_zoo.timing import ratios

FLAGS = flags.FLAGS
flags.DEFINE_string('filter', '*', 'Glob pattern of the names of the networks.')
flags.DEFINE_integer('rounds', 5, 'Number of rounds.', lower_bound=1)


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


def measure(name: str) -> dict[str, dict[int, float]]:
  """Returns the times by round, of 'own', 'peer', and 'again': the first once more."""
  from slim_zoo.catalog import networks
  from slim_zoo.nets import nets_factory
  row = networks.NETWORKS[name]
  own = nets_factory.get_network_fn(name, 1001, 1e-4, is_training=True)
  frames = [row.frames] if row.frames else []
  shape = [None, *frames, *[own.default_image_size] * 2, row.channels]
  peer = wheel_network_fn(name)
  if peer is None:
    return {'own': {0: seconds_to_build(own, shape)}}
  builders = {'own': own, 'peer': peer, 'again': own}
  times = {key: {} for key in builders}
  for number in range(FLAGS.rounds):
    for key, build in builders.items():
      times[key][number] = seconds_to_build(build, shape)
  return times


def line(name: str, times: dict[str, dict[int, float]]) -> str:
  """Returns the line of a network; a ratio above 1 is for a slower build here."""
  own = statistics.median(times['own'].values())
  if 'peer' not in times:
    return f'| {name} | {own:.2f} | - | - | - |'
  peer = statistics.median(times['peer'].values())
  cells = [ratios.of_rounds(times[key], times[other]).text() for key, other in (
      ('own', 'peer'), ('again', 'own'))]
  return f"| {name} | {own:.2f} | {peer:.2f} | {' | '.join(cells)} |"


def main(_):
  """Prints one line for each network."""
  from slim_zoo.catalog import networks
  names = [name for name in networks.NETWORKS if fnmatch.fnmatch(name, FLAGS.filter)]
  if not names:
    raise diagnostics.UserError(f"--filter='{FLAGS.filter}' matches no network")
  start_up.load_without_notes()
  print('| network | this project, s | tf_slim.nets, s | ratio | the same code again |')
  print('|---|---:|---:|---:|---:|')
  for name in names:
    print(line(name, measure(name)), flush=True)


if __name__ == '__main__':
  running.run(main)
