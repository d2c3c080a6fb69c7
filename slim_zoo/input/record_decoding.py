"""Records to images that are ready for a network: decoded and preprocessed."""

from collections.abc import Callable

from slim_zoo.images import image_decoding
from slim_zoo.input import batch_labels, chunks, record_log
from slim_zoo.tf_compat import slim, tf


class EncodedDecoder:
  """Decodes records as the decoder of a data set, but images by their parts.

  The item 'image' is an `image_decoding.EncodedImage`.

  Args:
    dataset: the data set; it has an `encoded_decoder`.
  """

  def __init__(self, dataset: slim.dataset.Dataset):
    self._decoder, self._channels = dataset.encoded_decoder, dataset.channels

  def list_items(self) -> list[str]:
    """Returns the names of the items."""
    return self._decoder.list_items()

  def decode(self, record: tf.Tensor, items: list[str]) -> list:
    """Returns the items of a record, a string scalar."""
    values = self._decoder.decode(record, items)
    return [image_decoding.open_encoded(value, self._channels) if item == 'image'
            else value for item, value in zip(items, values, strict=True)]


def to_image(dataset: slim.dataset.Dataset, decoder, preprocess: Callable) -> Callable:
  """Returns a function of (number, record, key) to (image, label, number, key).

  Args:
    dataset: says whether an image has one label, several, or a mask in its place.
    decoder: of the records.
    preprocess: see `pipeline.training_input`.
  """
  if batch_labels.has_masks(dataset):
    return _to_masked_image(decoder, preprocess)
  label_shape = [-1] if batch_labels.is_multi_label(dataset) else []
  items = [item for item in ('image', 'label', 'object/bbox')
           if item in decoder.list_items()]

  def labelled_image(number, record, key):
    values = dict(zip(items, decoder.decode(record, items), strict=True))
    label = tf.reshape(tf.cast(values.pop('label'), tf.int64), label_shape)
    return preprocess(number=number, **values), label, number, key

  return labelled_image


def _to_masked_image(decoder, preprocess):
  """Returns a function of (number, record, key) to (image, mask, number, key)."""
  def masked_image(number, record, key):
    image, mask = decoder.decode(record, ['image', 'mask'])
    with tf.control_dependencies([
        tf.assert_equal(tf.shape(image)[:2], tf.shape(mask))]):
      image = tf.identity(image)
    return *preprocess(number=number, image=image, mask=mask), number, key

  return masked_image


def decoded(source: tf.data.Dataset, image_of: Callable, num_threads: int,
            log: record_log.RecordLog, runs_here: bool,
            first_record: int = 0) -> tf.data.Dataset:
  """Returns (image, label, number, key) of each record whose image can be decoded.

  Args:
    source: (record, key).
    image_of: of `to_image`.
    num_threads: images decoded at the same time.
    log: receives each record.
    runs_here: whether the session runs in this process; else the log receives nothing.
    first_record: the number of the first record.
  """
  def note(numbers, records_of_window, keys):
    if runs_here:
      tf.numpy_function(log.issue, [
          window.batch(chunks.SIZE).get_single_element()
          for window in (numbers, keys)], [])
    return numbers, records_of_window, keys

  numbered = source.enumerate(first_record).map(
      lambda number, keyed: (number, keyed[0], tf.stack(keyed[1])))
  return chunks.passing_over_failures(
      numbered.window(chunks.SIZE).map(note), image_of, num_threads)
