"""Training: `train(config)` reads from top to bottom as the steps of a run."""

import contextlib
import dataclasses
from collections.abc import Callable

from slim_zoo.config.training import TrainConfig
from slim_zoo.deployment import servers
from slim_zoo.deployment.cluster import EVALUATOR
from slim_zoo.files import owners
from slim_zoo.nets import normalization
from slim_zoo.tasks import (
    evaluator,
    job,
    training_callbacks,
    training_input,
    training_report,
    training_updates,
    validation,
)
from slim_zoo.tf_compat import tf
from slim_zoo.training import graph, loop


@dataclasses.dataclass(frozen=True)
class TrainResult:
  """What a run ended with.

  Attributes:
    train_dir: folder of the checkpoints.
    step: the last global step; None for a parameter server, or if other workers took
      the last one before this worker took any.
    end: why the run ended, in words.
    was_finished: whether there were no steps to do: the run had all of them before,
      or this process is a parameter server or an evaluator.
    validation: the last and the best validation, as in the run card; {} without.
    is_chief: whether this process saved the checkpoints.
  """

  train_dir: str
  step: int | None
  end: str
  validation: dict = dataclasses.field(default_factory=dict)
  was_finished: bool = False
  is_chief: bool = True


def train(config: TrainConfig, repeat: Callable[[int], str]) -> TrainResult:
  """Trains until the last step, a signal or a failure. Prints the progress.

  Args:
    config: what to do; `config.check()` has been called. It is not changed.
    repeat: returns the command or the code that repeats the run with a seed.

  Returns:
    The last step and why the run ended.

  Raises:
    UserError: the data, the checkpoint or the device does not fit, or the run failed;
      one line that says what to do.
  """
  config = job.resolved(config)
  if config.distribution.job_name == EVALUATOR:
    result = evaluator.run(config, repeat(config.reproducibility.seed or 0))
    return TrainResult(config.run.train_dir, result and result.step,
                       'the run has ended', was_finished=True)
  server = job.start_server(config)
  if not config.distribution.is_worker:
    servers.serve_parameters(server, config.distribution.own_cluster)
    return TrainResult(
        config.run.train_dir, None, 'the job has ended', was_finished=True)
  with tf.Graph().as_default(), _alone(config):
    result = _train(config, repeat, server)
  job.end(config, server)
  return result


def _alone(config):
  """Returns a context in which no other process trains in the run's folder."""
  if not config.distribution.is_chief:
    return contextlib.nullcontext()
  return owners.working_in(config.run.train_dir)


def _train(config, repeat, server):
  begun = job.begin(config, server)
  start = begun.start
  if begun.is_finished:
    return TrainResult(
        config.run.train_dir, start.step,
        f'{start.resumed or "the run"} is at step {start.step} of'
        f' {config.run.max_number_of_steps}: nothing is left to do',
        was_finished=True)
  seeds = training_input.seed(config, start, begun.seed, begun.origin)
  dataset, num_classes = training_input.find_dataset(config.data)
  network_fn, image_size = training_input.network(config, num_classes)
  devices = training_updates.deployment(config)
  slow = training_updates.check_devices(config, devices)
  batches = training_input.batches(config, dataset, image_size, seeds, devices)
  loss = training_updates.loss(config, num_classes, batches)
  schedule = training_updates.schedule(config, dataset.num_samples)
  training_graph = graph.build(
      devices, batches.next_batch, network_fn, loss.add, schedule,
      training_updates.optimizer_fn(config), training_updates.update_options(config),
      training_input.displayable(config), loss.cross_entropy, begun.workers,
      training_updates.batch_norm_replicas(config, devices),
      training_updates.layer_devices(config, devices))
  team = job.team(config.distribution, training_graph)
  source = training_updates.weights_source(config, dataset, num_classes)
  beginning, init_fn = start.prepare(*source)
  fresh = start.fresh(normalization.decays(), *source)
  callbacks = training_callbacks.make(
      config, training_graph, dataset, num_classes, image_size, devices, batches)
  validators = validation.callbacks(
      config, start, dataset, num_classes, image_size, devices, batches, fresh, team)
  card = training_report.run_card(
      config, start, seeds, training_graph, batches, dataset, schedule, loss,
      image_size, num_classes, repeat(seeds.seed), [*validators, *callbacks])
  training_report.show_banner(
      config, dataset, num_classes, image_size, batches, schedule, beginning, fresh,
      loss, seeds, card, slow)
  with card:
    finished = loop.run(
        training_graph, training_callbacks.loop_options(
            config, server.target if server else config.distribution.master),
        batches, init_fn, [*callbacks, *validators, card], team)
    card.stopped_by(finished.end)
  if batches.faults.summary():
    print(f'records skipped: {batches.faults.summary()}')
  return TrainResult(
      config.run.train_dir,
      None if finished.step is None else int(finished.step), finished.end,
      {key: value for validator in validators for key, value in
       validator.report().get('validation', {}).items()},
      is_chief=config.distribution.is_chief)
