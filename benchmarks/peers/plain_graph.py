"""Runs this project's networks in a plain graph, see `benchmarks.peers`.

Loss, optimizer and session are TensorFlow's own, without what this project adds to a
train step: clones, checks of numbers, schedules. For the task 'frozen', TensorFlow's
own function converts the variables to constants; batch norm is not folded.
`benchmarks.memory` compares the memory of this project with that of the plain graph.
"""

from benchmarks.peers import reports
from slim_zoo.tf_compat import tf
from slim_zoo.timing import measured_network


def measure(task) -> dict:
  """Returns the times of a network."""
  setting = measured_network.Setting(task['network'], task['batch_size'])
  if task['what'] == 'frozen':
    return measure_frozen(setting, task)
  with tf.Graph().as_default():
    batch = measured_network.synthetic_batches(setting)()
    if task['what'] == 'forward':
      fetched = setting.network_fn()(batch.images)[0]
    else:
      fetched = train_op(setting, batch)
    with measured_network.session(setting) as opened:
      return {'seconds': reports.seconds(opened.make_callable(fetched), task),
              'tensorflow': tf.__version__}


def measure_frozen(setting, task) -> dict:
  """Returns the times of a network with constant weights."""
  next_batch = measured_network.synthetic_batches(setting)
  with tf.Graph().as_default() as graph:
    images = tf.identity(next_batch().images, 'images')
    tf.identity(setting.network_fn()(images)[0], 'logits')
    with measured_network.session(setting) as opened:
      frozen = tf.graph_util.convert_variables_to_constants(
          opened, graph.as_graph_def(), ['logits'])
  with tf.Graph().as_default():
    logits, = tf.import_graph_def(
        frozen, {'images:0': next_batch().images}, ['logits:0'])
    with measured_network.session(setting) as opened:
      return {'seconds': reports.seconds(opened.make_callable(logits), task),
              'tensorflow': tf.__version__}


def train_op(setting, batch):
  """Returns a train op by momentum, with the statistics of batch norm."""
  network_fn = setting.network_fn(measured_network.WEIGHT_DECAY, is_training=True)
  logits, end_points = network_fn(batch.images)
  tf.losses.sparse_softmax_cross_entropy(batch.labels, logits)
  if 'AuxLogits' in end_points:
    tf.losses.sparse_softmax_cross_entropy(
        batch.labels, end_points['AuxLogits'], weights=0.4)
  with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):
    return tf.train.MomentumOptimizer(1e-4, 0.9).minimize(tf.losses.get_total_loss())


if __name__ == '__main__':
  reports.print_result(measure)
