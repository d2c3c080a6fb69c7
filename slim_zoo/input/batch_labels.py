"""The labels of batches: checked, and made targets where an image may have several.

A step takes and returns the components of a batch: images, labels, numbers, keys.
"""

from collections.abc import Callable, Sequence

import numpy as np

from slim_zoo import diagnostics
from slim_zoo.catalog import datasets as catalog
from slim_zoo.input import records
from slim_zoo.tf_compat import slim, tf

# Stands in a batch where an image has fewer labels than another one.
_NO_LABEL = -2**62


def is_multi_label(dataset: slim.dataset.Dataset) -> bool:
  """Returns whether an image of the data set has any number of labels."""
  return getattr(dataset, 'multi_label', False)


def is_n_hot(dataset: slim.dataset.Dataset) -> bool:
  """Returns whether records hold a 0 or 1 for each class, in place of labels."""
  return getattr(dataset, 'n_hot', False)


def wrong_label(label: int, num_classes: int, labels_offset: int,
                files: Sequence[str], key: tuple[int, int]) -> str:
  """Returns the message about a record whose label is none of the classes.

  Args:
    label: as it stands in the record.
    num_classes: how many there are, once the offset is taken off.
    labels_offset: taken off every label.
    files: the record files.
    key: the index of the record's file, and its position there.
  """
  offset = f' after --labels_offset={labels_offset}' if labels_offset else ''
  advice = (['Labels that begin with 1 need one class more in "num_classes" of'
             ' dataset.json, and --labels_offset=1']
            if label == num_classes and not labels_offset else [])
  return diagnostics.sentences(
      f'label {label} of {records.describe(files, *key)} is none of the'
      f' {num_classes} classes{offset}: are these the records of another data set?',
      *advice)


def check(num_classes: int, labels_offset: int, files: Sequence[str],
          runs_here: bool) -> Callable:
  """Returns a step that takes the offset off labels and refuses wrong ones.

  Args:
    num_classes: how many classes there are, once the offset is taken off.
    labels_offset: taken off every label.
    files: the record files.
    runs_here: whether the session runs in this process, so that records can be named.
  """
  def refuse(labels, keys):
    wrong = ((labels < 0) | (labels >= num_classes)) & (labels != _NO_LABEL)
    label, key = labels[wrong][0] + labels_offset, keys[np.nonzero(wrong)[0][0]]
    raise ValueError(wrong_label(
        label, num_classes, labels_offset, files, key.tolist()))

  def step(images, labels, numbers, keys):
    no_label = tf.equal(labels, _NO_LABEL)
    labels = tf.where_v2(no_label, labels, labels - labels_offset)
    right = tf.reduce_all(no_label | ((labels >= 0) & (labels < num_classes)))
    checked = _refuse_unless(
        right, labels, keys, refuse, runs_here,
        f'a label is none of the {num_classes} classes: are these the records of'
        ' another data set?')
    return images, checked, numbers, keys

  return step


def _refuse_unless(right, values, keys, refuse, runs_here, message):
  """Returns labels or masks that fail when they are computed, unless they are right.

  Args:
    right: bool scalar.
    values: the labels or masks of a batch.
    keys: of its records.
    refuse: called as refuse(values, keys), as arrays; raises a ValueError that names
      the record.
    runs_here: whether the session runs in this process, so that it can be called.
    message: of the failure in another process.
  """
  def refused():
    refusal = tf.numpy_function(refuse, [values, keys], []) if runs_here else (
        tf.Assert(False, [f'ValueError: {message}']))
    with tf.control_dependencies([refusal]):
      return tf.identity(values)

  return tf.cond(right, lambda: tf.identity(values), refused)


def has_masks(dataset: slim.dataset.Dataset) -> bool:
  """Returns whether an image of the data set has a mask in place of a label."""
  return getattr(dataset, 'masks', False)


def wrong_mask(value: int, num_classes: int, files: Sequence[str],
               key: tuple[int, int]) -> str:
  """Returns the message about a mask with a value that is none of the classes.

  Args:
    value: of a pixel.
    num_classes: how many classes there are.
    files: the record files.
    key: the index of the record's file, and its position there.
  """
  return (f'the mask of {records.describe(files, *key)} has the value {value}: the'
          f' classes are 0 to {num_classes - 1}, and {catalog.IGNORED} is for pixels'
          ' without a class; are these the records of another data set?')


def check_masks(num_classes: int, files: Sequence[str], runs_here: bool) -> Callable:
  """Returns a step that refuses masks, uint8 [batch, height, width], of wrong values.

  Arguments are those of `check`.
  """
  def refuse(masks, keys):
    wrong = (masks >= num_classes) & (masks != catalog.IGNORED)
    place = np.argwhere(wrong)[0]
    raise ValueError(wrong_mask(
        masks[tuple(place)], num_classes, files, keys[place[0]].tolist()))

  def step(images, masks, numbers, keys):
    right = tf.reduce_all((masks < num_classes) | tf.equal(masks, catalog.IGNORED))
    checked = _refuse_unless(
        right, masks, keys, refuse, runs_here,
        f'a mask has a value that is none of the {num_classes} classes: are these the'
        ' records of another data set?')
    return images, checked, numbers, keys

  return step


def batched(images: tf.data.Dataset, batch_size: int, multi_label: bool,
            drop_remainder: bool) -> tf.data.Dataset:
  """Returns batches of (image, label, number, key).

  With `multi_label` the labels of an image are int64 [labels], those of a batch
  [batch, most], filled up with what `check` skips.
  """
  if not multi_label:
    return images.batch(batch_size, drop_remainder=drop_remainder)
  nothing = tf.constant(0, tf.int64)
  return images.padded_batch(
      batch_size, tf.data.get_output_shapes(images),
      (0.0, tf.constant(_NO_LABEL, tf.int64), nothing, nothing), drop_remainder)


def to_targets(num_classes: int) -> Callable:
  """Returns a step that makes float32 [batch, classes] ones and zeros of labels."""
  def step(images, labels, numbers, keys):
    # None of the classes gives a row of zeros; one that is named twice counts once.
    named = tf.reduce_sum(tf.one_hot(labels, num_classes), 1)
    return images, tf.minimum(named, 1.0), numbers, keys

  return step


def mixed(mix: Callable, num_classes: int, seed: int,
          num_batches: int | None = None) -> Callable:
  """Returns a step that mixes the images and the targets of a batch.

  Args:
    mix: see `pipeline.training_input`; its seed is `seed` and the number of the
      batch's first record.
    num_classes: how many classes there are.
    seed: of everything random.
    num_batches: how many batches are mixed, from the first on; None: all.

  Returns:
    A function of the number of a batch, from 0, and of the batch.
  """
  def step(index, batch):
    images, labels, numbers, keys = batch
    targets = tf.one_hot(labels, num_classes) if labels.dtype.is_integer else labels

    def mixed_batch():
      return mix(images, targets, tf.stack([tf.constant(seed, tf.int64), numbers[0]]))

    if num_batches is None:
      return (*mixed_batch(), numbers, keys)
    chosen, chosen_targets = tf.cond(
        index < num_batches, mixed_batch,
        lambda: (tf.identity(images), tf.identity(targets)))
    chosen.set_shape(images.shape)
    chosen_targets.set_shape(targets.shape)
    return chosen, chosen_targets, numbers, keys

  return step
