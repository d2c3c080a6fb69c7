"""A residual network with dilated blocks and a score for each pixel."""

from __future__ import print_function

import collections

import numpy as np
import tensorflow as tf
from tensorflow.contrib import framework as contrib_framework
from tensorflow.contrib import slim as contrib_slim
from tensorflow.contrib.slim.nets import resnet_utils
from tensorflow.contrib.slim.python.slim.nets import resnet_v1

slim = contrib_slim
_MULTI_GRID = [1, 2, 1]


@slim.add_arg_scope
def unit(inputs, depth, depth_bottleneck, stride, unit_rate=1, rate=1,
         outputs_collections=None, scope=None):
  """A bottleneck whose rate is that of the block times that of the unit."""
  with tf.variable_scope(scope, 'unit', [inputs]) as sc:
    depth_in = slim.utils.last_dimension(inputs.get_shape(), min_rank=4)
    if depth == depth_in:
      shortcut = resnet_utils.subsample(inputs, stride, 'shortcut')
    else:
      shortcut = slim.conv2d(inputs, depth, [1, 1], stride=stride, activation_fn=None,
                             scope='shortcut')
    residual = slim.conv2d(inputs, depth_bottleneck, [1, 1], scope='conv1')
    residual = resnet_utils.conv2d_same(residual, depth_bottleneck, 3, stride,
                                        rate=rate * unit_rate, scope='conv2')
    residual = slim.conv2d(residual, depth, [1, 1], activation_fn=None, scope='conv3')
    return slim.utils.collect_named_outputs(
        outputs_collections, sc.name, tf.nn.relu(shortcut + residual))


def block(scope, base_depth, stride, rates):
  """Returns a block; the last unit has its stride."""
  args = [{'depth': base_depth * 4, 'depth_bottleneck': base_depth,
           'stride': stride if number == len(rates) - 1 else 1, 'unit_rate': rate}
          for number, rate in enumerate(rates)]
  return resnet_utils.Block(scope, unit, args)


def features(images, output_stride, is_training):
  """Returns the last feature map, of 1/output_stride of the size, and end points."""
  blocks = [block('block1', 4, 2, [1, 1]), block('block2', 4, 2, [1]),
            block('block3', 8, 1, _MULTI_GRID)]
  with tf.variable_scope('atrous', 'atrous', [images]) as sc:
    collection = sc.name + '_end_points'
    with slim.arg_scope([slim.conv2d, unit, resnet_utils.stack_blocks_dense],
                        outputs_collections=collection):
      with slim.arg_scope([slim.batch_norm], is_training=is_training):
        net = resnet_utils.conv2d_same(images, 8, 7, stride=2, scope='conv1')
        net = slim.max_pool2d(net, [3, 3], stride=2, padding='SAME', scope='pool1')
        net = resnet_utils.stack_blocks_dense(net, blocks, output_stride // 4)
        return net, slim.utils.convert_collection_to_dict(collection)


def aspp(net, rates=(2, 4)):
  """Joins dilated separable convolutions and the mean of the image."""
  size = tf.shape(net)[1:3]
  pooled = tf.reduce_mean(net, [1, 2], keep_dims=True)
  pooled = slim.conv2d(pooled, 8, 1, scope='pooled')
  pooled = tf.image.resize_bilinear(pooled, size, align_corners=True)
  pooled.set_shape([None, None, None, 8])
  branches = [pooled] + [
      slim.separable_conv2d(net, 8, 3, depth_multiplier=1, rate=rate,
                            scope='aspp%d' % rate) for rate in rates]
  return tf.concat(branches, 3)


def main(_):
  images = tf.placeholder(tf.float32, [2, 65, 65, 3])
  labels = tf.placeholder(tf.int32, [2, 65, 65, 1])
  with slim.arg_scope(resnet_utils.resnet_arg_scope(
      weight_decay=1e-4, batch_norm_decay=0.95, batch_norm_epsilon=1e-5,
      batch_norm_scale=True)):
    net, end_points = features(images, 8, True)
    heads = aspp(net)
    with contrib_framework.arg_scope([slim.conv2d], activation_fn=None,
                                     normalizer_fn=None):
      logits = slim.conv2d(heads, 3, 1, scope='logits')
    published, _ = resnet_v1.resnet_v1(
        images, [resnet_v1.resnet_v1_block('block1', 4, 1, 2)], 5, is_training=False,
        scope='published')
  print('features', net.get_shape().as_list(), end_points['atrous/block3'].shape[3])
  # The networks of tf.contrib keep the spatial dimensions of the logits.
  print('published', tf.squeeze(published, [1, 2]).shape.as_list())
  logits = tf.image.resize_bilinear(
      logits, contrib_framework.nest.map_structure(int, [65, 65]), align_corners=True)
  loss = tf.losses.sparse_softmax_cross_entropy(tf.squeeze(labels, 3), logits)
  predictions = tf.argmax(logits, 3)
  iou, update = tf.metrics.mean_iou(tf.reshape(labels, [-1]),
                                    tf.reshape(predictions, [-1]), num_classes=3)
  train_op = slim.learning.create_train_op(
      loss, tf.train.MomentumOptimizer(0.05, 0.9))
  random = np.random.RandomState(0)
  truth = np.zeros([2, 65, 65, 1], np.int32)
  truth[:, 30:] = 1
  pixels = random.normal(size=[2, 65, 65, 3]).astype(np.float32) + truth
  feed = {images: pixels, labels: truth}
  session = collections.namedtuple('Result', 'first last iou')
  with tf.Session() as sess:
    sess.run([tf.initialize_all_variables(), tf.local_variables_initializer()])
    losses = [sess.run(train_op, feed) for _ in range(8)]
    sess.run(update, feed)
    result = session(losses[0], losses[-1], sess.run(iou))
  print('learns', result.last < result.first, 0 < result.iou <= 1)


if __name__ == '__main__':
  tf.app.run()
