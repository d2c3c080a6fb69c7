"""Rules OLD=NEW that rename the variables of checkpoints from other programs.

  vgg=vgg_16                      replaces the scope
  module/=   module.=             removes a prefix
  =InceptionV3                    adds a scope
  /ExponentialMovingAverage=      uses the moving averages as weights

An OLD that starts with '/' matches the end of names, any other OLD the beginning. Needs
no TensorFlow.
"""

import dataclasses
from collections.abc import Iterable, Sequence

from slim_zoo import diagnostics

FLAG = '--checkpoint_rename'


@dataclasses.dataclass(frozen=True)
class Rule:
  """A replacement at one end of a name.

  Attributes:
    old: as the user wrote it; matches complete parts of names.
    new: the replacement; may be empty.
  """

  old: str
  new: str

  @property
  def at_end(self) -> bool:
    """Whether the rule matches the end of names."""
    return self.old.startswith('/')

  def apply(self, name: str) -> str | None:
    """Returns the new name, or None if the rule does not match."""
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
  """Parses rules of the form OLD=NEW.

  Raises:
    UserError: a text is not a rule, or has no effect.
  """
  rules = []
  for text in texts:
    old, equals, new = (part.strip() for part in text.partition('='))
    if not equals or old == new or '=' in new:
      raise diagnostics.UserError(
          f"{FLAG}: '{text}' is not a rule, expected OLD=NEW such as vgg=vgg_16, or"
          ' module/= to remove a prefix')
    if old in [rule.old for rule in rules]:
      raise diagnostics.UserError(f"{FLAG}: two rules for '{old}'")
    rules.append(Rule(old, new))
  return rules


def rename(names: Iterable[str], rules: Sequence[Rule], path: str) -> dict[str, str]:
  """Renames the variables of a checkpoint.

  The first rule that matches the beginning of a name and the first that matches its end
  are applied, once each. A name whose end is removed replaces another name: with
  '/ExponentialMovingAverage=' the average of X becomes X, and the checkpoint's own X is
  not used.

  Args:
    names: names of all variables in the checkpoint.
    rules: result of `parse`.
    path: the checkpoint, for messages.

  Returns:
    The name in the checkpoint, by the new name.

  Raises:
    UserError: a rule matches no name, or two names would become equal.
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
  """Returns the parts that rules can match, the most common first."""
  parts = {}
  for name in names:
    pieces = name.split('/')
    for count in range(1, len(pieces)):
      part = ('/' + '/'.join(pieces[count:]) if at_end
              else '/'.join(pieces[:count]))
      parts[part] = parts.get(part, 0) + 1
  return sorted(parts, key=lambda part: (-parts[part], part))
