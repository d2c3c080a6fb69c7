"""Says what is to be seen in images, by a trained checkpoint.

  slim-zoo classify photo.jpg --checkpoint_path=runs/pets
  slim-zoo classify photos 'more/**/*.png' --checkpoint_path=inception.ckpt \\
      --labels_file=labels.txt --output=predictions.csv --contact_sheet=sheet.png
  find . -name '*.jpg' | slim-zoo classify - --checkpoint_path=runs/pets

An argument is an image, a folder with all images below it, a glob pattern, or '-':
names of files on standard input, one on each line or each ended by a zero byte.

Images are read as slim-zoo convert-images stores them (upright, the first frame of
those that move, transparency as white or black) and preprocessed as in an evaluation,
so that both give the same answer. Those of more than 100 million pixels are not read.

Exit codes: 0, all images were classified; 1, none, or a mistake of the command's;
2, a wrong flag; 3, some files were skipped, each with a line that says why.
"""

import contextlib
import os
import signal
import sys

from absl import flags

from slim_zoo import diagnostics
from slim_zoo.commands import (
  common_flags,
  path_flags,
  running,
  start_up,
  trained_network_flags,
)
from slim_zoo.prediction import answers, sources

FLAGS = flags.FLAGS

# --- The network.
trained_network_flags.define()
path_flags.DEFINE_path('export', None,
                       'In place of a checkpoint: folder of a SavedModel that'
                       ' slim-zoo export wrote, with its labels and preprocessing.')

# --- How.
flags.DEFINE_boolean('multi_label', None,
                     'An image may have several classes, or none: their probabilities'
                     ' are of sigmoids, not of the softmax. By default as the data set'
                     ' of the run card beside the checkpoint is.')
flags.DEFINE_integer('batch_size', 32, 'Images at a time.', lower_bound=1)
flags.DEFINE_integer('num_preprocessing_threads', 4,
                     'Images decoded and preprocessed at the same time.',
                     lower_bound=1)
flags.DEFINE_integer('top_k', 5, 'How many of the likeliest classes are shown.',
                     lower_bound=1)

# --- What is written.
path_flags.DEFINE_path('output', None,
                       'File for the answers, as CSV or as JSON lines by its suffix; by'
                       ' default they are printed.')
flags.DEFINE_enum('format', None, answers.FORMATS,
                  'How answers are written, whatever the suffix of --output.')
path_flags.DEFINE_path('contact_sheet', None,
                       'PNG file for a sheet of up to 60 of the images, each with its'
                       ' likeliest class.')
path_flags.DEFINE_path('explain', None,
                       'Folder for pictures of where in each image the network sees its'
                       ' likeliest class: Grad-CAM, arXiv 1610.02391.')
flags.DEFINE_string('explain_end_point', None,
                    'The end point for that; by default the last of a convolution.')
path_flags.DEFINE_path('features', None,
                       "NPZ file for features of each image: arrays 'features',"
                       " 'files'.")
flags.DEFINE_string('feature_end_point', None,
                    'The end point to write; by default what the last layer reads.')


# What an export has inside, or cannot give.
_OF_A_CHECKPOINT = (
    'checkpoint_path', 'model_name', 'num_classes', 'moving_average_decay',
    'preprocessing_name', 'use_grayscale', 'eval_image_size', 'multi_label', 'explain',
    'explain_end_point', 'features', 'feature_end_point')


# The sizes of so many images are looked at before all are read.
_SIZED = 8


def check_flags(arguments) -> None:
  """Refuses what makes no sense, before TensorFlow is imported.

  Raises:
    UserError: the first thing that is wrong.
  """
  if not arguments:
    raise diagnostics.UserError(
        'no images: name files, folders, patterns such as "photos/*.jpg", or - for a'
        ' list on standard input')
  if FLAGS.export:
    _check_nothing_else()
  else:
    trained_network_flags.check()
  for flag, needed in (('explain_end_point', 'explain'),
                       ('feature_end_point', 'features')):
    if FLAGS[flag].value and not FLAGS[needed].value:
      raise diagnostics.UserError(f'--{flag} has no effect without --{needed}')
  if FLAGS.output and not FLAGS.format:
    answers.format_of(FLAGS.output)
  if FLAGS.contact_sheet:
    path_flags.check_png(FLAGS.contact_sheet, 'contact_sheet')
  for flag in ('output', 'contact_sheet', 'features'):
    if FLAGS[flag].value:
      _check_place(flag, FLAGS[flag].value)
  if FLAGS.explain:
    os.makedirs(FLAGS.explain, exist_ok=True)


def _check_nothing_else():
  """Refuses, beside an export, the flags of what it has inside, or has not."""
  for flag in _OF_A_CHECKPOINT:
    if FLAGS[flag].value is not None:
      raise diagnostics.UserError(
          f'--{flag} is for a checkpoint, an export has all inside: leave out --export'
          f' or --{flag}')


