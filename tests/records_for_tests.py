"""Small record files for tests: images whose pixels say which record they are."""

import io

import numpy as np
from PIL import Image

from slim_zoo.tf_compat import slim, tf


def png(value: int, size: int = 8) -> bytes:
  """Returns a gray image, all of whose pixels are `value`."""
  encoded = io.BytesIO()
  Image.fromarray(np.full([size, size], value, np.uint8)).save(encoded, 'PNG')
  return encoded.getvalue()


def feature(value):
  if isinstance(value, bytes):
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
  return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))


def write(path, images, labels) -> str:
  """Writes one record for each image (bytes) and label; returns the path."""
  with tf.io.TFRecordWriter(str(path)) as writer:
    for image, label in zip(images, labels, strict=True):
      features = {'image/encoded': feature(image), 'image/format': feature(b'png')}
      if label is not None:
        features['image/class/label'] = feature(label)
      writer.write(tf.train.Example(features=tf.train.Features(
          feature=features)).SerializeToString())
  return str(path)


def dataset(pattern, num_samples, num_classes=10) -> slim.dataset.Dataset:
  """Returns gray images and labels as a slim Dataset."""
  def decoder(image):
    return slim.tfexample_decoder.TFExampleDecoder(
        {'image/encoded': tf.FixedLenFeature([], tf.string),
         'image/format': tf.FixedLenFeature([], tf.string, 'png'),
         'image/class/label': tf.FixedLenFeature([], tf.int64)},
        {'image': image, 'label': slim.tfexample_decoder.Tensor('image/class/label')})

  handlers = slim.tfexample_decoder
  return slim.dataset.Dataset(
      str(pattern), tf.TFRecordReader, decoder(handlers.Image(channels=1)), num_samples,
      {}, num_classes=num_classes, channels=1,
      encoded_decoder=decoder(handlers.Tensor('image/encoded')))


def as_they_are(number, image):
  """The simplest `preprocess` of a pipeline."""
  image = tf.cast(image, tf.float32)
  image.set_shape([8, 8, 1])
  return image
