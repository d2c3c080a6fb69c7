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

Exit codes: 0, all images were classified; 1, none, or an error, such as flags that do
not fit together; 2, an unknown flag or a wrong value; 3, some files were skipped, each
with a line that says why.
"""

import os
import signal
import sys

from slim_zoo import diagnostics, start_up
from slim_zoo.commands import option_flags, running
from slim_zoo.config.classification import ClassifyConfig, find_images, image_paths

option_flags.define(ClassifyConfig)

_SOME_SKIPPED, _NONE_CLASSIFIED = 3, 1


def main(argv):
  """Reads the flags into a config, checks it, and classifies; returns the exit code."""
  config = ClassifyConfig.from_options(option_flags.given_options(ClassifyConfig))
  images = image_paths(argv[1:])
  config.check()
  files = find_images(images, sys.stdin.buffer)
  config.check_folders()
  # Takes seconds: only now, when the flags are right.
  start_up.load_tensorflow(config.devices.settings)
  from slim_zoo.tasks import classify
  # A path that is not UTF-8 goes out as it came in.
  sys.stdout.reconfigure(errors=diagnostics.BYTES_OR_ESCAPED)
  try:
    skipped = sum(image.refused is not None for image in classify.classify(
        config, files, sys.stdout, 'slim-zoo classify'))
  except BrokenPipeError:
    # Whoever read the answers has enough, as `head` does; the code is of SIGPIPE.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 128 + signal.SIGPIPE
  if skipped == len(files.files):
    return _NONE_CLASSIFIED
  return _SOME_SKIPPED if skipped else 0


def run_command() -> None:
  """Runs the command with the flags of the command line."""
  running.run(main, takes_arguments=True)
