"""Names of folders and files: of splits, of masks, of system files.

Needs no TensorFlow.
"""

import difflib
import re
import unicodedata
from collections.abc import Iterable

from slim_zoo import diagnostics

TRAIN, VALIDATION, TEST, UNLABELLED = 'train', 'validation', 'test', 'unlabelled'
# Folders with these names keep them as the name of the split.
_KEPT_NAMES = (TRAIN, TEST, 'val', 'valid', VALIDATION)
_SPLIT_WORDS = {
    **dict.fromkeys(('train', 'training', 'trn', 'trainval'), TRAIN),
    **dict.fromkeys(('validation', 'valid', 'val', 'validate', 'validating', 'dev',
                     'devel', 'development', 'eval', 'evaluation', 'evaluate',
                     'holdout'), VALIDATION),
    **dict.fromkeys(('test', 'testing', 'tests', 'tst'), TEST),
    **dict.fromkeys(('pred', 'predict', 'prediction', 'predictions', 'unlabeled',
                     'unlabelled', 'unknown', 'unsup', 'submission'), UNLABELLED)}
# Names of splits that a misspelt name is compared with; others are also parts of words.
_SPELT = ('train', 'training', 'validation', 'valid', 'val', 'test', 'testing')
_LIKENESS = 0.75
# Words that do not name a class.
_FILLERS = frozenset({
    'set', 'sets', 'data', 'dataset', 'datasets', 'image', 'images', 'img', 'imgs',
    'photo', 'photos', 'picture', 'pictures', 'pics', 'jpg', 'jpeg', 'png', 'folder',
    'dir', 'split', 'sample', 'samples', 'files'})
_IMAGE_WORDS = frozenset({'image', 'images', 'img', 'imgs', 'photo', 'photos',
                          'picture', 'pictures', 'jpegimages', 'rgb', 'frames'})
_ANNOTATION_WORDS = frozenset({
    'mask', 'masks', 'label', 'labels', 'annotation', 'annotations', 'gt',
    'groundtruth', 'segmentation', 'segmentations', 'trimap', 'trimaps', 'bbox',
    'bboxes', 'boxes', 'segmentationclass', 'segmentationobject', 'imagesets'})
# These words are also common class names.
_COMMON_CLASSES = frozenset({'boxes', 'unknown'})
_THUMBNAILS = frozenset({'thumbs', 'thumbnails'})
_SYSTEM_NAMES = frozenset({
    '__macosx', '__pycache__', '@eadir', '@recycle', '@tmp', '#recycle', '#snapshot',
    '$recycle.bin', 'lost+found', 'system volume information',
    'thumbs.db', 'thumbs.db:encryptable', 'ehthumbs.db', 'ehthumbs_vista.db',
    'desktop.ini', 'icon\r'})
_SYSTEM_PREFIXES = ('synophoto_thumb', 'synophoto_film', 'synofile_thumb')


def is_hidden(name: str) -> bool:
  """Returns whether a file or folder is hidden, such as .git and ._photo.jpg."""
  return name.startswith('.')


def is_system_name(name: str) -> bool:
  """Returns whether a name belongs to a system, such as @eaDir and Thumbs.db.

  Ignores case.
  """
  name = name.lower()
  return name in _SYSTEM_NAMES or name.startswith(_SYSTEM_PREFIXES)


def is_user_name(name: str) -> bool:
  """Returns whether a file or folder is neither hidden nor a system's."""
  return not is_hidden(name) and not is_system_name(name)


def split_of(name: str) -> tuple[str, tuple[str, ...]] | None:
  """Returns the split that a folder is named after, and other words of the name.

  'Training_Set' gives ('train', ()), 'seg_test' gives ('test', ('seg',)). Numbers and
  words such as 'set' and 'images' are ignored. None: it names no split, or several.
  """
  for words in (_words(name), re.findall(r'[^\W\d_]+|\d+', name.lower())):
    words = [part for word in words for part in _without_filler(word)]
    named = [word for word in words if word in _SPLIT_WORDS]
    if len(named) == 1:
      return _SPLIT_WORDS[named[0]], tuple(
          word for word in words
          if word != named[0] and word not in _FILLERS and not word.isdecimal())
  return None


