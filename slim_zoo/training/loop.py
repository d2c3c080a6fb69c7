"""The training loop: slim.learning.train, steered through its train_step_fn.

What the stock loop leaves to background threads happens here between two steps,
where all variables are of one step: checkpoints, summaries, progress, signals.
"""

import dataclasses
import os
from collections.abc import Sequence

from slim_zoo import diagnostics
from slim_zoo.deployment import servers
from slim_zoo.deployment.agreement import SAVE, STOP_BY_SIGNAL, STOP_WITH_REASON
from slim_zoo.input import pipeline
from slim_zoo.progress import clock
from slim_zoo.tf_compat import slim, tf
from slim_zoo.training import failures, graph, intervals, savers, stopping
from slim_zoo.training.callbacks import graph_files, summaries
from slim_zoo.training.callbacks.callback import Callback, CallbackList
from slim_zoo.training.callbacks.weights_comparison import WeightsComparison
from slim_zoo.training.updates import numerics


@dataclasses.dataclass(frozen=True)
class LoopOptions:
  """How a run is carried out.

  Attributes:
    train_dir: where checkpoints and summaries go.
    max_number_of_steps: the global step to stop at; None: no end.
    log_every_n_steps: steps between progress lines; 0: none.
    save_summaries_secs: seconds between summaries; 0: none. The curves are written
      after the first step of this process and after its last one, too.
    save_interval_secs: seconds between checkpoints; 0: only at the end.
    images_per_step: that are read while the global step rises by one.
    master: the address of a TensorFlow server; '': this process.
    is_chief: whether this process initializes, saves and summarizes.
    replicas_to_aggregate: gradients of an update, with synchronous replicas.
    device_filters: the devices that this process may see; all if empty.
    num_cpus: logical devices that the CPU is divided into.
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
  num_cpus: int = 1


class TrainingLoop:
  """Runs a training graph to its end, a signal, or a cause to stop.

  Args:
    training_graph: what to run.
    options: how.
    images: the input pipeline.
    stop_request: asked after every step.
    callbacks: called between the steps.

  Attributes:
    step: the last step taken, or None.
    end: why the run ended, for its last line.
    saver: writes the checkpoints.
    callbacks: the callbacks, and the first failure of the run.
    unreadable: the records that were skipped.
    is_stopped_by_others: whether another worker was told by a signal to stop.
  """

  def __init__(self, training_graph: graph.TrainingGraph, options: LoopOptions,
               images: pipeline.Input, stop_request: stopping.StopRequest,
               callbacks: Sequence[Callback] = ()):
    self._graph, self._options, self._images = training_graph, options, images
    self._stop_request, self.callbacks = stop_request, CallbackList(callbacks)
    for callback in callbacks:
      callback.is_asked_to_stop = self._ends_soon
    self.saver = self._make_saver()
    self._run_step = self._run_batch = None
    self._stopping = self._is_unsound = False
    self.step = None
    self.end = 'done'
    self.unreadable = set()
    self.is_stopped_by_others = False
    self._save_due = intervals.Every(options.save_interval_secs)
    self._summaries_due = intervals.Every(options.save_summaries_secs)
    self._interval = intervals.Interval()
    self._writer = None
    # The values of the last step and, of steps whose summaries are written, the step.
    self._curves = self._agreed = self._summarized = None

  def train_step(self, session, unused_train_op, unused_global_step, kwargs):
    """Takes one step; the train_step_fn of slim.learning.train.

    Returns:
      (total loss, whether to stop). Then the weights are saved, also after what is
      `callbacks.failure`. What is raised instead leaves them unsaved.
    """
    writer = kwargs.get('summary_writer')
    if self._run_step is None:
      self._begin(session, writer)
    try:
      results = self._take_step(session, writer)
    except BaseException as error:
      self._fail_in_step(session, error)
      return None, True
    self._stop_request.has_progress, is_first = True, self.step is None
    self.step = results[1]
    try:
      if is_first:
        self._write_curves()
      stop = self._after_step(session, *results)
    # The step is whole, whatever failed after it.
    except BaseException as error:
      self.callbacks.note(error, 'the loop')
      stop = True
    if isinstance(self.callbacks.failure, numerics.BadNumbers):
      self._end_unsaved(session, self.callbacks.failure)
    if stop:
      self._end(session)
    return results[0], stop

  def _begin(self, session, writer):
    fetches = self._graph
    self._writer = writer if self._options.save_summaries_secs else None
    for shared in filter(None, [fetches.agreement, fetches.copies]):
      shared.broadcast(session)
    step = int(session.run(tf.train.get_global_step(session.graph)))
    self.callbacks.begin(session, step, writer)
    if self.callbacks.failure is not None:
      self._end_unsaved(session, self.callbacks.failure, step)
    if self._stop_request.signal is not None:
      self._end_unsaved(session, self._stop_request.answer(None), step)
    self._run_step = session.make_callable(
        [fetches.train_op, fetches.step, fetches.learning_rate, fetches.waited,
         fetches.numbers, fetches.curves, fetches.agreed])
    if fetches.accumulate_op is not None:
      self._run_batch = session.make_callable(
          [fetches.accumulate_op, fetches.waited, fetches.numbers])
    self._interval.start(step)

  def _take_step(self, session, writer):
    """Returns the loss, the step, its rate, seconds of waiting, and record numbers."""
    waited_before = self._accumulate()
    if self._graph.summary_op is not None and self._summaries_due.due():
      results = self._step_with_summaries(session, writer)
    else:
      results = self._run_step()
    loss, step, learning_rate, waited, numbers, self._curves, self._agreed = results
    return loss, step, learning_rate, waited + waited_before, numbers

  def _fail_in_step(self, session, error):
    """Notes the failure of the input; raises what may have spoiled the weights."""
    if isinstance(error, tf.errors.OpError):
      agreement = self._graph.agreement
      error = (agreement and agreement.workers.explain(error)) or error
    if isinstance(error, tf.errors.OpError):
      bad = numerics.explain(error, session, self._graph.finite_check, self.step)
      if bad:
        self._end_unsaved(session, bad)
      of_input = self._images.failure(error)
      if of_input is not None:
        self.callbacks.note(of_input, 'the input')
        if self.step is None:
          self._end_unsaved(session, of_input)
        # The weights are sound: stop as at the end of a run, which saves them.
        self._end(session)
        return
    self._end_unsaved(session, error)

  def _end_unsaved(self, session, error, step=None):
    """Calls every `end`, then raises the failure: there is nothing to save.

    Args:
      session: of the run.
      error: what to raise, the first failure unless there was one.
      step: the global step that the run began at, if it has taken none.
    """
    self._is_unsound = True
    self.callbacks.note(error, 'the run')
    self._end(session, step or 0)
    raise self.callbacks.failure

  def _end(self, session, step=None):
    """Ends the summaries and the callbacks, at the last step or one without any."""
    self._stopping = True
    if self.step is not None:
      step = self.step
      try:
        self._write_curves()
      except BaseException as error:
        self.callbacks.note(error, 'the last summary')
    self.callbacks.end(session, step)
    if self._compares_alone():
      try:
        self.callbacks.before_save(session, step)
      except BaseException as error:
        self.callbacks.note(error, 'the comparison of the weights')

  def _compares_alone(self):
    """Returns whether the chief saves, and this worker is to compare its weights."""
    return (self._graph.agreement is not None and not self._options.is_chief
            and not self._is_unsound)

  def _write_curves(self):
    """Writes the numbers of the last step, unless it has summaries already."""
    if self._writer is None or self._summarized == self.step:
      return
    self._summarized = self.step
    summaries.write_scalars(
        self._writer, dict(zip(self._graph.curve_tags, self._curves, strict=True)),
        self.step)

  def _ends_soon(self):
    """Whether callbacks should be brief: after a signal, or with bad weights."""
    return (self._stop_request.signal is not None or self.is_stopped_by_others
            or self._is_unsound)

  def _after_step(self, session, loss, step, learning_rate, waited, numbers):
    """Tells of a step, and saves where it is time; returns whether it is the last."""
    self._images.log.deliver(numbers)
    self._report_unreadable()
    self._interval.add(step, loss, waited)
    self.callbacks.measured(step, float(loss), float(waited))
    every = self._options.log_every_n_steps
    is_printed = every and step % every == 0
    if is_printed:
      self._print_progress(learning_rate)
    # Validation, for one, takes longer than steps do.
    with self._interval.paused():
      reasons = self.callbacks.after_step(session, step)
    self.end = next(iter(reasons), self.end)
    is_last, saves = self._decide(session, bool(reasons))
    if is_last:
      if every and not is_printed:
        self._print_progress(learning_rate)
      return True
    if saves and self._options.is_chief:
      path = os.path.join(self._options.train_dir, savers.CHECKPOINT_NAME)
      self.saver.save(session, path, step)
    elif saves:
      self.callbacks.before_save(session, step)
    return self._graph.agreement is None and self.callbacks.failure is not None

  def _decide(self, session, has_reason):
    """Returns whether the step was the last one, and whether to save.

    All-reduce workers decide together: what one wishes, all do after the next step.
    """
    wishes = {STOP_BY_SIGNAL} if self._stop_request.signal is not None else set()
    if has_reason or self.callbacks.failure is not None:
      wishes.add(STOP_WITH_REASON)
    if self._options.is_chief and self._save_due.due():
      wishes.add(SAVE)
    decided = wishes
    if self._graph.agreement is not None:
      decided = self._graph.agreement.decide(session, self._agreed, wishes)
      self.is_stopped_by_others = bool({STOP_BY_SIGNAL} & (decided - wishes))
      if STOP_WITH_REASON in decided and self.end == 'done':
        self.end = 'another worker ended the run'
    last = self._options.max_number_of_steps
    return (bool(decided - {SAVE}) or (last is not None and self.step >= last),
            SAVE in decided)

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
      return savers.CheckpointSaver(self._options.train_dir, self.callbacks)
    return savers.ReleasingSaver(
        self._options.train_dir, self.callbacks, self._graph.train_op,
        self._options.replicas_to_aggregate, lambda: self._stopping)

  def _step_with_summaries(self, session, writer):
    summary, *results = session.run(
        [self._graph.summary_op, self._graph.train_op, self._graph.step,
         self._graph.learning_rate, self._graph.waited, self._graph.numbers,
         self._graph.curves, self._graph.agreed])
    if writer:
      writer.add_summary(summary, results[1])
      self._summarized = results[1]
    return results

  def _report_unreadable(self):
    for number, key in self._images.log.take_lost():
      if key is None or key not in self.unreadable:
        self.unreadable.add(key or number)
        reason, is_printed = 'its image cannot be decoded', True
        if key is not None:
          fault, is_printed = self._images.faults.add(key)
          reason = fault.reason
        if is_printed:
          print(f'skipped {self._images.log.describe(key)}: {reason}'
                f' ({len(self.unreadable)} so far)', flush=True)

  def _print_progress(self, learning_rate):
    interval = self._interval.restart()
    last = self._options.max_number_of_steps
    of_last = f'/{last}' if last else ''
    images = interval.steps * self._options.images_per_step / interval.seconds
    loss = diagnostics.fixed(interval.mean_loss, 4)
    line = (f'step {self.step}{of_last}  loss {loss}'
            f'  learning rate {learning_rate:.3g}  {images:,.0f} images/s'
            f'  input wait {interval.wait_share:.0%}')
    if last and last > self.step:
      line += f'  {clock((last - self.step) * interval.elapsed / interval.steps)} left'
    print(line, flush=True)


def run(training_graph: graph.TrainingGraph, options: LoopOptions,
        images: pipeline.Input, init_fn=None,
        callbacks: Sequence[Callback] = ()) -> TrainingLoop:
  """Trains until the last step, a signal or a failure.

  Args:
    training_graph: what to run.
    options: how.
    images: the input pipeline of the graph.
    init_fn: called with the session if train_dir has no checkpoint.
    callbacks: called between the steps, in this order.

  Returns:
    The loop, see its attributes.

  Raises:
    UserError: what ended the run early; the message names the last checkpoint.
    Exception: another failure, after the weights were saved if they are sound.
  """
  stop_request = stopping.StopRequest(options.train_dir)
  agreement = training_graph.agreement
  compared = filter(None, [agreement, training_graph.copies])
  callbacks = [*map(WeightsComparison, compared), *callbacks]
  if options.is_chief:
    callbacks = [*callbacks, graph_files.GraphFiles(options.train_dir)]
  with (stop_request.listening(), failures.without_summary_thread_errors(),
        graph_files.without_those_of_the_supervisor()):
    loop = TrainingLoop(training_graph, options, images, stop_request, callbacks)
    # The Supervisor runs these before the first step, restored or not.
    tf.add_to_collection(tf.GraphKeys.TABLE_INITIALIZERS, images.initializer)
    config = servers.session_config(
        agreement and agreement.workers.cluster, options.device_filters,
        options.num_cpus)
    # An all-reduce worker has all variables itself, and the chief keeps the files.
    prepares = options.is_chief or agreement is not None
    files = {} if not options.is_chief and agreement is not None else {
        'logdir': options.train_dir, 'summary_op': None, 'saver': loop.saver}
    try:
      slim.learning.train(
          training_graph.train_op, **{'logdir': None, **files},
          train_step_fn=loop.train_step, train_step_kwargs={}, master=options.master,
          is_chief=prepares,
          number_of_steps=options.max_number_of_steps, init_fn=init_fn,
          # The chief itself makes the variables ready; others have to wait.
          ready_op=None if prepares else tf.report_uninitialized_variables(),
          save_summaries_secs=int(options.save_summaries_secs), save_interval_secs=0,
          sync_optimizer=training_graph.sync_optimizer, session_config=config)
    # What fails later, such as saving to the disk that is full, is not the cause.
    except Exception as error:
      if loop.callbacks.failure is None and isinstance(error, diagnostics.UserError):
        raise  # Before the first step, such as of a checkpoint that does not fit.
      if stop_request.signal is not None and loop.step is None:
        raise stop_request.answer(None) from error  # As the library passed it on.
      loop.callbacks.note(error, 'the end of the run')
    if loop.saver.failure is not None:
      loop.callbacks.note(loop.saver.failure, 'saving')
    failure = loop.callbacks.failure
    if failure is not None:
      answer = failures.answer(failure, loop.step, options.train_dir)
      if answer is failure:
        raise failure
      raise answer from failure
  if stop_request.signal is not None:
    raise stop_request.answer(loop.step)
  if loop.is_stopped_by_others:
    raise stopping.StoppedByOthers(loop.step)
  return loop
