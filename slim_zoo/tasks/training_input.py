"""The input of a training run: seeds, data set, network, batches."""

import functools
import os
from collections.abc import Callable

from slim_zoo import diagnostics, tf_compat
from slim_zoo.catalog import feature_maps
from slim_zoo.config.data import Data, Network
from slim_zoo.config.training import TrainConfig
from slim_zoo.deployment import peers
from slim_zoo.input import (
    balance,
    data_service,
    held_out,
    pipeline,
    record_counts,
)
from slim_zoo.nets import fcn, nets_factory
from slim_zoo.preprocessing import (
    augmentation,
    display,
    mask_preprocessing,
    mixing,
    preprocessing_factory,
)
from slim_zoo.tf_compat import tf
from slim_zoo.training import determinism
from slim_zoo.training.callbacks import run_card

# Seconds to wait for a tf.data service: at the beginning, and in a step.
SERVICE_SECONDS = 30


def choose_seed(config: TrainConfig, start) -> tuple[int, str]:
  """Returns the seed of a run and where it comes from. A resumed run keeps its seed.

  Args:
    config: of the run.
    start: the `StartingPoint` of the run.
  """
  card = run_card.read(config.run.train_dir) if start.resumed else None
  if config.reproducibility.seed is not None:
    return config.reproducibility.seed, 'given'
  if card:
    return card['seeds']['seed'], 'of the run card'
  return int.from_bytes(os.urandom(3), 'big'), 'drawn'


def seed(config: TrainConfig, start, seed: int, origin: str) -> determinism.Seeds:
  """Seeds the default graph, before anything is in it.

  Args:
    config: of the run.
    start: the `StartingPoint` of the run.
    seed: of `choose_seed`.
    origin: of `choose_seed`.
  """
  card = run_card.read(config.run.train_dir) if start.resumed else None
  first_record = None
  if config.reproducibility.deterministic:
    tf_compat.make_deterministic()
    first_record = _records_before(start.step, card, config.images_per_step)
  seeds = determinism.seeds_of(
      seed, origin, start.step, config.distribution.task, first_record)
  tf.set_random_seed(seeds.graph)
  return seeds


def _records_before(step, card, images_per_step):
  """Returns how many records the steps before took, unreadable ones included."""
  noted = (card or {}).get('input') or {}
  if noted.get('step') == step and noted.get('records_read') is not None:
    return noted['records_read']
  return step * images_per_step


def find_dataset(data: Data, split_name: str | None = None):
  """Returns the slim Dataset of a split, and the class count of the network.

  Args:
    data: the records.
    split_name: by default the split of `data`.

  Raises:
    UserError: there is no such data set or split; or a file is not a record file.
  """
  dataset = record_counts.get_dataset(
      data.dataset_name, split_name or data.dataset_split_name, data.dataset_dir)
  return dataset, dataset.num_classes - data.labels_offset


def network(config: TrainConfig, num_classes: int, casts: str
            ) -> tuple[Callable, int]:
  """Returns the function of the network that trains, and the size of its images.

  The casts are for this network only, not for that of validation.

  Args:
    config: of the run.
    num_classes: of the network.
    casts: name of the type that images and weights are cast to.
  """
  name, initialization = config.network.model_name, config.initialization
  if config.segmentation.is_on:
    network_fn = fcn.get_network_fn(
        name, num_classes, config.segmentation.strides, config.loss_weight_decay, True,
        [*initialization.frozen, *initialization.frozen_batch_norm])
    return network_fn, config.network.train_image_size or network_fn.default_image_size
  options = {'compute_dtype': tf.as_dtype(casts),
             **config.quantization.network_options(
                 is_training=True, batches_of_step=config.optimizer.accumulate_steps)}
  if config.network.stochastic_depth:
    options['stochastic_depth'] = config.network.stochastic_depth
  if config.precision.data_format in nets_factory.data_formats(name):
    options['data_format'] = config.precision.data_format
  network_fn = nets_factory.get_network_fn(
      name, num_classes, config.loss_weight_decay, is_training=True,
      frozen_batch_norm_scopes=[*initialization.frozen,
                                *initialization.frozen_batch_norm], **options)
  return network_fn, config.network.train_image_size or network_fn.default_image_size


def preprocessing_fn(network: Network, is_training: bool) -> Callable:
  """Returns the preprocessing of a network, without added augmentation."""
  return preprocessing_factory.get_preprocessing(
      network.preprocessing, is_training, network.use_grayscale)


def augmentation_steps(config: TrainConfig) -> list[tuple[str, Callable]]:
  """Returns (title, preprocessing_fn): the recipe alone, then with each addition."""
  recipe = preprocessing_fn(config.network, is_training=True)
  options = config.augmentation
  layers, magnitude = options.rand_augment_layers, options.rand_augment_magnitude
  steps = [(f'{config.network.preprocessing} preprocessing', recipe)]
  if layers:
    steps.append((options.describe_rand_augment(),
                  augmentation.augmented(recipe, layers, magnitude)))
  if options.trivial_augment:
    steps.append(('TrivialAugment', augmentation.augmented(recipe, trivial=True)))
  if options.random_erasing_probability:
    steps.append((options.describe_erasing(), augmentation.augmented(
        recipe, layers, magnitude, options.random_erasing_probability,
        options.trivial_augment)))
  return steps


