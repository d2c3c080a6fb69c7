"""The devices: how much memory of GPUs and how many threads TensorFlow takes."""

import dataclasses

from slim_zoo.config.options import Group, option
from slim_zoo.deployment import session_settings

# A thread takes memory of the system.
_MOST_THREADS = 1024


@dataclasses.dataclass(frozen=True)
class Devices(Group):
  """What TensorFlow takes of the machine."""

  allow_growth: bool = option(
      session_settings.DEFAULTS.allow_growth,
      'Reserve memory of a GPU when TensorFlow needs it, so other programs can use the'
      ' rest; --noallow_growth reserves nearly all at the start. If the environment'
      ' variable TF_FORCE_GPU_ALLOW_GROWTH is set, it decides and this flag does not.')
  gpu_memory_fraction: float | None = option(
      session_settings.DEFAULTS.gpu_memory_fraction,
      "The largest part of a GPU's memory to reserve, such as 0.5; by default all free"
      ' memory.', float, lower=0.01, upper=1)
  inter_op_parallelism_threads: int = option(
      session_settings.DEFAULTS.inter_op_parallelism_threads,
      'Number of operations that run at the same time on the CPU; 0: one for each'
      ' core.', lower=0, upper=_MOST_THREADS)
  intra_op_parallelism_threads: int = option(
      session_settings.DEFAULTS.intra_op_parallelism_threads,
      'Number of threads that compute one operation on the CPU; 0: one for each core.',
      lower=0, upper=_MOST_THREADS)

  @property
  def settings(self) -> session_settings.SessionSettings:
    """The settings of all sessions of this process."""
    return session_settings.SessionSettings(
        **{name: getattr(self, name) for name in session_settings.NAMES})

  def without_effect(self, master: str) -> dict[str, str]:
    """Returns the cause for each option that changes nothing.

    Args:
      master: address of the TensorFlow server that computes; '': this process does.
    """
    if not master:
      return {}
    cause = f'--master={master}: that server was started with its own settings'
    return dict.fromkeys(session_settings.NAMES, cause)
