"""Runs one model as clones on several devices, and as replicas on several machines.

A clone is a copy of the network within one process, usually one per GPU. Clones
share their variables, which stand on the CPU or are spread over parameter servers.
A replica is one process of a job of several; each holds `num_clones` clones.

    config = DeploymentConfig(num_clones=2)
    model = deploy(config, model_fn, optimizer=tf.train.AdamOptimizer())

`deploy` builds everything. A training script takes `create_clones` and
`CloneOptimizer` instead, and leaves the rest to slim.learning.create_train_op.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from slim_zoo.deployment.clone_optimizer import (
    Clone,
    CloneOptimizer,
    clone_losses,
    first_clone_items,
    keep_first_clone_items,
    optimize_clones,
    total_clone_loss,
)
from slim_zoo.deployment.variable_copies import VariableCopies
from slim_zoo.diagnostics import UserError
from slim_zoo.tf_compat import slim, tf

__all__ = [
    'Clone', 'CloneOptimizer', 'DeployedModel', 'DeploymentConfig', 'clone_losses',
    'create_clones', 'deploy', 'first_clone_items', 'keep_first_clone_items',
    'optimize_clones', 'total_clone_loss',
]


class DeployedModel(NamedTuple):
  """The result of `deploy`.

  Attributes:
    train_op: runs one step and returns the total loss; None without an optimizer.
    summary_op: all summaries but those of later clones, merged; None if none.
    total_loss: scalar; None where nothing added a loss.
    clones: list of `Clone`.
  """

  train_op: tf.Tensor | None
  summary_op: tf.Tensor | None
  total_loss: tf.Tensor | None
  clones: list[Clone]


@dataclasses.dataclass(frozen=True)
class DeploymentConfig:
  """How many copies of the model there are, and on which devices.

  Attributes:
    num_clones: copies of the network in this process.
    clone_on_cpu: whether they stand on the CPU. Otherwise clone i is on GPU i,
      so a machine without GPUs needs this, `clone_devices`, or a session with
      allow_soft_placement.
    replica_id: which replica this process is; 0 is the chief.
    num_replicas: processes that train together.
    num_ps_tasks: parameter servers that hold the variables; 0 keeps them here.
    worker_job_name: the replicas' job in the cluster.
    ps_job_name: the parameter servers' job in the cluster.
    clone_devices: one device string per clone, such as '/device:CPU:1', in place
      of the choice that `clone_on_cpu` makes; '' leaves the place to TensorFlow.
    variables_on_clones: whether each clone has its own copy of the variables on its
      device, see `variable_copies`; not with parameter servers. Otherwise all share the
      variables on the CPU.

  Raises:
    UserError: a ValueError; a value out of range, or two that do not go together.
  """

  num_clones: int = 1
  clone_on_cpu: bool = False
  replica_id: int = 0
  num_replicas: int = 1
  num_ps_tasks: int = 0
  worker_job_name: str = 'worker'
  ps_job_name: str = 'ps'
  clone_devices: Sequence[str] | None = None
  variables_on_clones: bool = False

  def __post_init__(self):
    for name, least in (('num_clones', 1), ('replica_id', 0),
                        ('num_replicas', 1), ('num_ps_tasks', 0)):
      if getattr(self, name) < least:
        raise UserError(
            f'{name} is {getattr(self, name)}: it must be {least} or more')
    if self.num_replicas > 1 and self.num_ps_tasks < 1:
      raise UserError(
          f'num_replicas is {self.num_replicas} but num_ps_tasks is 0: replicas'
          ' share their variables through parameter servers, so set num_ps_tasks'
          ' to 1 or more')
    if self.variables_on_clones and self.num_ps_tasks:
      raise UserError(
          f'variables_on_clones with num_ps_tasks={self.num_ps_tasks}: the parameter'
          ' servers have the variables; leave out one of them')
    if self.replica_id >= self.num_replicas:
      raise UserError(
          f'replica_id is {self.replica_id}: with num_replicas={self.num_replicas}'
          f' it must be at most {self.num_replicas - 1}')
    if self.num_ps_tasks:
      for name in ('worker_job_name', 'ps_job_name'):
        if not getattr(self, name):
          raise UserError(
              f'{name} is empty: parameter servers need the name of the job, such'
              f" as '{name.removesuffix('_job_name')}'")
    if self.clone_devices is not None:
      self._check_clone_devices()

  def _check_clone_devices(self) -> None:
    devices = self.clone_devices
    if self.clone_on_cpu:
      raise UserError(
          f'clone_on_cpu and clone_devices={devices!r} both place the clones: give'
          ' one of them')
    if isinstance(devices, str) or len(devices) != self.num_clones:
      raise UserError(
          f'clone_devices is {devices!r}: it must be a list of num_clones='
          f'{self.num_clones} device strings')
    for device in devices:
      try:
        if not isinstance(device, str):
          raise ValueError
        tf.DeviceSpec.from_string(device)
      except ValueError:
        raise UserError(
            f"clone_devices names {device!r}: a device is written like"
            " '/device:GPU:0' or '/device:CPU:1'") from None

  @property
  def ps_device(self) -> str:
    """The parameter servers' job as a device string; '' if there are none."""
    return f'/job:{self.ps_job_name}' if self.num_ps_tasks else ''

  @property
  def worker_device(self) -> str:
    """The replicas' job as a device string; '' without parameter servers."""
    return f'/job:{self.worker_job_name}' if self.num_ps_tasks else ''

  def caching_device(self) -> Callable | None:
    """Returns where variables are cached for reading.

    With parameter servers that is a device function: where the reading op is.
    Otherwise None: they are near already.
    """
    return (lambda op: op.device) if self.num_ps_tasks else None

  def _check_clone_index(self, clone_index: int) -> None:
    if not 0 <= clone_index < self.num_clones:
      raise UserError(
          f'clone_index is {clone_index}: with num_clones={self.num_clones} it must'
          f' be at most {self.num_clones - 1}, and not negative')

  def clone_device(self, clone_index: int) -> str:
    """Returns the device string of a clone; UserError where there is none."""
    self._check_clone_index(clone_index)
    if self.clone_devices is not None:
      device = tf.DeviceSpec.from_string(self.clone_devices[clone_index])
      worker = tf.DeviceSpec.from_string(self.worker_device)
      return worker.make_merged_spec(device).to_string()
    if self.clone_on_cpu:
      return f'{self.worker_device}/device:CPU:0'
    return f'{self.worker_device}/device:GPU:{clone_index}'

  def clone_scope(self, clone_index: int) -> str:
    """Returns 'clone_INDEX', or '' for an only clone; UserError where none is."""
    self._check_clone_index(clone_index)
    return f'clone_{clone_index}' if self.num_clones > 1 else ''

  def optimizer_device(self) -> str:
    """Returns the device string to add up and apply gradients under."""
    if self.variables_on_clones:
      return self.clone_device(0)
    return f'{self.worker_device}/device:CPU:0'

  def inputs_device(self) -> str:
    """Returns the device string to build the input pipeline under."""
    return f'{self.worker_device}/device:CPU:0'

  def step_device(self) -> str | Callable:
    """Returns where the global step and other variables of one number are created.

    What decides about a step is computed on the CPU, which starts the operations.
    """
    return self.inputs_device() if self.variables_on_clones else self.variables_device()

  def variables_device(self) -> str | Callable:
    """Returns the device, or device function, to create variables under.

    With parameter servers it is a function that gives the variables to them in
    turn, beginning with task 0, and leaves other ops where they are.
    """
    if self.variables_on_clones:
      return self.clone_device(0)
    if not self.num_ps_tasks:
      return '/device:CPU:0'
    return tf.train.replica_device_setter(
        ps_tasks=self.num_ps_tasks, ps_device=f'{self.ps_device}/device:CPU:0',
        worker_device='')


