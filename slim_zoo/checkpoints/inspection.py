"""Inspects a checkpoint: its network, what training kept, whether it is sound."""

import dataclasses
import functools
import math
from collections.abc import Callable

from slim_zoo.catalog import datasets, networks, variables
from slim_zoo.checkpoints import (
    comparison,
    contents,
    identify,
    quantization,
    restore,
    run_card,
    trained_network,
    values,
)

# The class counts of ImageNet, with its background class 0 and without.
_IMAGENET, _IMAGENET_WITHOUT_BACKGROUND = 1001, 1000


@dataclasses.dataclass(frozen=True)
class Inspection:
  """The result of an inspection of a checkpoint.

  Attributes:
    path: its prefix.
    num_bytes: the size of its files.
    contents: its names, by kind.
    values: the facts of its values; None if they were not read.
    step: the global step; None where it keeps none.
    match: the network it is of; None if that is none of the zoo.
    nearest: the networks it is most like, the nearest first.
    card: the facts of its run; None without a run card that can be used.
    note: why a run card that is there is not used, or None.
    quantized: how its values are rounded; None if it has no ranges.
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

  @functools.cached_property
  def network(self) -> trained_network.TrainedNetwork:
    """Its network and the form of the images; only with a match."""
    return trained_network.resolve(
        self.path, self.match.network, self.match.num_classes, self.card,
        channels=self.match.channels, weights_size=self.match.image_size)

  @property
  def parameters(self) -> int:
    """How many values the weights have, batch norm's statistics not counted."""
    return sum(math.prod(shape) for name, shape in self.contents.weights.items()
               if not values.is_statistic(name))

  @property
  def averages_complete(self) -> bool:
    """Whether an evaluation finds a moving average of every weight of the network."""
    return comparison.averages_complete(self.contents)

  @property
  def can_be_evaluated(self) -> bool:
    """Whether it has, under the network's names, all that an evaluation restores."""
    match = self.match
    if match is None or match.renamed or match.num_classes is None:
      return False
    if self.contents.only_averages and not self.averages_complete:
      return False
    # An evaluation reads what the logits need, and so no auxiliary head.
    return all(comparison.is_auxiliary(name) for name, *_ in match.heads_mismatched)


def inspect(path: str, build: Callable[..., variables.Variables],
            read_values: bool = True) -> Inspection:
  """Inspects a checkpoint.

  Args:
    path: a prefix, or a folder, for its latest.
    build: builds a network of another width, see `identify.find_width`.
    read_values: whether every value is read, or the names and shapes alone.

  Raises:
    UserError: there is none, or it is damaged.
  """
  path = restore.find(path)
  shapes = values.shapes_of(path)
  nearest = identify.identify(shapes)
  match = nearest[0] if nearest and nearest[0].fits else identify.find_width(
      shapes, build)
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


def labels_offset(num_classes: int | None) -> int:
  """Returns the offset of the labels of ImageNet's records for a class count."""
  return int(num_classes == _IMAGENET_WITHOUT_BACKGROUND)


def datasets_of(num_classes: int | None) -> list[str]:
  """Returns the names of the data sets that a network with a class count may be for."""
  if num_classes == _IMAGENET_WITHOUT_BACKGROUND:
    num_classes = _IMAGENET
  return [name for name, spec in datasets.DATASETS.items()
          if spec.num_classes == num_classes]


def head_scopes(match: comparison.Match) -> list[str]:
  """Returns the scopes to leave out when the class count changes.

  They are the registry's; of an auxiliary head that the checkpoint has not, or has
  in other shapes, all.
  """
  scopes = networks.NETWORKS[match.network].head_scopes
  if match.auxiliary and not match.heads_mismatched:
    return list(scopes)
  return [comparison.auxiliary_scope(scope) or scope for scope in scopes]
