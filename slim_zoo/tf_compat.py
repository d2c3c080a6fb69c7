"""The one door to TensorFlow: exports `tf` (the v1 interface) and `slim`.

Every other module writes `from tf_compat import slim, tf`. All that is known
about versions stands here:

  * which releases of TensorFlow and tf-keras fit, checked before they are used;
  * the names that TensorFlow moved out of the modules where tf_slim 1.1.0 (the
    last release on PyPI) reads them. Only an absent name is put back, so a
    TensorFlow that has it keeps its own;
  * graph mode for the whole program, its other threads included: slim's
    Supervisor starts threads, and with eager mode off only inside a graph the
    first checkpoint hangs or fails;
  * silence from TensorFlow's start-up and deprecation messages, which are about
    its inside and not about the user's run. Errors still show.

Importing this module raises `ImportError` with one line that says what to
install when something is missing or does not fit.
"""

import contextlib
import gc
import importlib
import importlib.metadata
import importlib.util
import os
import re
import sys
import tempfile
import warnings

# The oldest and the newest release that the suite was run on.
OLDEST_TENSORFLOW = (2, 15)
NEWEST_TENSORFLOW = (2, 21)

_INSTALL = 'python -m pip install "tensorflow=={0}" "tf-keras=={0}" tf-slim==1.1.0'

# Python's own 700 (2000 from 3.13 on) are the work of milliseconds.
_OBJECTS_BETWEEN_COLLECTIONS = 50_000

_START_UP_NOISE = re.compile(
    r'absl::InitializeLog|port\.cc:|cudart_stub|cuda_(platform|fft|dnn|blas)'
    r'|failed call to cuInit|computation_placer|cpu_feature_guard'
    r'|To enable the following instructions|oneDNN custom operations'
    r'|Could not find cuda drivers|TF-TRT Warning|grpc_server_lib\.cc'
    r'|Attempting to register factory for plugin|oneDNN supports DT_\w+ only on'
    r'|^=== Source Location Trace|cuda_status\.cc:\d+$|^$')


def _version(distribution: str) -> tuple | None:
  """Returns the installed (major, minor), or None."""
  try:
    text = importlib.metadata.version(distribution)
  except importlib.metadata.PackageNotFoundError:
    return None
  return tuple(int(part) for part in text.split('.')[:2])


def _tensorflow_version() -> tuple | None:
  """Returns (major, minor) under whichever name TensorFlow was installed."""
  for distribution in ('tensorflow', 'tensorflow-cpu', 'tensorflow-intel',
                       'tensorflow-macos', 'tf-nightly'):
    if found := _version(distribution):
      return found
  return None


def _check_versions(tensorflow: tuple | None, tf_keras: tuple | None,
                    tf_slim: tuple | None) -> str | None:
  """Compares the three releases, each as (major, minor) or None where it is absent.

  Returns:
    A line for the user where TensorFlow is newer than the tests, otherwise None.

  Raises:
    ImportError: they do not fit together; one line with the command that installs.
  """
  def dotted(version):
    return '.'.join(str(part) for part in version)

  newest = dotted(NEWEST_TENSORFLOW)
  if tensorflow is None:
    raise ImportError(
        f'TensorFlow is not installed: {_INSTALL.format(newest + ".*")}')
  if tensorflow < OLDEST_TENSORFLOW:
    raise ImportError(
        f'TensorFlow {dotted(tensorflow)} does not fit, '
        f'{dotted(OLDEST_TENSORFLOW)} to {newest} do: '
        f'{_INSTALL.format(newest + ".*")}')
  # The tf-keras of a new TensorFlow comes later.
  oldest_keras = min(tensorflow, NEWEST_TENSORFLOW)
  install = _INSTALL.format(dotted(oldest_keras) + '.*')
  if tf_slim is None:
    raise ImportError(f'tf-slim is not installed: {install}')
  if tf_keras is None or not oldest_keras <= tf_keras <= tensorflow:
    have = f'tf-keras {dotted(tf_keras)}' if tf_keras else 'no tf-keras'
    raise ImportError(
        f'batch_norm needs the tf-keras of TensorFlow {dotted(tensorflow)}, '
        f'there is {have}: {install}')
  if tensorflow > NEWEST_TENSORFLOW:
    return (f'TensorFlow {dotted(tensorflow)} is newer than {newest}, the newest'
            ' release that the tests were run on')
  return None


@contextlib.contextmanager
def without_start_up_noise():
  """Holds back what native code writes to stderr, then passes on the rest.

  TensorFlow's libraries write before any of their log levels can be set, to
  the file descriptor and past sys.stderr.
  """
  try:
    stderr = os.dup(2)
  except OSError:  # No stderr at all, as under some service managers.
    yield
    return
  with tempfile.TemporaryFile() as held:
    os.dup2(held.fileno(), 2)
    try:
      yield
    finally:
      os.dup2(stderr, 2)
      os.close(stderr)
      held.seek(0)
      for line in held.read().decode(errors='replace').splitlines():
        if not _START_UP_NOISE.search(line):
          print(line, file=sys.stderr)


@contextlib.contextmanager
def _without_garbage_collection():
  """Lets modules be imported without looking for garbage in between.

  They make a million objects that stay as long as the program, and so do most of the
  objects of a graph. Looking through them takes a tenth of the time of either, so it
  is left out for those here, and done more rarely later.
  """
  was_enabled = gc.isenabled()
  gc.disable()
  try:
    yield
  finally:
    gc.freeze()
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    if was_enabled:
      gc.enable()


