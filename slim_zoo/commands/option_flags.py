"""Flags of a config: one for each option, and their values as a dictionary.

`given_options` is the only function that reads FLAGS for a config.
"""

import sys
from collections.abc import Iterable, Mapping
from typing import Any

from absl import flags

from slim_zoo.commands import path_flags
from slim_zoo.config import options


def define(groups: Iterable[type], defaults: Mapping[str, Any] | None = None) -> None:
  """Defines a flag for each option of config groups.

  Args:
    groups: dataclasses whose fields are options.
    defaults: values in place of the defaults, by option name.
  """
  for group in groups:
    for name, option in options.options_of(group).items():
      _define(option, (defaults or {}).get(name, option.default), group.__module__)


def _define(option: options.Option, default: Any, module: str) -> None:
  """Defines one flag; --help lists it under the title of the group's module."""
  title = {'module_name': module}
  if option.choices:
    flags.DEFINE_enum(option.name, default, option.choices, option.help, **title)
  elif option.kind is bool:
    flags.DEFINE_boolean(option.name, default, option.help, **title)
  elif option.is_path:
    path_flags.DEFINE_path(option.name, default, option.help, **title)
  elif option.kind is str:
    flags.DEFINE_string(option.name, default, option.help, **title)
  else:
    define_number = flags.DEFINE_integer if option.kind is int else flags.DEFINE_float
    define_number(option.name, default, option.help, lower_bound=option.lower,
                  upper_bound=option.upper, **title)


def given_options(groups: Iterable[type]) -> dict[str, Any]:
  """Returns the values of the flags that the command line sets, by option name."""
  names = [name for group in groups for name in options.options_of(group)]
  return {name: flags.FLAGS[name].value for name in names if flags.FLAGS[name].present}


def repeating_words(groups: Iterable[type], without: Iterable[str] = ()) -> list[str]:
  """Returns the program and the set flags as typed, for a command that repeats a run.

  Args:
    groups: dataclasses whose fields are options.
    without: names of flags to leave out.
  """
  names = [name for group in groups for name in options.options_of(group)]
  return [sys.argv[0], *[flags.FLAGS[name].serialize() for name in names
                         if flags.FLAGS[name].present and name not in without]]
