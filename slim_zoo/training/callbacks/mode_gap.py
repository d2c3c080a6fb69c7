"""The same images in both modes of batch norm: a gap between them is the trap.

With the statistics of their batches, as in training, and with the moving averages, as
in evaluation; the weights are the same, dropout is off in both, nothing is updated.
"""

import contextlib
from collections.abc import Callable, Sequence

import numpy as np

from slim_zoo.input import held_out, pipeline, records
from slim_zoo.nets import normalization
from slim_zoo.tf_compat import slim, tf
from slim_zoo.training import eval_network

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
