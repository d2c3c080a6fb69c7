"""TensorBoard: what it shows besides losses and histograms."""

from absl import flags

from slim_zoo.catalog import datasets as dataset_catalog
from slim_zoo.commands import common_flags, train_flags

FLAGS = flags.FLAGS


def define() -> None:
  """Defines the flags of this group."""
  flags.DEFINE_integer('sample_predictions', 16,
                       'Images, of the validation split if there is one, whose'
                       ' predictions are drawn again and again: after the first step,'
                       ' every --save_summaries_secs, or less often where that would'
                       ' take more than 1% of the time, and in the end; 0 draws none.',
                       lower_bound=0, upper_bound=100)


def check() -> None:
  """Refuses flags that make no sense."""


def notes() -> list[str]:
  """Returns a line for every flag that changes nothing."""
  return train_flags.notes_of_flags_without_effect(
      {} if FLAGS.save_summaries_secs else
      {'sample_predictions': '--save_summaries_secs=0'})


def displayable():
  """Returns what makes pictures of the network's input."""
  from slim_zoo.preprocessing import display
  name = FLAGS.preprocessing_name or FLAGS.model_name
  return lambda images: display.displayable(images, name)


def watchers(dataset, num_classes: int, image_size: int, config, batches) -> list:
  """Returns what writes summaries between the steps; call it after the graph."""
  from slim_zoo.training import summaries
  if not FLAGS.save_summaries_secs or FLAGS.task:
    return []
  found = [summaries.ProgressSummaries(
      FLAGS.save_summaries_secs,
      FLAGS.batch_size * FLAGS.num_clones * FLAGS.accumulate_steps)]
  if FLAGS.sample_predictions:
    found += _sample_predictions(dataset, num_classes, image_size, config, batches)
  return found


def _sample_predictions(dataset, num_classes, image_size, config, batches):
  from slim_zoo.datasets import batch_labels, pipeline
  from slim_zoo.nets import nets_factory
  from slim_zoo.tf_compat import tf
  from slim_zoo.training import eval_network, sample_predictions
  several = batch_labels.is_multi_label(dataset)
  split, files, num_images = _shown_images(dataset, batches)
  samples = sample_predictions.choose(
      files, num_images, FLAGS.sample_predictions, FLAGS.labels_offset, num_classes,
      several, batch_labels.is_n_hot(dataset))
  if not samples:
    return []
  record, image = sample_predictions.image_of_record(
      dataset, pipeline.preprocess_with(
          common_flags.get_preprocessing_fn(is_training=False), image_size))
  network = eval_network.build(
      nets_factory.get_network_fn(FLAGS.model_name, num_classes),
      tf.placeholder(tf.float32, [None, *image.shape]), config)
  names = {label - FLAGS.labels_offset: name
           for label, name in (dataset.labels_to_names or {}).items()}
  return [sample_predictions.SamplePredictions(
      network, samples, record, image, names, FLAGS.save_summaries_secs,
      FLAGS.batch_size, several, f', images of {split}')]


def _shown_images(dataset, batches):
  """Returns the split whose images are shown, its files and how many it has."""
  split = FLAGS.validation_split_name
  if not split:
    return FLAGS.dataset_split_name, batches.files, dataset.num_samples
  from slim_zoo.datasets import record_counts
  spec = dataset_catalog.find_dataset(FLAGS.dataset_name, FLAGS.dataset_dir)
  files = dataset_catalog.split_files(spec, split, FLAGS.dataset_dir)
  return split, files, record_counts.count(files, spec.splits[split])
