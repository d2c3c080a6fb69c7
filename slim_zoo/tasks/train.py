"""Training: `_train` has the stages of a run in order, from top to bottom."""

import contextlib
import dataclasses
from collections.abc import Callable, Sequence

from slim_zoo import tf_compat
from slim_zoo.config.training import TrainConfig
from slim_zoo.deployment import servers
from slim_zoo.deployment.cluster import EVALUATOR
from slim_zoo.files import owners, staging
from slim_zoo.nets import normalization
from slim_zoo.tasks import (
  evaluator,
  job,
  memory,
  run_logging,
  teachers,
  training_callbacks,
  training_input,
  training_precision,
  training_report,
  training_updates,
  validation,
)
from slim_zoo.tf_compat import tf
from slim_zoo.training import graph, whole_run
from slim_zoo.training.callbacks.callback import Callback


@dataclasses.dataclass(frozen=True)
class TrainResult:
  """The result of a run.

  Attributes:
    train_dir: folder of the checkpoints.
    step: the last global step; None for a parameter server, and for a worker that took
      no step because the others took the last one.
    end: why the run ended, in words.
    was_finished: whether this call had no step to take: the run was complete before,
      or this process is a parameter server or an evaluator.
    validation: the last and the best validation, as in the run card; {} without
      validation.
    is_chief: whether this process saved the checkpoints.
  """

  train_dir: str
  step: int | None
  end: str
  validation: dict = dataclasses.field(default_factory=dict)
  was_finished: bool = False
  is_chief: bool = True


def train(config: TrainConfig, repeat: Callable[[int], str],
          watchers: Sequence[Callback] = ()) -> TrainResult:
  """Trains until the last step, a signal or a failure. Prints the progress.

  Args:
    config: the options; `config.check()` has been called. It is not changed.
    repeat: gets a seed, and returns the command or the Python code that repeats the run
      with it.
    watchers: more callbacks of the loop.

  Returns:
    The last step, why the run ended, and the last validation.

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
  try:
    with tf.Graph().as_default(), _alone(config), memory.explained(config):
      result = _train(config, repeat, server, watchers)
  except Exception as error:
    job.fail(config, server, error)
    raise
  finally:
    # Other functions of the Python interface do not set seeds.
    if config.reproducibility.deterministic:
      tf_compat.end_determinism()
  job.end(config, server)
  return result


@contextlib.contextmanager
def _alone(config):
  """Creates the folders of the chief, and keeps other processes out of the run's."""
  if not config.distribution.is_chief:
    yield
    return
  with staging.created(*config.folders), owners.working_in(config.run.train_dir):
    yield


def _train(config, repeat, server, watchers):
  job_start = job.begin(config, server)
  start = job_start.start
  if job_start.is_finished:
    return TrainResult(
        config.run.train_dir, start.step,
        f'{start.resumed or "the run"} is at step {start.step} of'
        f' {config.run.max_number_of_steps}: nothing is left to do',
        was_finished=True)
  training_input.await_service(config)
  seeds = training_input.seed(config, start, job_start.seed, job_start.origin)
  dataset, num_classes = training_input.find_dataset(config.data)
  devices = training_updates.deployment(config)
  precision = training_updates.check_devices(config, devices)
  network_fn, image_size = training_input.network(config, num_classes, precision.casts)
  teacher = teachers.find(
      config, num_classes,
      training_updates.class_names(dataset, config.data.labels_offset), image_size,
      precision.casts, devices)
  batches = training_input.batches(
      config, dataset, image_size, seeds, devices, job_start.key, start.step)
  loss = training_updates.loss(config, num_classes, batches)
  schedule = training_updates.schedule(config, dataset.num_samples)
  training_graph = graph.build(
      devices, batches.next_batch, network_fn, loss.add, schedule,
      training_updates.optimizer_fn(config), training_updates.update_options(config),
      training_input.displayable(config), loss.cross_entropy, job_start.workers,
      training_updates.batch_norm_replicas(config, devices),
      training_updates.layer_devices(config, devices), teacher and teacher.losses)
  precision = training_precision.choose(
      precision, config.precision, training_graph, batches, devices.clone_device(0),
      config.distribution.num_cpus, training_updates.is_hinted(config),
      config.devices.settings, config.quantization.is_on)
  team = job.team(config.distribution, training_graph)
  weights_source = training_updates.weights_source(config, dataset, num_classes)
  weights_lines, init_fn = start.prepare(*weights_source)
  fresh_batch_norm = start.fresh(normalization.decays(), *weights_source)
  callbacks = training_callbacks.make(
      config, training_graph, dataset, num_classes, image_size, devices, batches)
  validators = validation.callbacks(
      config, start, dataset, num_classes, image_size, devices, batches,
      fresh_batch_norm, team, precision.rewrite, training_graph.agreement)
  card = training_report.run_card(
      config, start, seeds, training_graph, batches, dataset, schedule, loss,
      image_size, num_classes, repeat(seeds.seed), [*validators, *callbacks],
      precision, teacher)
  training_report.show_banner(
      config, dataset, num_classes, image_size, batches, schedule,
      weights_lines, fresh_batch_norm, loss, seeds, card, precision.notes,
      teacher)
  loggers = run_logging.training_loggers(config, start, seeds.seed, image_size, card)
  with contextlib.ExitStack() as stack:
    # At the end, the card is written before it is logged.
    for each in (*loggers, card):
      stack.enter_context(each)
    loop_result = whole_run.run(
        training_graph, training_callbacks.loop_options(
            config, server.target if server else config.distribution.master,
            precision.rewrite),
        batches, init_fn, [*callbacks, *validators, *watchers, card, *loggers], team)
    card.stopped_by(loop_result.end)
  if batches.faults.summary():
    print(f'records skipped: {batches.faults.summary()}')
  return TrainResult(
      config.run.train_dir,
      None if loop_result.step is None else int(loop_result.step), loop_result.end,
      {key: value for validator in validators if hasattr(validator, 'report')
       for key, value in validator.report().get('validation', {}).items()},
      is_chief=config.distribution.is_chief)
