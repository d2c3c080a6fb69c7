"""Options of where an evaluation runs: in one process, or in several together."""

import dataclasses

from slim_zoo import diagnostics
from slim_zoo.config.distribution import SLURM, quiet_environment
from slim_zoo.config.options import Group, option
from slim_zoo.deployment.cluster import Cluster


@dataclasses.dataclass(frozen=True)
class Server(Group):
  """Where the evaluation runs: in one process, or in several together."""

  master: str = option(
      '', 'Address of the TensorFlow server to run on; empty: this process.')
  cluster: str = option(
      '', 'Processes that evaluate together, each a part of the images: HOST:PORT,'
      'HOST:PORT, the same list in each process, with its number as --task. Or slurm,'
      ' for processes that srun starts. Process 0, the chief, writes the report, which'
      ' is that of one process. Without flags, TF_CONFIG names the processes.')
  task: int = option(0, 'Number of this process in --cluster.', lower=0)
  worker_timeout_secs: int = option(
      1800, 'Seconds that a process of --cluster waits for the others; 0: forever.',
      lower=0)

  # The processes, which `config.clusters` reads. None: this process evaluates alone.
  own_cluster: Cluster | None = None

  @property
  def is_chief(self) -> bool:
    """Whether this process writes the report."""
    return self.own_cluster is None or self.own_cluster.task == 0

  def set_environment(self) -> None:
    """Sets environment variables that TensorFlow reads when it is imported."""
    if self.own_cluster is not None or self.cluster == SLURM:
      quiet_environment()

  def check(self, user_options: frozenset[str], precision: str = '') -> None:
    """Refuses options that have no effect, or that fit one process only.

    Args:
      user_options: names of the options that the user set.
      precision: the type of the products.

    Raises:
      UserError: the first fault.
    """
    is_one_of_several = self.own_cluster is not None or self.cluster == SLURM
    for name in ('task', 'worker_timeout_secs'):
      if name in user_options and not is_one_of_several:
        raise diagnostics.UserError(
            f'--{name}={getattr(self, name)} has no effect without a --cluster of two'
            ' processes or more')
    if is_one_of_several and precision == 'auto':
      raise diagnostics.UserError(
          '--precision=auto with several processes: each could choose another type;'
          ' name one, such as --precision=bfloat16')
    for name, cause in (
        ('watch', 'the processes could evaluate different checkpoints'),
        ('recalibrate_batch_norm', 'one process estimates the statistics'),
        ('max_num_batches', 'each process has other batches'),
        ('master', 'each process runs its own steps')):
      if is_one_of_several and name in user_options:
        raise diagnostics.UserError(
            f'--{name} with several processes: {cause}; leave out the flag, or evaluate'
            ' in one process')
