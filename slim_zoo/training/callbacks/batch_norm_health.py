"""Whether the statistics of batch norm are fit for evaluation.

In training, batch norm uses the statistics of each batch; in evaluation, their moving
averages. Without a checkpoint these start at 0 and 1, and after some steps the start
still has the share decay^steps. With slow decays and short runs, a network that trains
well evaluates at chance. `ModeGap` measures that on the same images in both modes: the
weights are the same, dropout is off in both, nothing is updated.
"""

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from slim_zoo.input import held_out, pipeline, records
from slim_zoo.nets import normalization
from slim_zoo.tf_compat import slim, tf
from slim_zoo.training import eval_network

# Below this share the beginning matters little.
_HARMLESS = 0.1
# In accuracy; smaller gaps are noise, or what evaluation really costs.
_GAP = 0.1
_FEWEST_MISSED = 5
_CURE = ('slim-zoo eval --recalibrate_batch_norm estimates them again for a checkpoint')


def share_left(decay: float, steps: int) -> float:
  """Returns how much of their beginning moving averages still hold after steps."""
  return decay ** steps


def steps_until_settled(decay: float) -> float:
  """Returns after how many steps little of the beginning is left; inf for 1."""
  if decay <= 0:
    return 1
  return math.inf if decay >= 1 else math.ceil(math.log(_HARMLESS) / math.log(decay))


def stale(decays: Mapping[str, float], step: int) -> str | None:
  """Returns a warning about statistics after `step` steps, with advice; or None.

  Args:
    decays: of each layer whose statistics began at 0 and 1, see
      `nets.normalization.decays`. Those of a checkpoint are not initial values.
    step: the steps since they began.
  """
  slowest = max(decays.values(), default=0)
  left = share_left(slowest, step)
  if left <= _HARMLESS:
    return None
  settled = steps_until_settled(slowest)
  until = ('to the end' if math.isinf(settled) else f'until about step {settled:,}')
  return (f'after {step:,} steps with decay {slowest:g} the statistics of batch norm'
          f' still hold {left:.0%} of what they began with: evaluation may look bad'
          f' {until}; {_CURE}')


def gap(train_mode: int, eval_mode: int, images: int, is_stale: bool) -> str | None:
  """Returns a warning if evaluation mode is worse on the same images; or None.

  Args:
    train_mode: how many were right with the statistics of their batches.
    eval_mode: how many with the moving averages.
    images: how many there were.
    is_stale: whether the averages are known to be stale, see `stale`.
  """
  missed = train_mode - eval_mode
  if missed < max(_FEWEST_MISSED, _GAP * images):
    return None
  cause = ('the moving averages lag behind' if is_stale else
           'the moving averages do not fit the weights: the learning rate may be too'
           ' high for them, or batches too small or all alike')
  return (f'batch norm: of the same {images} images {train_mode / images:.1%} are right'
          f" with their batches' statistics, {eval_mode / images:.1%} with the moving"
          f' averages that evaluation uses: {cause}; {_CURE}')


# Few enough to be quick and to be kept, ready for the network.
_MOST_IMAGES, _MOST_BYTES = 256, 64 * 2**20


class ModeGap:
  """Counts right answers in both modes, for a fixed sample of an input's images.

  Args:
    network: in evaluation mode; its images can be fed.
    build: builds it again, with the images it is given: a function of no arguments.
    dataset: what the input reads.
    preprocess: of the input.
    images: the input.
    labels_offset: taken off every label.
    batch_size: images of a batch, whose statistics are used.
  """

  def __init__(self, network: eval_network.EvalNetwork,
               build: Callable[[], eval_network.EvalNetwork],
               dataset: slim.dataset.Dataset, preprocess: Callable,
               images: pipeline.Input, labels_offset: int, batch_size: int):
    with normalization.batch_statistics():
      in_train_mode = build()
    self._images = network.images
    self._predictions = [tf.argmax(logits, 1)
                         for logits in (in_train_mode.logits, network.logits)]
    self._batch_size, self._labels_offset = batch_size, labels_offset
    self._input, self._sample = images, None
    with tf.device('/cpu:0'), tf.name_scope('mode_gap'):
      self._record = tf.placeholder(tf.string, [], name='record')
      image, label = dataset.decoder.decode(self._record, ['image', 'label'])
      self._decoded = [preprocess(number=tf.constant(0, tf.int64), image=image),
                       tf.reshape(tf.cast(label, tf.int64), [])]

  def count(self, session: tf.Session) -> tuple[int, int, int]:
    """Returns how many are right in train mode and in evaluation mode, of how many."""
    if self._sample is None:
      self._sample = self._read(session)
    images, labels = self._sample
    right = np.zeros(2, np.int64)
    for first in range(0, len(labels), self._batch_size):
      batch = slice(first, first + self._batch_size)
      predictions = session.run(self._predictions, {self._images: images[batch]})
      right += [(prediction == labels[batch]).sum() for prediction in predictions]
    return int(right[0]), int(right[1]), len(labels)

  def _read(self, session):
    """Returns the images and labels of the sample, in whole batches if it has one."""
    values = []
    for data in _spread(self._input.files, self._input.part, self._most()):
      # Unreadable images are validation's concern.
      with contextlib.suppress(tf.errors.InvalidArgumentError):
        values.append(session.run(self._decoded, {self._record: data}))
    whole = len(values) // self._batch_size * self._batch_size or len(values)
    # Records may be sorted by class: batches of one class have odd statistics.
    order = np.random.RandomState(0).permutation(len(values))[:whole]
    if not whole:
      return np.zeros([0]), np.zeros([0])
    images, labels = zip(*[values[index] for index in order], strict=True)
    return np.stack(images), np.stack(labels) - self._labels_offset

  def _most(self):
    image_bytes = 4 * self._decoded[0].shape.num_elements()
    return max(self._batch_size, min(_MOST_IMAGES, _MOST_BYTES // image_bytes))


def _spread(files: Sequence[str], part: held_out.Part | None, count: int):
  """Yields about `count` records from all over a part of some files."""
  keys = held_out.all_keys(files) if part is None else part.keys(files)
  chosen = keys[np.linspace(0, len(keys) - 1, min(count, len(keys))).astype(int)]
  for index, path in enumerate(files):
    positions = chosen[chosen[:, 0] == index, 1].tolist()
    if positions:
      yield from records.read_records(path, positions)
