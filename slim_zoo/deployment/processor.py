"""The processor: its name, and whether it has instructions for bfloat16."""

import os
import pathlib
import platform
import re
from collections.abc import Collection

# x86: AVX-512 BF16 (Intel Cooper Lake, AMD Zen 4) and AMX. Arm: BF16.
_BFLOAT16 = {'avx512_bf16', 'amx_bf16', 'bf16'}


def has_bfloat16(instructions: Collection[str]) -> bool:
  """Returns whether a processor with these instruction sets multiplies bfloat16.

  Args:
    instructions: names as in /proc/cpuinfo.
  """
  return bool(_BFLOAT16 & set(instructions))


def instructions() -> frozenset[str]:
  """Returns the instruction sets of this processor; none where they are unknown."""
  found = re.search(r'^(?:flags|Features)\s*:\s*(.+)$', _facts(), re.MULTILINE)
  return frozenset(found[1].split()) if found else frozenset()


def name() -> str:
  """Returns the model of the processor, with the number of cores in use."""
  found = re.search(r'^model name\s*:\s*(.+)$', _facts(), re.MULTILINE)
  cores = (len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity')
           else os.cpu_count())
  return f'{cores} cores of {found[1].strip() if found else platform.machine()}'


def _facts():
  try:
    return pathlib.Path('/proc/cpuinfo').read_text(encoding='utf-8')
  except OSError:
    return ''
