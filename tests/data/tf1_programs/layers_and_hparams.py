"""Names of tf.contrib.layers, framework, training, metrics, losses and others."""

from __future__ import print_function

import sys

import numpy as np
import tensorflow as tf
import tensorflow.contrib.layers as tcl
from tensorflow.contrib import layers as contrib_layers
from tensorflow.contrib import rnn, tfprof
from tensorflow.contrib import training as contrib_training
from tensorflow.contrib.framework import nest
from tensorflow.contrib.framework.python.ops import add_arg_scope, arg_scope
from tensorflow.contrib.framework.python.ops.arg_scope import current_arg_scope
from tensorflow.contrib.layers import xavier_initializer
from tensorflow.contrib.layers.python.layers import batch_norm, layers, utils
from tensorflow.contrib.layers.python.layers.initializers import (
    variance_scaling_initializer,
)
from tensorflow.contrib.training.python.training.hparam import HParams
from tensorflow.python.framework import ops
from tensorflow.python.ops import control_flow_ops

tf.app.flags.DEFINE_string('hparams', '', 'name=value pairs.')
FLAGS = tf.app.flags.FLAGS
# Read before app.run, as it was possible then.
print('flag', FLAGS.hparams)


@add_arg_scope
def scaled(inputs, factor=1.0):
  return inputs * factor


def model(images, hparams):
  with arg_scope([layers.conv2d], weights_initializer=variance_scaling_initializer(),
                 weights_regularizer=tf.contrib.layers.l2_regularizer(1e-3),
                 normalizer_fn=batch_norm, normalizer_params={'is_training': True}):
    net = layers.conv2d(images, hparams.depth, 3, scope='conv')
    assert layers.conv2d.__name__ and current_arg_scope()
  net = tcl.avg_pool2d(net, 2)
  with tf.contrib.framework.arg_scope([scaled], factor=2.0):
    net = scaled(net)
  net = utils.smart_cond(tf.constant(True), lambda: net, lambda: -net)
  net = tcl.layer_norm(tcl.flatten(net))
  dense = tf.layers.dense(net, 6, kernel_initializer=xavier_initializer())
  dense = tf.layers.batch_normalization(dense, training=True)
  return contrib_layers.fully_connected(dense, 2, activation_fn=None)


def main(argv):
  hparams = tf.contrib.training.HParams(
      depth=4, rate=0.1, name='small', sizes=[1, 2], verbose=False)
  hparams.parse(FLAGS.hparams)
  assert isinstance(hparams, HParams) and HParams is contrib_training.HParams
  print('hparams', hparams.to_json(sort_keys=True))
  with ops.Graph().as_default():
    tf.set_random_seed(1)
    step = tf.contrib.framework.get_or_create_global_step()
    images = tf.constant(np.ones([4, 6, 6, 3]), tf.float32)
    logits = model(images, hparams)
    tf.contrib.losses.sparse_softmax_cross_entropy(logits, [0, 1, 0, 1])
    loss = tf.contrib.losses.get_total_loss()
    train_op = tf.contrib.layers.optimize_loss(
        loss, step, learning_rate=hparams.rate, optimizer='SGD',
        clip_gradients=1.0, summaries=['loss'])
    loss = control_flow_ops.with_dependencies([train_op], loss)
    accuracy, update = tf.contrib.metrics.streaming_accuracy(
        tf.argmax(logits, 1), tf.constant([0, 1, 0, 1], tf.int64))
    cell = rnn.MultiRNNCell([rnn.BasicLSTMCell(3) for _ in range(2)])
    outputs, _ = tf.nn.dynamic_rnn(cell, tf.zeros([2, 5, 4]), dtype=tf.float32)
    table = tf.contrib.lookup.index_table_from_tensor(tf.constant(['cat', 'dog']))
    found = table.lookup(tf.constant(['dog', 'owl']))
    data = tf.contrib.data.Dataset.from_tensor_slices(np.arange(5)).apply(
        tf.contrib.data.batch_and_drop_remainder(2))
    batch = data.make_one_shot_iterator().get_next()
    saver = tf.train.Saver()
    with tf.Session() as sess:
      sess.run([tf.global_variables_initializer(), tf.local_variables_initializer(),
                tf.tables_initializer()])
      sess.run([loss, update])
      print('step', sess.run(step), 'index', sess.run(found).tolist(),
            'batch', sess.run(batch).tolist(), sess.run(outputs).shape)
      path = saver.save(sess, argv[1] + '/model.ckpt', global_step=step)
    stat = tfprof.model_analyzer.print_model_analysis(
        tf.get_default_graph(), tfprof_options=dict(
            tfprof.model_analyzer.TRAINABLE_VARS_PARAMS_STAT_OPTIONS, output='none'))
    print('parameters', stat.total_parameters > 100)
  names = [name for name, _ in tf.contrib.framework.list_variables(path)]
  print('variables', 'conv/BatchNorm/moving_mean' in names, 'global_step' in names)
  for found in tf.contrib.training.checkpoints_iterator(argv[1], timeout=0):
    print('iterated', found == path)
    break
  print(nest.flatten({'b': [1, 2], 'a': 3}), hasattr(tf.contrib, 'tpu'), sys.argv[1:])
  return 3


if __name__ == '__main__':
  tf.app.run()
