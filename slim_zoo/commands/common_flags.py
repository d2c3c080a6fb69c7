"""The network and the data set: flags that several scripts share."""

import sys

from absl import flags

from slim_zoo.catalog import datasets as dataset_catalog
from slim_zoo.catalog import networks
from slim_zoo.commands import option_flags, path_flags
from slim_zoo.config.data import check_cache_dir
from slim_zoo.config.precision import Precision

FLAGS = flags.FLAGS

_FROM_CARD = ' A run card beside the checkpoint replaces the default.'


def define_network_flags() -> None:
  """Defines which network, and what its images are made of."""
  flags.DEFINE_string('model_name', 'inception_v3',
                      'Name of the network.' + _FROM_CARD)
  flags.DEFINE_string('preprocessing_name', None,
                      'Preprocessing family; by default the one of the network.'
                      + _FROM_CARD)
  flags.DEFINE_boolean('use_grayscale', False,
                       'Turn images to one gray channel.' + _FROM_CARD)
  flags.DEFINE_integer('num_preprocessing_threads', 4,
                       'Images decoded and preprocessed at the same time.',
                       lower_bound=1)
  flags.DEFINE_string('master', '',
                      'Address of the TensorFlow server to run on; empty: this'
                      ' process.')


def define_dataset_flags(split_name: str, batch_size: int) -> None:
  """Defines which images; the defaults of two flags are the script's own."""
  flags.DEFINE_string('dataset_name', 'imagenet',
                      'Name of a data set: one that slim-zoo download knows, the one in'
                      ' the dataset.json of --dataset_dir, or tfds:NAME.')
  flags.DEFINE_string('dataset_split_name', split_name, 'Split of the data set.')
  path_flags.DEFINE_path('dataset_dir', None, 'Folder of the TFRecord files.')
  path_flags.DEFINE_path('cache_dir', None,
                         'Folder of the cache: records with preprocessed images, which'
                         ' are faster to read. They take about 20 times the space. They'
                         ' are made before the first batch and reused later.')
  flags.DEFINE_integer('labels_offset', 0,
                       'Subtracted from every label: 1 leaves out the background class'
                       ' of ImageNet, which VGG and ResNet v1 do not have.'
                       + _FROM_CARD, lower_bound=0)
  flags.DEFINE_integer('batch_size', batch_size, 'Images in a batch.',
                       lower_bound=1)


def define_computation_flags() -> None:
  """Defines how networks are computed."""
  option_flags.define([Precision])


def precision() -> Precision:
  """Returns how the flags say that networks are computed."""
  return Precision(FLAGS.mixed_precision, FLAGS.xla, FLAGS.data_format)


def show_unused_gpus() -> None:
  """Says on stderr why no GPU is used, where the machine has one."""
  from slim_zoo.deployment import unused_gpus
  for line in unused_gpus.notes():
    print(f'note: {line}', file=sys.stderr, flush=True)


def check_data_format(model_name: str, device: str = '') -> None:
  """Tries on a device whether it computes a network in --data_format.

  Args:
    model_name: of the network.
    device: '' for TensorFlow's choice.

  Raises:
    UserError: it does not.
  """
  from slim_zoo.deployment import computation
  from slim_zoo.nets import nets_factory
  from slim_zoo.tf_compat import tf
  computation.check_data_format(
      FLAGS.data_format, model_name,
      FLAGS.data_format in nets_factory.data_formats(model_name),
      tf.as_dtype(precision().dtype), device)


def check_names() -> None:
  """Checks the names, the folder and the files before TensorFlow is imported.

  Raises:
    UserError: the first thing that is wrong.
  """
  networks.get_image_network(FLAGS.model_name)
  if FLAGS.preprocessing_name:
    networks.check_preprocessing(FLAGS.preprocessing_name)
  spec = dataset_catalog.find_dataset(FLAGS.dataset_name, FLAGS.dataset_dir)
  spec.check_split(FLAGS.dataset_split_name)
  dataset_catalog.split_files(spec, FLAGS.dataset_split_name, FLAGS.dataset_dir)
  spec.check_labels_offset(FLAGS.labels_offset)
  check_cache_dir(FLAGS.cache_dir, FLAGS.dataset_dir)


def get_dataset(split_name: str | None = None):
  """Returns the slim Dataset of the flags, and the class count of the network.

  Args:
    split_name: by default that of --dataset_split_name.

  Raises:
    UserError: there is no such data set or split; or a file is no record file.
  """
  from slim_zoo.input import counted_dataset
  dataset = counted_dataset.get_dataset(
      FLAGS.dataset_name, split_name or FLAGS.dataset_split_name, FLAGS.dataset_dir)
  return dataset, dataset.num_classes - FLAGS.labels_offset
