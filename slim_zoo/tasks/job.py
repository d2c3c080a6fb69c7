"""The processes of a job: their servers, their start and their end."""

import contextlib
import dataclasses
import hashlib
import os
from collections.abc import Mapping, Set
from typing import Any

import numpy as np

from slim_zoo import diagnostics
from slim_zoo.config import clusters
from slim_zoo.config.distribution import SLURM, Distribution
from slim_zoo.config.global_batch import divide_global_batch
from slim_zoo.config.options import Config
from slim_zoo.config.training import TrainConfig
from slim_zoo.deployment import agreement, cluster, peers, servers, session_settings
from slim_zoo.tasks import training_input
from slim_zoo.tf_compat import tf
from slim_zoo.training import (
    job_state,
    sessions,
    starting_point,
    stopping,
    synchronization,
)
from slim_zoo.training.team import Team

# Options that may differ between workers.
_MAY_DIFFER = frozenset({
    'train_dir', 'dataset_dir', 'cache_dir', 'checkpoint_path', 'init', 'cluster',
    'worker_hosts', 'ps_hosts', 'job_name', 'task', 'num_readers', 'seed',
    'num_preprocessing_threads', 'log_every_n_steps', 'save_summaries_secs',
    'save_interval_secs', 'sample_predictions', 'log_to', 'log_to_project',
    'log_to_name', 'log_to_dir',
    *session_settings.NAMES})


# The device of the variables that synchronize workers and parameter servers.
_STATE_DEVICE = '/job:ps/task:0/device:CPU:0'
# If the chief of all-reduce workers has failed, it sends this number to the others in
# place of `is_finished`. It waits at most so many seconds for them.
_HAS_FAILED = 2
_SECONDS_TO_MEET_AFTER_FAILURE = 10


def resolved(config: TrainConfig) -> TrainConfig:
  """Returns a config with the processes that srun started, for --cluster=slurm.

  Raises:
    UserError: srun did not start this process, or options do not fit its processes.
  """
  if config.distribution.cluster != SLURM:
    return config
  processes = servers.from_slurm(config.distribution.num_ps_tasks)
  if processes is None:
    return divide_global_batch(config)
  adopted = clusters.adopt(config, processes, 'Slurm')
  adopted.check()  # Before, the number of workers was not known.
  return adopted


def start_server(config: TrainConfig):
  """Returns the server of this process; None if it starts none.

  Raises:
    UserError: its port is in use.
  """
  own = config.distribution.own_cluster
  if own is None:
    return None
  server = servers.start(own, config.distribution.num_cpus, config.devices.settings)
  workers, others = len(own.workers), len(own.parameter_servers)
  served = f' and {others} parameter server{"s" * (others > 1)}' if others else ''
  print(f'{own.describe(own.job_name, own.task)} of {workers}'
        f' worker{"s" * (workers > 1)}{served}', flush=True)
  return server


@dataclasses.dataclass(frozen=True)
class RunStart:
  """The facts about the start of a run; all-reduce workers have equal ones.

  Attributes:
    workers: all workers; None: this process trains alone or with parameter servers.
    start: the starting point of the run.
    seed: seed of the run.
    origin: origin of the seed.
    is_finished: whether the run has no steps left.
    key: random number that is the same for all workers and different for other runs.
  """

  workers: agreement.Workers | None
  start: starting_point.StartingPoint
  seed: int
  origin: str
  is_finished: bool
  key: int


def begin(config: TrainConfig, server) -> RunStart:
  """Finds the starting point of a run; the chief sends it to all-reduce workers.

  Args:
    config: of the run.
    server: of `start_server`.

  Raises:
    UserError: the checkpoint does not fit, a worker does not come, or the workers have
      other options.
  """
  options, key = config.distribution, int.from_bytes(os.urandom(6), 'big')
  own = RunStart(None, starting_point.StartingPoint(), 0, 'of the chief', False, key)
  workers = options.all_reduces and agreement.Workers(
      options.own_cluster, options.worker_timeout_secs)
  if not workers or workers.is_chief:
    try:
      own = _find(config, key)
    except diagnostics.UserError:
      if workers:
        _meet_after_failure(config, workers, server)
      raise
  if not workers:
    return own
  step, state, seed, key = _meet(
      config, workers, server, own.start.step, own.is_finished, own.seed, key)
  if state == _HAS_FAILED:
    raise diagnostics.UserError(
        f'{workers.cluster.describe(cluster.WORKER, 0)} has failed: look at what it'
        ' prints, and start all workers again')
  if workers.is_chief:
    return dataclasses.replace(own, workers=workers)
  return RunStart(
      workers, starting_point.StartingPoint(step, is_chief=False, is_sent=True), seed,
      'of the chief', bool(state), key)


