"""The callbacks of a training run, and the options of its loop."""

from slim_zoo.catalog import datasets as dataset_catalog
from slim_zoo.config.training import TrainConfig
from slim_zoo.input import batch_labels, data_service, pipeline, record_counts
from slim_zoo.nets import fcn, nets_factory
from slim_zoo.preprocessing import mixing
from slim_zoo.tasks import job, training_input, training_updates
from slim_zoo.tf_compat import tf
from slim_zoo.training import determinism, eval_network
from slim_zoo.training.callbacks import (
    augmentation_pictures,
    mask_pictures,
    profile,
    sample_predictions,
    summaries,
)
from slim_zoo.training.callbacks.callback import Callback
from slim_zoo.training.loop_options import LoopOptions
from slim_zoo.training.updates import loss_scaling, numerics

_AUGMENTED_PICTURES = 6


def loop_options(config: TrainConfig, master: str, precision: str) -> LoopOptions:
  """Returns the options of the training loop.

  Args:
    config: of the run.
    master: the address of the TensorFlow server to run on; '': this process.
    precision: of the sessions.
  """
  output, machines = config.run, config.distribution
  address = config.data.service_address
  return LoopOptions(
      output.train_dir, output.max_number_of_steps, config.logging.log_every_n_steps,
      config.logging.save_summaries_secs, output.save_interval_secs,
      config.images_per_step, job.place(machines, master, config.devices.settings),
      config.values(), precision,
      {data_service.name_of(address): address} if address else {},
      training_input.SERVICE_SECONDS)


def make(config: TrainConfig, training_graph, dataset, num_classes: int,
         image_size: int, devices, batches) -> list[Callback]:
  """Returns the callbacks except validation, in the order of their calls.

  Call it after the training graph is built: pictures have graphs of their own.

  Args:
    config: of the run.
    training_graph: its `TrainingGraph`.
    dataset: of the training split.
    num_classes: of the network.
    image_size: height and width in pixels.
    devices: the `DeploymentConfig`.
    batches: the training input.
  """
  callbacks = [numerics.CheckpointGuard(training_graph.finite_check),
               numerics.ExplosionGuard(config.run.max_loss_growth)]
  if training_graph.scaling is not None:
    callbacks.append(loss_scaling.Report(training_graph.scaling))
  writes_summaries = (
      config.logging.save_summaries_secs and config.distribution.is_chief)
  if writes_summaries:
    callbacks += _augmentation_pictures(config, dataset, image_size, batches)
  if config.reproducibility.deterministic:
    callbacks.append(determinism.RandomStateReplay(
        training_graph.train_op, training_graph.accumulate_steps))
  if writes_summaries:
    callbacks.append(summaries.ProgressSummaries(
        config.logging.save_summaries_secs, config.images_per_step))
    if config.segmentation.is_on:
      callbacks += _mask_pictures(config, dataset, num_classes, devices, batches)
    else:
      callbacks += _sample_predictions(
          config, dataset, num_classes, image_size, devices, batches)
  if config.logging.profiled_steps and config.distribution.is_chief:
    # Behind the others, whose work between the steps is not a part of a step.
    callbacks.append(profile.Profile(
        config.run.train_dir, *config.logging.profiled_steps,
        config.run.max_number_of_steps))
  return callbacks


def _augmentation_pictures(config, dataset, image_size, batches):
  """Returns the callback that draws the augmentation; [] where there is none."""
  if config.segmentation.is_on:
    return []
  steps = training_input.augmentation_steps(config)
  mixers = [(title, mixing.make_mixer(*alphas))
            for title, alphas in config.augmentation.mixers()]
  if len(steps) == 1 and not mixers:
    return []
  samples = sample_predictions.choose(
      batches.files, dataset.num_samples, _AUGMENTED_PICTURES,
      config.data.labels_offset, n_hot=batch_labels.is_n_hot(dataset))
  if not samples:
    return []
  return [augmentation_pictures.AugmentationPictures(
      dataset, samples,
      [(title, pipeline.preprocess_with(preprocessing_fn, image_size, seed=0))
       for title, preprocessing_fn in steps], mixers,
      training_input.displayable(config), config.logging.save_summaries_secs)]


def _sample_predictions(config, dataset, num_classes, image_size, devices, batches):
  """Returns the callback that draws predictions; [] where there are no samples."""
  if not config.logging.sample_predictions:
    return []
  multi_label = batch_labels.is_multi_label(dataset)
  split, files, num_images = _shown_images(config, dataset, batches)
  samples = sample_predictions.choose(
      files, num_images, config.logging.sample_predictions, config.data.labels_offset,
      num_classes, multi_label, batch_labels.is_n_hot(dataset))
  if not samples:
    return []
  record, image = sample_predictions.image_of_record(
      dataset, pipeline.preprocess_with(
          training_input.preprocessing_fn(config.network, is_training=False),
          image_size))
  network = eval_network.build(
      nets_factory.get_network_fn(
          config.network.model_name, num_classes,
          **config.quantization.network_options(is_training=False)),
      tf.placeholder(tf.float32, [None, *image.shape]), devices)
  return [sample_predictions.SamplePredictions(
      network, samples, record, image,
      training_updates.class_names(dataset, config.data.labels_offset),
      config.logging.save_summaries_secs, config.data.batch_size, multi_label,
      f', images of {split}')]


def _mask_pictures(config, dataset, num_classes, devices, batches):
  """Returns the callback that draws predicted masks; [] where there are no samples."""
  if not config.logging.sample_predictions:
    return []
  split, files, num_images = _shown_images(config, dataset, batches)
  samples = mask_pictures.choose(files, num_images, config.logging.sample_predictions)
  if not samples:
    return []
  record, image = mask_pictures.input_of_record(
      dataset, training_input.mask_preprocess(config))
  network = eval_network.build(
      fcn.get_network_fn(
          config.network.model_name, num_classes, config.segmentation.strides),
      tf.placeholder(tf.float32, [None, None, None, *image.shape[2:]]), devices)
  return [mask_pictures.MaskPictures(
      network, samples, record, image, config.logging.save_summaries_secs,
      f', images of {split}')]


def _shown_images(config, dataset, batches):
  """Returns the split whose images are shown, its files and how many it has."""
  split = config.validation.validation_split_name
  if not split:
    return config.data.dataset_split_name, batches.files, dataset.num_samples
  spec = config.data.spec()
  files = dataset_catalog.split_files(spec, split, config.data.dataset_dir)
  return split, files, record_counts.count(files, spec.splits[split])
