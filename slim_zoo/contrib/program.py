"""Runs a program for TensorFlow 1 as `python` would: arguments, folder, exit code."""

import builtins
import importlib.machinery
import os
import re
import runpy
import site
import sys
import sysconfig
import traceback
import types

from slim_zoo import diagnostics, slim_names
from slim_zoo.contrib import importing

USAGE = '''usage: python -m slim_zoo.contrib PROGRAM.py [arguments of the program]
       python -m slim_zoo.contrib -m MODULE [arguments of the module]

Runs a program that was written for TensorFlow 1 and tf.contrib.slim, unchanged.
`-m pytest FOLDER` runs its tests. docs/moving_from_tensorflow_1.md lists the names
that are provided.'''

_WRONG_USAGE = 2
_NO_ATTRIBUTE = re.compile(r"module '([\w.]+)' has no attribute '(\w+)'")
_NO_NAME = re.compile(r"cannot import name '(\w+)' from '([\w.]+)'")
_NO_MODULE = re.compile(r"No module named '([\w.]+)'")
# How the modules of version 1 call themselves.
_VERSION_1 = re.compile(r'^tensorflow(\._api\.v2)?(\.compat\.v1)?(\.|$)')


def main(arguments: list[str]) -> int:
  """Runs the program that the arguments name; returns the exit code.

  Args:
    arguments: the program, or -m and a module, and then the program's own arguments.
  """
  diagnostics.print_any_name()
  if not arguments or arguments[0] in ('-h', '--help'):
    print(USAGE, file=sys.stdout if arguments else sys.stderr)
    return 0 if arguments else _WRONG_USAGE
  is_module = arguments[0] == '-m'
  arguments = arguments[is_module:]
  try:
    _check(is_module, arguments)
  except diagnostics.UserError as error:
    print(f'slim_zoo.contrib: {error}', file=sys.stderr)
    return _WRONG_USAGE
  program = arguments[0]
  sys.argv = list(arguments)
  # As of `python program.py` and of `python -m module`.
  sys.path[0] = os.getcwd() if is_module else os.path.dirname(os.path.realpath(program))
  slim_names.allow_program_packages(_is_of_program)
  try:
    importing.install()
    if is_module:
      runpy.run_module(program, run_name='__main__', alter_sys=True)
    else:
      _run_file(program)
  except Exception as error:
    return _answer(error, program)
  return 0


def _check(is_module, arguments):
  """Raises UserError for arguments that name no program."""
  if not arguments:
    raise diagnostics.UserError('-m without a module: write -m MODULE')
  program = arguments[0]
  if program.startswith('-'):
    raise diagnostics.UserError(
        f"'{program}' is not a program: write the program first, then its arguments")
  if not is_module and not os.path.isfile(program):
    folder, name = os.path.split(program)
    beside = os.listdir(folder or '.') if os.path.isdir(folder or '.') else []
    near = diagnostics.suggestion(name, [other for other in beside
                                         if other.endswith('.py')])
    raise diagnostics.UserError(
        f"no program '{program}'{near or ': name a file, or -m and a module'}")


def _is_of_program(package: str) -> bool:
  """Returns whether the folders of the program have a package of this name.

  Installed packages do not count: another project has a package `datasets`.
  """
  checkout = os.path.dirname(os.path.dirname(os.path.dirname(
      os.path.abspath(__file__))))
  others = {*map(os.path.realpath, _installed()), os.path.realpath(checkout)}
  folders = [folder for folder in sys.path if os.path.realpath(folder) not in others]
  return importlib.machinery.PathFinder.find_spec(package, folders) is not None


def _installed():
  """Returns the folders of installed packages."""
  return [*site.getsitepackages(), site.getusersitepackages(),
          *map(sysconfig.get_path, ('stdlib', 'purelib', 'platlib'))]


def _run_file(path):
  """Runs a file as the module __main__, which stays there until the process ends."""
  module = types.ModuleType('__main__')
  loader = importlib.machinery.SourceFileLoader('__main__', path)
  module.__dict__.update(
      __file__=path, __loader__=loader, __builtins__=builtins, __cached__=None)
  sys.modules['__main__'] = module
  exec(loader.source_to_code(loader.get_data(path), path), module.__dict__)


def _answer(error, program) -> int:
  """Prints one line for a missing name, else what Python prints; returns 1."""
  own = _frames_of_program(error.__traceback__)
  line = _explained(error)
  if line is None:
    sys.excepthook(type(error), error.with_traceback(own), own)
    return 1
  places = [frame for frame in traceback.extract_tb(own) if not _is_library(
      frame.filename)]
  place = f'{places[-1].filename}, line {places[-1].lineno}' if places else program
  print(f'{diagnostics.printable(place)}: {diagnostics.printable(line)}',
        file=sys.stderr)
  return 1


def _frames_of_program(frames):
  """Leaves out the frames of this package and of the modules that it calls."""
  own = os.path.dirname(os.path.abspath(__file__))
  while frames is not None:
    name = frames.tb_frame.f_code.co_filename
    if not (name.startswith((own, '<frozen')) or name.endswith(os.sep + 'runpy.py')):
      return frames
    frames = frames.tb_next
  return None


def _is_library(filename):
  package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
  return filename.startswith((package, '<frozen', *_installed()))


def _explained(error) -> str | None:
  """Returns one line for a name that is missing; None for other errors."""
  if isinstance(error, (
      importing.MissingNameError, importing.MissingModuleError, diagnostics.UserError)):
    return str(error)
  text = str(error)
  if isinstance(error, AttributeError) and (found := _NO_ATTRIBUTE.search(text)):
    module, name = found.groups()
  elif isinstance(error, ModuleNotFoundError) and (found := _NO_MODULE.search(text)):
    module, _, name = found[1].rpartition('.')
  elif isinstance(error, ImportError) and (found := _NO_NAME.search(text)):
    name, module = found.groups()
  else:
    return None
  looked_in = sys.modules.get(module)
  if module.startswith('tf_slim'):  # The modules of tf.contrib.slim and its neighbours.
    near = diagnostics.suggestion(name, dir(looked_in), importing.LIKENESS)
    return f"{module} has no '{name}'{near}"
  if not _VERSION_1.match(module):
    return None
  below = _VERSION_1.sub('', module)
  return importing.explain(f'{below}.{name}' if below else name, looked_in)
