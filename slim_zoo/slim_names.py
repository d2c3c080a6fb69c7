"""Lets old programs import slim's packages by their names: `from nets import vgg`.

The four names are aliases. `nets.vgg` and `slim_zoo.nets.vgg` are one module object, so
a network is never loaded twice and both names see the same state. A module that
slim_zoo lacks comes from a user's own package `nets` on the path.
"""

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Callable

PACKAGES = ('nets', 'datasets', 'preprocessing', 'deployment')


class _AliasLoader(importlib.abc.Loader):
  """Returns the module slim_zoo.NAME for the module NAME."""

  def create_module(self, spec):
    module = importlib.import_module(f'slim_zoo.{spec.name}')
    if spec.name in PACKAGES:
      _add_other_folders(module, spec.name)
    # The import system stores the alias in the module; exec_module restores this.
    self._own_spec = module.__spec__
    return module

  def exec_module(self, module):
    module.__spec__ = self._own_spec


class _AliasFinder(importlib.abc.MetaPathFinder):
  """Finds slim's packages, and their modules, inside slim_zoo."""

  def __init__(self, packages):
    self._packages = packages
    self.is_of_program = lambda name: False

  def find_spec(self, fullname, path=None, target=None):
    package = fullname.split('.')[0]
    if package not in self._packages:
      return None
    loaded = sys.modules.get(package)
    if self.is_of_program(package) if loaded is None else _is_another(package):
      return None
    try:
      original = importlib.util.find_spec(f'slim_zoo.{fullname}')
    except ModuleNotFoundError:  # The parent is a module of another package.
      return None
    if original is None:
      return None
    return importlib.machinery.ModuleSpec(
        fullname, _AliasLoader(), origin=original.origin,
        is_package=original.submodule_search_locations is not None)


def install() -> None:
  """Makes slim's package names importable; keeps packages imported before.

  Another package of the same name, such as the `datasets` of Hugging Face, stays what
  it is if the program imported it first: one line on stderr says so.
  """
  if any(isinstance(finder, _AliasFinder) for finder in sys.meta_path):
    return
  free = [name for name in PACKAGES if not _is_another(name)]
  for name in PACKAGES:
    if name not in free:
      place = os.path.dirname(getattr(sys.modules[name], '__file__', None) or '')
      print(f"slim_zoo: another package '{name}' ({place}) is imported already, so"
            f" 'import {name}' stays that package: write slim_zoo.{name} for this"
            ' one', file=sys.stderr)
  sys.meta_path.insert(0, _AliasFinder(free))


def allow_program_packages(is_of_program: Callable[[str], bool]) -> None:
  """Lets packages of a program have names of `PACKAGES`.

  Args:
    is_of_program: returns whether the program has a package of a name; called when one
      is imported for the first time.
  """
  for finder in sys.meta_path:
    if isinstance(finder, _AliasFinder):
      finder.is_of_program = is_of_program


def _add_other_folders(module, name: str) -> None:
  """Lets modules that only a user's own package of this name has be imported."""
  spec = importlib.machinery.PathFinder.find_spec(name)
  for folder in (spec and spec.submodule_search_locations) or ():
    if folder != os.path.join(_checkout(), name) and folder not in module.__path__:
      module.__path__.append(folder)


def _checkout() -> str:
  """Returns the folder that holds the package slim_zoo."""
  return os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def _is_another(name: str) -> bool:
  """Returns whether a package of somebody else has this name already."""
  module = sys.modules.get(name)
  if module is None:
    return False
  # The package of a checkout imports this module before it becomes an alias. A folder
  # does not tell it from another package: in site-packages both have the same.
  return f'alias of slim_zoo.{name}' not in (module.__doc__ or '') and (
      module is not sys.modules.get(f'slim_zoo.{name}'))
