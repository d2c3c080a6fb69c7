"""Times this project's input pipeline, see `benchmarks.peers`.

The task has 'family', 'is_training', 'image_size' and 'dataset_dir' in place of a
network; 'cache_dir' is the folder of the cache of decoded images, if it is used.
"""

from benchmarks import photo_records
from benchmarks.peers import reports
from slim_zoo.input import pipeline
from slim_zoo.preprocessing import preprocessing_factory
from slim_zoo.tf_compat import tf


def measure(task) -> dict:
  """Returns the times of batches that are not used."""
  dataset = photo_records.dataset(task['dataset_dir'])
  preprocess = pipeline.preprocess_with(
      preprocessing_factory.get_preprocessing(task['family'], task['is_training']),
      task['image_size'], seed=0 if task['is_training'] else None)
  make = pipeline.training_input if task['is_training'] else pipeline.evaluation_input
  images = make(dataset, preprocess, task['batch_size'],
                cache_dir=task.get('cache_dir'))
  batch = images.next_batch()
  with tf.Session() as session:
    session.run(images.initializer)
    # The input stops unless delivered batches are logged. Images are not fetched, which
    # would copy them.
    run = session.make_callable([batch.numbers, tf.shape(batch.images)])
    return reports.batch_times(lambda: images.log.deliver(run()[0]), task)


if __name__ == '__main__':
  reports.print_result(measure)
