"""The configuration of sessions, and the devices that all sessions of a process share.

TensorFlow makes the threads of a process and the allocators of its GPUs once: with the
configuration of the first session. Later sessions share them, and their own
configuration has no effect on them. So `open_devices` opens the first session, before
any other part of the project opens one.
"""

import functools
import glob
import os
import pathlib
import re
import subprocess
from collections.abc import Sequence

from slim_zoo.deployment import session_settings
from slim_zoo.deployment.session_settings import SessionSettings
from slim_zoo.tf_compat import tf

_ENVIRONMENT = 'TF_FORCE_GPU_ALLOW_GROWTH'
# The values of the variable that TensorFlow understands.
_FORCED = {'true': True, 'false': False}
# The name that TensorFlow gives the threads of its first session.
_THREADS = 'tf_Compute'
# Of the free memory of a GPU, logical GPUs get so much. What they get of a GPU whose
# memory is not known.
_SHARE_OF_FREE, _UNKNOWN_MIB = 0.8, 4096
_DRIVER_SECONDS = 20
# What the first session of this process asked for; None: `open_devices` opened none.
_opened: SessionSettings | None = None


def session_config(settings: SessionSettings = session_settings.DEFAULTS, *,
                   num_cpus: int = 1,
                   device_filters: Sequence[str] = ()) -> tf.ConfigProto:
  """Returns the configuration of a session, or of a server. Every session has it.

  Args:
    settings: memory of GPUs, threads.
    num_cpus: logical devices that the CPU is divided into.
    device_filters: the devices that the session may see; empty: all.
  """
  config = tf.ConfigProto(
      allow_soft_placement=True, device_filters=device_filters,
      device_count={'CPU': num_cpus},
      inter_op_parallelism_threads=settings.inter_op_parallelism_threads,
      intra_op_parallelism_threads=settings.intra_op_parallelism_threads)
  memory = config.gpu_options
  memory.allow_growth = settings.allow_growth
  if 0 < len(tf.config.list_physical_devices('GPU')) < settings.num_gpus:
    # TensorFlow refuses a fraction beside the sizes of logical GPUs.
    share = (settings.gpu_memory_fraction or _SHARE_OF_FREE) / settings.num_gpus
    memory.visible_device_list = '0'
    memory.experimental.virtual_devices.add(
        memory_limit_mb=[int(_free_mib() * share)] * settings.num_gpus)
  elif settings.gpu_memory_fraction is not None:
    memory.per_process_gpu_memory_fraction = settings.gpu_memory_fraction
  return config


def unoptimized_config() -> tf.ConfigProto:
  """Returns the configuration of a session without TensorFlow's rewriter.

  It is for a graph that runs a few times. The rewriter copies the graph and its
  constants several times. For a frozen vgg_a this costs 4 GiB and 16 s, more than a few
  runs save.
  """
  config = session_config()
  config.graph_options.rewrite_options.disable_meta_optimizer = True
  return config


@functools.cache
def _free_mib():
  """Returns the free memory of the first GPU when it is first asked for."""
  return free_mib()


def free_mib() -> int:
  """Returns the free memory of the first GPU in MiB, as the driver's program says."""
  try:
    printed = subprocess.run(
        ['nvidia-smi', '--query-gpu=memory.free', '--format=csv,noheader,nounits'],
        capture_output=True, text=True, errors='replace', check=False,
        timeout=_DRIVER_SECONDS).stdout
  except (OSError, subprocess.TimeoutExpired):
    return _UNKNOWN_MIB
  numbers = re.match(r'\s*(\d+)', printed)
  return int(numbers[1]) if numbers else _UNKNOWN_MIB


def open_devices(settings: SessionSettings) -> list[str]:
  """Opens the devices of this process; later sessions share them.

  Args:
    settings: memory of GPUs, threads.

  Returns:
    A line for each setting that has no effect, with the reason.
  """
  global _opened
  is_too_late = _opened is None and _has_threads()
  before = _opened or session_settings.DEFAULTS
  if _opened is None and not is_too_late:
    with tf.Graph().as_default(), tf.Session(config=session_config(settings)):
      before = _opened = settings
  late = [name for name in session_settings.NAMES
          if getattr(settings, name) != getattr(before, name)]
  return [*_about_gpus(settings, late), *_about_first_session(
      settings, None if is_too_late else before, late)]


def _about_gpus(settings, late):
  """Returns lines on settings of GPUs that are not there, or that are set elsewhere."""
  if not tf.config.list_physical_devices('GPU'):
    return [f'{session_settings.as_flag(settings, name)} has no effect: TensorFlow uses'
            ' no GPU' for name in session_settings.OF_GPUS
            if getattr(settings, name) != getattr(session_settings.DEFAULTS, name)]
  forced = os.environ.get(_ENVIRONMENT, '')
  if 'allow_growth' in late or _FORCED.get(
      forced, settings.allow_growth) == settings.allow_growth:
    return []
  return [f"{session_settings.as_flag(settings, 'allow_growth')} has no effect: the"
          f' environment variable {_ENVIRONMENT}={forced} decides']


def _about_first_session(settings, before, late):
  """Returns lines on settings that come after the first session; None: not ours."""
  has_gpus = bool(tf.config.list_physical_devices('GPU'))
  lines = []
  for name in late:
    if name in session_settings.OF_GPUS and not has_gpus:
      continue
    of_first = '' if before is None else (
        f', {session_settings.as_flag(before, name)}')
    lines.append(
        f'{session_settings.as_flag(settings, name)} has no effect: the first session'
        f' of this program{of_first} decides; set it before that session, or in another'
        ' process')
  return lines


def _has_threads():
  """Returns whether a session was opened in this process; False where unknown."""
  for path in glob.glob('/proc/self/task/*/comm'):
    try:
      if pathlib.Path(path).read_text(encoding='utf-8').strip() == _THREADS:
        return True
    except OSError:  # The thread has just ended.
      continue
  return False
