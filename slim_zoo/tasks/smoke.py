"""A smoke test of a config: the same run, but two steps on generated images."""

import dataclasses
import io
import os

import numpy as np
from PIL import Image

from slim_zoo.catalog import datasets as dataset_catalog
from slim_zoo.config.training import TrainConfig
from slim_zoo.datasets import dataset_utils

_NAME = 'smoke'
_IMAGES, _HEIGHT, _WIDTH = 8, 48, 64
_BATCH_SIZE, _STEPS = 2, 2
_SEED = 0


def smoke_config(config: TrainConfig, folder: str) -> TrainConfig:
  """Returns the config of a short run, and writes its records.

  Network, image size, preprocessing, loss, learning rate, optimizer and class count
  stay. Data, checkpoints, the first weights and the number of clones are replaced.

  Args:
    config: of the full run; its data set need not be there.
    folder: for the records and the checkpoints.
  """
  spec = _spec(config)
  data_dir = os.path.join(folder, 'data')
  os.makedirs(data_dir)
  _write_records(spec, data_dir)
  split = config.validation.validation_split_name and 'validation'
  return dataclasses.replace(
      config,
      data=dataclasses.replace(
          config.data, dataset_name=_NAME, dataset_dir=data_dir, cache_dir=None,
          dataset_split_name='train', batch_size=_BATCH_SIZE),
      checkpoints=dataclasses.replace(
          config.checkpoints, train_dir=os.path.join(folder, 'train'),
          max_number_of_steps=_STEPS, smoke=False),
      initialization=dataclasses.replace(
          config.initialization, init='scratch', checkpoint_path=None,
          checkpoint_exclude_scopes=None, checkpoint_rename=None,
          transfer_classes_from=None),
      distribution=dataclasses.replace(
          config.distribution, master='', num_clones=1, worker_replicas=1,
          num_ps_tasks=0, task=0, sync_replicas=False),
      validation=dataclasses.replace(config.validation, validation_split_name=split),
      given=config.given - {'smoke'})


def _spec(config):
  """Returns the facts of the full run's data set, from the catalog if it is absent."""
  published = dataset_catalog.DATASETS.get(config.data.dataset_name)
  return published if published is not None else config.data.spec()


def _write_records(spec, folder):
  """Writes two splits of a few images of noise, and their description."""
  random = np.random.default_rng(_SEED)
  splits = {name: _IMAGES for name in ('train', 'validation')}
  patterns = {name: f'{_NAME}_{name}.tfrecord' for name in splits}
  for name in splits:
    dataset_utils.write_records(
        os.path.join(folder, patterns[name]),
        [_example(random, number % spec.num_classes, spec.channels)
         for number in range(_IMAGES)])
  smoke = dataset_catalog.DatasetSpec(
      _NAME, splits, spec.num_classes, patterns, channels=spec.channels,
      multi_label=spec.multi_label)
  with open(os.path.join(folder, dataset_catalog.DESCRIPTION_FILENAME), 'w',
            encoding='utf-8') as file:
    file.write(dataset_catalog.description(smoke))


def _example(random, label, channels):
  shape = (_HEIGHT, _WIDTH) if channels == 1 else (_HEIGHT, _WIDTH, channels)
  file = io.BytesIO()
  Image.fromarray(random.integers(0, 256, shape, np.uint8)).save(file, 'PNG')
  return dataset_utils.image_to_tfexample(
      file.getvalue(), b'png', _HEIGHT, _WIDTH, label)
