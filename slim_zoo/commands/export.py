"""Takes a trained network out: for a server, a phone, another program.

  slim-zoo export --checkpoint_path=runs/pets --export_dir=exports/pets \\
      --format=saved_model,tflite_int8 --dataset_name=pets --dataset_dir=data/pets

Preprocessing and the names of the classes go into the export. It is loaded again in
a process of its own and asked about real images: it is kept if it says what the
checkpoint says, and removed otherwise.

Exit codes: 0, all formats are written and right; 1, one is not, or a mistake of the
command's; 2, a wrong flag.
"""

import itertools
import os
import sys

from absl import flags

from slim_zoo import diagnostics
from slim_zoo.catalog import datasets as dataset_catalog
from slim_zoo.commands import path_flags, running, start_up, trained_network_flags
from slim_zoo.exporting import formats
from slim_zoo.prediction import answers

FLAGS = flags.FLAGS

# --- The network, and what goes in beside it.
trained_network_flags.define()

# --- What is written.
flags.DEFINE_list('format', ['saved_model'],
                  f"Formats, of {', '.join(formats.FORMATS)}.")
path_flags.DEFINE_path('export_dir', None, 'Folder to write to.')

# --- The images to check with, and to calibrate tflite_int8.
flags.DEFINE_string('dataset_name', None, 'Data set whose records have the images.')
flags.DEFINE_string('dataset_split_name', 'train', 'Split of the data set.')
path_flags.DEFINE_path('dataset_dir', None, 'Folder of the TFRecord files.')
path_flags.DEFINE_path_list('images', [],
                            'Instead of records: image files, folders or patterns.')
flags.DEFINE_integer('num_images', 32, 'How many images to check with.',
                     lower_bound=1)
flags.DEFINE_integer('num_calibration_images', 100,
                     'How many other images to calibrate tflite_int8 with.',
                     lower_bound=1)
flags.DEFINE_boolean('check', True,
                     'Check each export; --nocheck writes it without a look.')


def check_flags() -> None:
  """Refuses what makes no sense, before TensorFlow is imported.

  Raises:
    UserError: the first thing that is wrong.
  """
  formats.check_names(FLAGS.format)
  trained_network_flags.check()
  if not FLAGS.export_dir:
    raise diagnostics.UserError('no --export_dir: name the folder to write to')
  if FLAGS.images and FLAGS.dataset_name:
    raise diagnostics.UserError(
        '--images and --dataset_name both name the images: leave one out')
  if FLAGS.dataset_dir and not FLAGS.dataset_name:
    raise diagnostics.UserError('--dataset_dir has no effect without --dataset_name')
  _check_images_named()


def _check_images_named():
  if FLAGS.dataset_name:
    _record_files()
  elif not FLAGS.images:
    if FLAGS.check:
      raise diagnostics.UserError(
          'no images to check the export with: name --dataset_name and --dataset_dir,'
          ' or --images=FILE,FOLDER,...; --nocheck leaves the export unchecked')
    if 'tflite_int8' in FLAGS.format:
      raise diagnostics.UserError(
          '--format=tflite_int8 needs images to calibrate with: name --dataset_name'
          ' and --dataset_dir, or --images=FILE,FOLDER,...')


def _spec():
  return dataset_catalog.find_dataset(FLAGS.dataset_name, FLAGS.dataset_dir)


def _record_files():
  return dataset_catalog.split_files(
      _spec(), FLAGS.dataset_split_name, FLAGS.dataset_dir)


def _recipe():
  """Returns what is exported."""
  from slim_zoo.exporting import recipe
  from slim_zoo.nets import nets_factory
  found = trained_network_flags.find(FLAGS.dataset_dir)
  choice = found.choice
  network_fn = nets_factory.get_network_fn(choice.model_name, choice.num_classes)
  return recipe.Recipe(
      choice.checkpoint, choice.model_name, tuple(found.labels),
      choice.image_size or network_fn.default_image_size, choice.channels,
      found.preprocessing_name, found.use_grayscale, found.moving_averages,
      found.multi_label)


