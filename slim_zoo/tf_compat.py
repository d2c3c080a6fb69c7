"""TensorFlow for this project: exports `tf` (the v1 interface) and `slim`.

Other modules write `from slim_zoo.tf_compat import slim, tf`. This module contains
everything that depends on versions:

  * the releases of TensorFlow and tf-keras that fit, checked before the import;
  * names that TensorFlow moved out of the modules where tf_slim 1.1.0, the last
    release, reads them. Only an absent name is restored;
  * graph mode for the whole process: slim starts threads, and with eager mode off only
    inside a graph the first checkpoint hangs or fails;
  * the log levels of messages that are about TensorFlow's own code. Errors still show.

Importing this module raises `ImportError` with one line that says what to install if
something is missing or does not fit.
"""

import importlib
import importlib.metadata
import os
import sys
import warnings

# The oldest and the newest release that the suite was run on.
OLDEST_TENSORFLOW = (2, 15)
NEWEST_TENSORFLOW = (2, 21)

_INSTALL = 'python -m pip install "tensorflow=={0}" "tf-keras=={0}" tf-slim==1.1.0'


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
    if version := _version(distribution):
      return version
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


def _import_tensorflow():
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
  return importlib.import_module('tensorflow.compat.v1')


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


def _silence_deprecation_notes(tf) -> None:
  deprecation = importlib.import_module(
      'tensorflow.python.util.deprecation')
  deprecation._PRINT_DEPRECATION_WARNINGS = False
  wrapper = importlib.import_module('tensorflow.python.util.module_wrapper')
  wrapper._PER_MODULE_WARNING_LIMIT = 0
  warnings.filterwarnings('ignore', message=r'`?(layer|tf\.layers)\.\w+`? ')
  # The Supervisor says goodbye to its summary writer twice.
  warnings.filterwarnings('ignore', message='Attempting to use a closed FileWriter')
  # It is about the options of a data set that a tf.data service executes.
  warnings.filterwarnings('ignore', message='To make it possible to preserve tf.data')
  # INFO would show slim's and the Supervisor's own lines beside ours.
  tf.logging.set_verbosity(tf.logging.WARN)


def make_deterministic() -> None:
  """Makes every operation of this process repeat itself bit for bit, or fail.

  Call it before the first graph is built.
  """
  global _deterministic
  tf.compat.v2.config.experimental.enable_op_determinism()
  _deterministic = True


def end_determinism() -> None:
  """Ends `make_deterministic`: operations may differ again, and need no seed."""
  global _deterministic
  # TensorFlow has no public function for this.
  config = importlib.import_module('tensorflow.python.framework.config')
  config.disable_op_determinism()
  _deterministic = False


def distribute_to_service(service: str, job_name):
  """Returns a transformation of a `tf.data.Dataset`: a tf.data service executes it.

  The service divides the first source of the data set among its processes.

  Args:
    service: 'grpc://HOST:PORT' of the dispatcher.
    job_name: a text, or a string tensor. Data sets with the same name share a job.
  """
  # The public function takes no tensor: the job of each epoch would have one name.
  operations = importlib.import_module(
      'tensorflow.python.data.experimental.ops.data_service_ops')
  return operations._distribute('distributed_epoch', service, job_name=job_name)


def is_deterministic() -> bool:
  """Returns whether `make_deterministic` is in effect."""
  return _deterministic


_deterministic = False
if _note := _check_versions(
    _tensorflow_version(), _version('tf-keras'), _version('tf-slim')):
  print(f'note: {_note}', file=sys.stderr)
tf = _import_tensorflow()
_restore_moved_names(tf)
_leave_eager_mode(tf)
_silence_deprecation_notes(tf)
slim = importlib.import_module('tf_slim')

__all__ = ['end_determinism', 'is_deterministic', 'make_deterministic', 'slim', 'tf']