def near_split(name: str) -> str | None:
  """Returns the split that a folder's misspelt name means, such as 'trian' or 'tset'.

  None: it is the name of a split, or like none.
  """
  if split_of(name):
    return None
  words = [word for word in _words(name)
           if word not in _FILLERS and not word.isdecimal()]
  near = difflib.get_close_matches(words[0], _SPELT, 1, _LIKENESS) if (
      len(words) == 1) else []
  return _SPLIT_WORDS[near[0]] if near else None


def is_thumbnail_folder(name: str) -> bool:
  """Returns whether a name is usual for folders of thumbnails, such as Thumbs."""
  return name.lower() in _THUMBNAILS


def other_use(name: str) -> str | None:
  """Returns the likely use of a folder that may be no class; None for class names.

  The whole name counts: 'test_set' may be 'a split', 'masks' 'annotations' and 'Thumbs'
  'thumbnails', but 'test tube' and 'face mask' are classes.
  """
  if is_thumbnail_folder(name):
    return 'thumbnails'
  if name.lower() in _COMMON_CLASSES:
    return None
  split = split_of(name)
  if split and not split[1]:
    return 'a split'
  words = [word for word in _words(name) if not word.isdecimal()]
  words = [word for word in words if word not in _FILLERS]
  is_annotations = words and (_ANNOTATION_WORDS.issuperset(words)
                              or ''.join(words) in _ANNOTATION_WORDS)
  return 'annotations' if is_annotations else None


def name_of_split(folder: str, split: str) -> str:
  """Returns the name of a folder's split in the data set."""
  return folder if folder in _KEPT_NAMES else split


def is_filler(name: str) -> bool:
  """Returns whether a name is not a class name, such as 'images' and 'test'."""
  split = split_of(name)
  return (split is not None and not split[1]) or all(
      word in _FILLERS for word in _words(name))


def _words(name):
  """Returns the words of a name in lower case, split at punctuation and capitals."""
  return [word.lower() for word in re.findall(
      r'[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_A-Za-z]+', name)]


def _without_filler(word):
  """Returns the word, split if it is one such as 'trainset'."""
  for filler in _FILLERS:
    if word.endswith(filler) and word.removesuffix(filler) in _SPLIT_WORDS:
      return [word.removesuffix(filler), filler]
  return [word]


def images_and_annotations(names: Iterable[str]) -> tuple[str, str] | None:
  """Returns a folder of images and a folder of their masks or labels.

  None: these do not exist, or other folders exist beside them.
  """
  images, notes, others = by_use(names)
  return (images[0], notes[0]) if images and notes and not others else None


def by_use(names: Iterable[str]) -> tuple[list[str], list[str], list[str]]:
  """Returns the folders of images, those of masks or labels, and all others.

  Folders of splits, and names such as 'data', are left out.
  """
  names = list(names)
  notes = [name for name in names if _ANNOTATION_WORDS.intersection(_words(name))]
  images = [name for name in names if name not in notes
            and _IMAGE_WORDS.intersection(_words(name))]
  others = [name for name in names if name not in notes and not is_filler(name)
            and name not in images]
  return images, notes, others


def is_of_instances(name: str) -> bool:
  """Returns whether masks in a folder number objects, such as SegmentationObject."""
  return ''.join(_words(name)) == 'segmentationobject'


def in_label_order(names: Iterable[str]) -> list[str]:
  """Returns sorted class names; in numerical order if all are numbers."""
  names = sorted(set(names))
  numbers = {name: diagnostics.whole_number(name) for name in names}
  if None in numbers.values():
    return names
  return sorted(names, key=lambda name: (numbers[name], name))


def _simplified(name):
  """Returns a name without case, spaces and differences of Unicode form."""
  return ''.join(unicodedata.normalize('NFKC', name).casefold().split())


def alike(names: Iterable[str]) -> list[list[str]]:
  """Returns groups of names that differ only by case, spaces or Unicode form."""
  groups = {}
  for name in names:
    groups.setdefault(_simplified(name), []).append(name)
  return [group for group in groups.values() if len(group) > 1]
