"""The processes of a job of several: their servers, and what is no training."""

from slim_zoo import diagnostics
from slim_zoo.config import clusters
from slim_zoo.config.distribution import SLURM
from slim_zoo.config.training import TrainConfig
from slim_zoo.deployment import cluster, servers


def resolved(config: TrainConfig) -> TrainConfig:
  """Returns a config with the processes that srun started, for --cluster=slurm.

  Raises:
    UserError: srun did not start this process.
  """
  if config.distribution.cluster != SLURM:
    return config
  found = servers.from_slurm(config.distribution.num_ps_tasks)
  return config if found is None else clusters.adopt(config, found, 'Slurm')


def start_server(config: TrainConfig):
  """Returns the server of this process; None if it starts none.

  Raises:
    UserError: its port is in use.
  """
  own = config.distribution.own_cluster
  if own is None:
    return None
  if own.job_name == cluster.EVALUATOR:
    raise diagnostics.UserError('an evaluator is `slim-zoo eval --watch`')
  if config.distribution.all_reduces:
    raise diagnostics.UserError(
        'a cluster of workers needs parameter servers, --ps_hosts')
  server = servers.start(own)
  print(f'{own.describe(own.job_name, own.task)} of {len(own.workers)} workers and'
        f' {len(own.parameter_servers)} parameter servers', flush=True)
  return server


def end(config: TrainConfig, server) -> None:
  """Tells the parameter servers that this worker has come to its end.

  Args:
    config: of the run.
    server: of `start_server`.
  """
  if server is not None:
    servers.say_that_a_worker_ended(server.target, config.distribution.own_cluster)
