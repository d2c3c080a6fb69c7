"""Compares the variables of a checkpoint with those of one network."""

import collections
import dataclasses
import math
import re
from collections.abc import Iterable, Iterator, Mapping

from slim_zoo.catalog import complexity, variables
from slim_zoo.checkpoints import contents

_AUXILIARY = re.compile(r'(?:.*/)?(?:AuxLogits|aux_\d+)(?=/|$)')
# Inception always builds its auxiliary head, NASNet only in training.
_IN_TRAINING = re.compile(r'(?:.*/)?aux_\d+(?=/|$)')
_DIMENSION = re.compile(r'(?:(\d+)\*)?([a-z]+)')
# The score of a weight with another shape: a network of another width is nearer than
# one with other layers.
_OTHER_SHAPE = 0.5


@dataclasses.dataclass(frozen=True)
class Match:
  """The result of a comparison with a network. Names are those of the network.

  Attributes:
    network: its name in the catalog.
    scope: the scope of the variables in the checkpoint.
    own_scope: the scope of the network's own variables; '' for networks without one.
    same: number of variables of the body that exist and fit. The body is the network
      without auxiliary heads and without variables that depend on the classes.
    missing: names of the body that the checkpoint lacks.
    mismatched: (name, shape in the checkpoint, shape in the network).
    unexpected: names in the checkpoint, inside the network's layers, that the network
      lacks.
    beside: the names of all other variables in the checkpoint; they have no effect.
    num_classes: number of logits; None if the checkpoint has no head.
    auxiliary: whether the auxiliary head is complete; None for networks without one.
    heads_mismatched: like `mismatched`, for the auxiliary head and the logits.
    channels: channels of the images.
    image_size: size of the images, if the weights depend on it and differ from the
      default.
    depth_multiplier: the width; None for networks with one width.
    arguments: arguments of the network's function, if it is not a row of the catalog,
      such as {'depth_multiplier': 0.5}.
  """

  network: str
  scope: str
  own_scope: str
  same: int
  missing: list[str]
  mismatched: list[tuple[str, tuple, tuple]]
  unexpected: list[str]
  beside: list[str]
  num_classes: int | None
  auxiliary: bool | None
  heads_mismatched: list[tuple[str, tuple, tuple]]
  channels: int | None
  image_size: int | None
  depth_multiplier: float | None
  arguments: dict = dataclasses.field(default_factory=dict)

  @property
  def fits(self) -> bool:
    """Whether the checkpoint is of this network."""
    return not (self.missing or self.mismatched or self.unexpected)

  @property
  def renamed(self) -> bool:
    """Whether the variables have another scope than the network's."""
    return self.scope != self.own_scope

  @property
  def likeness(self) -> float:
    """A score from 0 (nothing in common) to 1 (the body is equal)."""
    mismatched = len(self.mismatched)
    return (self.same + _OTHER_SHAPE * mismatched) / max(
        1, self.same + mismatched + len(self.missing) + len(self.unexpected))


@dataclasses.dataclass(frozen=True)
class Known:
  """The variables of a network, prepared for the comparison.

  Attributes:
    name: name of the network.
    own_scope: the common scope of all its variables, or ''.
    shapes: shapes by names below that scope.
    anchors: a few of these names, from the beginning, middle and end of the body.
    tops: the first parts of the body's names.
    auxiliary: names in an auxiliary head.
    depth_multiplier: the width.
  """

  name: str
  own_scope: str
  shapes: dict[str, variables.Shape]
  anchors: tuple[str, ...]
  tops: frozenset[str]
  auxiliary: frozenset[str]
  depth_multiplier: float | None


