"""Inspects a checkpoint: its network, stored values and damage."""

import dataclasses
import functools
import math
from collections.abc import Callable

from slim_zoo import diagnostics
from slim_zoo.catalog import datasets, networks, variables
from slim_zoo.checkpoints import (
    comparison,
    contents,
    identify,
    quantization,
    restore,
    run_card,
    segmentation_network,
    trained_network,
    values,
)

# The class counts of ImageNet, with and without the background class 0.
_IMAGENET, _IMAGENET_WITHOUT_BACKGROUND = 1001, 1000


@dataclasses.dataclass(frozen=True)
class Inspection:
  """The content of a checkpoint.

  Attributes:
    path: its prefix.
    num_bytes: the size of its files.
    contents: its names by kind.
    values: facts about its values; None if they were not read.
    step: the global step, or None.
    match: its network; None if it is unknown.
    nearest: the most similar networks, the nearest first.
    card: the facts of its run; None without a usable run card.
    note: why an existing run card is not used, or None.
    quantized: how its values are rounded; None without ranges.
    is_segmentation: whether it is of a segmentation network; then it has no match and
      no nearest networks.
    segmentation: this network; None if its backbone is unknown.
  """

  path: str
  num_bytes: int
  contents: contents.Contents
  values: values.Values | None
  step: int | None
  match: comparison.Match | None
  nearest: list[comparison.Match]
  card: run_card.RunFacts | None = None
  note: str | None = None
  quantized: quantization.Quantized | None = None
  is_segmentation: bool = False
  segmentation: segmentation_network.SegmentationNetwork | None = None

  @functools.cached_property
  def network(self) -> trained_network.TrainedNetwork:
    """Its network and the form of the images; only with a match."""
    return trained_network.resolve(
        self.path, self.match.network, self.match.num_classes, self.card,
        channels=self.match.channels, weights_size=self.match.image_size)

  @property
  def parameters(self) -> int:
    """The number of values of the weights, without batch norm's statistics."""
    return sum(math.prod(shape) for name, shape in self.contents.weights.items()
               if not values.is_statistic(name))

  @property
  def averages_complete(self) -> bool:
    """Whether every weight of the evaluation graph has a moving average."""
    return comparison.averages_complete(self.contents)

  @property
  def can_be_evaluated(self) -> bool:
    """Whether it has all variables of an evaluation, under the network's names."""
    match = self.match
    if match is None or match.renamed or match.num_classes is None:
      return False
    if self.contents.only_averages and not self.averages_complete:
      return False
    # An evaluation reads the variables of the logits, not of auxiliary heads.
    return all(comparison.is_auxiliary(name) for name, *_ in match.heads_mismatched)


def inspect(path: str, build: Callable[..., variables.Variables],
            read_values: bool = True) -> Inspection:
  """Inspects a checkpoint.

  Args:
    path: a prefix, or a folder, for its latest.
    build: builds a network of another width, see `identify.find_width`.
    read_values: whether to read every value, or only names and shapes.

  Raises:
    UserError: there is none, or it is damaged.
  """
  path = restore.find(path)
  shapes = values.shapes_of(path)
  nearest = identify.identify(shapes)
  match = nearest[0] if nearest and nearest[0].fits else None
  if segmentation_network.scored_strides(shapes):
    return _of_segmentation(path, shapes, match, read_values)
  match = match or identify.find_width(shapes, build)
  card, note = trained_network.card_of(path, shapes)
  if card and match and match.fits:
    # Several networks may have the same variables.
    match = next((other for other in identify.identify(shapes, limit=None)
                  if other.fits and other.network == card.model_name), match)
  return Inspection(
      path, values.bytes_of(path), contents.sort(shapes),
      values.read(path) if read_values else None,
      values.step_of(restore.open_reader(path)), match, nearest, card, note,
      quantization.find(shapes, card))


def _of_segmentation(path, shapes, match, read_values):
  """Returns the Inspection of a segmentation network.

  Without a run card, `match` is its backbone; None if that is unknown.
  """
  network, note = None, None
  for name in [None, *([match.network] if match else [])]:
    try:
      network = segmentation_network.find(path, trained_network.NetworkOptions(
          model_name=name, moving_averages=True))
      note = '; '.join(network.notes) or None
      break
    except diagnostics.UserError as error:
      note = str(error)
  return Inspection(
      path, values.bytes_of(path), contents.sort(shapes),
      values.read(path) if read_values else None,
      values.step_of(restore.open_reader(path)), None, [], network and network.card,
      note, is_segmentation=True, segmentation=network)


def labels_offset(num_classes: int | None) -> int:
  """Returns the labels offset of ImageNet's records for a number of classes."""
  return int(num_classes == _IMAGENET_WITHOUT_BACKGROUND)


def datasets_of(num_classes: int | None) -> list[str]:
  """Returns the names of the data sets with this number of classes."""
  if num_classes == _IMAGENET_WITHOUT_BACKGROUND:
    num_classes = _IMAGENET
  return [name for name, spec in datasets.DATASETS.items()
          if spec.num_classes == num_classes and not spec.masks]


def head_scopes(match: comparison.Match) -> list[str]:
  """Returns the scopes to exclude when the class count changes.

  These are the catalog's scopes. An auxiliary head that the checkpoint lacks, or has in
  other shapes, is excluded as a whole.
  """
  scopes = networks.NETWORKS[match.network].head_scopes
  if match.auxiliary and not match.heads_mismatched:
    return list(scopes)
  return [comparison.auxiliary_scope(scope) or scope for scope in scopes]
