"""The machine of a measurement: its hardware, its releases, its speed.

No name of it, of its user or of a folder is told.
"""

import importlib.metadata
import os
import pathlib
import platform
import re
import time

# Side lengths of the matrices; small ones live in the caches, large ones use all cores.
MATRIX_SIZES = (256, 512, 1024, 2048)
_SECONDS_PER_SIZE = 0.4
# What makes one CPU many times as fast as another at convolutions.
_INSTRUCTIONS = ('avx2', 'fma', 'avx512f', 'avx512_vnni', 'avx512_bf16', 'amx_bf16',
                 'asimd', 'sve')


def cores() -> int:
  """Returns how many cores this process may use."""
  return (len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity')
          else os.cpu_count() or 1)


def describe(packages=('tensorflow',)) -> dict:
  """Returns cores, memory, processor and releases, as plain values.

  Args:
    packages: whose releases are returned, if installed.
  """
  cpu = _read('/proc/cpuinfo')
  name = re.search(r'^model name\s*:\s*(.+)$', cpu, re.MULTILINE)
  flags = re.search(r'^(?:flags|Features)\s*:\s*(.+)$', cpu, re.MULTILINE)
  offered = set(flags[1].split()) if flags else set()
  memory = re.search(r'^MemTotal:\s*(\d+) kB', _read('/proc/meminfo'), re.MULTILINE)
  return {
      'cores': cores(),
      'memory_gib': round(int(memory[1]) / 2**20, 1) if memory else None,
      'processor': name[1].strip() if name else platform.machine(),
      'instructions': [word for word in _INSTRUCTIONS if word in offered],
      'system': platform.system(),
      'python': platform.python_version(),
      **{name: release for name in packages if (release := _release(name))},
  }


def in_words(machine: dict) -> str:
  """Returns the result of `describe` as one line."""
  memory = machine['memory_gib']
  known = {'cores', 'memory_gib', 'processor', 'instructions', 'system', 'python'}
  releases = [f'{name} {value}' for name, value in machine.items() if name not in known]
  return ', '.join([
      f"{machine['cores']} cores of {machine['processor']}"
      + (f" ({', '.join(machine['instructions'])})" if machine['instructions'] else ''),
      *([f'{memory} GiB of memory'] if memory else []),
      machine['system'], f"Python {machine['python']}", *releases])


def busy_share(seconds: float = 0.3) -> float | None:
  """Returns which share of all cores is busy now, by whomever; None if not known.

  Ask while this process and what it started are still.
  """
  before = _processor_times()
  time.sleep(seconds)
  after = _processor_times()
  if before is None or after[1] == before[1]:
    return None
  return 1 - (after[0] - before[0]) / (after[1] - before[1])


def matrix_multiply_rate(sizes=MATRIX_SIZES,
                         dtype: str = 'float32') -> dict[int, float]:
  """Returns the multiplications and additions a second, by the size of the matrices.

  They are of square matrices, by TensorFlow on its default device, in this process;
  each rate is that of the fastest run.

  Args:
    sizes: side lengths of the matrices.
    dtype: name of their type.
  """
  from slim_zoo.tf_compat import tf
  rates = {}
  for size in sizes:
    with tf.Graph().as_default(), tf.Session() as session:
      left, right = [tf.Variable(
          tf.cast(tf.random.uniform([size, size]), dtype), use_resource=False)
                     for _ in range(2)]
      session.run(tf.global_variables_initializer())
      run = session.make_callable(tf.matmul(left, right).op)
      run()
      fastest, end = float('inf'), time.perf_counter() + _SECONDS_PER_SIZE
      while time.perf_counter() < end:
        start = time.perf_counter()
        run()
        fastest = min(fastest, time.perf_counter() - start)
    rates[size] = 2 * size**3 / fastest
  return rates


def _read(path):
  try:
    return pathlib.Path(path).read_text(encoding='utf-8')
  except OSError:
    return ''


def _release(package):
  try:
    return importlib.metadata.version(package)
  except importlib.metadata.PackageNotFoundError:
    return None


def _processor_times():
  """Returns (idle, all) ticks of all cores together, None where it is not told."""
  line = _read('/proc/stat').partition('\n')[0].split()
  if not line:
    return None
  ticks = [int(word) for word in line[1:9]]
  return ticks[3] + ticks[4], sum(ticks)
