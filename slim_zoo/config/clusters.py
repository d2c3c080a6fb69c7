"""Finds the processes of a job: from the options of a config, or from TF_CONFIG."""

import dataclasses
from collections.abc import Mapping

from slim_zoo import diagnostics
from slim_zoo.config.distribution import SLURM, Distribution
from slim_zoo.config.evaluation import EvaluateConfig
from slim_zoo.config.global_batch import divide_global_batch
from slim_zoo.config.training import TrainConfig
from slim_zoo.deployment import cluster

# The options that name the processes of a job.
_OF_PROCESSES = ('cluster', 'worker_hosts', 'ps_hosts', 'job_name', 'task', 'master')


def adopt_cluster(config: TrainConfig, environment: Mapping[str, str]) -> TrainConfig:
  """Returns a config that knows the processes of its job, and which one this is.

  Call it before `config.check()`. For --cluster=slurm `adopt` is called later, since
  TensorFlow reads what srun sets.

  Args:
    config: of the options.
    environment: of the process, with or without TF_CONFIG.

  Raises:
    UserError: options contradict each other or TF_CONFIG.
  """
  options, user_options = config.distribution, config.user_options
  job = cluster.from_tf_config(environment.get('TF_CONFIG'))
  if job is not None:
    for name in _OF_PROCESSES:
      if name in user_options:
        raise _named_by_tf_config(name, getattr(options, name))
    return adopt(config, job, 'TF_CONFIG')
  _check(options, user_options)
  if options.cluster == SLURM:
    _check_slurm(environment)
    return config
  flag = 'cluster' if options.cluster else 'worker_hosts'
  workers = cluster.addresses(getattr(options, flag))
  servers = cluster.addresses(options.ps_hosts)
  if not workers and not servers:
    return divide_global_batch(config)
  job = cluster.Cluster(workers, servers, options.job_name, options.task)
  if len(workers) == 1 and not servers and job.job_name == cluster.WORKER:
    return divide_global_batch(config)
  return adopt(config, job, f'--{flag}')


def adopt_evaluation_cluster(config: EvaluateConfig, environment: Mapping[str, str]
                             ) -> EvaluateConfig:
  """Returns a config that knows the processes that evaluate together.

  Call it before `config.check()`. The parameter servers of TF_CONFIG evaluate nothing,
  its evaluator does so alone.

  Args:
    config: of the options.
    environment: of the process, with or without TF_CONFIG.

  Raises:
    UserError: options contradict each other or TF_CONFIG.
  """
  options = config.server
  job = cluster.from_tf_config(environment.get('TF_CONFIG'))
  if job is not None:
    for name in ('cluster', 'task', 'master'):
      if name in config.user_options:
        raise _named_by_tf_config(name, getattr(options, name))
    if job.job_name == cluster.PS:
      raise diagnostics.UserError(
          'TF_CONFIG: this process is a parameter server: expected a worker or an'
          ' evaluator; run the evaluation in the workers, or unset TF_CONFIG')
  elif options.cluster and options.master:
    raise diagnostics.UserError(
        f'--cluster={options.cluster} and --master={options.master} both name servers:'
        ' leave out one of them')
  elif options.cluster == SLURM:
    _check_slurm(environment)
  elif options.cluster:
    job = cluster.Cluster(cluster.addresses(options.cluster), task=options.task)
  if job is None or job.job_name != cluster.WORKER or len(job.workers) == 1:
    return config
  return dataclasses.replace(config, server=dataclasses.replace(
      options, own_cluster=cluster.Cluster(job.workers, task=job.task)))


def adopt(config: TrainConfig, job: cluster.Cluster, origin: str) -> TrainConfig:
  """Returns a config with the processes of a cluster.

  Args:
    config: of the options.
    job: the cluster.
    origin: the option or variable that names it, for messages.

  Raises:
    UserError: an option gives another number of processes than the cluster.
  """
  counts = {'worker_replicas': len(job.workers),
            'num_ps_tasks': len(job.parameter_servers)}
  for name, count in counts.items():
    if name in config.user_options and getattr(config.distribution, name) != count:
      raise diagnostics.UserError(
          f'--{name}={getattr(config.distribution, name)}: {origin} names {count}'
          ' processes of this kind; leave out the flag')
  return divide_global_batch(dataclasses.replace(
      config, distribution=dataclasses.replace(
          config.distribution, own_cluster=job, job_name=job.job_name,
          task=job.task, **counts)))


def _check_slurm(environment):
  """Raises UserError if srun did not start this process."""
  if 'SLURM_PROCID' not in environment:
    raise diagnostics.UserError(
        '--cluster=slurm: SLURM_PROCID is not set: start the processes with srun, or'
        ' name them with --cluster=HOST:PORT,HOST:PORT')


def _named_by_tf_config(name, value):
  return diagnostics.UserError(
      f'--{name}={value}: TF_CONFIG names the processes of the job: leave out the flag,'
      ' or unset TF_CONFIG')


def _check(options: Distribution, user_options: frozenset[str]) -> None:
  """Raises UserError for options that exclude each other."""
  pairs = [(name, 'cluster') for name in ('worker_hosts', 'ps_hosts')]
  pairs += [(name, 'master') for name in ('cluster', 'worker_hosts', 'ps_hosts')]
  for one, other in pairs:
    if getattr(options, one) and getattr(options, other):
      raise diagnostics.UserError(
          f'--{one}={getattr(options, one)} and --{other}={getattr(options, other)}'
          ' both name the servers of the job: leave out one of them')
  if options.ps_hosts and not options.worker_hosts:
    raise diagnostics.UserError(
        f'--ps_hosts={options.ps_hosts} needs --worker_hosts, the HOST:PORT of each'
        ' worker')
  if options.cluster != SLURM:
    return
  for name in ('job_name', 'task', 'worker_replicas'):
    if name in user_options:
      raise diagnostics.UserError(
          f'--{name}={getattr(options, name)} with --cluster=slurm: srun decides this;'
          ' leave out the flag')
