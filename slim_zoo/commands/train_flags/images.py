"""The images: how records become batches, and the network that they are for."""

from absl import flags

from slim_zoo.catalog import networks
from slim_zoo.commands import common_flags
from slim_zoo.commands.train_flags import (
  augmentation,
  computation,
  fine_tuning,
  optimization,
)

FLAGS = flags.FLAGS


def define() -> None:
  """Defines the flags of this group."""
  flags.DEFINE_integer('num_readers', 4, 'Record files read at the same time.',
                       lower_bound=1)
  flags.DEFINE_integer('train_image_size', None,
                       'Height and width of the images; by default those of the'
                       ' network.', lower_bound=1)


def check() -> None:
  """Refuses unknown names, records that are not there, and too small images."""
  common_flags.check_names()
  if FLAGS.train_image_size:
    networks.check_image_size(
        FLAGS.model_name, FLAGS.train_image_size, is_training=True,
        flag='train_image_size')


def notes() -> list[str]:
  """Returns a line for every flag that changes nothing."""
  return []


def network(num_classes: int):
  """Returns the network's function and the size of the images it gets."""
  from slim_zoo.nets import nets_factory
  network_fn = nets_factory.get_network_fn(
      FLAGS.model_name, num_classes, optimization.loss_weight_decay(),
      is_training=True,
      frozen_batch_norm_scopes=fine_tuning.frozen_batch_norm_scopes(),
      **computation.network_options())
  return network_fn, FLAGS.train_image_size or network_fn.default_image_size


def training_input(dataset, image_size: int, seeds, config, part=None):
  """Returns the training input; `seeds` are of `repeating.begin`.

  Args:
    dataset: what it reads.
    image_size: height and width of the images.
    seeds: of the run.
    config: of the deployment.
    part: the part of the records to read; None: all.
  """
  from slim_zoo.datasets import pipeline
  from slim_zoo.tf_compat import tf
  preprocess = pipeline.preprocess_with(
      augmentation.preprocessing_fn(), image_size, seeds.input)

  with tf.device(config.inputs_device()):
    return pipeline.training_input(
        dataset, preprocess, FLAGS.batch_size, FLAGS.labels_offset, FLAGS.num_readers,
        FLAGS.num_preprocessing_threads, FLAGS.num_clones, seeds.input,
        runs_here=not FLAGS.master, first_record=seeds.first_record,
        mix=augmentation.mix(), part=part,
        cache_dir=FLAGS.cache_dir)


def rows(dataset, num_classes: int, image_size: int, batches) -> list[tuple[str, str]]:
  """Returns the lines of the banner that are of this group.

  Args:
    dataset: of the training split.
    num_classes: how many there are.
    image_size: height and width of the network's input.
    batches: the training input.
  """
  name = FLAGS.preprocessing_name or FLAGS.model_name
  note = networks.crop_note(name, image_size, batches.image_sizes())
  gray = ', gray' if FLAGS.use_grayscale else ''
  cached = f'; decoded copies in {FLAGS.cache_dir}' if FLAGS.cache_dir else ''
  return [
      ('images', f'{dataset.num_samples:,} of {num_classes} classes:'
                 f' {FLAGS.dataset_split_name} of {FLAGS.dataset_name} in'
                 f' {FLAGS.dataset_dir}{cached}'),
      ('input', f'{image_size} x {image_size},'
                f' {name} preprocessing{gray}'),
      *([('note', note)] if note else []),
      *augmentation.rows(),
  ]
