"""Times reading a folder of small records for training, see `benchmarks.peers`.

The task has 'dataset_dir' in place of a network. The result also has the time to the
first batch, during which the shuffle buffer is filled.
"""

import time

from benchmarks import small_records
from benchmarks.peers import reports
from slim_zoo.input import pipeline
from slim_zoo.preprocessing import preprocessing_factory
from slim_zoo.tf_compat import tf


def measure(task) -> dict:
  """Returns the times of batches that are not used."""
  images = pipeline.training_input(
      small_records.dataset(task['dataset_dir']),
      pipeline.preprocess_with(
          preprocessing_factory.get_preprocessing('lenet', True),
          small_records.SIDE),
      task['batch_size'])
  batch = images.next_batch()
  with tf.Session() as session:
    start = time.perf_counter()
    session.run(images.initializer)
    run = session.make_callable([batch.numbers, tf.shape(batch.images)])

    def deliver():
      images.log.deliver(run()[0])
    deliver()
    first = time.perf_counter() - start
    return {**reports.batch_times(deliver, task), 'first_batch_seconds': first}


if __name__ == '__main__':
  reports.print_result(measure)
