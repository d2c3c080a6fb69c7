"""Names of folders and files: of splits, of masks, of system files.

Needs no TensorFlow.
"""

import re
import unicodedata
from collections.abc import Iterable

TRAIN, VALIDATION, TEST, UNLABELLED = 'train', 'validation', 'test', 'unlabelled'
# These spellings are names of splits themselves, and stay.
_KEPT_NAMES = (TRAIN, TEST, 'val', 'valid', VALIDATION)
_SPLIT_WORDS = {
    **dict.fromkeys(('train', 'training', 'trn', 'trainval'), TRAIN),
    **dict.fromkeys(('validation', 'valid', 'val', 'validate', 'validating', 'dev',
                     'devel', 'development', 'eval', 'evaluation', 'evaluate',
                     'holdout'), VALIDATION),
    **dict.fromkeys(('test', 'testing', 'tests', 'tst'), TEST),
    **dict.fromkeys(('pred', 'predict', 'prediction', 'predictions', 'unlabeled',
                     'unlabelled', 'unknown', 'unsup', 'submission'), UNLABELLED)}
# Words that do not name a class.
_FILLERS = frozenset({
    'set', 'sets', 'data', 'dataset', 'datasets', 'image', 'images', 'img', 'imgs',
    'photo', 'photos', 'picture', 'pictures', 'pics', 'jpg', 'jpeg', 'png', 'folder',
    'dir', 'split', 'sample', 'samples', 'files'})
_IMAGE_WORDS = frozenset({'image', 'images', 'img', 'imgs', 'photo', 'photos',
                          'picture', 'pictures', 'jpegimages', 'rgb', 'frames'})
_NOTE_WORDS = frozenset({
    'mask', 'masks', 'label', 'labels', 'annotation', 'annotations', 'gt',
    'groundtruth', 'segmentation', 'segmentations', 'trimap', 'trimaps', 'bbox',
    'bboxes', 'boxes', 'segmentationclass', 'segmentationobject', 'imagesets'})
# Names that are also those of usual classes.
_USUAL_CLASSES = frozenset({'boxes', 'unknown'})
_THUMBNAILS = frozenset({'thumbs', 'thumbnails'})
_OF_SYSTEMS = frozenset({
    '__macosx', '__pycache__', '@eadir', '@recycle', '@tmp', '#recycle', '#snapshot',
    '$recycle.bin', 'lost+found', 'system volume information',
    'thumbs.db', 'thumbs.db:encryptable', 'ehthumbs.db', 'ehthumbs_vista.db',
    'desktop.ini', 'icon\r'})
_BEGINNINGS_OF_SYSTEMS = ('synophoto_thumb', 'synophoto_film', 'synofile_thumb')


def is_hidden(name: str) -> bool:
  """Returns whether a file or folder is hidden, such as .git or ._photo.jpg."""
  return name.startswith('.')


def is_of_a_system(name: str) -> bool:
  """Returns whether a file or folder is a system's own, in upper or lower case.

  Examples are @eaDir, $RECYCLE.BIN and Thumbs.db.
  """
  name = name.lower()
  return name in _OF_SYSTEMS or name.startswith(_BEGINNINGS_OF_SYSTEMS)


def is_of_the_user(name: str) -> bool:
  """Returns whether a file or folder is neither hidden nor a system's own."""
  return not is_hidden(name) and not is_of_a_system(name)


def split_of(name: str) -> tuple[str, tuple[str, ...]] | None:
  """Returns the split that a folder's name stands for, and the other words in it.

  'Training_Set' gives ('train', ()), 'seg_test' ('test', ('seg',)). Words such as
  'set' and 'images', and numbers, do not count. None: it names no split, or several.
  """
  for words in (_words(name), re.findall(r'[^\W\d_]+|\d+', name.lower())):
    words = [part for word in words for part in _without_filler(word)]
    named = [word for word in words if word in _SPLIT_WORDS]
    if len(named) == 1:
      return _SPLIT_WORDS[named[0]], tuple(
          word for word in words
          if word != named[0] and word not in _FILLERS and not word.isdecimal())
  return None


def is_of_thumbnails(name: str) -> bool:
  """Returns whether a folder has the name of one for thumbnails, such as Thumbs."""
  return name.lower() in _THUMBNAILS


def other_use(name: str) -> str | None:
  """Returns the likely kind of a folder that is no class; None for usual class names.

  The whole name decides: 'test_set' may be 'a split', 'masks' 'annotations', 'Thumbs'
  'thumbnails', but 'test tube' and 'face mask' are classes.
  """
  if is_of_thumbnails(name):
    return 'thumbnails'
  if name.lower() in _USUAL_CLASSES:
    return None
  split = split_of(name)
  if split and not split[1]:
    return 'a split'
  words = [word for word in _words(name) if not word.isdecimal()]
  words = [word for word in words if word not in _FILLERS]
  notes = words and (_NOTE_WORDS.issuperset(words) or ''.join(words) in _NOTE_WORDS)
  return 'annotations' if notes else None


def name_of_split(folder: str, split: str) -> str:
  """Returns how the split in a folder is called in the data set."""
  return folder if folder in _KEPT_NAMES else split


def is_filler(name: str) -> bool:
  """Returns whether a name cannot be that of a class, such as 'images' or 'test'."""
  split = split_of(name)
  return (split is not None and not split[1]) or all(
      word in _FILLERS for word in _words(name))


def _words(name):
  """Returns the words of a name in lower case, separated at marks and capitals."""
  return [word.lower() for word in re.findall(
      r'[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_A-Za-z]+', name)]


def _without_filler(word):
  """Returns the parts of a word such as 'trainset'."""
  for filler in _FILLERS:
    if word.endswith(filler) and word.removesuffix(filler) in _SPLIT_WORDS:
      return [word.removesuffix(filler), filler]
  return [word]


def images_and_notes(names: Iterable[str]) -> tuple[str, str] | None:
  """Returns a folder of images and one of masks or labels of them.

  None: there are none, or others beside them.
  """
  names = list(names)
  notes = [name for name in names if _NOTE_WORDS.intersection(_words(name))]
  images = [name for name in names if name not in notes
            and _IMAGE_WORDS.intersection(_words(name))]
  others = [name for name in names if name not in notes and not is_filler(name)
            and name not in images]
  return (images[0], notes[0]) if images and notes and not others else None


def in_label_order(names: Iterable[str]) -> list[str]:
  """Returns names of classes sorted; by number, where all of them are numbers."""
  names = sorted(set(names))
  if all(name.isascii() and name.isdecimal() for name in names):
    return sorted(names, key=lambda name: (int(name), name))
  return names


def _simplified(name):
  """Returns a name without case, spaces and the ways to write an accent."""
  return ''.join(unicodedata.normalize('NFKC', name).casefold().split())


def alike(names: Iterable[str]) -> list[list[str]]:
  """Returns the groups of names that differ by case, spaces or Unicode form only."""
  groups = {}
  for name in names:
    groups.setdefault(_simplified(name), []).append(name)
  return [group for group in groups.values() if len(group) > 1]
