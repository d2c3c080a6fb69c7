"""Settings of sessions: memory of GPUs, number of threads. Needs no TensorFlow."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class SessionSettings:
  """Settings of all sessions of a process; the fields have the names of the options.

  Attributes:
    allow_growth: whether memory of a GPU is reserved when it is needed, not at once.
    gpu_memory_fraction: the largest part of a GPU's memory to reserve, above 0 and up
      to 1; None: all that is free.
    inter_op_parallelism_threads: operations that run at the same time; 0: one for each
      core.
    intra_op_parallelism_threads: threads of one operation; 0: one for each core.
    num_gpus: GPUs that are needed. If the machine has one or more, but fewer, its first
      GPU is divided into so many logical ones.
  """

  allow_growth: bool = True
  gpu_memory_fraction: float | None = None
  inter_op_parallelism_threads: int = 0
  intra_op_parallelism_threads: int = 0
  num_gpus: int = 1


OF_GPUS = ('allow_growth', 'gpu_memory_fraction')
OF_THREADS = ('inter_op_parallelism_threads', 'intra_op_parallelism_threads')
# Settings that users set by options.
NAMES = (*OF_GPUS, *OF_THREADS)
DEFAULTS = SessionSettings()


def as_flag(settings: SessionSettings, name: str) -> str:
  """Returns a setting as a user types it, such as --noallow_growth."""
  value = getattr(settings, name)
  if isinstance(value, bool):
    return f"--{'' if value else 'no'}{name}"
  return f'--{name}={value}'
