"""Options of the machines: clones on one machine, and the processes of a job."""

import dataclasses
import math
import os

from slim_zoo import diagnostics
from slim_zoo.catalog import variables
from slim_zoo.config.options import Group, option, pairs
from slim_zoo.config.segmentation import TASKS
from slim_zoo.deployment.cluster import EVALUATOR, JOBS, PS, WORKER, Cluster

# The value of --cluster for processes that srun starts.
SLURM = 'slurm'
# A machine has at most as many GPUs as processors, or so many.
_USUAL_DEVICES = 8


def quiet_environment() -> None:
  """Turns off TensorFlow's messages about other processes. Call it before the import.

  TensorFlow's native code writes many lines when a process of the job has ended.
  Nothing is lost: the error is also a Python exception.
  """
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')


@dataclasses.dataclass(frozen=True)
class Distribution(Group):
  """How many clones and workers train, and where."""

  cluster: str = option(
      '', 'Workers that train together: HOST:PORT,HOST:PORT. Every process has the'
      ' same list and its own number, --task. The value slurm stands for the processes'
      ' that srun starts. Without flags, the environment variable TF_CONFIG names the'
      ' processes.')
  worker_hosts: str = option(
      '', 'HOST:PORT of each worker, comma-separated. With --ps_hosts, parameter'
      ' servers update the weights; without --ps_hosts, it is the same as --cluster.')
  ps_hosts: str = option(
      '', 'HOST:PORT of each parameter server, comma-separated; needs --worker_hosts.')
  job_name: str = option(
      'worker', 'Kind of this process: a worker trains, a ps is a parameter server and'
      ' keeps variables, an evaluator evaluates every checkpoint.', choices=JOBS)
  master: str = option(
      '', 'Address of a TensorFlow server that another program has started; it computes'
      ' the steps. Empty: this process computes them.')
  num_clones: int = option(
      1, 'Clones (copies of the network), one on each GPU; each takes --batch_size'
      ' images in a step.', lower=1)
  clone_on_cpu: bool = option(
      False, 'Run the clones on the CPU; a machine without a GPU does so anyway.')
  variables_on_cpu: bool = option(
      False, 'Keep the variables on the CPU, where all clones share them, as TF-Slim'
      ' does. By default each GPU has its own copy: reading them from the CPU takes'
      ' longer than adding up the gradients. Clones on the CPU always share them.')
  worker_replicas: int = option(
      1, 'Number of workers of the whole job; --cluster, --worker_hosts and TF_CONFIG'
      ' set it.', lower=1)
  num_ps_tasks: int = option(
      0, 'Number of parameter servers; 0 keeps the variables in the worker.', lower=0)
  task: int = option(
      0, 'Number of this process among those of its kind; worker 0 is the chief, which'
      ' saves and validates. Or segmentation, which is the same as --segmentation.',
      lower=0, words=TASKS)
  sync_replicas: bool = option(
      False, 'With parameter servers: an update uses the gradients of several workers.')
  replicas_to_aggregate: int | None = option(
      None, 'With --sync_replicas: number of gradients of an update; by default one'
      ' from each worker. With fewer, an update does not wait for the slowest workers.',
      int, lower=1)

  layer_devices: str | None = option(
      None, 'Devices of single layers: SCOPE:NUMBER,..., such as'
      ' vgg_16/fc6:1,vgg_16/fc7:1 for GPU 1. All other layers run on device 0. Without'
      ' GPUs, the CPU is divided into logical devices.', str)
  sync_batch_norm: bool = option(
      False, 'Let batch norm use the statistics of all clones and workers together.')
  worker_timeout_secs: int = option(
      1800, 'Seconds that a worker waits for the other processes of its job: at the'
      ' beginning, in each step, and while the chief validates; 0: forever.', lower=0)

  # The processes of the job, which `config.clusters` reads from the flags or from
  # TF_CONFIG. None: this process starts no server.
  own_cluster: Cluster | None = None

  @property
  def is_worker(self) -> bool:
    """Whether this process trains."""
    return self.job_name == WORKER

  @property
  def is_chief(self) -> bool:
    """Whether this process initializes, saves, validates and writes summaries."""
    return self.is_worker and self.task == 0

  @property
  def all_reduces(self) -> bool:
    """Whether the workers add up their gradients among themselves."""
    return self.worker_replicas > 1 and not self.num_ps_tasks

  @property
  def num_cpus(self) -> int:
    """The number of logical CPUs, for --sync_batch_norm or --layer_devices."""
    return max(self.num_clones if self.sync_batch_norm else 1,
               *[number + 1 for number in self.numbers_of_layers.values()], 1)

  @property
  def numbers_of_layers(self) -> dict[str, int]:
    """The number of the device of each layer in --layer_devices, by scope."""
    return {scope: int(number) for scope, number in pairs(
        'layer_devices', self.layer_devices, 'SCOPE:NUMBER')}

  @property
  def aggregated_replicas(self) -> int | None:
    """The number of replicas of one update; None: each replica updates alone."""
    if not self.sync_replicas or self.all_reduces:
      return None
    return self.replicas_to_aggregate or self.worker_replicas

  @property
  def replicas_per_step(self) -> int:
    """The number of workers whose images are used while the global step rises by one.

    It is 1 for asynchronous workers: each raises the global step by itself.
    """
    if not self.all_reduces:
      return self.aggregated_replicas or 1
    return self.worker_replicas

  @property
  def device_filters(self) -> tuple[str, ...]:
    """The devices of the job that this process uses; empty: all."""
    # Without filters, '/job:worker' may be the device of any worker.
    return (('/job:ps', f'/job:worker/task:{self.task}') if self.num_ps_tasks else ())

  def given(self, name: str) -> str:
    """Returns an option and its value, as the user wrote them.

    If a cluster sets the number of processes, it returns the option of the cluster.
    """
    sources = {'worker_replicas': ('cluster', 'worker_hosts'),
               'num_ps_tasks': ('ps_hosts',)}.get(name, ())
    if self.own_cluster is not None:
      for source in sources:
        if getattr(self, source):
          return f'--{source}={getattr(self, source)}'
      if sources and not self.cluster:
        return 'the processes of TF_CONFIG'
    value = getattr(self, name)
    return f'--{name}' if value is True else f'--{name}={value}'

  def set_environment(self) -> None:
    """Sets environment variables that TensorFlow reads when it is imported."""
    if self.own_cluster is not None or self.cluster == SLURM:
      quiet_environment()

  def check(self) -> None:
    """Refuses options that do not fit together.

    Raises:
      UserError: the first fault.
    """
    self._check_layers()
    if self.sync_batch_norm and (self.num_ps_tasks or self.sync_replicas):
      raise diagnostics.UserError(
          '--sync_batch_norm with parameter servers: the workers are at different'
          ' steps; leave out the flag, or the parameter servers')
    if self.own_cluster is not None or self.cluster == SLURM:
      return
    if self.job_name == PS:
      raise diagnostics.UserError(
          '--job_name=ps needs the addresses of the job: --ps_hosts and'
          ' --worker_hosts, or TF_CONFIG')
    if self.job_name == EVALUATOR:
      return
    if self.task >= self.worker_replicas:
      raise diagnostics.UserError(
          f'--task={self.task}: with --worker_replicas={self.worker_replicas} the'
          f' tasks are 0 to {self.worker_replicas - 1}')
    if self.num_ps_tasks and not self.master:
      raise diagnostics.UserError(
          f'--num_ps_tasks={self.num_ps_tasks} needs servers: start them with'
          ' --ps_hosts and --worker_hosts, or name a running one with --master')
    if self.worker_replicas > 1 and not self.num_ps_tasks:
      raise diagnostics.UserError(
          f'--worker_replicas={self.worker_replicas} needs the addresses of the'
          ' workers: use --cluster=HOST:PORT,...; or, with --master, set --num_ps_tasks'
          ' to 1 or more')

  def check_scopes(self, model_name: str) -> None:
    """Refuses a scope of --layer_devices that has no variable.

    Args:
      model_name: a network of the catalog. If the catalog has no variables of it, the
        scopes are checked when it is built.

    Raises:
      UserError: the first one.
    """
    network = variables.load().get(model_name) if self.layer_devices else None
    for scope in self.numbers_of_layers if network else ():
      if not any(name.startswith(scope) for name in network.shapes):
        known = dict.fromkeys(name.rpartition('/')[0] for name in network.shapes)
        raise diagnostics.UserError(
            f"--layer_devices: no variable of {model_name} has a name that begins with"
            f" '{scope}'{diagnostics.suggestion(scope, known)}")

  def _check_layers(self):
    parts = pairs('layer_devices', self.layer_devices, 'SCOPE:NUMBER')
    scopes = [scope for scope, _ in parts]
    # The processors of a server in another process are not known here.
    count = math.inf if self.master else max(os.cpu_count() or 1, _USUAL_DEVICES)
    for scope, number in parts:
      if number != int(number):
        raise diagnostics.UserError(
            f'--layer_devices={scope}:{number:g}: expected the number of a device')
      if scopes.count(scope) > 1:
        raise diagnostics.UserError(
            f"--layer_devices={self.layer_devices}: '{scope}' is there"
            f' {scopes.count(scope)} times: give it one device')
      if number >= count:
        raise diagnostics.UserError(
            f'--layer_devices={scope}:{number:g}: this machine does not have so many'
            f' devices: expected a number from 0 to {count - 1}')
    for name, largest in (('num_clones', 1), ('num_ps_tasks', 0)):
      if self.layer_devices and getattr(self, name) > largest:
        raise diagnostics.UserError(
            f'--layer_devices with {self.given(name)}: the layers of one'
            ' clone run on several devices; start a worker for each clone instead')

  def without_effect(self) -> dict[str, str]:
    """Returns the options without effect, each with the reason."""
    if self.all_reduces:
      cause = 'no parameter servers: the update takes the gradients of all workers'
      return {'sync_replicas': cause, 'replicas_to_aggregate': cause}
    causes = {} if self.worker_replicas * self.num_clones > 1 else {
        'sync_batch_norm': 'one clone'}
    if self.aggregated_replicas == 1:
      causes['sync_replicas'] = 'one worker'
    if not self.sync_replicas:
      causes['replicas_to_aggregate'] = '--nosync_replicas'
    return causes