def _check_place(flag, path):
  """Makes the folder of a file that will be written."""
  if os.path.isdir(path):
    raise diagnostics.UserError(f"--{flag}='{path}' is a folder: name a file in it")
  os.makedirs(os.path.dirname(path) or '.', exist_ok=True)


def _load_export():
  """Returns (model, names of the classes) of an export."""
  from slim_zoo.prediction import exported_model
  model = exported_model.ExportedModel(exported_model.find(FLAGS.export))
  return model, trained_network_flags.names_of(
      model.num_classes, FLAGS.labels_file, FLAGS.labels_offset, [model.labels_folder])


def _load_checkpoint():
  """Returns (model, names of the classes) of a checkpoint."""
  from slim_zoo.prediction import checkpoint_model
  found = trained_network_flags.find()
  answers.note(f'checkpoint {found.choice.checkpoint}')
  multi_label = FLAGS.multi_label
  if multi_label is None and found.multi_label:
    multi_label = True
    answers.note('as the data set in the run card is: --multi_label')
  model = checkpoint_model.CheckpointModel(
      found.choice, found.preprocessing_name, found.use_grayscale,
      found.moving_averages, bool(multi_label), checkpoint_model.Wishes(
          features=bool(FLAGS.features), feature_end_point=FLAGS.feature_end_point,
          heat=bool(FLAGS.explain), heat_end_point=FLAGS.explain_end_point))
  return model, found.labels


def _say_what_is_cropped(model, files):
  """Notes where preprocessing cuts most of the images off."""
  from slim_zoo.catalog import networks
  from slim_zoo.images import image_files
  if FLAGS.export:
    return  # Its preprocessing is inside.
  line = networks.crop_note(
      model.preprocessing_name, model.image_size, image_files.sizes_of(files[:_SIZED]))
  if line:
    answers.note(line)


def _extras(stack, files, names, model):
  """Returns what else takes the answers: each has `add` and `finish`."""
  extras = []
  if FLAGS.contact_sheet:
    from slim_zoo.prediction import contact_sheet
    extras.append(contact_sheet.ContactSheet(FLAGS.contact_sheet, files, names))
  if FLAGS.explain:
    from slim_zoo.prediction import explanation
    extras.append(explanation.ExplanationFolder(
        FLAGS.explain, files, names, model.heat_end_point))
  if FLAGS.features:
    from slim_zoo.prediction import feature_file
    extras.append(stack.enter_context(feature_file.FeatureFile(
        FLAGS.features, FLAGS.feature_end_point or 'penultimate')))
  return extras


def _open_output(stack):
  """Returns (stream, format) for the answers."""
  if not FLAGS.output:
    # A path that is no UTF-8 goes out as it came in.
    sys.stdout.reconfigure(errors=diagnostics.BYTES_OR_ESCAPED)
    return sys.stdout, FLAGS.format or 'text'
  stream = stack.enter_context(open(  # noqa: SIM115 (the stack closes it)
      FLAGS.output, 'w', encoding='utf-8', errors='surrogateescape', newline=''))
  return stream, FLAGS.format or answers.format_of(FLAGS.output)


def _progress(stack, files):
  """Returns a function to be told how many files are done."""
  # Answers on a terminal show by themselves how far it is.
  if len(files) == 1 or (not FLAGS.output and sys.stdout.isatty()):
    return lambda done: None
  from slim_zoo import progress
  return stack.enter_context(
      progress.Progress('classifying', len(files), 'images')).update


def classify(found: sources.Found) -> int:
  """Classifies files; returns the exit code."""
  start_up.load_tensorflow()
  from slim_zoo.prediction import classifier
  count = answers.Tally('slim-zoo classify')
  with contextlib.ExitStack() as stack:
    if not FLAGS.export:
      common_flags.show_unused_gpus()
    model, names = _load_export() if FLAGS.export else _load_checkpoint()
    stack.enter_context(model)
    _say_what_is_cropped(model, found.files)
    extras = _extras(stack, found.files, names, model)
    stream, form = _open_output(stack)
    writer = answers.Writer(stream, form, names, FLAGS.top_k)
    shown = next((extra.shown for extra in extras if hasattr(extra, 'shown')), ())
    update = _progress(stack, found.files)
    for done, answer in enumerate(classifier.classify(
        found.files, model, FLAGS.batch_size, FLAGS.num_preprocessing_threads,
        shown), 1):
      writer.write(answer)
      for taker in (count, *extras):
        taker.add(answer)
      update(done)
    for extra in extras:
      extra.finish()
  return count.conclude(found)


def main(argv):
  """Checks the command line, then classifies; returns the exit code."""
  arguments = path_flags.expand_arguments(argv[1:])
  check_flags(arguments)
  found = sources.find(arguments, sys.stdin.buffer)
  try:
    return classify(found)
  except BrokenPipeError:
    # Whoever read the answers has enough, as `head` does; the code is of SIGPIPE.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 128 + signal.SIGPIPE


def run_command() -> None:
  """Runs the command with the flags of the command line."""
  running.run(main, takes_arguments=True)
