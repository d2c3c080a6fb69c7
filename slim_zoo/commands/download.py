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

import importlib
import os

from slim_zoo import diagnostics, start_up
from slim_zoo.catalog import datasets as dataset_catalog
from slim_zoo.catalog import tfds
from slim_zoo.commands import option_flags, running
from slim_zoo.config.conversion import GENERATED, DownloadConfig, PublishedData
from slim_zoo.dataset_building.conversion_report import (
  REFUSED_FILENAME,
  RefusedImagesError,
)
from slim_zoo.datasets import labels
from slim_zoo.files import staging
from slim_zoo.input import records

option_flags.define(DownloadConfig)


def is_done(spec: dataset_catalog.DatasetSpec, options: PublishedData) -> bool:
  """Returns whether the data set is there, with its labels.

  Raises:
    UserError: it is there, but was made with other options.
  """
  if not labels.has_labels(options.dataset_dir):
    return False
  there = dataset_catalog.find_dataset(spec.name, options.dataset_dir)
  if there.splits.keys() != spec.splits.keys() or not records.is_complete(
      there, options.dataset_dir):
    return False
  for name, value in there.made_with.items():
    if getattr(options, name) != value:
      raise diagnostics.UserError(
          f"'{options.dataset_dir}' holds {spec.name} made with --{name}={value}, not"
          f' {getattr(options, name)}: name another folder')
  return True


def check_nothing_refused(options: PublishedData) -> None:
  """Raises RefusedImagesError if images of what is there could not be used."""
  path = os.path.join(options.dataset_dir, REFUSED_FILENAME)
  if os.path.exists(path) and not options.allow_refused:
    raise RefusedImagesError(
        f"some images were refused when this was written, see '{path}': convert a"
        ' repaired source to a new folder, or accept it with --allow_refused')


def convert(spec: dataset_catalog.DatasetSpec, options: PublishedData) -> None:
  """Writes the records and says what was done; see `parallel_conversion.convert`."""
  if spec.name in GENERATED:
    start_up.load_tensorflow()
    module = importlib.import_module(f'slim_zoo.datasets.{spec.name}')
    module.convert(options.dataset_dir)
    return
  from slim_zoo.dataset_building import converters, parallel_conversion, published_files
  converter = converters.find(spec.name)
  if not options.source and not converter.FILES:
    raise diagnostics.UserError(converter.HOW_TO_GET)
  source = published_files.Source(options.source) if options.source else None
  parallel_conversion.check_folder(spec, options.dataset_dir)
  with staging.resumable(options.dataset_dir, spec.name) as work:
    if source is None:
      for file in converter.FILES:
        published_files.fetch(file, work.fetched)
      source = published_files.Source(work.fetched)
    plan = converter.plan(source, work.scratch, **{
        name: getattr(options, name) for name in converter.OPTIONS})
    report = parallel_conversion.convert(
        plan, options.dataset_dir, work, options.num_workers)
  print('\n'.join(report.lines()), flush=True)


def main(unused_argv):
  """Converts the data set unless it is there."""
  config = DownloadConfig.from_options(option_flags.given_options(DownloadConfig))
  config.check()
  options = config.data
  if tfds.is_name(options.dataset_name):
    from slim_zoo.dataset_building import tfds_builder
    spec = tfds_builder.prepare(options.dataset_name, options.dataset_dir)
    prefix = ''
  else:
    spec = dataset_catalog.find_dataset(options.dataset_name)
    for note in config.notes(spec.name):
      print(f'note: {note}', flush=True)
    prefix = 'nothing to do: ' if is_done(spec, options) else ''
    if prefix:
      staging.remove_abandoned(
          options.dataset_dir, dataset_catalog.DESCRIPTION_FILENAME)
    else:
      convert(spec, options)
    spec = dataset_catalog.find_dataset(options.dataset_name, options.dataset_dir)
  splits = ', '.join(f'{name} {count}' for name, count in spec.splits.items())
  print(f"{prefix}'{options.dataset_dir}' holds {spec.name}: {splits}", flush=True)
  check_nothing_refused(options)


def run_command() -> None:
  """Runs the command with the flags of the command line."""
  running.run(main, when_stopped='the same command continues from here')
