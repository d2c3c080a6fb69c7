"""Data sets by name."""

from slim_zoo.datasets import (
    cifar10,
    digits,
    flowers,
    imagenet,
    mnist,
    record_dataset,
    shapes,
    visualwakewords,
)
from slim_zoo.tf_compat import slim

# Modules that are added here, also by other programs, are used by name.
datasets_map = {
    'cifar10': cifar10,
    'digits': digits,
    'flowers': flowers,
    'imagenet': imagenet,
    'mnist': mnist,
    'shapes': shapes,
    'visualwakewords': visualwakewords,
}


def get_dataset(name: str, split_name: str, dataset_dir: str,
                file_pattern: str | None = None,
                reader: type | None = None) -> slim.dataset.Dataset:
  """Returns a split of a data set.

  Arguments, items and errors are those of `record_dataset.read_dataset`.
  """
  if name in datasets_map:
    return datasets_map[name].get_split(
        split_name, dataset_dir, file_pattern, reader)
  return record_dataset.read_dataset(
      name, split_name, dataset_dir, file_pattern, reader)