def _find(config, key):
  """Returns the start of a run that this process finds itself."""
  start = starting_point.find(
      config.run.train_dir, config.initialization.checkpoint_path,
      config.initialization.init, config.distribution.is_chief)
  seed, origin = training_input.choose_seed(config, start)
  return RunStart(None, start, seed, origin,
                   start.is_finished(config.run.max_number_of_steps), key)


def _meet(config, workers, server, *facts):
  """Returns the facts of the chief; checks that all workers have the same options."""
  values = shared_values(config, _MAY_DIFFER)
  rows = workers.meet(server.target, [*facts, *map(digest, values.values())])
  if rows[0, 1] != _HAS_FAILED:
    check_same(workers.cluster, values, rows[:, len(facts):])
  return map(int, rows[0, :len(facts)])


def _meet_after_failure(config, workers, server):
  """Tells the other workers that the chief has failed, if they connect in time."""
  soon = dataclasses.replace(workers, timeout_seconds=_SECONDS_TO_MEET_AFTER_FAILURE)
  with contextlib.suppress(diagnostics.UserError):
    _meet(config, soon, server, 0, _HAS_FAILED, 0, 0)


def shared_values(config: Config, may_differ: Set[str]) -> dict[str, Any]:
  """Returns the options that must be the same in all processes, by name."""
  return {name: value for name, value in sorted(config.values().items())
          if name not in may_differ}


def digest(value) -> int:
  """Returns a hash of 63 bits."""
  return int.from_bytes(hashlib.sha256(repr(value).encode()).digest()[:8], 'big') >> 1


def check_same(own: cluster.Cluster, values: Mapping[str, Any], digests: np.ndarray
               ) -> None:
  """Checks that the options of all processes are the same.

  Args:
    own: the cluster.
    values: the options of this process by name.
    digests: int64 [processes, options].

  Raises:
    UserError: another process has set an option differently.
  """
  different = digests != digests[:1]
  if not different.any():
    return
  task = int(different.any(axis=1).argmax())
  name = list(values)[int(different[task].argmax())]
  here = f' ({values[name]} here)' if task == own.task or own.task == 0 else ''
  raise diagnostics.UserError(
      f'--{name} of {own.describe(cluster.WORKER, task)} differs from that of the'
      f' chief{here}: give all workers the same flags')


def end(config: TrainConfig, server) -> None:
  """Tells the parameter servers that this worker ends.

  Args:
    config: of the run.
    server: of `start_server`.
  """
  if server is not None:
    servers.report_worker_end(server.target, config.distribution.own_cluster)


def fail(config: TrainConfig, server, error: Exception) -> None:
  """Tells the other processes that the chief has failed, so that they end.

  All-reduce workers need no message: their connections to the chief end.

  Args:
    config: of the run.
    server: of `start_server`.
    error: what ended the chief.
  """
  own = config.distribution.own_cluster
  if (server is None or not config.distribution.is_chief
      or not own.parameter_servers or isinstance(error, stopping.Stopped)):
    return
  if peers.answers(own.parameter_servers[0]):
    with tf.Graph().as_default(), contextlib.suppress(tf.errors.OpError):
      state = job_state.JobState(0, len(own.workers), _STATE_DEVICE)
      with servers.session_with(server.target, own, 0) as session:
        state.end(session, job_state.HAS_FAILED, str(error).split('\n', maxsplit=1)[0])
  servers.report_chief_failure(server.target, own)


def place(machines: Distribution, master: str,
          settings: session_settings.SessionSettings) -> sessions.Place:
  """Returns the place of the sessions of a run.

  Args:
    machines: of the config.
    master: the address of the TensorFlow server to run on; '': this process.
    settings: memory of GPUs, threads.
  """
  own, needed, chief, clearing = machines.own_cluster, {}, 'the chief', None
  if own is not None:
    chief = own.describe(cluster.WORKER, 0)
    needed = {own.describe(cluster.PS, task): address
              for task, address in enumerate(own.parameter_servers)}
  elif master:
    needed = {f'the server --master={master}': master.removeprefix('grpc://')}
  if needed and own is not None and machines.is_chief:
    clearing = servers.start_for_clearing(own)
  return sessions.Place(
      master, machines.is_chief, machines.device_filters, machines.num_cpus, needed,
      chief, machines.worker_timeout_secs, settings, clearing)


def team(machines: Distribution, training_graph) -> Team:
  """Returns the workers of the job; adds shared variables to the default graph.

  Args:
    machines: of the config.
    training_graph: the `TrainingGraph`.
  """
  state = sync = None
  if machines.num_ps_tasks:
    state = job_state.JobState(
        machines.task, machines.worker_replicas, _STATE_DEVICE)
  if training_graph.sync_optimizer is not None:
    sync = synchronization.Synchronization(
        training_graph.sync_optimizer, machines.worker_replicas,
        machines.aggregated_replicas, machines.is_chief)
  return Team(state, machines.is_chief, sync)
