"""Makes `import tensorflow` give the interface of version 1, with a new tf.contrib.

TensorFlow's own modules do not change. `sys.modules['tensorflow']` becomes a module
object that reads names from `tensorflow.compat.v1`, and two finders import the modules
that only TensorFlow 1 had. The module `names` has the new place of each name, the
module `gone` the advice for names without a new place.
"""

import importlib
import importlib.abc
import importlib.machinery
import os
import re
import sys
import types
import warnings
from typing import Any

from slim_zoo import diagnostics, start_up
from slim_zoo.contrib import gone, names, numpy_names

_ROOT = 'tensorflow'
# Signs of a GPU: then the search for devices is left to the program, which may choose
# among the GPUs before.
_GPU_SIGNS = ('/dev/nvidia0', '/proc/driver/nvidia/version', '/dev/dxg')
# Folders of TensorFlow: modules in them are those of today.
_FOLDERS = ('compat', 'compiler', 'core', 'distribute', 'dtensor', 'include', 'lite',
            'python', 'security', 'tools', 'tsl')
# TensorFlow has thousands of names: only a near one is suggested.
LIKENESS = 0.75
_DEPRECATED = r'`tf\.[\w.]+` is deprecated'


class MissingNameError(AttributeError):
  """A name of TensorFlow 1 that is not provided; the text says what to use."""


class MissingModuleError(ModuleNotFoundError):
  """A module of TensorFlow 1 that is not provided; the text says what to use.

  It has no `name`: Python would replace the text of an error that has one.
  """


def install() -> None:
  """Makes `import tensorflow` and its modules in this process those of version 1.

  Call it before the program imports TensorFlow: a name `tf` that is bound already stays
  what it is. The second call does nothing.

  Raises:
    ImportError: TensorFlow or tf-slim is not installed, or in eager mode already.
  """
  if any(isinstance(finder, _Finder) for finder in sys.meta_path):
    return
  # tf.layers, tf.keras and tf.nn.rnn_cell of version 1 are in tf_keras.
  os.environ.setdefault('TF_USE_LEGACY_KERAS', '1')
  _load()
  numpy_names.restore()
  sys.meta_path.insert(0, _Finder())
  sys.meta_path.append(_LastFinder())
  sys.modules[_ROOT] = _TensorFlow(sys.modules[_ROOT])


def _load():
  """Imports TensorFlow without its notes; sets what version 1 does by default."""
  has_gpu = any(map(os.path.exists, _GPU_SIGNS))
  with start_up.without_notes():
    from slim_zoo.tf_compat import tf
    if not has_gpu:
      tf.config.list_physical_devices()
  if not has_gpu:
    start_up.write_processor_notes()
  # absl shows the lines of this logger a second time, in its own form.
  logger = tf.get_logger()
  logger.propagate = not logger.handlers
  # Notes on version 1's own names are warnings or lines.
  warnings.filterwarnings('ignore', message=_DEPRECATED)
  logger.addFilter(lambda record: not re.match(_DEPRECATED, record.getMessage()))
  # `shape[1].value`, and variables and summaries made inside of tf.cond.
  tf.disable_v2_tensorshape()
  # `sess.run('scope/weights:0')`: a resource variable has no tensor of its name.
  tf.disable_resource_variables()
  tf.disable_control_flow_v2()


class _TensorFlow(types.ModuleType):
  """The module `tensorflow`: version 1's names and `contrib`.

  Args:
    module: TensorFlow's own. Its packages are imported without a change.
  """

  def __init__(self, module):
    super().__init__(_ROOT, module.__doc__)
    for name in ('__file__', '__loader__', '__path__', '__spec__', '__version__'):
      setattr(self, name, getattr(module, name, None))
    # For `import tensorflow.compat.v1 as tf`, which reads it from here.
    self.compat = module.compat

  def __getattr__(self, name):
    if name == '__all__':
      return [name for name in dir(self) if not name.startswith('_')]
    if name.startswith('__'):
      raise AttributeError(f'module {_ROOT!r} has no attribute {name!r}')
    if _is_module(name):
      return importlib.import_module(f'{_ROOT}.{name}')
    try:
      value = getattr(_version_1(), name)
    except AttributeError:
      raise MissingNameError(explain(name, self)) from None
    # The next access does not come here.
    setattr(self, name, value)
    return value

  def __dir__(self):
    return sorted({*super().__dir__(), *dir(_version_1()), 'contrib'})


