"""Times training steps on records or on images in memory, see `benchmarks.peers`.

The task also has 'dataset_dir'. With 'synthetic' the same step reads random images from
memory.
"""

from benchmarks import photo_records
from benchmarks.peers import reports
from slim_zoo.input import pipeline
from slim_zoo.preprocessing import preprocessing_factory
from slim_zoo.tf_compat import tf
from slim_zoo.timing import measured_network


def measure(task) -> dict:
  """Returns the times of steps, and the share in which they waited for images."""
  dataset = photo_records.dataset(task['dataset_dir'])
  setting = measured_network.Setting(
      task['network'], task['batch_size'], num_classes=dataset.num_classes)
  with tf.Graph().as_default():
    if task.get('synthetic'):
      step = measured_network.training_operations(
          setting, measured_network.synthetic_batches(setting))['step']
      with measured_network.session(setting) as opened:
        return {'seconds': reports.seconds(opened.make_callable(step), task)}
    return _on_records(setting, dataset, task)


def _on_records(setting, dataset, task):
  images = pipeline.training_input(
      dataset, pipeline.preprocess_with(
          preprocessing_factory.get_preprocessing(setting.name, True),
          setting.image_shape()[0], seed=0), setting.batch_size)
  batch = images.next_batch()
  step = measured_network.training_operations(setting, lambda: batch)['step']
  waited = []
  with measured_network.session(setting, images.initializer) as opened:
    call = opened.make_callable([step, batch.numbers, batch.waited])

    def run():
      _, numbers, seconds = call()
      images.log.deliver(numbers)
      waited.append(float(seconds))

    times = reports.seconds(run, task)
  return {'seconds': times,
          'waited_share': sum(waited[task['burn_in']:]) / sum(times)}


if __name__ == '__main__':
  reports.print_result(measure)
