"""Imports TensorFlow without its notes, and for a command in less time.

Notes are lines about TensorFlow's own parts, which its native code writes to stderr at
every log level. A library that imports `tf_compat` gets them. The functions of the
Python interface remove them. A command is a whole program, so it also makes garbage
collection rarer and leaves out modules that no command uses.
"""

import contextlib
import gc
import os
import subprocess
import sys
from collections.abc import Iterator

from slim_zoo.deployment.session_settings import SessionSettings

# With Python's default, 700 (2000 from 3.13 on), garbage collection takes a tenth of
# the time to build a graph.
_OBJECTS_BETWEEN_COLLECTIONS = 50_000
# TensorFlow imports all of Keras 3, a quarter of its import time, only to register
# optimizers. Slim imports scikit-learn for the metrics of one loss.
_UNUSED_MODULES = ('keras.src.optimizers', 'sklearn.metrics')

# Lines about processors, GPU libraries that are not installed, and log files.
_NOTES = (
    r'absl::InitializeLog|port\.cc:|cudart_stub|cuda_(platform|fft|dnn|blas)'
    r'|failed call to cuInit|computation_placer|cpu_feature_guard'
    r'|To enable the following instructions|oneDNN custom operations'
    r'|Could not find cuda drivers|TF-TRT Warning'
    r'|Attempting to register factory for plugin|oneDNN supports DT_\w+ only on'
    r'|^=== Source Location Trace|cuda_status\.cc:\d+$|^$')
# A program for another process, so that the last lines of a crash reach the terminal.
_FILTER = '''
import re, sys
notes = re.compile(sys.argv[1])
for line in sys.stdin.buffer:
  if not notes.search(line.decode(errors="replace").rstrip("\\n")):
    sys.stderr.buffer.write(line)
    sys.stderr.buffer.flush()
'''


def load_tensorflow(settings: SessionSettings | None = None) -> None:
  """Prepares TensorFlow for a command. Call it before the import of modules that
  import `tf_compat`. Set the environment variables that TensorFlow reads before it.

  Args:
    settings: of the devices; None: the command opens no session of its own.
  """
  import_tensorflow()
  if settings is not None:
    open_devices(settings)
  write_processor_notes()


def load_without_notes(settings: SessionSettings | None = None) -> None:
  """Prepares TensorFlow for a function of the Python interface, or for a program.

  A program calls it before it imports modules that import TensorFlow.

  Args:
    settings: as for `load_tensorflow`. They have no effect on a program that has opened
      a session before; a line says so.
  """
  is_loaded = 'slim_zoo.tf_compat' in sys.modules
  with without_notes():
    from slim_zoo.tf_compat import tf
    tf.config.list_physical_devices()  # The search for GPUs writes notes too.
  if settings is not None:
    open_devices(settings)
  if not is_loaded:
    write_processor_notes()


def open_devices(settings: SessionSettings) -> None:
  """Opens the devices of this process; prints a line for a setting without effect."""
  with without_notes():
    from slim_zoo.deployment import session_configs
    lines = session_configs.open_devices(settings)
  for line in lines:
    print(f'note: {line}', file=sys.stderr, flush=True)


def import_tensorflow() -> None:
  """Imports TensorFlow and slim."""
  if 'slim_zoo.tf_compat' in sys.modules:
    return
  with _without_garbage_collection(), without_notes():
    with _without_modules(_UNUSED_MODULES):
      from slim_zoo.tf_compat import tf
    tf.config.list_physical_devices()  # The search for GPUs writes notes too.


def write_processor_notes() -> None:
  """Makes TensorFlow write its notes on types that the processor lacks; removes them.

  TensorFlow writes each note once in a process, when it first optimizes a graph with
  an operation of the type. After this call no later graph writes them.
  """
  from slim_zoo.tf_compat import tf
  with without_notes(), tf.Graph().as_default(), tf.device('/cpu:0'):
    # A session with GPUs would reserve their memory with its own settings.
    config = tf.ConfigProto(device_count={'GPU': 0})
    with tf.Session(config=config) as session:
      for dtype in (tf.uint8, tf.bfloat16, tf.float16):
        session.run(tf.transpose(
            tf.placeholder_with_default(tf.zeros([1, 2], dtype), [1, 2])))


@contextlib.contextmanager
def without_notes() -> Iterator[None]:
  """Removes TensorFlow's notes from stderr; every other line passes at once."""
  try:
    stderr = os.dup(2)
  except OSError:  # There is no stderr, for example under some service managers.
    yield
    return
  sys.stderr.flush()
  # In a new session, so that Ctrl-C in a terminal does not end it.
  with subprocess.Popen([sys.executable, '-I', '-S', '-c', _FILTER, _NOTES],
                        stdin=subprocess.PIPE, start_new_session=True) as process:
    os.dup2(process.stdin.fileno(), 2)
    try:
      yield
    finally:
      sys.stderr.flush()
      os.dup2(stderr, 2)
      os.close(stderr)


@contextlib.contextmanager
def _without_garbage_collection():
  """Turns garbage collection off for the imports, and makes it rarer afterwards.

  Modules create a million objects that live as long as the program, and so do most
  objects of a graph.
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
def _without_modules(names):
  """Makes the import of modules fail, except those that are already imported."""
  blocked = [name for name in names if name not in sys.modules]
  sys.modules.update(dict.fromkeys(blocked))
  try:
    yield
  finally:
    for name in blocked:
      del sys.modules[name]
