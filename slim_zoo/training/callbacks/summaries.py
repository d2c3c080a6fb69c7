"""The summaries of a run for TensorBoard.

Everything in the graph is computed only in the steps whose summaries are written, but
for the curves: a few numbers that every step gives, so that the last ones are known
whatever ends the run.
"""

import io
import math
from collections.abc import Callable, Mapping

from PIL import Image

from slim_zoo.deployment import model_deploy
from slim_zoo.tf_compat import slim, tf
from slim_zoo.training import intervals, losses, named_losses
from slim_zoo.training.callbacks.callback import Callback

_IMAGES = 4
# Values that a histogram is made of. All activations of a deep network would take
# several times as long as the step.
_VALUES = 2**16


def _add(summary) -> None:
  tf.add_to_collection(tf.GraphKeys.SUMMARIES, summary)


# The tags are exactly the arguments: tf.summary would take the name of an op of
# the same name, such as a variable's, for a conflict and count on: weights_1.
def _scalar(tag: str, value) -> None:
  _add(tf.raw_ops.ScalarSummary(tags=tag, values=value))


def _histogram(tag: str, values) -> None:
  _add(tf.raw_ops.HistogramSummary(tag=tag, values=values))


def sample_of(tensor: tf.Tensor, count: int = _VALUES) -> tf.Tensor:
  """Returns about `count` values of a tensor, from all over it.

  Args:
    tensor: any numbers; it is returned as it is where it has no more values, or where
      how many is not known.
    count: how many are wanted; there may be up to twice as many.
  """
  size = tensor.shape.num_elements()
  if size is None or size < 2 * count:
    return tensor
  stride = size // count
  # Otherwise it would be the same few channels everywhere.
  while math.gcd(stride, tensor.shape.as_list()[-1]) > 1:
    stride += 1
  return tf.reshape(tensor, [-1])[::stride]


def batch_accuracy(logits, labels):
  """Returns the share of images whose most probable class is a true one.

  Args:
    logits: float32 [batch, classes], or [batch, height, width, classes]: then the
      share of pixels is returned.
    labels: int64 [batch], or float32 [batch, classes] targets: the true classes are
      those with the largest target, which may be several; of pixels, masks, uint8
      [batch, height, width].

  Returns:
    float32 scalar.
  """
  if logits.shape.rank == 4:
    logits, labels = losses.pixels(logits, labels)
  predictions = tf.argmax(logits, 1)
  if labels.dtype.is_integer:
    right = tf.equal(predictions, tf.cast(labels, predictions.dtype))
  else:
    reached = tf.gather(labels, predictions, batch_dims=1)
    right = tf.equal(reached, tf.reduce_max(labels, 1)) & (reached > 0)
  right = tf.cast(right, tf.float32)
  # A batch of masks may have no pixel with a class.
  return tf.math.divide_no_nan(
      tf.reduce_sum(right), tf.cast(tf.size(right), tf.float32))


# The tags of the first curves of every run.
TOTAL_LOSS, LEARNING_RATE = 'total_loss', 'learning_rate'
ACCURACY, CROSS_ENTROPY = 'accuracy/training_batch', 'cross_entropy/training_batch'


