"""Times this project's own networks, see `benchmarks.peers`."""

from benchmarks.peers import reports
from slim_zoo.tf_compat import tf
from slim_zoo.timing import measured_network


def measure(task) -> dict:
  """Returns the times of a network of this project."""
  setting = measured_network.Setting(
      task['network'], task['batch_size'], num_clones=task.get('num_clones', 1))
  build = {'forward': measured_network.evaluation_operations,
           'frozen': measured_network.frozen_operations,
           'step': measured_network.training_operations}[task['what']]
  operation = 'step' if task['what'] == 'step' else 'forward'
  with tf.Graph().as_default():
    fetches = build(setting, measured_network.synthetic_batches(setting))[operation]
    with measured_network.session(
        setting, is_frozen=task['what'] == 'frozen') as opened:
      run = opened.make_callable(fetches)
      return {'seconds': reports.seconds(run, task), 'tensorflow': tf.__version__}


if __name__ == '__main__':
  reports.print_result(measure)
