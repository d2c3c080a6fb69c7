"""The names and the WordNet ids of ImageNet's classes; no TensorFlow.

imagenet_labels.txt is from google-coral/test_data, Apache License 2.0: one line for
each of 1001 classes; the first one is the background. imagenet_wordnet_ids.txt has the
ids of the other 1000 classes of ILSVRC 2012 (Russakovsky 2015, arXiv 1409.0575). They
are sorted: that is the order of the labels.
"""

import pathlib

PATH = pathlib.Path(__file__).with_name('imagenet_labels.txt')
_IDS_PATH = pathlib.Path(__file__).with_name('imagenet_wordnet_ids.txt')
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


def wordnet_ids() -> list[str]:
  """Returns the WordNet ids of the 1000 classes; that of label 1 is the first."""
  return _IDS_PATH.read_text(encoding='utf-8').split()
