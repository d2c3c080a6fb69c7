"""Times only reading and decoding, the lower bound for every input.

The task is that of `benchmarks.peers.our_input`. Batches have the same number of
images, decoded in parallel and not used.
"""

from benchmarks import photo_records
from benchmarks.peers import reports
from slim_zoo.tf_compat import tf

_FEATURES = {'image/encoded': tf.FixedLenFeature([], tf.string)}


def measure(task) -> dict:
  """Returns the times of batches of decoded images."""
  dataset = photo_records.dataset(task['dataset_dir'])

  def decode(record):
    encoded = tf.parse_single_example(record, _FEATURES)['image/encoded']
    return tf.shape(tf.image.decode_jpeg(encoded, channels=3))

  with tf.device('/cpu:0'):
    shapes = (tf.data.TFRecordDataset(dataset.data_sources).repeat()
              .map(decode, tf.data.AUTOTUNE).batch(task['batch_size']).prefetch(2))
    batch = tf.data.make_one_shot_iterator(shapes).get_next()
  with tf.Session() as session:
    return reports.batch_times(session.make_callable(batch), task)


if __name__ == '__main__':
  reports.print_result(measure)