def _training_preprocess(config, image_size, seed):
  """Returns the preprocessing of training images, or of images and their masks."""
  options, network = config.segmentation, config.network
  if not options.is_on:
    return pipeline.preprocess_with(
        augmentation_steps(config)[-1][1], image_size, seed)
  return pipeline.preprocess_masks_with(functools.partial(
      mask_preprocessing.preprocess_for_train, output_height=image_size,
      output_width=image_size, name=network.preprocessing,
      use_grayscale=network.use_grayscale, scales=options.scales,
      flip=options.segmentation_flip), seed)


def mask_preprocess(config: TrainConfig) -> Callable:
  """Returns the preprocessing of whole images and masks, for validation."""
  network = config.network
  return pipeline.preprocess_masks_with(functools.partial(
      mask_preprocessing.preprocess_for_eval, name=network.preprocessing,
      stride=max(config.segmentation.strides),
      smallest=feature_maps.smallest_size(
          network.model_name, config.segmentation.strides),
      use_grayscale=network.use_grayscale))


def await_service(config: TrainConfig) -> None:
  """Waits for the tf.data service of a run, if it has one.

  Raises:
    UserError: it does not answer.
  """
  address = config.data.service_address
  if address:
    peers.wait_for({data_service.name_of(address): address}, SERVICE_SECONDS,
                   lambda line: print(line, flush=True))


def batches(config: TrainConfig, dataset, image_size: int, seeds: determinism.Seeds,
            devices, key: int, first_step: int = 0) -> pipeline.Input:
  """Returns the training input.

  With a validation share, `dataset.num_samples` becomes the number of images to train
  on. An epoch is then one pass over these images.

  Args:
    config: of the run.
    dataset: of the training split.
    image_size: height and width in pixels.
    seeds: of the run.
    devices: the `DeploymentConfig`.
    key: of the run, for the jobs on a tf.data service.
    first_step: the global step at the start.

  Raises:
    UserError: the validation share leaves no image to train on, or none to validate on.
  """
  data, share = config.data, config.validation.validation_share
  part = None if share is None else held_out.Part(share, is_held_out=False)
  service = data.service_address and data_service.Service(
      data.service_address, f'slim-zoo-{key}', seeds.shared_input)
  preprocess = _training_preprocess(
      config, image_size, service.seed if service else seeds.input)
  shares = None
  if data.is_sampled:
    shares = balance.of_records(
        data.balance, pipeline.record_files(dataset), data.spec(), data.labels_offset,
        part)
    print(f'note: --balance={data.balance}: {shares.describe()}', flush=True)
  shard = _shard(config.distribution, dataset.num_samples)
  with tf.device(devices.inputs_device()):
    images = pipeline.training_input(
        dataset, preprocess, data.batch_size, data.labels_offset, data.num_readers,
        data.num_preprocessing_threads, config.distribution.num_clones, seeds.input,
        runs_here=not config.distribution.master, first_record=seeds.first_record,
        mix=mixing.make_mixer(config.augmentation.mixup_alpha,
                              config.augmentation.cutmix_alpha),
        part=part, cache_dir=data.cache_dir,
        reduced_decoding=data.reduced_decoding and not config.segmentation.is_on,
        shard=None if service else shard, service=service,
        mixed_batches=_mixed_batches(config, dataset, part, first_step),
        balance=shares, repeats=config.augmentation.repeated_augmentation)
  if part is not None:
    num_trained = images.count_records()
    num_validated = held_out.count(images.files, part.other)
    if not num_trained or not num_validated:
      raise diagnostics.UserError(
          f'--validation_share={share:g} of {num_trained + num_validated} images leaves'
          f' {num_trained} to train on and {num_validated} to validate on: choose a'
          f' {"smaller" if num_validated else "larger"} share')
    dataset.num_samples = num_trained
  return images


def _mixed_batches(config, dataset, part, first_step):
  """Returns how many batches are mixed before mixing ends; None: all."""
  num_images = dataset.num_samples
  if part is not None:
    num_images = held_out.count(pipeline.record_files(dataset), part)
  last = config.steps_with_mixing(num_images)
  if last is None:
    return None
  return max(0, last - first_step) * (
      config.distribution.num_clones * config.optimizer.accumulate_steps)


def _shard(machines, num_images):
  """Returns what this worker reads of the records; None where it reads all."""
  if machines.worker_replicas == 1:
    return None
  if num_images < machines.worker_replicas:
    raise diagnostics.UserError(
        f'{num_images} images for {machines.worker_replicas} workers: each reads a part'
        ' of them, so use fewer workers')
  return held_out.Shard(machines.task, machines.worker_replicas)


def displayable(config: TrainConfig) -> Callable:
  """Returns the function that makes pictures of the network's input."""
  return lambda images: display.displayable(images, config.network.preprocessing)
