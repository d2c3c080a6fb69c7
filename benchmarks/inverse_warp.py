"""Times inverse_warp beside the plain form with gather_nd, on this machine.

  python -m benchmarks.inverse_warp
  python -m benchmarks.inverse_warp --rounds=21 --steps=10

The plain form gathers the four neighbours of each position by gather_nd with indices of
image, row and column. Both run in turn in one session, and then the first one again:
the control, which shows how much two times of the same code differ. Before that, their
values and gradients are compared. A ratio above 1 is for a slower plain form.
"""

import statistics
import time

import numpy as np
from absl import flags

from slim_zoo import diagnostics, start_up
from slim_zoo.commands import running
from slim_zoo.timing import machine, ratios

FLAGS = flags.FLAGS
flags.DEFINE_integer('rounds', 11, 'Number of rounds.', lower_bound=1)
flags.DEFINE_integer('steps', 5, 'Number of timed runs of a round.', lower_bound=1)

# Frames, and the feature maps of a pyramid.
SHAPES = ((8, 128, 128, 3), (4, 256, 256, 3), (1, 512, 512, 3), (8, 32, 32, 64),
          (4, 64, 64, 256))
# The standard deviation of the flow, in pixels.
FLOW = 4.0


def plain_warp(images, flow):
  """Returns what `image_ops.inverse_warp` does with border padding, by gather_nd."""
  from slim_zoo.tf_compat import tf
  batch, height, width = images.shape[:3].as_list()
  x = tf.range(float(width)) + flow[..., 0]
  y = tf.range(float(height))[:, None] + flow[..., 1]
  x, y = tf.clip_by_value(x, 0, width - 1), tf.clip_by_value(y, 0, height - 1)
  left, top = tf.floor(x), tf.floor(y)
  to_right, to_bottom = (x - left)[..., None], (y - top)[..., None]
  left, top = tf.cast(left, tf.int32), tf.cast(top, tf.int32)
  right, bottom = tf.minimum(left + 1, width - 1), tf.minimum(top + 1, height - 1)
  image = tf.broadcast_to(tf.range(batch)[:, None, None], [batch, height, width])

  def neighbour(rows, columns):
    return tf.gather_nd(images, tf.stack([image, rows, columns], -1))

  return ((1 - to_bottom) * ((1 - to_right) * neighbour(top, left)
                             + to_right * neighbour(top, right))
          + to_bottom * ((1 - to_right) * neighbour(bottom, left)
                         + to_right * neighbour(bottom, right)))


def measure(shape) -> dict[str, dict[str, dict[int, float]]]:
  """Returns the seconds of a run by pass, contender and round.

  Raises:
    UserError: the two forms differ.
  """
  from slim_zoo import image_ops
  from slim_zoo.tf_compat import tf
  random = np.random.default_rng(0)
  with tf.Graph().as_default(), tf.Session() as session:
    # Variables: the values of constants would be computed once.
    images = tf.Variable(random.uniform(-1, 1, shape).astype(np.float32))
    flow = tf.Variable((FLOW * random.normal(size=[*shape[:3], 2])).astype(np.float32))
    session.run(tf.global_variables_initializer())
    contenders = {}
    for name, warp in (('own', image_ops.inverse_warp), ('plain', plain_warp)):
      warped = warp(tf.convert_to_tensor(images), tf.convert_to_tensor(flow))
      contenders[name] = [warped, *tf.gradients(warped, [images, flow], warped)]
    check_equal(session, contenders, shape)
    passes = {'forward': 1, 'with gradients': 3}
    # Operations, as the optimizer of graphs removes the inputs of a group.
    runs = {key: {name: [tensor.op for tensor in tensors[:count]]
                  for name, tensors in contenders.items()}
            for key, count in passes.items()}
    return {key: time_in_turn(session, operations)
            for key, operations in runs.items()}


def check_equal(session, contenders, shape):
  """Raises UserError if values or gradients differ by more than rounding."""
  for own, plain in zip(*(session.run(tensors) for tensors in contenders.values()),
                        strict=True):
    largest = float(np.abs(own - plain).max())
    if largest > 1e-3:
      raise diagnostics.UserError(
          f'the two forms differ by {largest:g} for images of the shape {shape}')


def time_in_turn(session, operations) -> dict[str, dict[int, float]]:
  """Returns the median seconds of a run by contender and round."""
  order = {**operations, 'again': operations['own']}
  times = {name: {} for name in order}
  for fetched in order.values():
    session.run(fetched)
  for number in range(FLAGS.rounds):
    for name, fetched in order.items():
      seconds = []
      for _ in range(FLAGS.steps):
        start = time.perf_counter()
        session.run(fetched)
        seconds.append(time.perf_counter() - start)
      times[name][number] = statistics.median(seconds)
  return times


def line(shape, key, times) -> str:
  """Returns a line of the table."""
  own, plain = (1e3 * statistics.median(times[name].values())
                for name in ('own', 'plain'))
  cells = [ratios.of_rounds(times[name], times['own']).text()
           for name in ('plain', 'again')]
  size = ' x '.join(map(str, shape))
  return f"| {size} | {key} | {own:.1f} | {plain:.1f} | {' | '.join(cells)} |"


def main(_):
  """Prints a table, and the machine."""
  start_up.load_without_notes()
  print('| images | pass | inverse_warp, ms | gather_nd, ms | ratio | the same code'
        ' again |')
  print('|---|---|---:|---:|---:|---:|')
  for shape in SHAPES:
    for key, times in measure(shape).items():
      print(line(shape, key, times), flush=True)
  print(f"\n{machine.description(machine.describe(('tensorflow',)))}; {FLAGS.rounds}"
        f' rounds of {FLAGS.steps} runs; flow of {FLOW:g} pixels')


if __name__ == '__main__':
  running.run(main)
