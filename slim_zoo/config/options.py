"""Options: a field of a config, which is also a flag and an argument of the API."""

import dataclasses
import math
import numbers
import os
from collections.abc import Iterable, Mapping
from typing import Any

from slim_zoo import diagnostics, paths
from slim_zoo.config import misspelt_options


@dataclasses.dataclass(frozen=True)
class Option:
  """The description of one field.

  Attributes:
    name: of the field and of the flag.
    default: value if nothing is set; None where the program decides.
    kind: str, int, float or bool.
    help: one or two sentences for --help.
    lower: smallest value; None: no limit.
    upper: largest value; None: no limit.
    choices: accepted values of a text; empty: any.
    is_path: whether a text names a file or a folder.
    is_list: whether the value is a tuple of texts; a flag separates them by commas.
    takes_bytes: whether a path may be other than UTF-8.
    words: texts that are accepted in place of a number.
  """

  name: str
  default: Any
  kind: type
  help: str
  lower: float | None = None
  upper: float | None = None
  choices: tuple[str, ...] = ()
  is_path: bool = False
  is_list: bool = False
  takes_bytes: bool = False
  words: tuple[str, ...] = ()

  def converted(self, value: Any) -> Any:
    """Returns a value in the option's own type.

    Raises:
      UserError: the value is of another type, out of range or no choice.
    """
    if value is None:
      return self._none()
    if isinstance(value, str) and value in self.words:
      return value
    if self.kind is bool:
      if not isinstance(value, bool):
        raise self._error(value, 'True or False')
      return value
    if self.is_list:
      return self._texts(value)
    if self.kind is str:
      return self._text(value)
    return self._number(value)

  def _none(self):
    if self.default is not None:
      raise self._error(None, f'a value such as {self.default!r}')
    return None

  def _texts(self, value):
    if isinstance(value, str):
      value = comma_separated(value)
    elif hasattr(value, '__fspath__') or not isinstance(value, Iterable):
      value = [value]
    return tuple(map(self._text, value))

  def _text(self, value):
    if self.is_path and hasattr(value, '__fspath__'):
      value = value.__fspath__()
    if isinstance(value, (list, tuple)):
      value = ','.join(map(str, value))
    if not isinstance(value, str):
      raise self._error(value, 'a text')
    if self.choices and value not in self.choices:
      raise diagnostics.unknown_name(f'--{self.name}', value, self.choices)
    return self._expand(value) if self.is_path else value

  def _expand(self, path):
    try:
      if not self.takes_bytes:
        paths.check_encoding(path)
      return paths.expand(path)
    except ValueError as error:
      raise diagnostics.UserError(f'--{self.name}={path}: {error}') from error

  def _number(self, value):
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
      raise self._error(value, ' or '.join([self._number_kind, *self.words]))
    if not math.isfinite(value) or (self.kind is int and value != int(value)):
      raise self._error(value, self._number_kind)
    value = self.kind(value)
    if (self.lower is not None and value < self.lower) or (
        self.upper is not None and value > self.upper):
      raise self._error(value, self.expected_number)
    return value

  @property
  def _number_kind(self):
    return 'a whole number' if self.kind is int else 'a finite number'

  @property
  def expected_number(self) -> str:
    """The numbers that the option takes, in words."""
    return ' or '.join([self._range, *self.words])

  @property
  def _range(self):
    # Digits of a whole number are not rounded.
    lower, upper = (limit if isinstance(limit, int) or limit is None else f'{limit:g}'
                    for limit in (self.lower, self.upper))
    if lower is None and upper is None:
      return self._number_kind
    if upper is None:
      return f'a number of {lower} or more'
    if lower is None:
      return f'a number of {upper} or less'
    return f'a number from {lower} to {upper}'

  def _error(self, value, expected):
    # A text in place of a number is shown with its quotes.
    shown = repr(value) if isinstance(value, str) and self.kind is not str else value
    return diagnostics.UserError(f'--{self.name}={shown}: expected {expected}')


def option(default: Any, text: str, kind: type | None = None, *,
           lower: float | None = None, upper: float | None = None,
           choices: tuple[str, ...] = (), is_path: bool = False,
           takes_bytes: bool = False, words: tuple[str, ...] = ()):
  """Returns a dataclass field; see `Option`. `kind` is needed for a default of None.

  A default that is a tuple makes it a list of texts.
  """
  is_list = isinstance(default, tuple)
  kind = kind or (str if is_list else type(default))
  return dataclasses.field(default=default, metadata={
      'option': Option('', default, kind, text, lower, upper, choices, is_path,
                       is_list, takes_bytes, words)})


def options_of(group: type) -> dict[str, Option]:
  """Returns the options of a config group by name."""
  return {field.name: dataclasses.replace(field.metadata['option'], name=field.name)
          for field in dataclasses.fields(group) if 'option' in field.metadata}


