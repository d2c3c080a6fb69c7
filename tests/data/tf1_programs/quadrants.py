"""A tiny data set in records: the bright quadrant of a gray image is its class."""

from __future__ import absolute_import, division, print_function

import os

import numpy as np
import tensorflow as tf

slim = tf.contrib.slim

SIZE = 16
NUM_CLASSES = 4
_FILE_PATTERN = 'quadrants_%s.tfrecord'
_SPLITS = {'train': 64, 'test': 24}


def write(dataset_dir):
  """Writes both splits."""
  with tf.Graph().as_default(), tf.Session('') as sess:
    pixels = tf.placeholder(tf.uint8, [SIZE, SIZE, 1])
    encode = tf.image.encode_png(pixels)
    for split in _SPLITS:
      random = np.random.RandomState(len(split))
      path = os.path.join(dataset_dir, _FILE_PATTERN % split)
      with tf.python_io.TFRecordWriter(path) as writer:
        for number in range(_SPLITS[split]):
          label = number % NUM_CLASSES
          image = random.randint(0, 60, (SIZE, SIZE, 1)).astype(np.int)
          half = SIZE // 2
          row, column = divmod(label, 2)
          image[row * half:(row + 1) * half, column * half:(column + 1) * half] += 150
          png = sess.run(encode, {pixels: image.astype(np.uint8)})
          example = tf.train.Example(features=tf.train.Features(feature={
              'image/encoded': tf.train.Feature(
                  bytes_list=tf.train.BytesList(value=[png])),
              'image/format': tf.train.Feature(
                  bytes_list=tf.train.BytesList(value=[b'png'])),
              'image/class/label': tf.train.Feature(
                  int64_list=tf.train.Int64List(value=[label]))}))
          writer.write(example.SerializeToString())


def get_split(split, dataset_dir):
  """Returns a slim.dataset.Dataset."""
  keys_to_features = {
      'image/encoded': tf.FixedLenFeature((), tf.string, default_value=''),
      'image/format': tf.FixedLenFeature((), tf.string, default_value='png'),
      'image/class/label': tf.FixedLenFeature([], tf.int64),
  }
  items_to_handlers = {
      'image': slim.tfexample_decoder.Image(shape=[SIZE, SIZE, 1], channels=1),
      'label': slim.tfexample_decoder.Tensor('image/class/label'),
  }
  return slim.dataset.Dataset(
      data_sources=os.path.join(dataset_dir, _FILE_PATTERN % split),
      reader=tf.TFRecordReader,
      decoder=slim.tfexample_decoder.TFExampleDecoder(
          keys_to_features, items_to_handlers),
      num_samples=_SPLITS[split],
      items_to_descriptions={'image': 'gray', 'label': 'quadrant'},
      num_classes=NUM_CLASSES)


def load_batch(split, dataset_dir, batch_size, shuffle):
  """Returns a batch of images in [-1, 1] and of labels."""
  provider = slim.dataset_data_provider.DatasetDataProvider(
      get_split(split, dataset_dir), num_readers=1, shuffle=shuffle,
      common_queue_capacity=40, common_queue_min=10)
  image, label = provider.get(['image', 'label'])
  image = tf.to_float(image) / 127.5 - 1.0
  return tf.train.batch([image, label], batch_size=batch_size, num_threads=1,
                        capacity=2 * batch_size)


def network(images, num_classes=NUM_CLASSES, is_training=True, weight_decay=1e-4):
  """A small network; returns (logits, end_points)."""
  with slim.arg_scope([slim.conv2d, slim.fully_connected],
                      weights_regularizer=slim.l2_regularizer(weight_decay),
                      weights_initializer=slim.xavier_initializer()):
    with slim.arg_scope([slim.conv2d], normalizer_fn=slim.batch_norm):
      with slim.arg_scope([slim.batch_norm], is_training=is_training, decay=0.7):
        with tf.variable_scope('Quadrants') as scope:
          collection = scope.original_name_scope + 'end_points'
          with slim.arg_scope([slim.conv2d], outputs_collections=collection):
            net = slim.repeat(images, 2, slim.conv2d, 8, [3, 3], scope='conv')
            net = slim.max_pool2d(net, [2, 2], scope='pool')
          depth = net.get_shape()[1].value * net.get_shape()[2].value * 8
          net = slim.flatten(net)
          assert net.shape[1] == depth
          net = slim.dropout(net, 0.9, is_training=is_training)
          logits = slim.fully_connected(net, num_classes, activation_fn=None,
                                        scope='logits')
          return logits, slim.utils.convert_collection_to_dict(collection)
