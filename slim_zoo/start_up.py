"""Loads TensorFlow: without notes about its own parts, and for a command in less time.

A library that imports `tf_compat` gets TensorFlow as it is. The functions of the Python
interface leave out the notes. A command is a whole program, so it may also delay
garbage collection and leave out modules that no command uses. The notes are lines of
native code on stderr, which no log level stops.
"""

import contextlib
import gc
import os
import subprocess
import sys
from collections.abc import Iterator

# Python's own 700 (2000 from 3.13 on) cost a tenth of the time that a graph takes.
_OBJECTS_BETWEEN_COLLECTIONS = 50_000
# TensorFlow imports all of Keras 3, a quarter of its own import, only to register
# optimizers; slim imports scikit-learn for the metrics of one loss.
_UNUSED_MODULES = ('keras.src.optimizers', 'sklearn.metrics')

# About processors, libraries of GPUs that are not installed, and log files.
_NOTES = (
    r'absl::InitializeLog|port\.cc:|cudart_stub|cuda_(platform|fft|dnn|blas)'
    r'|failed call to cuInit|computation_placer|cpu_feature_guard'
    r'|To enable the following instructions|oneDNN custom operations'
    r'|Could not find cuda drivers|TF-TRT Warning'
    r'|Attempting to register factory for plugin|oneDNN supports DT_\w+ only on'
    r'|^=== Source Location Trace|cuda_status\.cc:\d+$|^$')
# A process of its own, so that the last lines of a crash reach the terminal.
_FILTER = '''
import re, sys
notes = re.compile(sys.argv[1])
for line in sys.stdin.buffer:
  if not notes.search(line.decode(errors="replace").rstrip("\\n")):
    sys.stderr.buffer.write(line)
    sys.stderr.buffer.flush()
'''


def load_tensorflow() -> None:
  """Prepares TensorFlow for a command. Call it before modules that import `tf_compat`.

  Environment variables that TensorFlow reads must be set before.
  """
  import_tensorflow()
  write_processor_notes()


def load_without_notes() -> None:
  """Prepares TensorFlow for a function of the Python interface, unless it is loaded."""
  if 'slim_zoo.tf_compat' in sys.modules:
    return
  with without_notes():
    from slim_zoo.tf_compat import tf
    tf.config.list_physical_devices()  # The search for GPUs writes notes too.
  write_processor_notes()


def import_tensorflow() -> None:
  """Imports TensorFlow and slim."""
  if 'slim_zoo.tf_compat' in sys.modules:
    return
  with _without_garbage_collection(), without_notes():
    with _without_modules(_UNUSED_MODULES):
      from slim_zoo.tf_compat import tf
    tf.config.list_physical_devices()  # The search for GPUs writes notes too.


def write_processor_notes() -> None:
  """Lets TensorFlow write, unseen, its notes on types that the processor lacks.

  TensorFlow writes each note once in a process, when it first optimizes a graph with
  such an operation.
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
  except OSError:  # No stderr at all, as under some service managers.
    yield
    return
  sys.stderr.flush()
  # In a session of its own: Ctrl-C of a terminal must not end it.
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
  """Makes the import of modules fail, unless they are imported already."""
  blocked = [name for name in names if name not in sys.modules]
  sys.modules.update(dict.fromkeys(blocked))
  try:
    yield
  finally:
    for name in blocked:
      del sys.modules[name]
