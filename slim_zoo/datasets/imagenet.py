"""ImageNet: the 1.28 million photos of ILSVRC 2012 in 1000 classes and background.

Russakovsky 2015, arXiv 1409.0575. Established files: train-00000-of-01024,
validation-00000-of-00128. Labels are 1 to 1000 in the order of the sorted WordNet
ids; 0 is the background, which has no images.
"""

import os
import tempfile

from slim_zoo import diagnostics
from slim_zoo.catalog.datasets import DATASETS
from slim_zoo.datasets import record_dataset
from slim_zoo.files import downloads

SPLITS_TO_SIZES = dict(DATASETS['imagenet'].splits)
# False: do not read labels.txt.
LOAD_READABLE_NAMES = True

_NAMES_URL = ('https://raw.githubusercontent.com/tensorflow/models/master/'
              'research/slim/datasets/')
# WordNet ids of the classes, one per line, in the order of the labels.
_SYNSETS_FILENAME = 'imagenet_lsvrc_2015_synsets.txt'
# Lines of a WordNet id, a tab and its names, for all of ImageNet.
_METADATA_FILENAME = 'imagenet_metadata.txt'


def get_split(split_name, dataset_dir, file_pattern=None, reader=None):
  """Returns a split; see `record_dataset.read_dataset`.

  Class names are read from the folder's labels.txt. Nothing is downloaded; for names
  from the web see `create_readable_names_for_imagenet_labels`.
  """
  return record_dataset.read_dataset(
      'imagenet', split_name, dataset_dir, file_pattern, reader, LOAD_READABLE_NAMES)


def create_readable_names_for_imagenet_labels(
    folder: str | None = None) -> dict[int, str]:
  """Returns the names of the 1001 classes by label.

  Args:
    folder: folder of the two text files; None downloads them.

  Raises:
    UserError: they cannot be downloaded, or do not contain 1000 classes.
    OSError: a file cannot be read.
  """
  if folder is None:
    with tempfile.TemporaryDirectory() as folder:
      for filename in (_SYNSETS_FILENAME, _METADATA_FILENAME):
        downloads.download_url(_NAMES_URL + filename, folder)
      return _read_names(folder)
  return _read_names(folder)


def _read_names(folder):
  with open(os.path.join(folder, _SYNSETS_FILENAME), encoding='utf-8') as file:
    synsets = file.read().split()
  with open(os.path.join(folder, _METADATA_FILENAME), encoding='utf-8') as file:
    names = dict(line.rstrip('\n').split('\t', 1) for line in file if '\t' in line)
  expected = DATASETS['imagenet'].num_classes - 1
  unnamed = [synset for synset in synsets if synset not in names]
  if len(synsets) != expected or unnamed:
    raise diagnostics.UserError(
        f"'{folder}' does not name the classes of ImageNet: {_SYNSETS_FILENAME} has"
        f' {len(synsets)} WordNet ids, expected {expected}, and {len(unnamed)} of'
        f' them are not in {_METADATA_FILENAME}')
  return {0: 'background', **{
      label: names[synset] for label, synset in enumerate(synsets, start=1)}}
