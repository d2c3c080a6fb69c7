"""Trains a network of the zoo on two clones, with queues, as slim's own script did."""

from __future__ import print_function

import tensorflow as tf
from deployment import model_deploy
from nets import nets_factory
from preprocessing import preprocessing_factory

import quadrants

slim = tf.contrib.slim

tf.app.flags.DEFINE_string('dataset_dir', None, 'Folder of the records.')
tf.app.flags.DEFINE_string('train_dir', None, 'Folder of checkpoints.')
tf.app.flags.DEFINE_string('model_name', 'lenet', 'Network.')
tf.app.flags.DEFINE_integer('num_clones', 2, 'Clones.')
tf.app.flags.mark_flag_as_required('train_dir')
FLAGS = tf.app.flags.FLAGS


def main(_):
  tf.logging.set_verbosity(tf.logging.WARN)
  with tf.Graph().as_default():
    deploy_config = model_deploy.DeploymentConfig(
        num_clones=FLAGS.num_clones, clone_on_cpu=True)
    with tf.device(deploy_config.variables_device()):
      global_step = slim.create_global_step()
    dataset = quadrants.get_split('train', FLAGS.dataset_dir)
    network_fn = nets_factory.get_network_fn(
        FLAGS.model_name, num_classes=dataset.num_classes, weight_decay=4e-5,
        is_training=True)
    preprocess = preprocessing_factory.get_preprocessing(
        FLAGS.model_name, is_training=True)
    with tf.device(deploy_config.inputs_device()):
      provider = slim.dataset_data_provider.DatasetDataProvider(
          dataset, num_readers=2, common_queue_capacity=40, common_queue_min=10)
      [image, label] = provider.get(['image', 'label'])
      size = network_fn.default_image_size
      image = preprocess(image, size, size)
      images, labels = tf.train.batch([image, label], batch_size=8, num_threads=2,
                                      capacity=40)
      labels = slim.one_hot_encoding(labels, dataset.num_classes)
      batch_queue = slim.prefetch_queue.prefetch_queue([images, labels], capacity=4)

    def clone_fn(batch_queue):
      images, labels = batch_queue.dequeue()
      logits, end_points = network_fn(images)
      tf.losses.softmax_cross_entropy(labels, logits, label_smoothing=0.05, weights=1.0)
      return end_points

    clones = model_deploy.create_clones(deploy_config, clone_fn, [batch_queue])
    first_clone_scope = deploy_config.clone_scope(0)
    update_ops = tf.get_collection(tf.GraphKeys.UPDATE_OPS, first_clone_scope)
    summaries = set(tf.get_collection(tf.GraphKeys.SUMMARIES))
    for end_point in clones[0].outputs:
      x = clones[0].outputs[end_point]
      summaries.add(tf.summary.scalar('sparsity/' + end_point, tf.nn.zero_fraction(x)))
    variables = slim.get_model_variables()
    averages = tf.train.ExponentialMovingAverage(0.9, global_step)
    with tf.device(deploy_config.optimizer_device()):
      optimizer = tf.train.MomentumOptimizer(0.01, momentum=0.9)
    update_ops.append(averages.apply(variables))
    total_loss, clones_gradients = model_deploy.optimize_clones(
        clones, optimizer, var_list=tf.trainable_variables())
    update_ops.append(optimizer.apply_gradients(
        clones_gradients, global_step=global_step))
    with tf.control_dependencies([tf.group(*update_ops)]):
      train_tensor = tf.identity(total_loss, name='train_op')
    summaries |= set(tf.get_collection(tf.GraphKeys.SUMMARIES, first_clone_scope))
    loss = slim.learning.train(
        train_tensor, logdir=FLAGS.train_dir, master='', is_chief=True,
        summary_op=tf.summary.merge(list(summaries), name='summary_op'),
        number_of_steps=10, log_every_n_steps=10, save_summaries_secs=600,
        save_interval_secs=600, sync_optimizer=None)
  names = [name for name, _ in tf.train.list_variables(FLAGS.train_dir)]
  print('loss', loss < 5, 'variables', 'LeNet/conv1/weights' in names,
        'LeNet/conv1/weights/ExponentialMovingAverage' in names)


if __name__ == '__main__':
  tf.app.run()
