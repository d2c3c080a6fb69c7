"""Images for tests, and what the project's own reading makes of stored ones."""

import glob
import io

import numpy as np
from PIL import Image

from slim_zoo.dataset_building import image_folder
from slim_zoo.datasets import dataset_factory, dataset_utils
from slim_zoo.tf_compat import tf


def picture(seed=0, height=24, width=32, channels=3):
  """Returns a smooth uint8 image: [height, width, 3], or [height, width]."""
  grid = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), np.uint8)
  image = Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC)
  return np.asarray(image if channels == 3 else image.convert('L'))


def encoded(image, image_format='PNG', **options):
  """Returns an image, array or Pillow's, as the bytes of a file."""
  if isinstance(image, np.ndarray):
    image = Image.fromarray(image)
  file = io.BytesIO()
  image.save(file, image_format, **options)
  return file.getvalue()


def read_split(name, split, dataset_dir, **arguments):
  """Reads a split as training does; returns its records, each a dict of arrays."""
  dataset = dataset_factory.get_dataset(name, split, str(dataset_dir), **arguments)
  items = dataset.decoder.list_items()

  @tf.autograph.experimental.do_not_convert
  def decode(record):
    return dict(zip(items, dataset.decoder.decode(record, items), strict=True))

  files = [path for source in dataset.data_sources for path in glob.glob(source)]
  records = tf.data.TFRecordDataset(files).map(
      decode, num_parallel_calls=2)
  following = tf.data.make_one_shot_iterator(records).get_next()
  values = []
  with tf.Session() as session:
    while True:
      try:
        values.append(session.run(following))
      except tf.errors.OutOfRangeError:
        return values


def stored_examples(dataset_dir):
  """Returns the tf.train.Examples of a folder's records by image/filename."""
  examples = {}
  for path in sorted(dataset_dir.glob('*.tfrecord')):
    for record in tf.io.tf_record_iterator(str(path)):
      example = tf.train.Example.FromString(record)
      name = example.features.feature['image/filename'].bytes_list.value[0]
      examples[name.decode()] = example.features.feature
  return examples


def decode_all(features_by_name, channels=3):
  """Decodes what was stored, with TensorFlow; returns uint8 arrays by name."""
  content = tf.placeholder(tf.string, [])
  image = tf.image.decode_image(content, channels=channels)
  with tf.Session() as session:
    return {name: session.run(
        image, {content: features['image/encoded'].bytes_list.value[0]})
            for name, features in features_by_name.items()}


def write(path, *examples):
  path.parent.mkdir(parents=True, exist_ok=True)
  dataset_utils.write_records(str(path), iter(examples))
  return str(path)


def example(data, image_format=b'png', label=1, **more):
  """Returns a record without height and width, which are not always there."""
  features = {
      'image/encoded': dataset_utils.bytes_feature(data),
      'image/format': dataset_utils.bytes_feature(image_format),
      **{f'image/{name.replace("__", "/")}': value for name, value in more.items()}}
  if label is not None:
    features['image/class/label'] = dataset_utils.int64_feature(label)
  return tf.train.Example(features=tf.train.Features(feature=features))


def fill(root, files):
  """Writes {path: bytes}."""
  for name, data in files.items():
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
  return root


def plain_folder(root, count=6, classes=('cat', 'dog')):
  """Writes `count` small PNGs for each class."""
  return fill(root, {
      f'{name}/{index}.png': encoded(picture(100 * label + index, 8, 8))
      for label, name in enumerate(classes) for index in range(count)})


def convert(image_dir, dataset_dir, name='pets', **arguments):
  arguments.setdefault('num_workers', 1)
  return image_folder.convert(str(image_dir), str(dataset_dir), name, **arguments)


def contents(folder):
  return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def files_in(folder, files):
  """Writes files, {name: bytes}, to a folder, and returns it."""
  folder.mkdir(parents=True, exist_ok=True)
  for name, data in files.items():
    (folder / name).write_bytes(data)
  return folder
