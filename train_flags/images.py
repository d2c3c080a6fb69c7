"""The images: how records become batches, and the network that they are for."""

import os

from absl import flags

import common_flags

FLAGS = flags.FLAGS


def define() -> None:
  """Defines the flags of this group."""
  flags.DEFINE_integer('num_readers', 4, 'Record files read at the same time.',
                       lower_bound=1)
  flags.DEFINE_integer('train_image_size', None,
                       'Height and width of the images; by default those of the'
                       ' network.', lower_bound=1)


def check() -> None:
  """Refuses names that do not exist, and records that are not there."""
  common_flags.check_names()


def notes() -> list[str]:
  """Returns a line for every flag that changes nothing."""
  return []


def network(num_classes: int):
  """Returns the network's function and the size of the images it gets."""
  from nets import nets_factory
  network_fn = nets_factory.get_network_fn(
      FLAGS.model_name, num_classes, FLAGS.weight_decay, is_training=True)
  return network_fn, FLAGS.train_image_size or network_fn.default_image_size


def training_input(dataset, image_size: int, step: int, config):
  """Returns the training input; a resumed run draws other images than before."""
  from datasets import pipeline
  from tf_compat import tf
  preprocessing_fn = common_flags.get_preprocessing_fn(is_training=True)
  seed = (int.from_bytes(os.urandom(3), 'big') if FLAGS.seed is None
          else FLAGS.seed) + step + FLAGS.task

  with tf.device(config.inputs_device()):
    return pipeline.training_input(
        dataset, pipeline.preprocess_with(preprocessing_fn, image_size, seed),
        FLAGS.batch_size, FLAGS.labels_offset, FLAGS.num_readers,
        FLAGS.num_preprocessing_threads, FLAGS.num_clones, seed,
        runs_here=not FLAGS.master)


def rows(dataset, num_classes: int, image_size: int) -> list[tuple[str, str]]:
  """Returns the lines of the banner that are of this group."""
  gray = ', gray' if FLAGS.use_grayscale else ''
  return [
      ('images', f'{dataset.num_samples:,} of {num_classes} classes:'
                 f' {FLAGS.dataset_split_name} of {FLAGS.dataset_name} in'
                 f' {FLAGS.dataset_dir}'),
      ('input', f'{image_size} x {image_size},'
                f' {FLAGS.preprocessing_name or FLAGS.model_name} preprocessing{gray}'),
  ]
