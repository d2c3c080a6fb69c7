"""Times the networks inside the tf_slim wheel, see `benchmarks.peers`.

They are built with this project's tf_compat, because they do not start without it, but
its optimizations are undone. The rest is the code of a user of the wheel: its arg
scope, losses and train op.
"""

import importlib

from benchmarks.peers import reports
from slim_zoo.catalog import networks
from slim_zoo.tf_compat import slim, tf
from slim_zoo.timing import measured_network

# In the wheel, convolutions over the whole feature map stay convolutions.
importlib.import_module('tf_slim.layers.layers').convolutional_layers = (
    importlib.import_module('tensorflow.python.layers.convolutional'))


def network(name: str, is_training: bool):
  """Returns build(images) -> (logits, end_points) of a network in tf_slim.nets."""
  row = networks.get_network(name)
  try:
    module = importlib.import_module(f"tf_slim.nets.{row.builder.split(':')[0]}")
    builder, arg_scope = getattr(module, name), getattr(module, row.arg_scope)
  except (ImportError, AttributeError):
    raise reports.UnavailableError(f'the wheel has no {name}') from None

  def build(images):
    with slim.arg_scope(arg_scope(weight_decay=measured_network.WEIGHT_DECAY)):
      return builder(images, num_classes=row.num_classes, is_training=is_training)
  return build


def train_op(setting, images, labels):
  """Returns the wheel's train op, with momentum as in this project."""
  logits, end_points = network(setting.name, True)(images)
  targets = tf.one_hot(labels, setting.classes)
  if 'AuxLogits' in end_points:
    tf.losses.softmax_cross_entropy(targets, end_points['AuxLogits'], weights=0.4)
  # The wheel's ResNets keep the 1 x 1 dimensions of the logits.
  tf.losses.softmax_cross_entropy(
      targets, tf.reshape(logits, [-1, setting.classes]))
  return slim.learning.create_train_op(
      tf.losses.get_total_loss(), tf.train.MomentumOptimizer(1e-4, 0.9))


def measure(task) -> dict:
  """Returns the times of a network of the wheel."""
  setting = measured_network.Setting(task['network'], task['batch_size'])
  if task['what'] == 'frozen':
    raise reports.UnavailableError('the wheel has no frozen graph')
  with tf.Graph().as_default():
    batch = measured_network.synthetic_batches(setting)()
    if task['what'] == 'forward':
      fetches = network(setting.name, False)(batch.images)[0]
    else:
      fetches = train_op(setting, batch.images, batch.labels)
    with measured_network.session(setting) as opened:
      run = opened.make_callable(fetches)
      return {'seconds': reports.seconds(run, task), 'tensorflow': tf.__version__}


if __name__ == '__main__':
  reports.print_result(measure)
