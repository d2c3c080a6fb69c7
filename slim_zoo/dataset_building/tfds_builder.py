"""Prepares data sets with the package TensorFlow Datasets, if it is installed."""

import logging

from slim_zoo import diagnostics
from slim_zoo.catalog import tfds
from slim_zoo.catalog.datasets import DatasetSpec

# TensorFlow Datasets imports the second package, but does not list it as required.
INSTALL = 'python -m pip install tensorflow-datasets importlib_resources'


def prepare(name: str, dataset_dir: str) -> DatasetSpec:
  """Downloads and prepares a data set, unless it exists; returns its description.

  Args:
    name: see `catalog.tfds.find`.
    dataset_dir: the data_dir of TensorFlow Datasets.

  Raises:
    UserError: the package is not installed, does not know or cannot prepare the data
      set, or the data set has no images with one label each.
  """
  path, version = tfds.parse(name)
  try:
    return tfds.find(name, dataset_dir)
  except diagnostics.UserError:
    pass  # Missing or incomplete.
  try:
    import tensorflow_datasets
  except ImportError as error:
    raise diagnostics.UserError(
        f'{name} is prepared by the package TensorFlow Datasets, which is not'
        f' installed: {INSTALL}') from error
  for logger in ('absl', 'urllib3'):  # Errors are raised as exceptions.
    logging.getLogger(logger).setLevel(logging.ERROR)
  try:
    builder = tensorflow_datasets.builder(
        f'{path}:{version}' if version else path, data_dir=dataset_dir)
    builder.download_and_prepare()
  except tensorflow_datasets.core.DatasetNotFoundError as error:
    raise diagnostics.UserError(
        f"TensorFlow Datasets has no '{path}': {_first_line(error)}") from error
  except Exception as error:
    # Builders have many authors and raise many kinds of exceptions.
    raise diagnostics.UserError(
        f'TensorFlow Datasets cannot prepare {name}: {_first_line(error)}') from error
  return tfds.find(name, dataset_dir)


def _first_line(error):
  return f'{type(error).__name__}: {error}'.strip().splitlines()[0]