def known(name: str, stored: variables.Variables) -> Known:
  """Returns the `Known` of a network's `variables.Variables`."""
  own_scope = _top_scope(stored.shapes)
  shapes = {variable[len(own_scope):].lstrip('/'): shape
            for variable, shape in stored.shapes.items()}
  body = [variable for variable, shape in shapes.items()
          if variables.CLASSES not in shape and not is_auxiliary(variable)]
  anchors = (body[0], body[len(body) // 2], body[-len(body) // 10 - 1])
  return Known(name, own_scope, shapes, anchors,
                frozenset(variable.split('/')[0] for variable in body),
                frozenset(filter(is_auxiliary, shapes)),
                stored.depth_multiplier)


def _top_scope(names: Iterable[str]) -> str:
  """Returns the common scope of all names, or ''."""
  tops = {name.split('/')[0] for name in names}
  return tops.pop() if len(tops) == 1 else ''


class Weights:
  """The weights of a checkpoint, indexed by scope and by the ends of their names.

  Args:
    shapes: shapes by name.
  """

  def __init__(self, shapes: Mapping[str, tuple[int, ...]]):
    self.shapes = shapes
    self._below = {'': shapes}
    self._scopes = collections.defaultdict(list)  # By the end of a name.
    for name in shapes:
      self._scopes[name].append('')
      for slash in (match.start() for match in re.finditer('/', name)):
        self._scopes[name[slash + 1:]].append(name[:slash])

  def below(self, scope: str) -> Mapping[str, tuple[int, ...]]:
    """Returns the shapes below a scope, by the names below it."""
    if scope not in self._below:
      self._below[scope] = {
          name[len(scope) + 1:]: shape for name, shape in self.shapes.items()
          if name.startswith(f'{scope}/')}
    return self._below[scope]

  def scopes_for(self, known: Known) -> Iterable[str]:
    """Returns the scopes that may contain a network, its own first.

    A scope is a candidate if it contains two of the three anchors.
    """
    counts = collections.Counter(
        scope for anchor in known.anchors for scope in self._scopes.get(anchor, ()))
    return dict.fromkeys(
        [known.own_scope, *(scope for scope, count in counts.items() if count > 1)])


def matches(known: Known, weights: Weights) -> Iterator[Match]:
  """Yields a `Match` for each scope of a checkpoint that may contain the network."""
  for scope in weights.scopes_for(known):
    yield _compare(known, scope, weights)


def _compare(known, scope, weights):
  """Compares a network with the variables of a checkpoint below a scope."""
  shapes = weights.below(scope)
  own_prefix = f'{known.own_scope}/' if known.own_scope else ''
  prefix = f'{scope}/' if scope else ''
  same, missing, mismatched, other_heads, values = 0, [], [], [], {}
  for variable, expected in known.shapes.items():
    is_auxiliary_variable = variable in known.auxiliary
    is_head = is_auxiliary_variable or variables.CLASSES in expected
    if variable not in shapes:
      if not is_head:
        missing.append(own_prefix + variable)
    elif _agree(shapes[variable], expected, {} if is_auxiliary_variable else values):
      same += not is_head
    else:
      (other_heads if is_head else mismatched).append(
          (own_prefix + variable, shapes[variable], expected))
  size = _image_size(known.name, mismatched)
  if size:
    same, mismatched = same + 1, []
  # Further variables outside the network's layers have no effect; more layers do.
  unexpected = [variable for variable in shapes if variable not in known.shapes
                and variable.split('/')[0] in known.tops]
  beside = set(weights.shapes).difference(
      prefix + variable for variable in shapes
      if variable in known.shapes or variable.split('/')[0] in known.tops)
  return Match(
      known.name, scope, known.own_scope, same, missing, mismatched,
      [own_prefix + variable for variable in unexpected], sorted(beside),
      values.get(variables.CLASSES),
      known.auxiliary <= set(shapes) if known.auxiliary else None, other_heads,
      values.get(variables.CHANNELS), size, known.depth_multiplier)


def _agree(shape, expected, values):
  """Returns whether a shape fits; stores sizes that depend on the data in `values`."""
  if len(shape) != len(expected):
    return False
  sizes = {}
  for size, dimension in zip(shape, expected, strict=True):
    if isinstance(dimension, int):
      if size != dimension:
        return False
      continue
    factor, word = _DIMENSION.fullmatch(dimension).groups(default=1)
    if size % int(factor):
      return False
    sizes[word] = size // int(factor)
  values.update(sizes)
  return True


def _image_size(name, mismatched):
  """Returns the image size if it is the only difference of the weights; else None.

  The inputs of a fully connected layer over the whole feature map are its positions, so
  their number is proportional to the area of the images.
  """
  if len(mismatched) != 1:
    return None
  _, shape, expected = mismatched[0]
  cost = complexity.load().get(name)
  if cost is None or len(shape) != 2 or len(expected) != 2 or shape[1] != expected[1]:
    return None
  size = cost.input_shape[0] * math.sqrt(shape[0] / expected[0])
  return round(size) if abs(size - round(size)) < 1e-6 else None


def is_auxiliary(name: str) -> bool:
  """Returns whether a variable or scope is in an auxiliary head."""
  return auxiliary_scope(name) is not None


def auxiliary_scope(name: str) -> str | None:
  """Returns the scope of the auxiliary head that contains `name`, or None."""
  match = _AUXILIARY.match(name)
  return match and match[0]


def in_training_alone(name: str) -> bool:
  """Returns whether a variable is in a head that only training builds."""
  return _IN_TRAINING.match(name) is not None


def averages_complete(content: contents.Contents) -> bool:
  """Returns whether every weight of the evaluation graph has a moving average."""
  return bool(content.averages) and all(
      name in content.averages or in_training_alone(name) for name in content.weights)
