"""A slim Dataset with the number of its records as counted, not as described."""

from slim_zoo.catalog import datasets as dataset_catalog
from slim_zoo.datasets import dataset_factory
from slim_zoo.input import record_counts


def get_dataset(name: str, split_name: str, dataset_dir: str):
  """Returns the slim Dataset of a split, with its records counted.

  `num_samples` is their number, `described_samples` the described one. A line is
  printed where the two differ, or where labels.txt has another number of classes.

  Args:
    name: of the data set.
    split_name: of the split.
    dataset_dir: folder of the record files.

  Raises:
    UserError: there is no such data set or split; or a file is no record file.
  """
  dataset = dataset_factory.get_dataset(name, split_name, dataset_dir)
  spec = dataset_catalog.find_dataset(name, dataset_dir)
  dataset.described_samples = dataset.num_samples
  dataset.num_samples = record_counts.count(
      dataset_catalog.split_files(spec, split_name, dataset_dir),
      dataset.described_samples)
  _print_differences(dataset, name, split_name)
  return dataset


def _print_differences(dataset, name, split_name):
  line = record_counts.note(
      name, split_name, dataset.described_samples, dataset.num_samples)
  if line:
    print(line, flush=True)
  labels = dataset.labels_to_names
  if labels and max(labels) + 1 != dataset.num_classes:
    print(f'labels.txt has {max(labels) + 1} classes, {name} has {dataset.num_classes}:'
          f' the network gets {dataset.num_classes} outputs; correct the wrong one of'
          ' both', flush=True)
