"""The batch of all workers together, divided into what each clone takes at a time."""

import dataclasses
import math

from slim_zoo import diagnostics
from slim_zoo.config.training import TrainConfig


def divide_global_batch(config: TrainConfig) -> TrainConfig:
  """Returns a config with the batch size and the number of batches in a step.

  A run keeps its --global_batch_size if it continues with other workers or clones. All
  batches have the same size, the largest that is at most --batch_size.

  Args:
    config: config of the run, with a known cluster.

  Raises:
    UserError: the workers and clones cannot share the images evenly, or another option
      says otherwise.
  """
  whole = config.data.global_batch_size
  if whole is None:
    return config
  if 'accumulate_steps' in config.user_options:
    raise diagnostics.UserError(
        f'--accumulate_steps={config.optimizer.accumulate_steps} with'
        f' --global_batch_size={whole}: it follows from the batch size; leave out one'
        ' of them')
  clones = config.distribution.num_clones * config.distribution.replicas_per_step
  if whole % clones:
    lower, upper = whole // clones * clones, -(-whole // clones) * clones
    near = f'{lower} or {upper}' if lower else f'{upper}'
    raise diagnostics.UserError(
        f'--global_batch_size={whole}: {clones} clones of all workers cannot share it'
        f' evenly: choose {near}')
  images = whole // clones
  batches = math.ceil(images / config.data.batch_size)
  while images % batches:
    batches += 1
  return dataclasses.replace(
      config,
      data=dataclasses.replace(config.data, batch_size=images // batches),
      optimizer=dataclasses.replace(config.optimizer, accumulate_steps=batches))
