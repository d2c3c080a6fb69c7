"""Balanced sampling: how often each record is read in an epoch.

In each epoch, each class has an exact number of images. Within a class the records take
turns: over the epochs each is read as often as the others, or once more. The numbers
depend on the places of the records and on the epoch alone, so a resumed run reads what
it would have read.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from slim_zoo.catalog.datasets import DatasetSpec
from slim_zoo.input import held_out, label_counts
from slim_zoo.tf_compat import tf

# What the share of a class is proportional to, given its number of images.
SHARES = {'sampling': np.ones_like, 'sqrt': np.sqrt}


@dataclasses.dataclass(frozen=True, eq=False)
class Balance:
  """The number of times that each record is read.

  Attributes:
    images: int64 [classes], how many records each class has.
    draws: int64 [classes], how many images of each class an epoch has.
    file_starts: int64 [files], the index of the first record of each file.
    labels: int64 [records], -1 for records that are not read.
    ranks: int64 [records], the place of a record within its class, from 0.
  """

  images: np.ndarray
  draws: np.ndarray
  file_starts: np.ndarray
  labels: np.ndarray
  ranks: np.ndarray

  def repeats(self, file_index: tf.Tensor, position: tf.Tensor,
              epoch: tf.Tensor) -> tf.Tensor:
    """Returns how often a record is read in an epoch, an int64 scalar.

    The draws of a class count through all epochs; the record of rank r takes those
    whose number has the remainder r.

    Args:
      file_index: of the record, int64.
      position: of the record in its file, int64.
      epoch: from 0, int64.
    """
    index = tf.gather(self.file_starts, file_index) + position
    label = tf.gather(self.labels, index)
    rank, place = tf.gather(self.ranks, index), tf.maximum(label, 0)
    size = tf.gather(np.maximum(self.images, 1), place)
    draws = tf.gather(self.draws, place)

    def taken_before(epochs):
      return tf.math.floordiv(epochs * draws - 1 - rank, size)

    return tf.where(label < 0, tf.zeros_like(label),
                    taken_before(epoch + 1) - taken_before(epoch))

  def read_together(self, records: Any, epoch: tf.Tensor) -> Any:
    """Returns the records of an epoch, each as often as it is read.

    Args:
      records: a tf.data.Dataset of (record, (file index, position)).
      epoch: from 0, int64.
    """
    def repeated(record, key):
      return tf.data.Dataset.from_tensors((record, key)).repeat(
          self.repeats(*key, epoch))

    return records.flat_map(repeated)

  def describe(self) -> str:
    """Returns one line: the smallest and the largest share, and the most repeats."""
    present = self.images > 0
    draws, images = self.draws[present], self.images[present]
    repeats = (draws / images).max()
    least, most = 100 * draws.min() / draws.sum(), 100 * draws.max() / draws.sum()
    return (f'classes of {images.min():,} to {images.max():,} images are {least:.3g}%'
            f' to {most:.3g}% of each epoch; an image is read up to {repeats:.3g} times'
            ' in it')


def of_records(kind: str, files: Sequence[str], spec: DatasetSpec,
               labels_offset: int = 0, part: held_out.Part | None = None) -> Balance:
  """Reads the labels of all records and returns their balance; shows how far it is.

  Args:
    kind: of `SHARES`.
    files: the record files of the split, sorted.
    spec: describes the records; each has one label.
    labels_offset: subtracted from every label.
    part: of the split; None: all of it. An epoch has as many images as it has.

  Raises:
    UserError: see `label_counts.count`.
  """
  keys = held_out.all_keys(files)
  file_starts = np.searchsorted(keys[:, 0], np.arange(len(files)))
  labels = np.full(len(keys), -1, np.int64)
  for (file_index, position), (label, *_) in label_counts.labels_by_key(
      files, spec, labels_offset, part):
    labels[file_starts[file_index] + position] = label
  images = np.bincount(labels[labels >= 0], minlength=spec.num_classes - labels_offset)
  return Balance(images, draws_of_epoch(kind, images), file_starts, labels,
                 _ranks(keys, labels))


def draws_of_epoch(kind: str, images: np.ndarray) -> np.ndarray:
  """Returns how many images of each class an epoch has; int64, as many in all.

  Args:
    kind: of `SHARES`.
    images: int64 [classes], how many records each class has. One without records gets
      none.
  """
  weights = np.where(images > 0, SHARES[kind](images.astype(float)), 0.0)
  exact = images.sum() * weights / weights.sum()
  draws = np.floor(exact).astype(np.int64)
  # The largest remainders get what is left, in the order of the classes.
  left = int(images.sum() - draws.sum())
  draws[np.argsort(draws - exact, kind='stable')[:left]] += 1
  return draws


def _ranks(keys, labels):
  """Returns the place of each record within its class, in an order that looks random.

  In the order of the files, an epoch would have a part of a class that lies together.
  """
  order = np.lexsort([held_out.scrambled(keys[:, 0], keys[:, 1]), labels])
  sorted_labels = labels[order]
  starts = np.searchsorted(sorted_labels, sorted_labels)
  ranks = np.empty(len(labels), np.int64)
  ranks[order] = np.arange(len(labels)) - starts
  return ranks
