"""The machine of a measurement: processor, memory, software and matrix product rate.

Names of the machine, its user or folders are not included.
"""

import importlib.metadata
import os
import pathlib
import platform
import re
import time

# Side lengths of the matrices; small ones fit in the caches, large ones use all cores.
MATRIX_SIZES = (256, 512, 1024, 2048)
_SECONDS_PER_SIZE = 0.4
# Instruction sets that speed up convolutions.
_INSTRUCTIONS = ('avx2', 'fma', 'avx512f', 'avx512_vnni', 'avx512_bf16', 'amx_bf16',
                 'asimd', 'sve')


def cores() -> int:
  """Returns the number of cores that this process may use."""
  return (len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity')
          else os.cpu_count() or 1)


def describe(packages=('tensorflow',)) -> dict:
  """Returns cores, memory, processor and software versions, as plain values.

  Args:
    packages: packages whose versions are included, if installed.
  """
  cpu = _read('/proc/cpuinfo')
  name = re.search(r'^model name\s*:\s*(.+)$', cpu, re.MULTILINE)
  flags = re.search(r'^(?:flags|Features)\s*:\s*(.+)$', cpu, re.MULTILINE)
  instructions = set(flags[1].split()) if flags else set()
  memory = re.search(r'^MemTotal:\s*(\d+) kB', _read('/proc/meminfo'), re.MULTILINE)
  return {
      'cores': cores(),
      'memory_gib': round(int(memory[1]) / 2**20, 1) if memory else None,
      'processor': name[1].strip() if name else platform.machine(),
      'instructions': [word for word in _INSTRUCTIONS if word in instructions],
      'system': platform.system(),
      'python': platform.python_version(),
      **{name: version for name in packages if (version := _version(name))},
  }


def description(machine: dict) -> str:
  """Returns the result of `describe` as one line."""
  memory = machine['memory_gib']
  known = {'cores', 'memory_gib', 'processor', 'instructions', 'system', 'python'}
  versions = [f'{name} {value}' for name, value in machine.items() if name not in known]
  return ', '.join([
      f"{machine['cores']} cores of {machine['processor']}"
      + (f" ({', '.join(machine['instructions'])})" if machine['instructions'] else ''),
      *([f'{memory} GiB of memory'] if memory else []),
      machine['system'], f"Python {machine['python']}", *versions])


def busy_share(seconds: float = 0.3) -> float | None:
  """Returns the share of all cores that is busy now; None if unknown.

  This process and its subprocesses must be idle during the call.
  """
  before = _processor_times()
  time.sleep(seconds)
  after = _processor_times()
  if before is None or after[1] == before[1]:
    return None
  return 1 - (after[0] - before[0]) / (after[1] - before[1])


def matrix_multiply_rate(sizes=MATRIX_SIZES,
                         dtype: str = 'float32') -> dict[int, float]:
  """Returns multiplications and additions per second, by the size of the matrices.

  Square matrices are multiplied by TensorFlow on its default device; the rate is that
  of the fastest run.

  Args:
    sizes: side lengths of the matrices.
    dtype: name of their dtype.
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


def _version(package):
  try:
    return importlib.metadata.version(package)
  except importlib.metadata.PackageNotFoundError:
    return None


def _processor_times():
  """Returns (idle, all) ticks of all cores together; None if unknown."""
  line = _read('/proc/stat').partition('\n')[0].split()
  if not line:
    return None
  ticks = [int(word) for word in line[1:9]]
  return ticks[3] + ticks[4], sum(ticks)
