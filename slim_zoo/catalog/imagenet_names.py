"""The names of ImageNet's classes; no TensorFlow.

imagenet_labels.txt is from google-coral/test_data, Apache License 2.0: one line for
each of 1001 classes; the first one is the background.
"""

import pathlib

PATH = pathlib.Path(__file__).with_name('imagenet_labels.txt')
WITH_BACKGROUND, WITHOUT_BACKGROUND = 1001, 1000


def names(num_classes: int) -> list[str] | None:
  """Returns the names by class: 1001 with background, 1000 without.

  Returns:
    None for other numbers of classes.
  """
  if num_classes not in (WITH_BACKGROUND, WITHOUT_BACKGROUND):
    return None
  lines = PATH.read_text(encoding='utf-8').splitlines()
  return lines[WITH_BACKGROUND - num_classes:]