def add(clones: list[model_deploy.Clone], total_loss, learning_rate,
        group_rates: Mapping[str, tf.Tensor] | None = None,
        displayable: Callable | None = None, cross_entropy_fn: Callable | None = None
        ) -> dict[str, tf.Tensor]:
  """Adds the summaries of a step to the graph.

  Histograms and images are of the first clone, and losses without a name; the accuracy,
  the cross entropy and losses with a name are of all clones. Of large tensors
  histograms and sparsity are those of a sample, see `sample_of`.

  Args:
    clones: each with outputs (batch, logits, end_points).
    total_loss: float32 scalar.
    learning_rate: float32 scalar.
    group_rates: float32 scalars: the learning rates of groups of variables that
      have their own, by name.
    displayable: makes uint8 pictures of the network's input; without it there are
      none.
    cross_entropy_fn: called as cross_entropy_fn(logits, labels), returns the float32
      scalar of a clone that evaluation reports too; without it there is none.

  Returns:
    The curves of a run: float32 scalars by tag, which take little to compute.
  """
  model_deploy.keep_first_clone_items(clones, tf.GraphKeys.SUMMARIES)
  clone = clones[0]
  batch, _, end_points = clone.outputs
  for name, end_point in end_points.items():
    end_point = sample_of(end_point)
    _histogram(f'activations/{name}', end_point)
    # tf.nn.zero_fraction builds seven times as many ops.
    _scalar(f'sparsity/{name}',
            tf.reduce_mean(tf.cast(tf.equal(end_point, 0), tf.float32)))
  named = list(named_losses.of_clone(clone).values())
  for loss in tf.get_collection(tf.GraphKeys.LOSSES, clone.scope):
    if loss not in named:
      _scalar(f'{named_losses.TAGS}{loss.op.name}', loss)
  graph = tf.get_default_graph()
  for variable in slim.get_model_variables():
    _histogram(variable.op.name, sample_of(graph.as_graph_element(variable)))
  curves = {TOTAL_LOSS: total_loss, LEARNING_RATE: learning_rate}
  for name, rate in (group_rates or {}).items():
    curves[f'learning_rates/{name}'] = rate
  curves[ACCURACY] = _mean_over_clones(batch_accuracy, clones)
  if cross_entropy_fn is not None:
    curves[CROSS_ENTROPY] = _mean_over_clones(cross_entropy_fn, clones)
  for name, value in named_losses.means(clones).items():
    curves[named_losses.TAGS + name] = value
  for tag, value in curves.items():
    _scalar(tag, value)
  if displayable is not None:
    _add(tf.raw_ops.ImageSummary(
        tag='images/as_the_network_sees_them',
        tensor=displayable(batch.images[:_IMAGES]), max_images=_IMAGES))
  return {tag: tf.cast(value, tf.float32) for tag, value in curves.items()}


def _mean_over_clones(function, clones):
  return tf.add_n([function(logits, batch.labels) for batch, logits, _ in (
      clone.outputs for clone in clones)]) / len(clones)


def write_scalars(writer, values: Mapping[str, float], step: int) -> None:
  """Writes numbers that were computed outside of the graph, or fetched from it.

  Args:
    writer: a tf.summary.FileWriter.
    values: by tag.
    step: the global step that they are of.
  """
  writer.add_summary(tf.Summary(value=[
      tf.Summary.Value(tag=tag, simple_value=value)
      for tag, value in values.items()]), step)


def write_picture(writer, tag: str, picture: Image.Image, step: int) -> None:
  """Writes an RGB picture that was drawn outside of the graph.

  Args:
    writer: a tf.summary.FileWriter.
    tag: its name in TensorBoard.
    picture: of mode RGB.
    step: the global step that it is of.
  """
  encoded = io.BytesIO()
  picture.save(encoded, 'PNG')
  writer.add_summary(tf.Summary(value=[tf.Summary.Value(
      tag=tag, image=tf.Summary.Image(
          height=picture.height, width=picture.width, colorspace=3,
          encoded_image_string=encoded.getvalue()))]), step)


class ProgressSummaries(Callback):
  """Writes how fast the run is: means over the steps since the last time.

  One step's loss, or its wait for input, says little.

  Args:
    every_secs: seconds between two of them; 0: none.
    images_per_step: that are read while the global step rises by one.
  """

  def __init__(self, every_secs: float, images_per_step: int):
    self._every_secs, self._images_per_step = every_secs, images_per_step
    self._writer = None
    self._due, self._interval = intervals.Every(0), intervals.Interval()

  def begin(self, session, step, writer):
    """Begins to measure."""
    self._writer = writer
    self._due = intervals.Every(self._every_secs)
    self._interval.start(step)

  def measured(self, step, loss, waited):
    """Adds a step."""
    self._interval.add(step, loss, waited)

  def after_step(self, session, step):
    """Writes, where it is time."""
    if self._due.due():
      self._write(step)

  def end(self, session, step):
    """Writes the progress since the last time."""
    self._write(step)

  def _write(self, step):
    if self._writer is None or not self._interval.count:
      return
    sums = self._interval.restart()
    write_scalars(self._writer, {
        'progress/images_per_second':
            sums.steps * self._images_per_step / sums.seconds,
        'progress/input_wait_share': sums.wait_share,
        'progress/mean_loss': sums.mean_loss}, step)
