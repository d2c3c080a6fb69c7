"""Counts the correctly classified images of a corrupted split.

The input pipeline corrupts each decoded image in all severities of a kind. The number
of the kind is fed at the start of a pass over the split, so all kinds use one graph and
one session.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from slim_zoo import diagnostics
from slim_zoo.catalog.corruptions import KINDS, SEVERITIES
from slim_zoo.evaluation import over_split
from slim_zoo.evaluation.corruptions import table
from slim_zoo.evaluation.metrics import Accuracy
from slim_zoo.input import pipeline
from slim_zoo.tf_compat import tf

# The number for the pass without corruption.
_NO_KIND = len(KINDS)


@dataclasses.dataclass(frozen=True)
class Counts:
  """The number of correctly classified images.

  Attributes:
    num_images: number of images of the split. Unreadable images are included and count
      as wrong.
    clean: number of correct images without corruption.
    corrupted: by kind, the number of correct images at each severity, from 1.
  """

  num_images: int
  clean: int
  corrupted: Mapping[str, tuple[int, ...]]

  def accuracy(self, kind: str | None = None, severity: int = 0) -> Accuracy:
    """Returns the accuracy for a kind and severity; None: without corruption."""
    correct = self.clean if kind is None else self.corrupted[kind][severity - 1]
    return Accuracy(1, correct, self.num_images)

  def of_kinds(self, kinds: Iterable[str]) -> 'Counts':
    """Returns the counts of some kinds only."""
    return dataclasses.replace(
        self, corrupted={kind: self.corrupted[kind] for kind in kinds})

  def mean_of(self, kind: str) -> float:
    """Returns the mean accuracy over the severities of a kind, 0 to 1."""
    return sum(self.corrupted[kind]) / (len(SEVERITIES) * self.num_images)

  @property
  def mean(self) -> float:
    """The mean accuracy over kinds and severities, 0 to 1."""
    return sum(map(self.mean_of, self.corrupted)) / len(self.corrupted)

  def rows(self) -> list[dict[str, Any]]:
    """Returns a row for each kind and severity; the first is without corruption."""
    return [self._row('none', 0, self.accuracy()), *(
        self._row(kind, severity, self.accuracy(kind, severity))
        for kind in self.corrupted for severity in SEVERITIES)]

  def _row(self, kind, severity, accuracy):
    low, high = accuracy.interval
    return {'corruption': kind, 'severity': severity, 'correct': accuracy.correct,
            'images': accuracy.total, 'accuracy': accuracy.value, 'low_95': low,
            'high_95': high}


class CorruptedSplit:
  """Evaluates a network on the corrupted images of a split, in the default graph.

  Args:
    dataset: the slim Dataset of the split.
    preprocessing_fn: preprocessing for evaluation, see `preprocessing_factory`.
    image_size: height and width of the network's images.
    classify: returns the probabilities, float32 [batch, classes], for images, float32
      [batch, height, width, channels].
    batch_size: images of the split in a batch. With a corruption, the network gets five
      versions of each.
    labels_offset: number that is subtracted from the labels of the records.
    num_threads: number of images that are corrupted at the same time.
    seed: seed of the corruptions.
  """

  def __init__(self, dataset, preprocessing_fn: Callable, image_size: int,
               classify: Callable, batch_size: int, labels_offset: int = 0,
               num_threads: int = 4, seed: int = 0):
    self._kind = tf.placeholder_with_default(tf.constant(_NO_KIND, tf.int64), [])
    single = pipeline.preprocess_with(preprocessing_fn, image_size)
    corrupt = functools.partial(_corrupt, seed, shortest_side(image_size))

    def preprocess_stack(size, number, image, values):
      stack = tf.numpy_function(corrupt, [image, number, self._kind], tf.uint8)
      stack.set_shape([size, None, None, image.shape[2]])
      return tf.stack([single(number=number, image=stack[place], **values)
                       for place in range(size)])

    def preprocess(number, image, **values):
      return tf.cond(
          tf.equal(self._kind, _NO_KIND),
          lambda: preprocess_stack(1, number, image, values),
          lambda: preprocess_stack(len(SEVERITIES), number, image, values))

    self.images = pipeline.evaluation_input(
        dataset, tf.autograph.experimental.do_not_convert(preprocess), batch_size,
        labels_offset, num_threads)
    self._batch = self.images.next_batch()
    pixels = self._batch.images
    probabilities = classify(tf.reshape(pixels, [-1, *pixels.shape.as_list()[2:]]))
    self._probabilities = tf.reshape(
        probabilities, [-1, tf.shape(pixels)[1], probabilities.shape.as_list()[-1]])
    self._printed = set()

  def count(self, session: tf.Session, kind: str | None, update: Callable[[int], None]
            ) -> tuple[int, ...]:
    """Returns the number of correct images for each severity of a kind.

    Args:
      session: session of the graph.
      kind: kind of the corruption; None: no corruption, the result is one number.
      update: is called with the number of images that are done.

    Raises:
      UserError: the records cannot be read or have changed, or the network gives NaN.
    """
    total = self.images.count_records()
    self.images.log.restart()
    session.run(self.images.initializer, {
        self._kind: _NO_KIND if kind is None else KINDS.index(kind)})
    correct, done = np.zeros(len(SEVERITIES) if kind else 1, np.int64), 0
    for labels, _, _, probabilities in over_split.batches(
        session, self.images, self._batch, self._probabilities):
      if not np.isfinite(probabilities).all():
        raise diagnostics.UserError(
            'the network gives NaN or infinite probabilities for images of the split:'
            ' its training diverged; test an earlier checkpoint')
      # If probabilities are equal, the lower class is predicted, as in an evaluation.
      correct += (probabilities.argmax(axis=2) == labels[:, np.newaxis]).sum(axis=0)
      done += len(labels)
      update(done)
    done += self._count_unreadable()
    if done != total:
      raise diagnostics.UserError(
          f'{done} of {total} images were read, but an accuracy needs all of them: the'
          ' records changed or are damaged; start the command again')
    return tuple(correct.tolist())

  def _count_unreadable(self) -> int:
    """Returns the number of images that cannot be decoded; prints each name once."""
    self.images.log.finish()
    lost = self.images.log.take_lost()
    for _, key in lost:
      fault, is_printed = self.images.faults.add(key)
      if fault.is_of_label:
        raise diagnostics.UserError(
            f'{self.images.log.describe(key)}: {fault.reason}; the accuracy needs'
            ' its class: write the record again')
      if key not in self._printed and is_printed:
        print(f'cannot use {self.images.log.describe(key)} ({fault.reason}): counted as'
              ' a mistake', flush=True)
      self._printed.add(key)
    return len(lost)


def shortest_side(image_size: int) -> int:
  """Returns the largest shorter side of an image, in pixels; larger ones are reduced.

  Args:
    image_size: height and width of the network's images.
  """
  return round(image_size * 8 / 7)


def _corrupt(seed, shortest, image, number, kind):
  """Returns an image in all severities of a kind; called in the input pipeline."""
  return table.severities(
      image, None if kind == _NO_KIND else KINDS[int(kind)], int(number), seed,
      shortest)
