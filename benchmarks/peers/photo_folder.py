"""Times training, classification and evaluation of large photos.

See `benchmarks.peers` and `benchmarks.photo_folders`. Prints seconds per batch.
"""

import os
import tempfile
import time

from benchmarks import phone_photos
from benchmarks.peers import reports
from slim_zoo.catalog import networks
from slim_zoo.checkpoints.trained_network import TrainedNetwork
from slim_zoo.datasets import dataset_factory
from slim_zoo.input import pipeline
from slim_zoo.prediction import checkpoint_model, classifier
from slim_zoo.preprocessing import preprocessing_factory
from slim_zoo.tf_compat import tf
from slim_zoo.timing import measured_network

_THREADS = 4


def measure(task) -> dict:
  """Returns the times of batches."""
  return {'training': training, 'classification': classification,
          'evaluation': evaluation}[task['what']](task)


def training(task) -> dict:
  """Returns the times of training batches without a network."""
  images = pipeline.training_input(
      _records(task), pipeline.preprocess_with(
          preprocessing_factory.get_preprocessing(task['family'], True),
          task['image_size'], seed=0), task['batch_size'],
      reduced_decoding=task.get('reduced_decoding', False))
  batch = images.next_batch()
  with tf.Session() as session:
    session.run(images.initializer)
    run = session.make_callable([batch.numbers, tf.shape(batch.images)])
    return reports.batch_times(lambda: images.log.deliver(run()[0]), task)


class Part:
  """A model that prepares images, but waits instead of predicting.

  Args:
    model: the complete model.
    seconds: seconds to wait for each batch; None: no wait.
  """

  def __init__(self, model, seconds):
    self._model, self._seconds, self._prediction = model, seconds, None
    self.num_classes, self.prepare = model.num_classes, model.prepare

  def predict(self, images):
    """Waits and returns the first prediction."""
    time.sleep(self._seconds or 0)
    if self._prediction is None or len(self._prediction.probabilities) != len(images):
      self._prediction = self._model.predict(images)
    return self._prediction


def classification(task) -> dict:
  """Returns the mean time of a batch of classified files."""
  paths = sorted(os.path.join(folder, name) for folder, _, names in
                 os.walk(task['photos']) for name in names)
  batches = len(paths) // task['batch_size']
  paths = paths[:batches * task['batch_size']]
  with tempfile.TemporaryDirectory() as folder:
    model = checkpoint_model.CheckpointModel(_trained(task, folder))

  def classify(used):
    start = time.perf_counter()
    for _ in classifier.classify(paths, used, task['batch_size'], _THREADS):
      pass
    return (time.perf_counter() - start) / batches

  with model, open(paths[0], 'rb') as file:
    images = [model.prepare(file.read())] * task['batch_size']
    model.predict(images)
    if task['part'] == 'network alone':
      start = time.perf_counter()
      for _ in range(batches):
        model.predict(images)
      return {'seconds': [(time.perf_counter() - start) / batches]}
    if task['part'] == 'both, network on a device':
      return {'seconds': [classify(Part(model, classify(Part(model, None))))]}
    return {'seconds': [classify(
        model if task['part'] == 'both' else Part(model, None))]}


def evaluation(task) -> dict:
  """Returns the mean time of a batch of an evaluation."""
  setting = measured_network.Setting(task['network'], task['batch_size'])
  dataset = _records(task)
  images = pipeline.evaluation_input(
      dataset, pipeline.preprocess_with(
          preprocessing_factory.get_preprocessing(task['network']),
          setting.image_shape()[0]), task['batch_size'])
  batch = images.next_batch()
  source = (measured_network.synthetic_batches(setting)
            if task['part'] == 'network alone' else lambda: batch)
  forward = ([tf.shape(batch.images)] if task['part'] == 'decoding alone' else
             measured_network.frozen_operations(setting, source)['forward'])
  batches = dataset.num_samples // task['batch_size']
  with measured_network.session(setting, images.initializer) as opened:
    run = opened.make_callable(forward if task['part'] == 'network alone' else
                               [batch.numbers, forward])
    run()
    start = time.perf_counter()
    for _ in range(batches - 1):
      values = run()
      if task['part'] != 'network alone':
        images.log.deliver(values[0])
    return {'seconds': [(time.perf_counter() - start) / (batches - 1)]}


def _records(task):
  return dataset_factory.get_dataset(phone_photos.NAME, 'train', task['dataset_dir'])


def _trained(task, folder):
  """Returns the network of a task with random weights, in a checkpoint in `folder`."""
  setting = measured_network.Setting(task['network'], task['batch_size'])
  return TrainedNetwork(
      measured_network.random_checkpoint(setting, folder), task['network'],
      setting.classes, None, networks.get_network(task['network']).channels,
      task['network'], use_grayscale=False, labels_offset=0, moving_averages=False,
      multi_label=False, class_names=None, card=None)


if __name__ == '__main__':
  reports.print_result(measure)