class Group:
  """Base of the config groups: frozen dataclasses whose fields are options."""

  def __post_init__(self):
    for name, one in options_of(type(self)).items():
      object.__setattr__(self, name, one.converted(getattr(self, name)))


def sort_into_groups(groups: Mapping[str, type], values: Mapping[str, Any]
                     ) -> dict[str, Group]:
  """Returns one object of each group from values by option name.

  Args:
    groups: classes by the name of the config's field.
    values: of any options; others keep their defaults.

  Raises:
    UserError: a name is not an option, or a value does not fit.
  """
  owners = {name: field for field, group in groups.items()
            for name in options_of(group)}
  by_group = {field: {} for field in groups}
  for name, value in values.items():
    if name not in owners:
      near = misspelt_options.nearest(name, owners)
      hint = f"; did you mean '{near}'?" if near else ''
      raise diagnostics.UserError(f"no option '{name}'{hint}")
    by_group[owners[name]][name] = value
  return {field: group(**by_group[field]) for field, group in groups.items()}


class Config:
  """Base of the configs: frozen dataclasses of groups, and `user_options`.

  Attributes:
    user_options: names of the options that the user set; others have their defaults.
  """

  user_options: frozenset[str]

  @classmethod
  def groups(cls) -> dict[str, type[Group]]:
    """Returns the classes of the groups by field name, in the order of --help."""
    return {field.name: field.type for field in dataclasses.fields(cls)
            if field.name != 'user_options'}

  @classmethod
  def from_options(cls, values: Mapping[str, Any]) -> 'Config':
    """Returns the config of options by name; absent ones have their defaults.

    Raises:
      UserError: a name is not an option, or a value does not fit.
    """
    return cls(**sort_into_groups(cls.groups(), values), user_options=frozenset(values))

  def values(self) -> dict[str, Any]:
    """Returns the value of every option by name."""
    return {name: getattr(getattr(self, field), name)
            for field, group in self.groups().items() for name in options_of(group)}

  def user_values(self) -> dict[str, Any]:
    """Returns the value of every option by name, None where the user set none."""
    return {name: value if name in self.user_options else None
            for name, value in self.values().items()}

  @property
  def folders(self) -> list[str]:
    """The folders that are written to; the task creates them."""
    return []

  def check_folders(self) -> None:
    """Tries to write where the folders will be: a fault is better shown early.

    Raises:
      OSError: one cannot be written.
    """
    for folder in self.folders:
      paths.check_writable(folder)

  def lines_without_effect(self, causes: Mapping[str, str]) -> list[str]:
    """Returns a line for each option that the user set and that changes nothing.

    Args:
      causes: the reasons by option name.
    """
    values = self.values()
    return [f'--{name}={values[name]} has no effect with {cause}'
            for name, cause in causes.items() if name in self.user_options]


def comma_separated(text: str | None) -> tuple[str, ...]:
  """Returns the parts of an option's value, without blanks and empty ones."""
  return tuple(part.strip() for part in (text or '').split(',') if part.strip())


def expanded_paths(names: Iterable[str]) -> list[str]:
  """Returns the paths that a user names beside options, as `paths.expand` does.

  Raises:
    UserError: one is remote, or there is no such user.
  """
  try:
    return [paths.expand(name) for name in names]
  except ValueError as error:
    raise diagnostics.UserError(str(error)) from error


def check_png(path: str, name: str) -> None:
  """Raises UserError if the suffix of a picture's path is another one than .png.

  Args:
    path: of the file to write.
    name: of the option.
  """
  suffix = os.path.splitext(path)[1]
  if suffix.lower() not in ('', '.png'):
    raise diagnostics.UserError(
        f"--{name}={path}: pictures are written as PNG, not as '{suffix}': name a file"
        ' that ends in .png')


def pairs(name: str, text: str | None, form: str) -> list[tuple[str, float]]:
  """Returns the parts of an option of the form 'KEY:NUMBER,...'.

  Args:
    name: of the option.
    text: its value.
    form: of a part, for the message, such as 'SCOPE:FACTOR'.

  Raises:
    UserError: a part has another form.
  """
  parts = []
  for part in comma_separated(text):
    key, _, value = part.rpartition(':')
    number = number_of(value)
    if not key or number is None:
      raise diagnostics.UserError(
          f"--{name}: '{part}' is not of the form {form}, with a number of 0 or more;"
          ' commas separate several')
    parts.append((key.strip(), number))
  return parts


def number_of(text: str) -> float | None:
  """Returns a finite number of 0 or more, None if the text is none."""
  try:
    number = float(text)
  except ValueError:
    return None
  return number if 0 <= number < math.inf else None
