"""Gets a data set and writes it as TFRecords in its established format.

  slim-zoo download --dataset_name=flowers --dataset_dir=data/flowers
  slim-zoo download --dataset_name=imagenet --source=archives \\
      --dataset_dir=data/imagenet

Published archives are downloaded, unless --source names a copy. The same command
continues a conversion that was stopped, and does nothing if the conversion is finished.
The exit code is 3 if an image could not be used.

  slim-zoo download --dataset_name=tfds:mnist --dataset_dir=data/tfds

prepares a data set of TensorFlow Datasets. Training reads it without a conversion.
"""

import os

from absl import flags

from slim_zoo import diagnostics
from slim_zoo.catalog import datasets as dataset_catalog
from slim_zoo.catalog import tfds
from slim_zoo.commands import path_flags, running, start_up
from slim_zoo.dataset_building.conversion_report import (
  REFUSED_FILENAME,
  RefusedImagesError,
)
from slim_zoo.datasets import labels
from slim_zoo.files import staging
from slim_zoo.input import records

FLAGS = flags.FLAGS

flags.DEFINE_string('dataset_name', None, 'The data set: '
                    + ', '.join(dataset_catalog.DATASETS) + ', or tfds:NAME for one of'
                    ' TensorFlow Datasets.')
path_flags.DEFINE_path('dataset_dir', None, 'The folder to write the TFRecords to.')
path_flags.DEFINE_path('source', None,
                       'The folder that holds the published archives, or the archive'
                       ' itself where there is one only; by default they are'
                       ' downloaded. They stay as they are. Unpacked ones are taken'
                       ' too.')
flags.DEFINE_integer('num_workers', 0, 'How many processes convert; 0: as many as the'
                     ' machine has cores. The records do not depend on it.',
                     lower_bound=0)
flags.DEFINE_bool('allow_refused', False, 'Exit with 0 even if images were refused.')
flags.DEFINE_float('small_object_area_threshold', 0.005, 'For visualwakewords: an'
                   ' object counts if its area is a larger part of the image.')
flags.DEFINE_string('foreground_class_of_interest', 'person', 'For visualwakewords:'
                    ' the COCO class that is looked for in the images.')


def check_flags() -> None:
  """Raises UserError unless all that is needed is named, and can have an effect."""
  for name in ('dataset_name', 'dataset_dir'):
    if not FLAGS[name].value:
      raise diagnostics.UserError(f'--{name} is missing: {FLAGS[name].help}')
  if FLAGS.dataset_name == 'digits' or tfds.is_name(FLAGS.dataset_name):
    for name in ('source', 'num_workers', 'allow_refused'):
      if FLAGS[name].present:
        raise diagnostics.UserError(
            f'--{name} has no effect on {FLAGS.dataset_name}: leave it out')


def unused_options(spec: dataset_catalog.DatasetSpec) -> list[str]:
  """Returns a line for each given flag that is for another data set."""
  if spec.name == 'visualwakewords':
    return []
  return [f'note: --{name} is for visualwakewords and changes nothing here'
          for name in ('small_object_area_threshold', 'foreground_class_of_interest')
          if FLAGS[name].present]


def is_done(spec: dataset_catalog.DatasetSpec) -> bool:
  """Returns whether the data set is there, with its labels.

  Raises:
    UserError: it is there, but was made with other options.
  """
  if not labels.has_labels(FLAGS.dataset_dir):
    return False
  there = dataset_catalog.find_dataset(spec.name, FLAGS.dataset_dir)
  if there.splits.keys() != spec.splits.keys() or not records.is_complete(
      there, FLAGS.dataset_dir):
    return False
  for name, value in there.made_with.items():
    if FLAGS[name].value != value:
      raise diagnostics.UserError(
          f"'{FLAGS.dataset_dir}' holds {spec.name} made with --{name}={value}, not"
          f' {FLAGS[name].value}: name another folder')
  return True


def check_nothing_refused() -> None:
  """Raises RefusedImagesError if images of what is there could not be used."""
  path = os.path.join(FLAGS.dataset_dir, REFUSED_FILENAME)
  if os.path.exists(path) and not FLAGS.allow_refused:
    raise RefusedImagesError(
        f"some images were refused when this was written, see '{path}': convert a"
        ' repaired source to a new folder, or accept it with --allow_refused')


def convert(spec: dataset_catalog.DatasetSpec) -> None:
  """Writes the records and says what was done; see `parallel_conversion.convert`."""
  if spec.name == 'digits':
    start_up.load_tensorflow()
    from slim_zoo.datasets import digits
    digits.convert(FLAGS.dataset_dir)
    return
  from slim_zoo.dataset_building import converters, parallel_conversion, published_files
  converter = converters.find(spec.name)
  if not FLAGS.source and not converter.FILES:
    raise diagnostics.UserError(converter.HOW_TO_GET)
  source = published_files.Source(FLAGS.source) if FLAGS.source else None
  parallel_conversion.check_folder(spec, FLAGS.dataset_dir)
  with staging.resumable(FLAGS.dataset_dir, spec.name) as work:
    if source is None:
      for file in converter.FILES:
        published_files.fetch(file, work.fetched)
      source = published_files.Source(work.fetched)
    plan = converter.plan(
        source, work.scratch, **{name: FLAGS[name].value for name in converter.OPTIONS})
    report = parallel_conversion.convert(
        plan, FLAGS.dataset_dir, work, FLAGS.num_workers)
  print('\n'.join(report.lines()), flush=True)


def main(_):
  """Converts the data set unless it is there."""
  check_flags()
  if tfds.is_name(FLAGS.dataset_name):
    from slim_zoo.dataset_building import tfds_builder
    spec = tfds_builder.prepare(FLAGS.dataset_name, FLAGS.dataset_dir)
    found = ''
  else:
    spec = dataset_catalog.find_dataset(FLAGS.dataset_name)
    for line in unused_options(spec):
      print(line, flush=True)
    found = 'nothing to do: ' if is_done(spec) else ''
    if found:
      staging.remove_abandoned(
          FLAGS.dataset_dir, dataset_catalog.DESCRIPTION_FILENAME)
    else:
      convert(spec)
    spec = dataset_catalog.find_dataset(FLAGS.dataset_name, FLAGS.dataset_dir)
  splits = ', '.join(f'{name} {count}' for name, count in spec.splits.items())
  print(f"{found}'{FLAGS.dataset_dir}' holds {spec.name}: {splits}", flush=True)
  check_nothing_refused()


def run_command() -> None:
  """Runs the command with the flags of the command line."""
  running.run(main, when_stopped='the same command goes on from here')
