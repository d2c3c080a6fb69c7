"""A smoke test of a config: the same run, but two steps on generated images."""

import dataclasses
import io
import os
import tempfile

import numpy as np
from PIL import Image

from slim_zoo import diagnostics
from slim_zoo.catalog import datasets as dataset_catalog
from slim_zoo.config.distillation import Distillation
from slim_zoo.config.options import options_of
from slim_zoo.config.segmentation import check_data
from slim_zoo.config.tracking import NAMES, Tracking
from slim_zoo.config.training import TrainConfig
from slim_zoo.datasets import dataset_utils
from slim_zoo.images import mask_files
from slim_zoo.tasks import train

_NAME = 'smoke'
# The data set whose facts are used for segmentation, if the user names none.
_WITH_MASKS = 'shapes'
_IMAGES, _HEIGHT, _WIDTH = 8, 48, 64
_BATCH_SIZE, _STEPS = 2, 2
_SEED = 0
# Of eight images, so that some are left on either side.
_VALIDATION_SHARE = 0.5
# Options of checkpoints, processes, teachers and trackers, which a smoke test replaces.
_NOT_TESTED = (
    'checkpoint_path', 'checkpoint_exclude_scopes', 'checkpoint_rename',
    'transfer_classes_from', 'init', 'cache_dir', 'num_clones', 'master',
    'worker_replicas', 'num_ps_tasks', 'task', 'sync_replicas', 'cluster',
    'worker_hosts', 'ps_hosts', 'job_name', 'teacher', 'teacher_moving_averages',
    'distillation_temperature', 'distillation_weight', 'distillation_hints', 'log_to')


def smoke_test(config: TrainConfig) -> train.TrainResult:
  """Runs two steps in a temporary folder, which is removed.

  Args:
    config: of the full run; its data set need not be there.

  Raises:
    UserError: an option does not fit.
  """
  if config.data.data_service:
    raise diagnostics.UserError(
        f'--smoke with --data_service={config.data.data_service}: a smoke test makes'
        ' its own images; leave one of them out')
  ignored = [f'--{name}' for name in _NOT_TESTED if name in config.user_options]
  if ignored:
    print(f"note: a smoke test has one process and random weights: it does not test"
          f" {', '.join(ignored)}", flush=True)
  with tempfile.TemporaryDirectory(prefix='slim_zoo_smoke_') as folder:
    short = smoke_config(config, folder)
    short.check()
    return train.train(short, lambda seed: '')


def smoke_config(config: TrainConfig, folder: str) -> TrainConfig:
  """Returns the config of a short run, and writes its records.

  Network, image size, preprocessing, loss, learning rate, optimizer and class count
  stay. Data, checkpoints, the first weights and the number of clones are replaced.

  Args:
    config: of the full run; its data set need not be there.
    folder: for the records and the checkpoints.

  Raises:
    UserError: the data set is of another task.
  """
  spec = _spec(config)
  data_dir = os.path.join(folder, 'data')
  os.makedirs(data_dir)
  _write_records(spec, config.data.labels_offset, data_dir)
  validation = config.validation
  return dataclasses.replace(
      config,
      data=dataclasses.replace(
          config.data, dataset_name=_NAME, dataset_dir=data_dir, cache_dir=None,
          dataset_split_name='train', batch_size=_BATCH_SIZE),
      run=dataclasses.replace(
          config.run, train_dir=os.path.join(folder, 'train'),
          max_number_of_steps=_STEPS, smoke=False),
      tracking=Tracking(),
      initialization=dataclasses.replace(
          config.initialization, init='scratch', checkpoint_path=None,
          checkpoint_exclude_scopes=None, checkpoint_rename=None,
          transfer_classes_from=None),
      distribution=dataclasses.replace(
          config.distribution, master='', num_clones=1, worker_replicas=1,
          num_ps_tasks=0, task=0, sync_replicas=False, cluster='', worker_hosts='',
          ps_hosts='', job_name='worker'),
      distillation=Distillation(),
      validation=dataclasses.replace(
          validation,
          validation_split_name=validation.validation_split_name and 'validation',
          validation_share=validation.validation_share and _VALIDATION_SHARE),
      user_options=config.user_options - NAMES - {
          'smoke', *options_of(Distillation)})


def _spec(config):
  """Returns the facts of the full run's data set, from the catalog if it is absent."""
  is_segmentation = config.segmentation.is_on
  if is_segmentation and 'dataset_name' not in config.user_options:
    return dataset_catalog.DATASETS[_WITH_MASKS]
  published = dataset_catalog.DATASETS.get(config.data.dataset_name)
  spec = published if published is not None else config.data.spec()
  check_data(is_segmentation, spec)
  return spec


def _write_records(spec, labels_offset, folder):
  """Writes two splits of a few images of noise, and their description."""
  random = np.random.default_rng(_SEED)
  splits = {name: _IMAGES for name in ('train', 'validation')}
  patterns = {name: f'{_NAME}_{name}.tfrecord' for name in splits}
  for name in splits:
    dataset_utils.write_records(
        os.path.join(folder, patterns[name]),
        [_example(random, number, spec, labels_offset) for number in range(_IMAGES)])
  smoke = dataset_catalog.DatasetSpec(
      _NAME, splits, spec.num_classes, patterns, channels=spec.channels,
      multi_label=spec.multi_label, n_hot=spec.n_hot, masks=spec.masks,
      image_size=(_HEIGHT, _WIDTH))
  with open(os.path.join(folder, dataset_catalog.DESCRIPTION_FILENAME), 'w',
            encoding='utf-8') as file:
    file.write(dataset_catalog.description(smoke))


def _example(random, number, spec, labels_offset):
  """Returns a record of noise; the labels of several records go through the classes."""
  if spec.masks:
    mask = random.integers(0, spec.num_classes, [_HEIGHT, _WIDTH], np.uint8)
    return dataset_utils.mask_to_tfexample(
        _noise(random, spec.channels), b'png', _HEIGHT, _WIDTH,
        mask_files.encode(mask), b'')
  label = labels_offset + number % (spec.num_classes - labels_offset)
  if spec.n_hot:
    label = [int(label == index) for index in range(spec.num_classes)]
  return dataset_utils.image_to_tfexample(
      _noise(random, spec.channels), b'png', _HEIGHT, _WIDTH, label)


def _noise(random, channels):
  """Returns a PNG of noise."""
  shape = (_HEIGHT, _WIDTH) + ((channels,) if channels > 1 else ())
  file = io.BytesIO()
  Image.fromarray(random.integers(0, 256, shape, np.uint8)).save(file, 'PNG')
  return file.getvalue()
