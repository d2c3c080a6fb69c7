"""Rules OLD=NEW that give the variables of other people's checkpoints our names.

  vgg=vgg_16                      another scope on top
  module/=   module.=             a prefix less
  =InceptionV3                    a scope more
  /ExponentialMovingAverage=      the moving averages in place of the weights

An OLD that begins with '/' is the ending of names, any other one their beginning.
Needs no TensorFlow.
"""

import dataclasses
from collections.abc import Iterable, Sequence

from slim_zoo import diagnostics

FLAG = '--checkpoint_rename'


@dataclasses.dataclass(frozen=True)
class Rule:
  """A rule: a text at one end of a name and its replacement.

  Attributes:
    old: as the user wrote it; matches whole parts of names.
    new: the replacement; may be empty.
  """

  old: str
  new: str

  @property
  def at_end(self) -> bool:
    """Whether the rule is about the ending of names."""
    return self.old.startswith('/')

  def apply(self, name: str) -> str | None:
    """Returns the new name, or None if the rule does not fit."""
    if self.at_end:
      return (name.removesuffix(self.old) + self.new
              if name.endswith(self.old) else None)
    new = self.new.rstrip('/')
    if name == self.old and new:
      return new
    prefix = self.old if self.old.endswith(('/', '.')) or not self.old else (
        f'{self.old}/')
    if not name.startswith(prefix) or name == prefix:
      return None
    rest = name.removeprefix(prefix)
    return f'{new}/{rest}' if new else rest


def parse(texts: Iterable[str]) -> list[Rule]:
  """Returns the rules that are written as OLD=NEW.

  Raises:
    UserError: one is written otherwise, or says nothing.
  """
  rules = []
  for text in texts:
    old, equals, new = (part.strip() for part in text.partition('='))
    if not equals or old == new or '=' in new:
      raise diagnostics.UserError(
          f"{FLAG}: '{text}' is no rule, expected OLD=NEW such as vgg=vgg_16, or"
          ' module/= to take a prefix off')
    if old in [rule.old for rule in rules]:
      raise diagnostics.UserError(f"{FLAG}: two rules are about '{old}'")
    rules.append(Rule(old, new))
  return rules


def rename(names: Iterable[str], rules: Sequence[Rule], path: str) -> dict[str, str]:
  """Renames the variables of a checkpoint.

  The first rule that fits the beginning of a name and the first that fits its
  ending apply, each once. A name that an ending is taken off takes the place of
  another one: with '/ExponentialMovingAverage=' the average of X is X, and the
  checkpoint's own X is left out.

  Args:
    names: of all variables in the checkpoint.
    rules: of `parse`.
    path: the checkpoint, for messages.

  Returns:
    The name in the checkpoint, by the new name.

  Raises:
    UserError: a rule fits no name, or two names would become one.
  """
  names = sorted(names)
  for rule in rules:
    if all(rule.apply(name) is None for name in names):
      raise diagnostics.UserError(
          f"{FLAG}: '{rule.old}' matches nothing in '{path}'"
          f'{diagnostics.suggestion(rule.old, _parts(names, rule.at_end))}')
  sources, by_ending = {}, set()
  for name in names:
    new, ending = _renamed(name, rules)
    if new in sources and ending == (new in by_ending):
      raise diagnostics.UserError(
          f"{FLAG}: '{sources[new]}' and '{name}' of '{path}' would both be '{new}'")
    if ending:
      by_ending.add(new)
    elif new in by_ending:
      continue
    sources[new] = name
  return sources


def _renamed(name, rules):
  """Returns the new name, and whether its ending was replaced."""
  ending = False
  for at_end in (False, True):
    for rule in rules:
      if rule.at_end == at_end and (new := rule.apply(name)) is not None:
        name, ending = new, at_end
        break
  return name, ending


def _parts(names, at_end):
  """Returns parts of names that rules could replace, the most common first."""
  parts = {}
  for name in names:
    pieces = name.split('/')
    for count in range(1, len(pieces)):
      part = ('/' + '/'.join(pieces[count:]) if at_end
              else '/'.join(pieces[:count]))
      parts[part] = parts.get(part, 0) + 1
  return sorted(parts, key=lambda part: (-parts[part], part))
