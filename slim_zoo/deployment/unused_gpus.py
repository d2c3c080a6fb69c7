"""Why no GPU is used, on a machine that has one.

TensorFlow says so in warnings that `tf_compat` keeps from users, as most machines have
no GPU. Where the driver of one is seen, they are asked for again and shown.
"""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence

from slim_zoo.tf_compat import tf

# The devices of NVIDIA's driver.
SIGNS = ('/dev/nvidia0', '/proc/driver/nvidia/version')
_ASK_SECONDS, _DRIVER_SECONDS = 120, 20
_ABOUT_GPUS = re.compile(r'cuda|cudnn|cublas|dlopen|dynamic library|gpu|nvidia', re.I)
# Time, level and place: '2026-01-31 12:00:00.123456: W tensorflow/a/b.cc:12] '.
_PREFIX = re.compile(
    r'^(\d{4}-\d\d-\d\d [\d:.]+: )?[IWEF](\d{4} [\d:.]+ +\d+)? ?\S*\.cc:\d+\] ')
_LINES = 6
# A line of nvidia-smi -L: 'GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-1)'.
_LISTED = re.compile(r'^GPU \d+: (.+?)(?: \(UUID.*)?$', re.MULTILINE)


def notes(signs: Sequence[str] = SIGNS, ask: Callable | None = None) -> list[str]:
  """Returns lines about GPUs that are there and are not used; none if all is well.

  Args:
    signs: as for `driver`.
    ask: returns what TensorFlow says when it looks for GPUs; by default
      `gpu_search_messages`, which takes seconds and is called only if needed.
  """
  if tf.config.list_physical_devices('GPU') or _are_hidden():
    return []
  shown = driver(signs)
  if shown is None:
    return []
  first = f'no GPU is used, though there is the driver of one ({shown})'
  if not tf.test.is_built_with_cuda():
    return [f'{first}: this TensorFlow is built without CUDA, install tensorflow in'
            ' place of tensorflow-cpu']
  reasons = _reasons((ask or gpu_search_messages)())
  if not reasons:
    return [f'{first}, and TensorFlow does not say why']
  return [f'{first}; TensorFlow says:', *reasons]


def driver(signs: Sequence[str] = SIGNS) -> str | None:
  """Returns what shows that there is a GPU and its driver: its name, or a file.

  Args:
    signs: files of which one is there on a machine with a GPU.

  Returns:
    Such as 'NVIDIA A100-SXM4-40GB' or '/dev/nvidia0'; None if there is no GPU.
  """
  try:
    listed = subprocess.run(
        ['nvidia-smi', '-L'], capture_output=True, text=True, errors='replace',
        check=False, timeout=_DRIVER_SECONDS)
  except (OSError, subprocess.TimeoutExpired):
    listed = None
  # The program may be there without a GPU; then it fails.
  lists = listed is not None and listed.returncode == 0
  names = _LISTED.findall(listed.stdout) if lists else []
  return ', '.join(dict.fromkeys(names)) or next(
      (path for path in signs if os.path.exists(path)), None)


def used() -> list[str]:
  """Returns the names of the GPUs that TensorFlow uses."""
  return [
      tf.config.experimental.get_device_details(gpu).get('device_name', 'a GPU')
      for gpu in tf.config.list_physical_devices('GPU')]


def gpu_search_messages() -> str:
  """Returns the stderr of a process that searches for GPUs."""
  code = "import tensorflow as tf; tf.config.list_physical_devices('GPU')"
  try:
    return subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, errors='replace',
        check=False, timeout=_ASK_SECONDS,
        env={**os.environ, 'TF_CPP_MIN_LOG_LEVEL': '0'}).stderr
  except (OSError, subprocess.TimeoutExpired) as error:
    return f'gpu search: {error}'


def _are_hidden():
  """Returns whether the user hides the GPUs."""
  visible = os.environ.get('CUDA_VISIBLE_DEVICES')
  return visible is not None and visible.strip() in ('', '-1')


def _reasons(text):
  """Returns the lines about GPUs, without time and place, each once."""
  lines = [_PREFIX.sub('', line).strip() for line in text.splitlines()]
  return list(dict.fromkeys(
      line for line in lines if _ABOUT_GPUS.search(line)))[:_LINES]
