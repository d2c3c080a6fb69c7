"""How the variables of a checkpoint compare with those of one network."""

import collections
import dataclasses
import math
import re
from collections.abc import Iterable, Iterator, Mapping

from slim_zoo.catalog import complexity, variables
from slim_zoo.checkpoints import contents

_AUXILIARY = re.compile(r'(?:.*/)?(?:AuxLogits|aux_\d+)(?=/|$)')
# Inception builds its auxiliary head always, NASNet in training alone.
_IN_TRAINING = re.compile(r'(?:.*/)?aux_\d+(?=/|$)')
_DIMENSION = re.compile(r'(?:(\d+)\*)?([a-z]+)')
# What a weight counts that has another shape: it is there, so a network of another
# width is nearer than one of other layers.
_OTHER_SHAPE = 0.5


@dataclasses.dataclass(frozen=True)
class Match:
  """How a checkpoint compares with a network. Names are those of the network.

  Attributes:
    network: its name in the registry.
    scope: the scope that the variables lie below in the checkpoint.
    own_scope: the scope of the network's own; '' for networks without one.
    same: how many variables of the body are there and fit. The body is what is left
      without auxiliary heads and what depends on the classes.
    missing: names of the body that the checkpoint lacks.
    mismatched: (name, shape in the checkpoint, shape in the network).
    unexpected: names in the checkpoint, inside the network's layers, that the network
      does not have.
    beside: the names of all others in the checkpoint; they change nothing.
    num_classes: of the logits; None where the checkpoint has no head.
    auxiliary: whether all of the auxiliary head is there; None for networks without.
    heads_mismatched: like `mismatched`, of the auxiliary head and the logits.
    channels: of the images.
    image_size: of the images, where the weights are of another than the default.
    depth_multiplier: the width; None for networks that have but one.
    arguments: what the network's function has to be given, where it is no row of the
      registry, such as {'depth_multiplier': 0.5}.
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
    """Whether the variables lie below another scope than the network's."""
    return self.scope != self.own_scope

  @property
  def likeness(self) -> float:
    """From 0, nothing in common, to 1, the body is the same."""
    mismatched = len(self.mismatched)
    return (self.same + _OTHER_SHAPE * mismatched) / max(
        1, self.same + mismatched + len(self.missing) + len(self.unexpected))


@dataclasses.dataclass(frozen=True)
class Known:
  """The variables of a network, as they are looked for.

  Attributes:
    name: of the network.
    own_scope: the scope that all its variables lie below, or ''.
    shapes: by the rest of their names.
    anchors: a few of these names, from the beginning, middle and end of the body.
    tops: the first parts of the body's names.
    auxiliary: those of an auxiliary head.
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
  """Returns the scope that all names lie below, or ''."""
  tops = {name.split('/')[0] for name in names}
  return tops.pop() if len(tops) == 1 else ''


class Weights:
  """The weights of a checkpoint, found by scope and by the end of their names.

  Args:
    shapes: by name.
  """

  def __init__(self, shapes: Mapping[str, tuple[int, ...]]):
    self.shapes = shapes
    self._below = {'': shapes}
    self._scopes = collections.defaultdict(list)  # Of each ending of a name.
    for name in shapes:
      self._scopes[name].append('')
      for place in (slash.start() for slash in re.finditer('/', name)):
        self._scopes[name[place + 1:]].append(name[:place])

  def below(self, scope: str) -> Mapping[str, tuple[int, ...]]:
    """Returns the shapes below a scope, by the rest of their names."""
    if scope not in self._below:
      self._below[scope] = {
          name[len(scope) + 1:]: shape for name, shape in self.shapes.items()
          if name.startswith(f'{scope}/')}
    return self._below[scope]

  def scopes_for(self, known: Known) -> Iterable[str]:
    """Returns the scopes that may hold a network, its own first.

    Those are worth comparing that hold two of the three anchors.
    """
    counts = collections.Counter(
        scope for anchor in known.anchors for scope in self._scopes.get(anchor, ()))
    return dict.fromkeys(
        [known.own_scope, *(scope for scope, count in counts.items() if count > 1)])


def matches(known: Known, weights: Weights) -> Iterator[Match]:
  """Yields a Match for each scope of a checkpoint that may hold the network."""
  for scope in weights.scopes_for(known):
    yield _compare(known, scope, weights)


def _compare(known, scope, weights):
  """Compares a network with the variables of a checkpoint below a scope."""
  shapes = weights.below(scope)
  above = f'{known.own_scope}/' if known.own_scope else ''
  below = f'{scope}/' if scope else ''
  same, missing, mismatched, other_heads, values = 0, [], [], [], {}
  for variable, expected in known.shapes.items():
    of_auxiliary = variable in known.auxiliary
    is_head = of_auxiliary or variables.CLASSES in expected
    if variable not in shapes:
      if not is_head:
        missing.append(above + variable)
    elif _agree(shapes[variable], expected, {} if of_auxiliary else values):
      same += not is_head
    else:
      (other_heads if is_head else mismatched).append(
          (above + variable, shapes[variable], expected))
  size = _image_size(known.name, mismatched)
  if size:
    same, mismatched = same + 1, []
  # A head of one's own beside the layers changes nothing; more layers do.
  unexpected = [variable for variable in shapes if variable not in known.shapes
                and variable.split('/')[0] in known.tops]
  beside = set(weights.shapes).difference(
      below + variable for variable in shapes
      if variable in known.shapes or variable.split('/')[0] in known.tops)
  return Match(
      known.name, scope, known.own_scope, same, missing, mismatched,
      [above + variable for variable in unexpected], sorted(beside),
      values.get(variables.CLASSES),
      known.auxiliary <= set(shapes) if known.auxiliary else None, other_heads,
      values.get(variables.CHANNELS), size, known.depth_multiplier)


def _agree(shape, expected, values):
  """Returns whether a shape fits; notes in `values` what the data decided."""
  if len(shape) != len(expected):
    return False
  noted = {}
  for size, dimension in zip(shape, expected, strict=True):
    if isinstance(dimension, int):
      if size != dimension:
        return False
      continue
    factor, word = _DIMENSION.fullmatch(dimension).groups(default=1)
    if size % int(factor):
      return False
    noted[word] = size // int(factor)
  values.update(noted)
  return True


def _image_size(name, mismatched):
  """Returns the size of the images if weights differ by nothing else; else None.

  A fully connected layer that sees a whole map has inputs for each of its places, so
  their number goes with the area of the images.
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
  """Returns whether a variable or scope is of an auxiliary head."""
  return auxiliary_scope(name) is not None


def auxiliary_scope(name: str) -> str | None:
  """Returns the scope of the auxiliary head that `name` lies in, or None."""
  match = _AUXILIARY.match(name)
  return match and match[0]


def in_training_alone(name: str) -> bool:
  """Returns whether a variable is of a head that no evaluation builds."""
  return _IN_TRAINING.match(name) is not None


def averages_complete(content: contents.Contents) -> bool:
  """Returns whether every weight of an evaluation has a moving average."""
  return bool(content.averages) and all(
      name in content.averages or in_training_alone(name) for name in content.weights)
