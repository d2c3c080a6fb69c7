"""Trains one network on digits and measures its 8-bit files, see `benchmarks.peers`.

The task has the arguments of `quantized_digits.compare` but for the folder.
"""

import tempfile
import time

from benchmarks import quantized_digits
from benchmarks.peers import reports


def measure(task) -> dict:
  """Returns what `quantized_digits.compare` returns, and the seconds that it took."""
  start = time.perf_counter()
  with tempfile.TemporaryDirectory() as folder:
    found = quantized_digits.compare(
        task['network'], task['image_size'], task['steps'], task['quantized_steps'],
        task['batch_size'], task['learning_rate'], task['seed'], folder)
  return {**found, 'seconds': [time.perf_counter() - start]}


if __name__ == '__main__':
  reports.print_result(measure)
