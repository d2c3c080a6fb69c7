"""Times the networks inside the tf_slim wheel, see `benchmarks.peers`.

They are built with this project's door to TensorFlow: without it they do not start, but
what it makes quicker is taken back. The rest is as a user of the wheel writes it: its
arg scope, its losses, its train op.
"""

import importlib

from benchmarks.peers import reports
from slim_zoo.catalog import networks
from slim_zoo.tf_compat import slim, tf
from slim_zoo.timing import measured_network

# A convolution of the wheel is one, though its kernel may cover the whole map.
importlib.import_module('tf_slim.layers.layers').convolutional_layers = (
    importlib.import_module('tensorflow.python.layers.convolutional'))


def network(name: str, is_training: bool):
  """Returns build(images) -> (logits, end_points) of a network in tf_slim.nets."""
  row = networks.get_network(name)
  try:
    module = importlib.import_module(f"tf_slim.nets.{row.builder.split(':')[0]}")
    builder, arg_scope = getattr(module, name), getattr(module, row.arg_scope)
  except (ImportError, AttributeError):
    raise reports.NotThereError(f'the wheel has no {name}') from None

  def build(images):
    with slim.arg_scope(arg_scope(weight_decay=measured_network.WEIGHT_DECAY)):
      return builder(images, num_classes=row.num_classes, is_training=is_training)
  return build


def train_op(setting, images, labels):
  """Returns the wheel's train op, by momentum as ours."""
  logits, end_points = network(setting.name, True)(images)
  targets = tf.one_hot(labels, setting.classes)
  if 'AuxLogits' in end_points:
    tf.losses.softmax_cross_entropy(targets, end_points['AuxLogits'], weights=0.4)
  # The wheel's ResNets keep the sizes of 1 x 1 that ours drop.
  tf.losses.softmax_cross_entropy(
      targets, tf.reshape(logits, [-1, setting.classes]))
  return slim.learning.create_train_op(
      tf.losses.get_total_loss(), tf.train.MomentumOptimizer(1e-4, 0.9))


def measure(task) -> dict:
  """Returns the times of a network of the wheel."""
  setting = measured_network.Setting(task['network'], task['batch_size'])
  if task['what'] == 'frozen':
    raise reports.NotThereError('the wheel has no frozen graph')
  with tf.Graph().as_default():
    batch = measured_network.synthetic_batches(setting)()
    if task['what'] == 'forward':
      fetched = network(setting.name, False)(batch.images)[0]
    else:
      fetched = train_op(setting, batch.images, batch.labels)
    with measured_network.session(setting) as opened:
      run = opened.make_callable(fetched)
      return {'seconds': reports.seconds(run, task), 'tensorflow': tf.__version__}


if __name__ == '__main__':
  reports.answer(measure)
