"""The maps that TextScanner learns, computed from the boxes of the digits.

All maps have one value for each cell of CELL x CELL pixels of the line.
"""

from typing import NamedTuple

from examples.read_text import lines, records
from slim_zoo.tf_compat import tf

CELL = 4
CLASSES = 11    # The background and ten digits.
ORDERS = lines.MOST_DIGITS + 1    # The background and the positions in the line.
# The part of a box that belongs to its digit, from the centre, in its size; at least
# half a cell, so that no digit is lost between two cells.
_CORE = 0.3


class Targets(NamedTuple):
  """The maps of a batch of lines, rows x columns cells.

  Attributes:
    characters: int32 [batch, rows, columns], 0 for the background, else 1 + digit.
    localization: float32 [batch, rows, columns]: 1 at the centre of a digit, falling
      off as a Gaussian of its size.
    order: int32 [batch, rows, columns], 0 for the background, else 1 + the number of
      digits to the left.
  """

  characters: tf.Tensor
  localization: tf.Tensor
  order: tf.Tensor


def of_batch(batch: records.Batch) -> Targets:
  """Returns the maps of lines."""
  rows, columns = lines.HEIGHT // CELL, lines.WIDTH // CELL
  y = (tf.range(float(rows))[:, None, None] + 0.5) * CELL
  x = (tf.range(float(columns))[:, None] + 0.5) * CELL
  top, left, bottom, right = (
      side[:, None, None, :] for side in tf.unstack(batch.boxes, axis=2))
  # Shares of the box from its centre: float32 [batch, rows, columns, digits].
  down = tf.abs(y - (top + bottom) / 2) / tf.maximum(bottom - top, CELL / 2 / _CORE)
  across = tf.abs(x - (left + right) / 2) / tf.maximum(right - left, CELL / 2 / _CORE)
  heat = tf.exp(-(tf.square(down) + tf.square(across)) / (2 * 0.25 ** 2))
  exists = (batch.labels >= 0)[:, None, None, :]
  heat = tf.where(tf.broadcast_to(exists, tf.shape(heat)), heat, tf.zeros_like(heat))
  # Cores of narrow digits may overlap: the nearer one wins.
  nearest = tf.argmax(heat, 3, output_type=tf.int32)
  core = tf.cast((down <= _CORE + 1e-3) & (across <= _CORE + 1e-3) & exists, tf.int32)
  is_core = tf.gather(core, nearest, batch_dims=3)
  classes = tf.gather(tf.cast(batch.labels, tf.int32) + 1, tf.reshape(
      nearest, [-1, rows * columns]), batch_dims=1)
  classes = tf.reshape(classes, [-1, rows, columns])
  return Targets(is_core * classes, tf.reduce_max(heat, 3), is_core * (nearest + 1))
