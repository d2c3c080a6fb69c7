"""The training loop: slim.learning.train, steered through its train_step_fn.

What the stock loop leaves to background threads happens here between two steps,
where all variables are of one step: checkpoints, summaries, progress, signals.
"""

import dataclasses
import os
from collections.abc import Sequence

import diagnostics
from datasets import pipeline
from progress import clock
from tf_compat import slim, tf
from training import (
    failures,
    graph,
    graph_files,
    intervals,
    numerics,
    savers,
    stopping,
    watching,
)


@dataclasses.dataclass(frozen=True)
class LoopOptions:
  """How a run is carried out.

  Attributes:
    train_dir: where checkpoints and summaries go.
    max_number_of_steps: the global step to stop at; None: no end.
    log_every_n_steps: steps between progress lines; 0: none.
    save_summaries_secs: seconds between summaries; 0: none.
    save_interval_secs: seconds between checkpoints; 0: only at the end.
    images_per_step: of all clones of this process.
    master: the address of a TensorFlow server; '': this process.
    is_chief: whether this process initializes, saves and summarizes.
    replicas_to_aggregate: gradients of an update, with synchronous replicas.
    device_filters: the devices that this process may see; all if empty.
  """

  train_dir: str
  max_number_of_steps: int | None
  log_every_n_steps: int
  save_summaries_secs: float
  save_interval_secs: float
  images_per_step: int
  master: str = ''
  is_chief: bool = True
  replicas_to_aggregate: int = 1
  device_filters: tuple[str, ...] = ()


class TrainingLoop:
  """Runs a training graph to its end, a signal, or a cause to stop.

  Args:
    training_graph: what to run.
    options: how.
    images: the input pipeline.
    stop_request: asked after every step.
    watchers: called between the steps.

  Attributes:
    step: the last step taken, or None.
    end: why the run ended, for its last line.
    saver: writes the checkpoints.
    input_failure: what the input failed by, or None.
    unreadable: the records that were passed over.
  """

  def __init__(self, training_graph: graph.TrainingGraph, options: LoopOptions,
               images: pipeline.Input, stop_request: stopping.StopRequest,
               watchers: Sequence[watching.Watcher] = ()):
    self._graph, self._options, self._images = training_graph, options, images
    self._stop_request, self._watchers = stop_request, watchers
    for watcher in watchers:
      watcher.is_asked_to_stop = lambda: stop_request.signal is not None
    self.saver = self._make_saver()
    self._run_step = self._run_batch = None
    self._stopping = False
    self.step = None
    self.end = 'done'
    self.input_failure = None
    self.unreadable = set()
    self._save_due = intervals.Every(options.save_interval_secs)
    self._summaries_due = intervals.Every(options.save_summaries_secs)
    self._interval = intervals.Interval()

  def train_step(self, session, unused_train_op, unused_global_step, kwargs):
    """Takes one step; the train_step_fn of slim.learning.train.

    Returns:
      (total loss, whether to stop).
    """
    if self._run_step is None:
      self._begin(session, kwargs.get('summary_writer'))
    try:
      waited_before = self._accumulate()
      if self._graph.summary_op is not None and self._summaries_due.due():
        results = self._step_with_summaries(session, kwargs.get('summary_writer'))
      else:
        results = self._run_step()
    except tf.errors.OpError as error:
      bad = numerics.explain(error, session, self._graph.finite_check, self.step)
      if bad:
        raise bad from error
      self.input_failure = self._images.failure(error)
      if self.input_failure is None:
        raise
      # The weights are sound: stop as at the end of a run, which saves them.
      self._stopping = True
      return None, True
    loss, self.step, learning_rate, waited, numbers = results
    waited += waited_before
    self._images.log.deliver(numbers)
    self._report_unreadable()
    self._interval.add(loss, waited)
    for watcher in self._watchers:
      watcher.measured(self.step, float(loss), float(waited))
    every = self._options.log_every_n_steps
    is_told = every and self.step % every == 0
    if is_told:
      self._print_progress(learning_rate)
    stop = self._stopping = self._watch(session) or self._should_stop()
    if stop:
      if every and not is_told:
        self._print_progress(learning_rate)
      self._end(session)
    elif self._options.is_chief and self._save_due.due():
      path = os.path.join(self._options.train_dir, savers.CHECKPOINT_NAME)
      self.saver.save(session, path, self.step)
    return loss, stop

  def _begin(self, session, writer):
    fetches = self._graph
    step = int(session.run(tf.train.get_global_step(session.graph)))
    for watcher in self._watchers:
      watcher.begin(session, step, writer)
    self._run_step = session.make_callable(
        [fetches.train_op, fetches.step, fetches.learning_rate, fetches.waited,
         fetches.numbers])
    if fetches.accumulate_op is not None:
      self._run_batch = session.make_callable(
          [fetches.accumulate_op, fetches.waited, fetches.numbers])
    self._interval.start()

  def _watch(self, session):
    """Shows the step to the watchers; returns whether one wants the run to stop."""
    try:
      # Validation, for one, takes longer than steps do.
      with self._interval.paused():
        reasons = [watcher.after_step(session, self.step) for watcher in self._watchers]
    except watching.InputFailure as failure:
      self.input_failure = failure
      return True
    self.end = next(filter(None, reasons), self.end)
    return any(reasons)

  def _end(self, session):
    try:
      for watcher in self._watchers:
        watcher.end(session, self.step)
    except watching.InputFailure as failure:
      self.input_failure = self.input_failure or failure

  def _accumulate(self):
    """Takes the batches of a step but the last; returns the seconds they waited."""
    seconds = 0.0
    for _ in range(self._graph.accumulate_steps - 1):
      _, waited, numbers = self._run_batch()
      self._images.log.deliver(numbers)
      seconds += waited
    return seconds

  def _make_saver(self):
    sync_optimizer = self._graph.sync_optimizer
    if sync_optimizer is None:
      return savers.CheckpointSaver(self._options.train_dir, self._watchers)
    return savers.ReleasingSaver(
        self._options.train_dir, self._watchers, self._graph.train_op,
        self._options.replicas_to_aggregate, lambda: self._stopping)

  def _step_with_summaries(self, session, writer):
    summary, *results = session.run(
        [self._graph.summary_op, self._graph.train_op, self._graph.step,
         self._graph.learning_rate, self._graph.waited, self._graph.numbers])
    if writer:
      writer.add_summary(summary, results[1])
    return results

  def _should_stop(self):
    last = self._options.max_number_of_steps
    return self._stop_request.signal is not None or (
        last is not None and self.step >= last)

  def _report_unreadable(self):
    for number, key in self._images.log.take_lost():
      if key is None or key not in self.unreadable:
        self.unreadable.add(key or number)
        print(f'passed over {self._images.log.describe(key)}: its image cannot be'
              f' decoded ({len(self.unreadable)} so far)', flush=True)

  def _print_progress(self, learning_rate):
    interval = self._interval.restart()
    last = self._options.max_number_of_steps
    of_last = f'/{last}' if last else ''
    images = interval.steps * self._options.images_per_step / interval.seconds
    line = (f'step {self.step}{of_last}  loss {interval.mean_loss:.4f}'
            f'  learning rate {learning_rate:.3g}  {images:,.0f} images/s'
            f'  input wait {interval.wait_share:.0%}')
    if last and last > self.step:
      line += f'  {clock((last - self.step) * interval.elapsed / interval.steps)} left'
    print(line, flush=True)


