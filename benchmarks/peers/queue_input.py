"""Times slim's input queues, see `benchmarks.peers`.

Records come from `DatasetDataProvider` with the recipes of slim's scripts in TensorFlow
1: the whole image is decoded and converted, ops have their own random state, and
`tf.train.batch` makes the batches. The task is that of `benchmarks.peers.our_input`.
"""

from benchmarks import photo_records
from benchmarks.peers import reports
from slim_zoo.tf_compat import slim, tf

_THREADS = 4
_RGB_MEANS = (123.68, 116.78, 103.94)


def inception(image, size):
  """Returns a random part of an image with its colours changed, in [-1, 1]."""
  image = tf.image.convert_image_dtype(image, tf.float32)
  begin, extent, _ = tf.image.sample_distorted_bounding_box(
      tf.shape(image), tf.constant([[[0.0, 0.0, 1.0, 1.0]]]), min_object_covered=0.1,
      aspect_ratio_range=(0.75, 1.33), area_range=(0.05, 1.0), max_attempts=100,
      use_image_if_no_bounding_boxes=True)
  image = tf.slice(image, begin, extent)
  image.set_shape([None, None, 3])
  image = tf.image.resize_images(image, [size, size])
  image = tf.image.random_flip_left_right(image)

  def brightness(image):
    return tf.image.random_brightness(image, 32 / 255)

  def saturation(image):
    return tf.image.random_saturation(image, 0.5, 1.5)

  image = tf.cond(
      tf.random_uniform([], maxval=4, dtype=tf.int32) < 1,
      lambda: saturation(brightness(image)), lambda: brightness(saturation(image)))
  return (tf.clip_by_value(image, 0.0, 1.0) - 0.5) * 2.0


def vgg(image, size):
  """Returns a random crop of a randomly scaled image, minus the mean colour."""
  side = tf.random_uniform([], 256, 513, tf.int32)
  image = tf.to_float(image)
  shape = tf.to_float(tf.shape(image)[:2])
  scale = tf.to_float(side) / tf.reduce_min(shape)
  image = tf.image.resize_images(image, tf.to_int32(tf.round(shape * scale)))
  image = tf.random_crop(image, [size, size, 3])
  image = tf.image.random_flip_left_right(image)
  return image - tf.constant(_RGB_MEANS)


def measure(task) -> dict:
  """Returns the times of batches that are not used."""
  if not task['is_training']:
    raise reports.UnavailableError('evaluation is compared with decoding')
  dataset = photo_records.dataset(task['dataset_dir'])
  with tf.device('/cpu:0'):
    provider = slim.dataset_data_provider.DatasetDataProvider(
        dataset, num_readers=_THREADS, common_queue_capacity=20 * task['batch_size'],
        common_queue_min=10 * task['batch_size'])
    image, label = provider.get(['image', 'label'])
    _, labels = tf.train.batch(
        [{'inception': inception, 'vgg': vgg}[task['family']](
            image, task['image_size']), label],
        task['batch_size'], num_threads=_THREADS, capacity=5 * task['batch_size'])
  with tf.Session() as session:
    session.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
    coordinator = tf.train.Coordinator()
    threads = tf.train.start_queue_runners(session, coordinator)
    times = reports.batch_times(session.make_callable(labels), task)
    coordinator.request_stop()
    coordinator.join(threads, stop_grace_period_secs=30, ignore_live_threads=True)
  return times


if __name__ == '__main__':
  reports.print_result(measure)
