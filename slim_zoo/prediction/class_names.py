"""The names of a network's classes, from a labels file or of ImageNet.

Needs no TensorFlow.
"""

import os
import re
from collections.abc import Sequence

from slim_zoo import diagnostics
from slim_zoo.catalog import imagenet_names, networks
from slim_zoo.checkpoints.trained_network import TrainedNetwork
from slim_zoo.datasets import labels

_NUMBERED = re.compile(r'\s*\d+\s*:')


def read(path: str) -> dict[int, str]:
  """Returns the names in a file: lines such as '0:daisy', or a name on each line.

  Plain names are counted from 0; empty lines are skipped.

  Raises:
    UserError: there is no such file, it is not text, or a line is not as the others.
  """
  try:
    with open(path, encoding='utf-8', errors='surrogateescape') as file:
      lines = [line.rstrip('\r\n').removeprefix('\ufeff') for line in file]
  except FileNotFoundError as error:
    raise diagnostics.UserError(
        f"no labels file '{path}': name a text file with a class on each line"
        ) from error
  lines = [line.strip() for line in lines if line.strip()]
  if not lines or '\0' in ''.join(lines):
    fault = 'is not text' if lines else 'is empty'
    raise diagnostics.UserError(
        f"the labels file '{path}' {fault}: name a text file with a class on each line")
  if _NUMBERED.match(lines[0]):
    return labels.read_label_file(os.path.dirname(path), os.path.basename(path))
  return dict(enumerate(lines))


def fit(names: dict[int, str], path: str, num_classes: int,
        labels_offset: int = 0) -> list[str]:
  """Returns the name of each class of a network.

  Args:
    names: by label.
    path: where they are from, for the message.
    num_classes: of the network.
    labels_offset: subtracted from a label to get the network's class.

  Raises:
    UserError: they are not those of the network's classes.
  """
  expected = range(labels_offset, num_classes + labels_offset)
  if set(expected) <= set(names) and len(names) - num_classes in (0, labels_offset):
    return [names[label] for label in expected]
  advice = 'name the one of the data set that it was trained on'
  if not labels_offset and sorted(names) == list(range(num_classes + 1)):
    advice += (f"; if '{names[0]}' is a background class that the network does not"
               ' have, add --labels_offset=1')
  raise diagnostics.UserError(
      f"the labels file '{path}' names {_count(names)}, but the network has"
      f' {num_classes}, {expected[0]} to {expected[-1]}: {advice}')


def find(folders: Sequence[str | None], num_classes: int,
         labels_offset: int = 0) -> tuple[list[str] | None, list[str]]:
  """Looks for names in the labels.txt of folders, and takes the first that fit.

  Returns:
    (names as from `fit`, or None; a line for each file whose names do not fit).
  """
  unfit = []
  for folder in folders:
    if folder is None or not labels.has_labels(folder):
      continue
    path = os.path.join(folder, labels.LABELS_FILENAME)
    try:
      return fit(read(path), path, num_classes, labels_offset), unfit
    except diagnostics.UserError as error:
      # Nobody named this file: it may be of something else.
      unfit.append(diagnostics.sentences(error, 'It is not used'))
  return None, unfit


def of_network(network: TrainedNetwork, labels_file: str | None,
               dataset_dir: str | None = None, needs_labels: bool = False
               ) -> tuple[list[str], list[str]]:
  """Returns the name of each class of a trained network.

  Args:
    network: its classes, and the offset of their labels.
    labels_file: has to fit; None: labels.txt of `dataset_dir`, which has to fit too,
      of the checkpoint's folder or of the data folder of its run card.
    dataset_dir: the folder of its training data.
    needs_labels: see `of_classes`.

  Returns:
    (names, lines on what is not used).

  Raises:
    UserError: the labels file has other classes.
  """
  if not labels_file and dataset_dir and labels.has_labels(dataset_dir):
    labels_file = os.path.join(dataset_dir, labels.LABELS_FILENAME)
  folders = [os.path.dirname(network.checkpoint),
             network.card and network.card.dataset_dir]
  return of_classes(network.num_classes, labels_file, network.labels_offset, folders,
                    _likely_names(network), needs_labels)


def _likely_names(network):
  """Returns the names of ImageNet's classes for a network that was trained on it.

  The run card says so. Where none names a data set, the network has as many classes as
  the published one.
  """
  row, card = networks.get_network(network.model_name), network.card
  is_imagenet = (card.dataset_name == 'imagenet' if card and card.dataset_name
                 else row.num_classes == network.num_classes)
  return imagenet_names.names(network.num_classes) if is_imagenet else None


def of_classes(num_classes: int, labels_file: str | None, labels_offset: int,
               folders: Sequence[str | None],
               likely_names: list[str] | None = None, needs_labels: bool = False
               ) -> tuple[list[str], list[str]]:
  """Returns the name of each class.

  Args:
    num_classes: of the network.
    labels_file: has to fit; None: the first of the folders whose labels.txt fits.
    labels_offset: number that is subtracted from its labels.
    folders: to look in.
    likely_names: of the classes, if there is no labels file, or None.
    needs_labels: whether an option is set that only labels use.

  Returns:
    (names, lines on what is not used).

  Raises:
    UserError: the labels file has other classes, or labels are needed.
  """
  if labels_file:
    return fit(read(labels_file), labels_file, num_classes, labels_offset), []
  names, notes = find(folders, num_classes, labels_offset)
  if names is not None:
    return names, notes
  if likely_names:
    return likely_names, [
        *notes, "the classes are named as ImageNet's: --labels_file names others"]
  if needs_labels:
    raise diagnostics.UserError('--labels_offset has no effect without a --labels_file')
  return numbered(num_classes), [
      *notes, 'the classes have no names: add --labels_file']


def _count(names):
  low, high = min(names), max(names)
  gaps = '' if high - low + 1 == len(names) else ', with gaps'
  return f'{len(names)} classes, {low} to {high}{gaps}'


def numbered(num_classes: int) -> list[str]:
  """Returns names for classes of which none are known: 'class 0', 'class 1', ..."""
  return [f'class {number}' for number in range(num_classes)]
