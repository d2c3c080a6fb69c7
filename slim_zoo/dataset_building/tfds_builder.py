"""Prepares data sets by the package TensorFlow Datasets, where it is installed."""

import logging

from slim_zoo import diagnostics
from slim_zoo.catalog import tfds
from slim_zoo.catalog.datasets import DatasetSpec

# The second package is imported by the first, which does not ask for it.
INSTALL = 'python -m pip install tensorflow-datasets importlib_resources'


def prepare(name: str, dataset_dir: str) -> DatasetSpec:
  """Downloads and prepares a data set, unless it is there; returns its description.

  Args:
    name: see `catalog.tfds.find`.
    dataset_dir: the data_dir of TensorFlow Datasets.

  Raises:
    UserError: the package is not installed, does not know the data set, cannot
      prepare it, or the data set does not hold images with one label.
  """
  path, version = tfds.parse(name)
  try:
    return tfds.find(name, dataset_dir)
  except diagnostics.UserError:
    pass  # Not there yet, or not whole.
  try:
    import tensorflow_datasets
  except ImportError as error:
    raise diagnostics.UserError(
        f'{name} is prepared by the package TensorFlow Datasets, which is not'
        f' installed: {INSTALL}') from error
  for logger in ('absl', 'urllib3'):  # Errors come as exceptions.
    logging.getLogger(logger).setLevel(logging.ERROR)
  try:
    builder = tensorflow_datasets.builder(
        f'{path}:{version}' if version else path, data_dir=dataset_dir)
    builder.download_and_prepare()
  except tensorflow_datasets.core.DatasetNotFoundError as error:
    raise diagnostics.UserError(
        f"TensorFlow Datasets knows no '{path}': {_first_line(error)}") from error
  except Exception as error:
    # Builders are programs of many authors and raise any exception.
    raise diagnostics.UserError(
        f'TensorFlow Datasets cannot prepare {name}: {_first_line(error)}') from error
  return tfds.find(name, dataset_dir)


def _first_line(error):
  return f'{type(error).__name__}: {error}'.strip().splitlines()[0]