@contextlib.contextmanager
def _without_module(name: str):
  """Makes an import of a module fail, unless it was imported before.

  For what TensorFlow and slim import, but can do without.
  """
  if name in sys.modules:
    yield
    return
  sys.modules[name] = None
  try:
    yield
  finally:
    del sys.modules[name]


class _Later:
  """Stands for a module, and imports it when something of it is asked for."""

  def __init__(self, name: str):
    self._name = name

  def __getattr__(self, attribute: str):
    return getattr(importlib.import_module(self._name), attribute)


def _import_quietly():
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
  # Only to register its optimizers, TensorFlow would import all of Keras 3: a quarter
  # of its own import. tf.keras still does so, when it is asked for.
  with without_start_up_noise(), _without_module('keras.src.optimizers'):
    tf = importlib.import_module('tensorflow.compat.v1')
    tf.config.list_physical_devices()  # The search for GPUs is noisy too.
    return tf


def _restore_moved_names(tf) -> None:
  """Puts back, where absent, the names that tf_slim 1.1.0 reads."""
  moved = {
      'framework.ops': {'Tensor': tf.Tensor, 'IndexedSlices': tf.IndexedSlices},
      'ops.array_ops': {'stack': tf.stack, 'unstack': tf.unstack},
      'ops.control_flow_ops': {
          'cond': tf.cond, 'case': tf.case, 'Assert': tf.Assert,
          'while_loop': tf.while_loop},
      'ops.variable_scope': {'variable': tf.Variable},
  }
  for name, attributes in moved.items():
    module = importlib.import_module(f'tensorflow.python.{name}')
    for attribute, value in attributes.items():
      # vars() and not hasattr(): a module's lazy loader may claim a name
      # that it cannot load.
      vars(module).setdefault(attribute, value)
  legacy = importlib.import_module(
      'tf_keras.api._v1.keras.__internal__.legacy.layers')
  normalization = importlib.import_module(
      'tensorflow.python.layers.normalization')
  vars(normalization).setdefault(
      'BatchNormalization', legacy.BatchNormalization)


def _leave_eager_mode(tf) -> None:
  tf.disable_eager_execution()
  # Outside eager mode tensors are compared as objects in any case. Saying so
  # spares a costly look at the mode for every hash of a variable, which slim's
  # layers take by the hundred thousand: NASNet large is built in 43% of the time.
  tf.disable_tensor_equality()
  if tf.executing_eagerly():
    raise ImportError(
        'TensorFlow already runs in eager mode: import tf_compat before the'
        ' first TensorFlow operation of the program')


def _import_slim():
  """Returns tf_slim, which imports scikit-learn for the metrics of one loss."""
  with _without_module('sklearn.metrics'):
    slim = importlib.import_module('tf_slim')
  metric_learning = importlib.import_module('tf_slim.losses.metric_learning')
  if not metric_learning.HAS_SKLEARN and importlib.util.find_spec('sklearn'):
    metric_learning.metrics = _Later('sklearn.metrics')
    metric_learning.HAS_SKLEARN = True
  return slim


def _silence_deprecation_notes(tf) -> None:
  deprecation = importlib.import_module(
      'tensorflow.python.util.deprecation')
  deprecation._PRINT_DEPRECATION_WARNINGS = False
  wrapper = importlib.import_module('tensorflow.python.util.module_wrapper')
  wrapper._PER_MODULE_WARNING_LIMIT = 0
  warnings.filterwarnings('ignore', message=r'`?(layer|tf\.layers)\.\w+`? ')
  # The Supervisor says goodbye to its summary writer twice.
  warnings.filterwarnings('ignore', message='Attempting to use a closed FileWriter')
  # INFO would show slim's and the Supervisor's own lines beside ours.
  tf.logging.set_verbosity(tf.logging.WARN)


def drop_processor_notes() -> None:
  """Lets TensorFlow write its notes on types that the processor lacks, unseen.

  It writes each once in a process, when the first graph is optimized that holds such an
  operation. Call it before the first session of a command.
  """
  with without_start_up_noise(), tf.Graph().as_default(), tf.Session() as session:
    session.run(tf.transpose(tf.placeholder_with_default(
        tf.zeros([1, 2], tf.uint8), [1, 2])))


def make_deterministic() -> None:
  """Makes every operation of this process repeat itself bit for bit, or fail.

  Call it before the first graph is built.
  """
  global _deterministic
  tf.compat.v2.config.experimental.enable_op_determinism()
  _deterministic = True


def is_deterministic() -> bool:
  """Returns whether `make_deterministic` was called."""
  return _deterministic


_deterministic = False
if _note := _check_versions(
    _tensorflow_version(), _version('tf-keras'), _version('tf-slim')):
  print(f'note: {_note}', file=sys.stderr)
with _without_garbage_collection():
  tf = _import_quietly()
  _restore_moved_names(tf)
  _leave_eager_mode(tf)
  _silence_deprecation_notes(tf)
  slim = _import_slim()

__all__ = ['drop_processor_notes', 'is_deterministic', 'make_deterministic', 'slim',
           'tf', 'without_start_up_noise']
