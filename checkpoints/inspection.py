"""All that a checkpoint tells: its network, what training kept, whether it is sound."""

import dataclasses
import math
from collections.abc import Callable

from catalog import complexity, datasets, networks, variables
from checkpoints import comparison, contents, identify, restore, values

# The class counts of ImageNet, with its background class 0 and without.
_IMAGENET, _IMAGENET_WITHOUT_BACKGROUND = 1001, 1000


@dataclasses.dataclass(frozen=True)
class Inspection:
  """What was found in a checkpoint.

  Attributes:
    path: its prefix.
    num_bytes: the size of its files.
    contents: its names, sorted by what they are.
    values: what reading them gave; None if they were not read.
    step: the global step; None where it keeps none.
    match: the network it is of; None if that is none of the zoo.
    nearest: the networks it is most like, the nearest first.
  """

  path: str
  num_bytes: int
  contents: contents.Contents
  values: values.Values | None
  step: int | None
  match: comparison.Match | None
  nearest: list[comparison.Match]

  @property
  def parameters(self) -> int:
    """How many values the weights have, batch norm's statistics not counted."""
    return sum(math.prod(shape) for name, shape in self.contents.weights.items()
               if not values.is_statistic(name))

  @property
  def averages_complete(self) -> bool:
    """Whether an evaluation finds a moving average of every weight of the network."""
    return bool(self.contents.averages) and all(
        name in self.contents.averages or comparison.in_training_alone(name)
        for name in self.contents.weights)

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
  return Inspection(
      path, values.bytes_of(path), contents.sort(shapes),
      values.read(path) if read_values else None,
      values.step_of(restore.open_reader(path)), match, nearest)


def labels_offset(num_classes: int | None) -> int:
  """Returns what is taken off the labels of ImageNet's records for a class count."""
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


def image_size(match: comparison.Match) -> int | None:
  """Returns the size of the images that the network was trained on, as far as known."""
  cost = complexity.load().get(match.network)
  return match.image_size or (cost and cost.input_shape[-2])
