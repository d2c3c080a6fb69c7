"""Gets a data set and writes it as TFRecords in its established format.

  python download_and_convert_data.py --dataset_name=digits --dataset_dir=data/digits

A second run does nothing if all records are there.
"""

from absl import flags

import diagnostics
from catalog import datasets as dataset_catalog
from datasets import labels, records

FLAGS = flags.FLAGS

flags.DEFINE_string('dataset_name', None, 'The data set: '
                    + ', '.join(dataset_catalog.DATASETS) + '.')
flags.DEFINE_string('dataset_dir', None, 'The folder to write the TFRecords to.')
flags.DEFINE_float('small_object_area_threshold', 0.005, 'For visualwakewords: the'
                   ' smallest part of the image that an object has to cover to count.')
flags.DEFINE_string('foreground_class_of_interest', 'person', 'For visualwakewords:'
                    ' the COCO class that is looked for in the images.')


def find_spec() -> dataset_catalog.DatasetSpec:
  """Returns the data set that the flags name; raises UserError if there is none."""
  for name in ('dataset_name', 'dataset_dir'):
    if not FLAGS[name].value:
      raise diagnostics.UserError(f'--{name} is missing: {FLAGS[name].help}')
  return dataset_catalog.find_dataset(FLAGS.dataset_name)


def is_done(spec: dataset_catalog.DatasetSpec) -> bool:
  """Returns whether all records of the data set are there, and their labels."""
  return (labels.has_labels(FLAGS.dataset_dir)
          and records.is_complete(spec, FLAGS.dataset_dir))


def convert(spec: dataset_catalog.DatasetSpec) -> None:
  """Writes the records; raises UserError where there is no converter."""
  if spec.name != 'digits':
    raise diagnostics.UserError(
        f'there is no converter for {spec.name} yet: its established TFRecords'
        ' are read as they are, and images in a folder for each class are converted'
        ' by convert_image_folder.py')
  from datasets import digits  # Imports TensorFlow: only where it is needed.
  digits.convert(FLAGS.dataset_dir)


def main(_):
  """Converts the data set unless it is there."""
  spec = find_spec()
  found = 'nothing to do: ' if is_done(spec) else ''
  if not found:
    convert(spec)
  splits = ', '.join(f'{name} {count}' for name, count in spec.splits.items())
  print(f"{found}'{FLAGS.dataset_dir}' holds {spec.name}: {splits}")


if __name__ == '__main__':
  diagnostics.run_script(main)