class _Provided(types.ModuleType):
  """A module below `tensorflow` that is made of rows of `names`."""

  def __getattr__(self, name):
    if name == '__all__':
      return [name for name in dir(self) if not name.startswith('_')]
    if name.startswith('__'):
      raise AttributeError(f'module {self.__name__!r} has no attribute {name!r}')
    full = _below_root(self.__name__)
    own = _canonical(full)
    if name in names.NAMES.get(own, ()):
      return _resolve(names.NAMES[own][name])
    if _is_module(f'{full}.{name}'):
      return importlib.import_module(f'{self.__name__}.{name}')
    for part in names.PARTS[own]:
      module = _resolve(part)
      if hasattr(module, name):
        return getattr(module, name)
    raise MissingNameError(explain(f'{full}.{name}', self))

  def __setattr__(self, name, value):
    # The import of a module does not hide a function of the same name.
    own = _canonical(_below_root(self.__name__))
    if not (isinstance(value, types.ModuleType) and name in names.NAMES.get(own, ())):
      super().__setattr__(name, value)

  def __dir__(self):
    own = _canonical(_below_root(self.__name__))
    children = {name.rpartition('.')[2] for name in (*names.MODULES, *names.PARTS)
                if name.rpartition('.')[0] == own}
    known = {name for part in names.PARTS[own] for name in dir(_resolve(part))
             if not name.startswith('_')}
    return sorted({*super().__dir__(), *children, *names.NAMES.get(own, ()), *known})


class _Loader(importlib.abc.Loader):
  """Returns the module of a row: one of today, or an object made of rows."""

  def create_module(self, spec):
    name = _below_root(spec.name)
    if _canonical(name) in names.PARTS:
      return _Provided(spec.name)
    module = _present_module(name)
    # The import system stores the new name in the module; exec_module restores this.
    self._own = getattr(module, '__spec__', None)
    return module

  def exec_module(self, module):
    if not isinstance(module, _Provided):
      module.__spec__ = self._own


class _Finder(importlib.abc.MetaPathFinder):
  """Finds the modules of `names`, before any other finder."""

  def find_spec(self, fullname, path=None, target=None):
    name = _below_root(fullname)
    if name is None:
      return None
    if _is_module(name):
      return importlib.machinery.ModuleSpec(fullname, _Loader(), is_package=True)
    if name.partition('.')[0] == 'contrib':
      raise MissingModuleError(explain(name, _loaded_parent(fullname)))
    return None


class _LastFinder(importlib.abc.MetaPathFinder):
  """Explains which module of TensorFlow is missing, after all other finders."""

  def find_spec(self, fullname, path=None, target=None):
    name = _below_root(fullname)
    if name is not None and (parent := _loaded_parent(fullname)) is not None:
      raise MissingModuleError(explain(name, parent))
    return None


def explain(name: str, module: Any = None) -> str:
  """Returns one line for a name that is missing.

  Args:
    name: below `tensorflow`, such as 'contrib.tpu'.
    module: where it was looked for, for the nearest name.
  """
  known = gone.advice(_canonical(name))
  if known:
    return f'tf.{name} is not there any more: {known}'
  parent, _, last = name.rpartition('.')
  place = f'tf.{parent}' if parent else 'tf'
  near = diagnostics.suggestion(
      last, [] if module is None else [
          other for other in dir(module) if not other.startswith('_')],
      LIKENESS)
  return (f"{place} has no '{last}' in this TensorFlow"
          f"{near or ': docs/moving_from_tensorflow_1.md lists what is provided'}")


def _below_root(fullname):
  """Returns a name without `tensorflow.`; None for other packages."""
  root, dot, rest = fullname.partition('.')
  return rest if root == _ROOT and dot else None


def _canonical(name):
  """Returns the name that the tables have for a name below `tensorflow`."""
  parent, rest = name, ''
  while parent:
    if parent in names.OTHER_NAMES:
      return names.OTHER_NAMES[parent] + rest
    parent, _, last = parent.rpartition('.')
    rest = f'.{last}{rest}'
  return name


def _is_module(name):
  return _canonical(name) in names.PARTS or _present_module(name) is not None


def _present_module(name):
  """Returns the module of today for a name below `tensorflow`; None without one."""
  name = _canonical(name)
  first, _, rest = name.partition('.')
  if name in names.MODULES:
    target = names.MODULES[name]
  elif first in names.MODULES:  # The packages of Keras.
    target = f'{names.MODULES[first]}.{rest}'
  elif first in ('contrib', *_FOLDERS) or first.startswith('_'):
    return None
  else:  # TensorFlow itself would take tensorflow.train from version 2.
    target = f'tf.{name}'
  try:
    module = _resolve(target)
  except AttributeError:
    return None
  return module if isinstance(module, types.ModuleType) else None


def _version_1():
  from slim_zoo.tf_compat import tf
  return tf


def _resolve(target):
  """Returns the module, class or function with a full name of the tables."""
  first, *rest = target.split('.')
  value = _version_1() if first == 'tf' else importlib.import_module(first)
  for number, name in enumerate(rest, 1):
    # A module comes before a function of the same name.
    full = '.'.join([first, *rest[:number]])
    if first != 'tf' and hasattr(value, '__path__'):
      try:
        value = importlib.import_module(full)
        continue
      except ModuleNotFoundError:
        pass
    value = getattr(value, name)
  return value


def _loaded_parent(fullname):
  return sys.modules.get(fullname.rpartition('.')[0])