def create_clones(config: DeploymentConfig, model_fn: Callable,
                  args: Sequence | None = None,
                  kwargs: Mapping[str, Any] | None = None) -> list[Clone]:
  """Calls the model function once per clone, under the clone's scope and device.

  The first call creates the variables, the others share them, or have copies of them
  with `variables_on_clones`. The variables that slim creates, in its layers,
  slim.model_variable and slim.variable, are placed on config.variables_device().

  Args:
    config: a DeploymentConfig.
    model_fn: called as model_fn(*args, **kwargs). It adds its losses to
      tf.GraphKeys.LOSSES, as tf.losses and slim.losses do. It takes its next
      batch inside, since each clone gets the same arguments.
    args: list of positional arguments.
    kwargs: dictionary of keyword arguments.

  Returns:
    A list of config.num_clones `Clone`.
  """
  clones = []
  for index in range(config.num_clones):
    device, copies = config.clone_device(index), None
    if index and config.variables_on_clones:
      copies = VariableCopies(index)
      variables, variables_device = copies.replacing(), device
    else:
      # An inherited scope keeps the caller's own reuse for the first clone.
      variables = tf.variable_scope(
          tf.get_variable_scope(), reuse=True if index else None)
      variables_device = config.variables_device()
    with (slim.arg_scope([slim.model_variable, slim.variable], device=variables_device),
          tf.name_scope(config.clone_scope(index)) as scope,
          tf.device(device), variables):
      outputs = model_fn(*(args or ()), **(kwargs or {}))
    clones.append(Clone(outputs, scope, device, copies))
  return clones


def deploy(config: DeploymentConfig, model_fn: Callable,
           args: Sequence | None = None,
           kwargs: Mapping[str, Any] | None = None,
           optimizer: tf.train.Optimizer | None = None,
           summarize_gradients: bool = False) -> DeployedModel:
  """Builds the clones, their total loss and, given an optimizer, the train op.

  The train op applies the summed gradients, adds one to the global step, runs the
  update ops of clone 0, and returns the total loss.

  Args:
    config: a DeploymentConfig.
    model_fn: as for `create_clones`.
    args: as for `create_clones`.
    kwargs: as for `create_clones`.
    optimizer: a tf.train.Optimizer, or None to only evaluate.
    summarize_gradients: whether to add a histogram and a norm of each gradient.

  Raises:
    UserError: there is an optimizer, but no loss or no gradient.
  """
  clones = create_clones(config, model_fn, args, kwargs)
  train_op = None
  with tf.device(config.optimizer_device()):
    if optimizer is None:
      total_loss = total_clone_loss(clone_losses(clones))
    else:
      with tf.device(config.variables_device()):
        global_step = slim.get_or_create_global_step()
      total_loss, gradients = optimize_clones(clones, optimizer)
      if summarize_gradients:
        slim.learning.add_gradients_summaries(gradients)
      updates = first_clone_items(clones, tf.GraphKeys.UPDATE_OPS)
      updates.append(optimizer.apply_gradients(gradients, global_step=global_step))
      with tf.control_dependencies(updates):
        train_op = tf.identity(total_loss, name='train_op')
    if total_loss is not None:
      tf.summary.scalar('losses/total_loss', total_loss)
    summaries = first_clone_items(clones, tf.GraphKeys.SUMMARIES)
    summary_op = tf.summary.merge(summaries, name='summary_op') if summaries else None
  return DeployedModel(train_op, summary_op, total_loss, clones)
