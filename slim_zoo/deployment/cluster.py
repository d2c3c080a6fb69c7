"""The cluster of a job: the addresses of its processes, and the place of this one.

Imports no TensorFlow: a command refuses a wrong address before TensorFlow is loaded.
`deployment.servers` starts the server of a process.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from slim_zoo.diagnostics import UserError, suggestion, unknown_name, whole_number

WORKER, PS, EVALUATOR = 'worker', 'ps', 'evaluator'
JOBS = (WORKER, PS, EVALUATOR)
# Names of the chief's job in TF_CONFIG; older services write 'master'.
_CHIEFS = ('chief', 'master')
_NAMES = (*_CHIEFS, *JOBS)
# What is read of TF_CONFIG; services add other keys.
_KEYS = ('cluster', 'task', 'type', 'index')


@dataclasses.dataclass(frozen=True)
class Cluster:
  """The processes that train together, as one of them sees them.

  Attributes:
    workers: 'HOST:PORT' of each worker; worker 0 is the chief.
    parameter_servers: 'HOST:PORT' of each parameter server; empty: the workers add
      up their gradients among themselves.
    job_name: the job of this process, one of `JOBS`.
    task: its number in the job.

  Raises:
    UserError: a ValueError; an address is wrong or occurs twice, there are no
      workers, or the job has no such task.
  """

  workers: tuple[str, ...]
  parameter_servers: tuple[str, ...] = ()
  job_name: str = WORKER
  task: int = 0

  def __post_init__(self):
    if not self.workers and self.job_name != EVALUATOR:
      raise UserError(
          'the cluster has no worker: name the HOST:PORT of at least one, the chief')
    all_addresses = [*self.workers, *self.parameter_servers]
    for address in all_addresses:
      check_address(address)
      count = all_addresses.count(address)
      if count > 1:
        raise UserError(
            f"the address '{address}' is {count} times in the cluster:"
            ' each process needs its own HOST:PORT')
    count = len(self.tasks(self.job_name))
    if self.job_name != EVALUATOR and not 0 <= self.task < count:
      last = f'tasks are 0 to {count - 1}' if count else 'cluster has none'
      raise UserError(f'--task={self.task} of the job {self.job_name}: the {last}')

  def tasks(self, job_name: str) -> tuple[str, ...]:
    """Returns the addresses of a job; the evaluator has none, as it has no server."""
    return {WORKER: self.workers, PS: self.parameter_servers}.get(job_name, ())

  @property
  def address(self) -> str:
    """The address of this process."""
    return self.tasks(self.job_name)[self.task]

  def describe(self, job_name: str, task: int) -> str:
    """Returns the name of a process for messages, such as 'worker 1 (host:2222)'."""
    name = 'the chief' if (job_name, task) == (WORKER, 0) else f'{job_name} {task}'
    return f'{name} ({self.tasks(job_name)[task]})'


def addresses(text: str) -> tuple[str, ...]:
  """Returns the parts of 'HOST:PORT,HOST:PORT', without blanks and empty parts."""
  return tuple(part.strip() for part in text.split(',') if part.strip())


def check_address(address: str) -> None:
  """Raises UserError if an address is not of the form HOST:PORT."""
  host, _, port = address.rpartition(':')
  is_port = 0 < (whole_number(port) or 0) < 65536
  if not host or set(host) & set('/, ') or not is_port:
    raise UserError(
        f"the address '{address}' is not of the form HOST:PORT, with a port from 1 to"
        ' 65535; commas separate several')


def from_tf_config(text: str | None) -> Cluster | None:
  """Returns the cluster of the environment variable TF_CONFIG.

  Kubeflow, Ray Train, SageMaker, Vertex AI and plain Kubernetes manifests set it. The
  chief, if there is one, becomes worker 0, and the first worker is worker 1.

  Args:
    text: the value of the variable, JSON: {"cluster": {"chief": ["HOST:PORT"],
      "worker": [...], "ps": [...]}, "task": {"type": "worker", "index": 0}}.

  Returns:
    The cluster; None if TF_CONFIG is absent or describes a single process.

  Raises:
    UserError: a ValueError; the text is not of this form.
  """
  if not text or not text.strip():
    return None
  try:
    content = json.loads(text)
  except ValueError as error:
    raise UserError(f'TF_CONFIG is not JSON: {error}') from error
  jobs, task = _section(content, 'cluster'), _section(content, 'task')
  for name in jobs:
    if name not in _NAMES:
      raise unknown_name('job', name, _NAMES, ' in TF_CONFIG')
  chiefs = [address for job in _CHIEFS for address in _job(jobs, job)]
  if len(chiefs) > 1:
    raise UserError(f'TF_CONFIG has {len(chiefs)} chiefs: expected at most one')
  workers = (*chiefs, *_job(jobs, WORKER))
  servers = _job(jobs, PS)
  is_alone = len(workers) <= 1 and not servers and task.get('type') != EVALUATOR
  if is_alone and not (workers and task):
    return None
  job, index = _value(task, 'type', None), _value(task, 'index', None)
  known = (servers if job == PS else _job(jobs, WORKER) if job == WORKER else chiefs)
  if index is None and (job == EVALUATOR or len(known) <= 1):
    index = 0  # There is no other one.
  if isinstance(index, str):
    index = whole_number(index)
  if job not in _NAMES or not isinstance(index, int):
    raise UserError(
        f'TF_CONFIG: the task {json.dumps(task)} is none: expected "task":'
        ' {"type": ..., "index": ...}, with a type of chief, worker, ps or evaluator')
  if job == EVALUATOR:
    return _cluster(workers, servers, EVALUATOR, index)
  count = len(known)
  if not 0 <= index < count:
    raise UserError(
        f'TF_CONFIG: the task is {job} {index}, but the cluster has'
        + (f' {job} 0 to {count - 1}' if count else f' no {job}'))
  if is_alone:
    return None
  if job == WORKER:
    index += len(chiefs)
  return _cluster(workers, servers, PS if job == PS else WORKER, index)


def _cluster(*fields):
  """Returns the cluster; its errors name TF_CONFIG."""
  try:
    return Cluster(*fields)
  except UserError as error:
    raise UserError(f'TF_CONFIG: {error}') from error


def _section(content: Any, name: str) -> Mapping:
  section = _value(content, name, {}) if isinstance(content, Mapping) else None
  if not isinstance(section, Mapping):
    raise UserError(
        f'TF_CONFIG has no "{name}" of the form {{...}}: expected'
        ' {"cluster": {...}, "task": {...}}')
  return section


def _value(content: Mapping, name: str, default: Any) -> Any:
  """Returns a value of TF_CONFIG; a key with a similar name is a fault."""
  if content.get(name) is not None:
    return content[name]
  for key in content:
    if key not in _KEYS and suggestion(key, [name]):
      raise UserError(f"TF_CONFIG has no key '{key}'{suggestion(key, [name])}")
  return default


def _job(jobs: Mapping, name: str) -> Sequence[str]:
  """Returns the addresses of a job: a list, or a JSON object by index."""
  tasks = jobs.get(name) or []
  if isinstance(tasks, Mapping):
    tasks = [tasks[index] for index in sorted(tasks, key=int)]
  if not isinstance(tasks, list) or not all(isinstance(task, str) for task in tasks):
    raise UserError(
        f'TF_CONFIG: the job "{name}" is {json.dumps(jobs[name])}: expected a list of'
        ' "HOST:PORT"')
  return tuple(tasks)