def _samples():
  """Returns the images to compare on, and others to calibrate with."""
  from slim_zoo.input import image_samples
  num_compared = FLAGS.num_images if FLAGS.check else 0
  num_calibration = (
      FLAGS.num_calibration_images if 'tflite_int8' in FLAGS.format else 0)
  if not num_compared + num_calibration:
    return [], []
  if FLAGS.dataset_name:
    spec, files = _spec(), _record_files()
    groups, read = [image_samples.count(files)], lambda places: (
        image_samples.from_records(files, places, spec.label_feature))
  else:
    from slim_zoo.prediction import sources
    folders = image_samples.by_folder(
        sources.find(FLAGS.images, sys.stdin.buffer).files)
    groups = [len(folder) for folder in folders]
    paths = list(itertools.chain.from_iterable(folders))
    read = lambda places: _read_files([paths[place] for place in places])
  places = image_samples.choose(groups, num_compared, num_calibration)
  if places.note:
    answers.note(places.note)
  return read(places.compared), read(places.calibration)


def _read_files(paths):
  from slim_zoo.images import image_files
  from slim_zoo.input import image_samples
  reader, found = image_files.Reader(), []
  for path in paths:
    try:
      with reader.open(path) as image:
        found.append(image_samples.Sample(image.data))
    except image_files.RefusedError as error:
      answers.note(f'{path} is skipped: {error}')
  if paths and not found:
    raise diagnostics.UserError('--images names no image that can be read')
  return found


def _classes(samples, what):
  """Returns the right class of each image, -1 where it is not known; or None."""
  if not FLAGS.dataset_name or what.multi_label:
    return None
  # Published networks leave out the background class of ImageNet, or have it.
  offset = _spec().num_classes - len(what.labels)
  if offset not in (0, 1):
    return None
  classes = [-1 if sample.label is None else sample.label - offset
             for sample in samples]
  return [number if 0 <= number < len(what.labels) else -1 for number in classes]


def export() -> None:
  """Writes and checks all formats.

  Raises:
    UserError: one could not be written, or is off; the others are there.
  """
  start_up.load_tensorflow()
  if 'onnx' in FLAGS.format:
    from slim_zoo.exporting import to_onnx
    to_onnx.check_installed()
  what = _recipe()
  from slim_zoo.exporting import exporting, parity
  compared, calibrating = _samples()
  reference = parity.reference(
      what, [sample.data for sample in compared], _classes(compared, what)) if (
          compared) else None
  calibration = parity.read_pixels(
      what, [sample.data for sample in calibrating]) if calibrating else ()
  print(f'exporting {what.model_name} of {what.checkpoint}: {len(what.labels)} classes,'
        f' images of {what.image_size} x {what.image_size} x {what.channels}',
        flush=True)
  network, failures = what.build(), []
  for name in FLAGS.format:
    try:
      found = exporting.export(
          name, FLAGS.export_dir, what, network, calibration, reference)
    except diagnostics.UserError as error:
      failures.append(str(error))
      continue
    _tell(name, found)
    if not all(one.passed for one in found):
      failures.append(f'the {name} export is off: it is removed')
  if failures:
    raise diagnostics.UserError('; '.join(failures))


def _tell(name, found):
  """Says what was written, and how it compares with the checkpoint."""
  if all(one.passed for one in found):
    path = os.path.join(FLAGS.export_dir, formats.FORMATS[name].file)
    print(f'wrote {path}: {formats.FORMATS[name].told}')
  for one in found:
    print(f"  parity  {'right' if one.passed else 'OFF'}  {one}", flush=True)
  if not found:
    print('  parity  not checked', flush=True)


def main(unused_argv):
  """Checks the flags, then exports."""
  check_flags()
  export()


def run_command() -> None:
  """Runs the command with the flags of the command line."""
  running.run(main)
