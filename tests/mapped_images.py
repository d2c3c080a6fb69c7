"""Ways in which tests run a function over images: directly and through tf.data."""

import numpy as np
from PIL import Image

from slim_zoo.tf_compat import tf

# Tracing is faster without AutoGraph, and nothing here needs it.
unconverted = tf.autograph.experimental.do_not_convert


def evaluate(tensors):
  with tf.Session() as session:
    return session.run(tensors)


def through_tf_data(preprocess, images):
  """Maps images of one channel count, any size; returns (dataset, results)."""
  images = list(images)
  dataset = tf.data.Dataset.from_generator(
      lambda: iter(images), images[0].dtype,
      tf.TensorShape([None, None, images[0].shape[-1]]))
  dataset = dataset.map(unconverted(preprocess))
  iterator = tf.data.make_initializable_iterator(dataset.batch(len(images)))
  batch = iterator.get_next()
  with tf.Session() as session:
    session.run(iterator.initializer)
    return dataset, session.run(batch)


def draw(preprocess, count, parallel=2):
  """Returns what `preprocess(seed)` gives for `count` seeds, stacked."""
  dataset = tf.data.Dataset.range(count).map(
      unconverted(lambda index: preprocess(tf.stack([index, 7]))),
      parallel).batch(count)
  iterator = tf.data.make_initializable_iterator(dataset)
  batch = iterator.get_next()
  with tf.Session() as session:
    session.run(iterator.initializer)
    return session.run(batch)


def ramp(height, width, channels=3, dtype=np.uint8):
  """An image that grows brighter from left to right."""
  row = np.linspace(0, 255 if dtype == np.uint8 else 1, width)
  return np.broadcast_to(row[:, None], (height, width, channels)).astype(dtype)


def sample_photo():
  """Returns a photograph, uint8 [107, 160, 3], that scikit-learn carries."""
  from sklearn import datasets
  image = Image.fromarray(datasets.load_sample_image('china.jpg'))
  return np.asarray(image.resize((160, 107)))