def run(training_graph: graph.TrainingGraph, options: LoopOptions,
        images: pipeline.Input, init_fn=None,
        watchers: Sequence[watching.Watcher] = ()) -> TrainingLoop:
  """Trains until the last step, a signal or a failure.

  Args:
    training_graph: what to run.
    options: how.
    images: the input pipeline of the graph.
    init_fn: called with the session if train_dir has no checkpoint.
    watchers: called between the steps, in this order.

  Returns:
    The loop, see its attributes.

  Raises:
    UserError: the loss is not finite, or the input failed; the message names
      the last checkpoint.
  """
  stop_request = stopping.StopRequest()
  if options.is_chief:
    watchers = [*watchers, graph_files.GraphFiles(options.train_dir)]
  with (stop_request.listening(), failures.without_summary_thread_errors(),
        graph_files.without_those_of_the_supervisor()):
    loop = TrainingLoop(training_graph, options, images, stop_request, watchers)
    # The Supervisor runs these before the first step, restored or not.
    tf.add_to_collection(tf.GraphKeys.TABLE_INITIALIZERS, images.initializer)
    config = tf.ConfigProto(
        allow_soft_placement=True, device_filters=options.device_filters)
    try:
      slim.learning.train(
          training_graph.train_op, options.train_dir, train_step_fn=loop.train_step,
          train_step_kwargs={}, master=options.master, is_chief=options.is_chief,
          number_of_steps=options.max_number_of_steps, init_fn=init_fn,
          # The chief itself makes the variables ready; others have to wait.
          ready_op=None if options.is_chief else tf.report_uninitialized_variables(),
          summary_op=None, save_summaries_secs=int(options.save_summaries_secs),
          saver=loop.saver, save_interval_secs=0,
          sync_optimizer=training_graph.sync_optimizer, session_config=config)
      if loop.saver.failure is not None:
        raise loop.saver.failure
    except numerics.BadNumbers as error:
      raise diagnostics.UserError(
          failures.with_last_checkpoint(error, options.train_dir)) from error
    except (tf.errors.OpError, RuntimeError, OSError) as error:
      answer = failures.explain(error, loop.step, options.train_dir)
      if answer is None:
        raise
      raise answer from error
  if loop.input_failure is not None:
    raise diagnostics.UserError(
        failures.with_last_checkpoint(loop.input_failure, options.train_dir))
  if stop_request.signal is not None:
    raise stopping.Stopped(stop_request.signal, loop.step, options.train_dir)
  return loop
