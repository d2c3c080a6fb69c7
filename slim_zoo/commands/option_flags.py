"""Flags of a config: one for each option, and their values as a dictionary.

`given_options` is the only function that reads FLAGS for a config.
"""

import sys
from collections.abc import Iterable
from typing import Any

from absl import flags

from slim_zoo import diagnostics
from slim_zoo.commands import path_flags
from slim_zoo.config import options


class NumberParser(flags.ArgumentParser):
  """Parses a number; a wrong one is answered with the numbers that are expected.

  Args:
    option: whose value it is.
  """

  def __init__(self, option: options.Option):
    super().__init__()
    of_absl = flags.IntegerParser if option.kind is int else flags.FloatParser
    self._parser, self._option = of_absl(option.lower, option.upper), option
    self.syntactic_help = self._parser.syntactic_help

  def parse(self, argument):
    """Returns the number; raises ValueError for a text that is none, or a wrong one.
    """
    if argument in self._option.words:
      return argument
    try:
      return self._option.converted(self._parser.parse(argument))
    except (ValueError, diagnostics.UserError) as error:
      raise ValueError(f'expected {self._option.expected_number}') from error

  def flag_type(self):
    """Returns the name of the type."""
    return self._parser.flag_type()


def define(config: type[options.Config]) -> None:
  """Defines a flag for each option of a config."""
  for group in config.groups().values():
    for option in options.options_of(group).values():
      _define(option, group.__module__)


def _define(option: options.Option, module: str) -> None:
  """Defines one flag; --help lists it under the title of the group's module."""
  default, title = option.default, {'module_name': module}
  if option.is_list:
    define_list = path_flags.DEFINE_path_list if option.is_path else flags.DEFINE_list
    define_list(option.name, list(default), option.help, **title)
  elif option.choices:
    flags.DEFINE_enum(option.name, default, option.choices, option.help, **title)
  elif option.kind is bool:
    flags.DEFINE_boolean(option.name, default, option.help, **title)
  elif option.is_path:
    path_flags.DEFINE_path(option.name, default, option.help,
                           takes_bytes=option.takes_bytes, **title)
  elif option.kind is str:
    flags.DEFINE_string(option.name, default, option.help, **title)
  else:
    flags.DEFINE(NumberParser(option), option.name, default, option.help,
                 serializer=flags.ArgumentSerializer(), **title)


def given_options(config: type[options.Config]) -> dict[str, Any]:
  """Returns the values of the flags that the command line sets, by option name."""
  return {name: flags.FLAGS[name].value for name in _names(config)
          if flags.FLAGS[name].present}


def times_given(name: str) -> int:
  """Returns how often the command line sets a flag; the last value counts."""
  return flags.FLAGS[name].present


def repeating_words(config: type[options.Config],
                    without: Iterable[str] = ()) -> list[str]:
  """Returns the program and the set flags as typed, for a command that repeats a run.

  Args:
    config: its options are the flags.
    without: names of flags to leave out.
  """
  return [sys.argv[0], *[flags.FLAGS[name].serialize() for name in _names(config)
                         if flags.FLAGS[name].present and name not in without]]


def _names(config):
  return [name for group in config.groups().values()
          for name in options.options_of(group)]
