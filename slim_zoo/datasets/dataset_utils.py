"""Common functions of data set converters: features, record files, downloads.

Names and arguments are those of slim's datasets.dataset_utils.
"""

import contextlib
import errno
from collections.abc import Iterable, Sequence

import numpy as np

from slim_zoo.catalog import datasets as catalog
from slim_zoo.datasets.labels import (
  LABELS_FILENAME,
  has_labels,
  read_label_file,
  write_label_file,
)
from slim_zoo.files.downloads import (
  download_and_uncompress_tarball,
  download_and_uncompress_zipfile,
  download_url,
)
from slim_zoo.tf_compat import tf

__all__ = [
    'LABELS_FILENAME', 'bytes_feature', 'bytes_list_feature',
    'download_and_uncompress_tarball', 'download_and_uncompress_zipfile',
    'download_url', 'float_feature', 'float_list_feature', 'has_labels',
    'image_to_tfexample', 'int64_feature', 'mask_to_tfexample',
    'open_sharded_output_tfrecords', 'read_label_file', 'write_label_file',
    'write_records',
]


def int64_feature(values: int | Sequence[int]) -> tf.train.Feature:
  """Returns a feature of one or several ints."""
  return tf.train.Feature(
      int64_list=tf.train.Int64List(value=np.ravel(values).tolist()))


def float_feature(values: float | Sequence[float]) -> tf.train.Feature:
  """Returns a feature of one or several floats."""
  return tf.train.Feature(
      float_list=tf.train.FloatList(value=np.ravel(values).tolist()))


def float_list_feature(values: Sequence[float]) -> tf.train.Feature:
  """Returns a feature of several floats."""
  return float_feature(values)


def bytes_feature(values: bytes) -> tf.train.Feature:
  """Returns a feature of one byte string."""
  return bytes_list_feature([values])


def bytes_list_feature(values: Sequence[bytes]) -> tf.train.Feature:
  """Returns a feature of several byte strings."""
  return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))


def image_to_tfexample(image_data: bytes, image_format: bytes, height: int,
                       width: int, class_id: int | list[int],
                       filename: bytes | None = None) -> tf.train.Example:
  """Returns the record of an image.

  Args:
    image_data: the encoded image.
    image_format: b'jpeg' or b'png'.
    height: height in pixels.
    width: width in pixels.
    class_id: its label, or its labels.
    filename: source of the image; None: left out.
  """
  features = {
      'image/encoded': bytes_feature(image_data),
      'image/format': bytes_feature(image_format),
      'image/class/label': int64_feature(class_id),
      'image/height': int64_feature(height),
      'image/width': int64_feature(width),
  }
  if filename is not None:
    features['image/filename'] = bytes_feature(filename)
  return tf.train.Example(features=tf.train.Features(feature=features))


def mask_to_tfexample(image_data: bytes, image_format: bytes, height: int,
                      width: int, mask_data: bytes,
                      filename: bytes) -> tf.train.Example:
  """Returns the record of an image and its mask.

  Args:
    image_data: the encoded image.
    image_format: b'jpeg' or b'png'.
    height: height in pixels.
    width: width in pixels.
    mask_data: the mask, a PNG with one channel of 8 bits: the class of each pixel, 255
      for none. Its size is that of the image.
    filename: source of the image.
  """
  return tf.train.Example(features=tf.train.Features(feature={
      'image/encoded': bytes_feature(image_data),
      'image/format': bytes_feature(image_format),
      'image/height': int64_feature(height),
      'image/width': int64_feature(width),
      'image/filename': bytes_feature(filename),
      catalog.MASK_FEATURE: bytes_feature(mask_data),
      'image/segmentation/class/format': bytes_feature(b'png'),
  }))


def open_sharded_output_tfrecords(
    exit_stack: contextlib.ExitStack, base_path: str,
    num_shards: int) -> list[tf.io.TFRecordWriter]:
  """Opens the record files BASE_PATH-00000-of-00005 and so on.

  Args:
    exit_stack: closes the files.
    base_path: common prefix of their paths.
    num_shards: number of files.

  Returns:
    The writers in order.
  """
  return [
      exit_stack.enter_context(tf.io.TFRecordWriter(
          f'{base_path}-{shard:05d}-of-{num_shards:05d}'))
      for shard in range(num_shards)]


def write_records(path: str,
                  examples: Iterable[tf.train.Example | bytes]) -> None:
  """Writes a record file; the same examples give the same bytes.

  Args:
    path: the file.
    examples: the records, or their bytes.

  Raises:
    OSError: the file cannot be written, such as on a full disk.
  """
  try:
    with tf.io.TFRecordWriter(path) as writer:
      for example in examples:
        # Features are a map, whose order is random without `deterministic`.
        writer.write(example if isinstance(example, bytes) else
                     example.SerializeToString(deterministic=True))
  except tf.errors.OpError as error:
    number = {
        tf.errors.RESOURCE_EXHAUSTED: errno.ENOSPC,
        tf.errors.PERMISSION_DENIED: errno.EACCES,
        tf.errors.NOT_FOUND: errno.ENOENT,
    }.get(error.error_code, errno.EIO)
    raise OSError(number, error.message, path) from error
