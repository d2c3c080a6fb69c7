"""The training loop: steps, and what happens between two of them.

There all variables are of one step, so checkpoints, summaries and progress lines are
written there (`step_report.py`), and not in threads beside the steps. The chief of a
job holds the other workers meanwhile, if their steps would change the variables.
"""

import contextlib
import os
from collections.abc import Sequence

from slim_zoo import diagnostics
from slim_zoo.deployment.agreement import SAVE, STOP_BY_SIGNAL, STOP_WITH_REASON
from slim_zoo.input import pipeline
from slim_zoo.tf_compat import slim, tf
from slim_zoo.training import (
    graph,
    intervals,
    job_state,
    savers,
    sessions,
    step_report,
    step_watch,
    stopping,
)
from slim_zoo.training.callbacks.callback import Callback, CallbackList
from slim_zoo.training.loop_options import LoopOptions
from slim_zoo.training.team import Team
from slim_zoo.training.updates import numerics


class TrainingLoop:
  """Runs a training graph to its end, a signal, or a cause to stop.

  Args:
    training_graph: what to run.
    options: how.
    images: the input pipeline.
    stop_request: asked after every step.
    callbacks: called between the steps.
    team: the workers of the job.
    watch: of steps that may wait for other processes.

  Attributes:
    step: the last step taken, or None.
    end: why the run ended, for its last line.
    saver: writes the checkpoints.
    callbacks: the callbacks, and the first failure of the run.
    is_stopped_by_others: whether another worker was told by a signal to stop.
  """

  def __init__(self, training_graph: graph.TrainingGraph, options: LoopOptions,
               images: pipeline.Input, stop_request: stopping.StopRequest,
               callbacks: Sequence[Callback], team: Team, watch: step_watch.StepWatch):
    self._graph, self._options, self._images = training_graph, options, images
    self._stop_request, self.callbacks = stop_request, CallbackList(callbacks)
    for callback in callbacks:
      callback.is_asked_to_stop = self.ends_soon
    self._team, self._watch = team, watch
    self.saver = savers.CheckpointSaver(options.train_dir, self.callbacks)
    self._control = (
        tf.constant(0) if team.state is None else
        team.state.control_after(training_graph.train_op))
    self._run_step = self._run_batch = self._sessions = None
    self._is_unsound = False
    self.step = None
    self.end = 'done'
    self.is_stopped_by_others = False
    self._report = step_report.StepReport(options, images, training_graph.curve_tags)
    self._save_due = intervals.Every(options.save_interval_secs)
    self._summaries_due = intervals.Every(options.save_summaries_secs)
    # Of the last step.
    self._curves = self._agreed = None

  def train(self, opened: sessions.Sessions, writer: tf.summary.FileWriter | None):
    """Trains in one session, or in more where servers are lost.

    Args:
      opened: opens the sessions.
      writer: of the summaries; None in a process that writes none.

    Raises:
      Exception: the run ended without saving its weights. A failure after which they
        were saved is `callbacks.failure`.
    """
    self._sessions = opened
    # Synchronous replicas need a thread beside the steps, even in one process.
    if not self._options.place.master and self._team.sync is None:
      self._train_by_slim(opened, writer)
      return
    while True:
      try:
        with opened.opened() as session, contextlib.ExitStack() as rest:
          self._watch.release = lambda session=session: self._team.release(session)
          for _ in self._steps(session, writer, rest):
            pass
        return
      except sessions.SessionLostError as lost:
        self._stop_request.has_progress, self.step = False, None
        self._stop_request.is_waiting = True
        if self._stop_request.signal is not None:
          raise self._stop_request.answer(None) from lost
        print(lost, flush=True)

  def _train_by_slim(self, opened, writer):
    """Trains in this process: `slim.learning.train` opens the session and takes steps.

    Its Supervisor has no logdir: a checkpoint of its threads would mix several steps,
    and it would follow paths in the file `checkpoint` into other folders.
    """
    with contextlib.ExitStack() as rest:
      steps = None

      def train_step(session, *unused):
        nonlocal steps
        steps = steps or self._steps(session, writer, rest)
        goes_on = next(steps, False)
        return self.step, not goes_on

      slim.learning.train(
          self._graph.train_op, logdir=None, train_step_fn=train_step,
          train_step_kwargs={}, init_op=None, ready_op=None,
          local_init_op=opened.initialize_local,
          init_fn=opened.restore_or_initialize, session_config=opened.config)

  def _steps(self, session, writer, rest):
    """Takes the steps of a session, and yields after each of them.

    Args:
      session: ready to train.
      writer: of the summaries, or None.
      rest: an ExitStack that holds a pause of the other workers.
    """
    try:
      last, begin = self._options.max_number_of_steps, self._begin(session, writer)
      stop = (last is not None and begin >= last) or self._team.joins(
          session, begin)
      while not stop:
        stop = self._train_step(session, rest)
        yield True
      self._finish(session, rest)
    except BaseException as error:
      if not isinstance(error, sessions.SessionLostError):
        self._sessions.check(session, error)
        self._say_failure(session, error)
      raise

  def _train_step(self, session, rest):
    """Takes a step; returns whether to stop, and then to save the weights.

    What is raised leaves them unsaved.
    """
    try:
      self._team.before_step(session, self._step_before_rest())
      results, control = self._take_step(session)
    except BaseException as error:
      return self._fail_in_step(session, error)
    self._stop_request.has_progress, is_first = True, self.step is None
    self._stop_request.is_waiting = False
    self.step = results[1]
    try:
      if is_first:
        self._report.write_curves(self.step, self._curves)
      stop = self._after_step(session, rest, *results)
      if self._team.follow(session, control, self.step):
        self.end, stop = self._team.has_ended, True
    except sessions.SessionLostError:
      raise
    # The step is whole, whatever failed after it.
    except BaseException as error:
      self.callbacks.note(error, 'the loop')
      stop = True
    self._check_failure(session)
    if isinstance(self.callbacks.failure, numerics.BadNumbers):
      self._end_unsaved(session, self.callbacks.failure)
    if not stop:
      rest.close()
    return stop

  def _begin(self, session, writer):
    """Prepares the steps in a session; returns the global step that they begin at."""
    fetches = self._graph
    for shared in filter(None, [fetches.agreement, fetches.copies]):
      shared.broadcast(session)
    step = self._read_step(session)
    if writer is not None:
      writer.add_session_log(tf.SessionLog(status=tf.SessionLog.START), step)
    self.callbacks.begin(session, step, writer)
    self._check_failure(session)
    if self.callbacks.failure is not None:
      self._end_unsaved(session, self.callbacks.failure, step)
    if self._stop_request.signal is not None:
      self._end_unsaved(session, self._stop_request.answer(None), step)
    self._run_step = session.make_callable(
        [fetches.train_op, fetches.step, fetches.learning_rate, fetches.waited,
         fetches.numbers, fetches.curves, fetches.agreed, self._control])
    self._run_batch = None
    if fetches.accumulate_op is not None:
      self._run_batch = session.make_callable(
          [fetches.accumulate_op, fetches.waited, fetches.numbers])
    self._report.begin(step, writer)
    return step

  def _read_step(self, session):
    return int(session.run(tf.train.get_global_step(session.graph)))

  def _step_before_rest(self):
    """Returns the next global step if the weights are needed at rest after it."""
    if self.step is None:
      return None
    following, last = self.step + 1, self._options.max_number_of_steps
    is_last = last is not None and following >= last
    return following if is_last or self.callbacks.needs_rest(following) else None

  def _take_step(self, session):
    """Returns the loss, the step, its rate, seconds of waiting, and record numbers.

    And `job_state.Control` after it, None without other workers.
    """
    with self._watch.step():
      waited_before = self._accumulate()
      if self._graph.summary_op is not None and self._summaries_due.due():
        results = self._step_with_summaries(session)
      else:
        results = self._run_step()
    (loss, step, learning_rate, waited, numbers, self._curves, self._agreed,
     control) = results
    if self._team.state is not None:
      control = job_state.Control(control)
    return (loss, step, learning_rate, waited + waited_before, numbers), control

  def _fail_in_step(self, session, error):
    """Returns True to stop and to save sound weights, else raises.

    Raises:
      SessionLostError: another session can go on.
    """
    self._sessions.check(session, error)
    if isinstance(error, tf.errors.OpError):
      if self._is_released(session, error):
        return True
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
        return True
    self._end_unsaved(session, error)

  def _is_released(self, session, error):
    """Tells whether a step ended because nobody waits for other workers any more."""
    if not isinstance(error, tf.errors.OutOfRangeError):
      return False
    if self._watch.timed_out:
      self.callbacks.note(diagnostics.UserError(self._watch.timed_out), 'the job')
    elif self._team.is_ended_soon(session):
      self.end = self._team.has_ended
    elif self._stop_request.signal is None:
      return False
    return self.step is not None

  def _check_failure(self, session):
    """Raises SessionLostError if the failure of a callback comes of a lost server."""
    if self.callbacks.failure is not None:
      try:
        self._sessions.check(session, self.callbacks.failure)
      except sessions.SessionLostError:
        self.callbacks.failure = None
        raise

  def _say_failure(self, session, error):
    """Tells the other workers of what ends this one."""
    if isinstance(error, stopping.Stopped):
      job = job_state.GOES_ON
    elif self._options.is_chief or isinstance(error, numerics.BadNumbers):
      job = job_state.HAS_FAILED
    else:
      return self._team.leave(session)
    self._team.say_end(session, job, str(error).split('\n', maxsplit=1)[0])

  def _end_unsaved(self, session, error, step=None):
    """Calls every `end`, then raises the failure: there is nothing to save.

    Args:
      session: of the run.
      error: what to raise, the first failure unless there was one.
      step: the global step that the run began at, if it has taken none.
    """
    self._is_unsound = True
    if self._graph.agreement is not None:
      self._graph.agreement.has_left = True
    self.callbacks.note(error, 'the run')
    self._end(session, step or 0)
    raise self.callbacks.failure

  def _finish(self, session, rest):
    """Ends the callbacks and saves, at the end or where the weights are sound."""
    stops = self._stop_request.signal is not None
    failure = self.callbacks.failure
    if not self._options.is_chief:
      if failure is None and not stops:
        self._team.await_end(session)
        self.end = self._team.has_ended or self.end
      self._end(session)
      self._team.leave(session)
      return
    rest.enter_context(self._team.at_rest(
        session, job_state.WAIT if stops else job_state.VALIDATE))
    if self.step is not None:
      self.step = self._read_step(session)
    self._end(session)
    self._check_failure(session)
    if self.step is not None or self.callbacks.failure is None:
      self._save(session)
    failure = self.callbacks.failure
    if failure is not None:
      self._say_failure(session, failure)
    else:
      self._team.say_end(
          session, job_state.GOES_ON if stops else job_state.IS_DONE, self.end)

  def _save(self, session):
    path = os.path.join(self._options.train_dir, savers.CHECKPOINT_NAME)
    self.saver.save(session, path)

  def _end(self, session, step=None):
    """Ends the summaries and the callbacks, at the last step or one without any."""
    if self.step is not None:
      step = self.step
      try:
        self._report.write_curves(self.step, self._curves)
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

  def ends_soon(self):
    """Whether callbacks should be brief: after a signal, or with bad weights."""
    return (self._stop_request.signal is not None or self.is_stopped_by_others
            or self._is_unsound)

  def _after_step(self, session, rest, loss, step, learning_rate, waited, numbers):
    """Tells of a step, and saves where it is time; returns whether it is the last."""
    self._images.log.deliver(numbers)
    self._report.print_skipped()
    self._report.add(step, loss, waited, self._curves)
    self.callbacks.measured(step, float(loss), float(waited))
    is_printed = self._report.is_due(step)
    if is_printed:
      self._print_progress(learning_rate)
    saves = self._options.is_chief and self._save_due.due()
    # Validation, for one, takes longer than steps do.
    with self._report.interval.paused():
      step = self._rest_after(session, rest, step, saves)
      reasons = self.callbacks.after_step(session, step)
    self.end = next(iter(reasons), self.end)
    is_last, saves = self._decide(session, bool(reasons), saves)
    if is_last:
      if self._options.log_every_n_steps and not is_printed:
        self._print_progress(learning_rate)
      return True
    with self._report.interval.paused():
      if saves and self._options.is_chief:
        self._save(session)
      elif saves:
        self.callbacks.before_save(session, step)
    return self._graph.agreement is None and self.callbacks.failure is not None

  def _print_progress(self, learning_rate):
    numbers = self._report.print_progress(self.step, learning_rate)
    self.callbacks.progress(int(self.step), {
        **dict(zip(self._graph.curve_tags, map(float, self._curves), strict=True)),
        **numbers})

  def _decide(self, session, has_reason, saves):
    """Returns whether the step was the last one, and whether to save.

    All-reduce workers decide together: all do the request of one after the next step.
    """
    requests = {STOP_BY_SIGNAL} if self._stop_request.signal is not None else set()
    if has_reason or self.callbacks.failure is not None:
      requests.add(STOP_WITH_REASON)
    if saves:
      requests.add(SAVE)
    decided = requests
    if self._graph.agreement is not None:
      decided = self._graph.agreement.decide(session, self._agreed, requests)
      self.is_stopped_by_others = bool({STOP_BY_SIGNAL} & (decided - requests))
      if STOP_WITH_REASON in decided and self.end == 'done':
        self.end = 'another worker ended the run'
    return bool(decided - {SAVE}) or self._is_last_step(), SAVE in decided

  def _rest_after(self, session, rest, step, saves):
    """Holds the other workers where the weights are needed at rest; returns the step.

    Other workers may have taken steps until all are held.
    """
    validates = self.callbacks.needs_rest(step) or (
        self._is_last_step() and not self.ends_soon())
    if self._options.is_chief and (validates or saves or self._team.is_asked):
      rest.enter_context(self._team.at_rest(
          session, job_state.VALIDATE if validates else job_state.WAIT))
      self.step = self._read_step(session)
    return self.step

  def _accumulate(self):
    """Takes the batches of a step but the last; returns the seconds they waited."""
    seconds = 0.0
    for _ in range(self._graph.accumulate_steps - 1):
      _, waited, numbers = self._run_batch()
      self._images.log.deliver(numbers)
      seconds += waited
    return seconds

  def _step_with_summaries(self, session):
    summary, *results = session.run(
        [self._graph.summary_op, self._graph.train_op, self._graph.step,
         self._graph.learning_rate, self._graph.waited, self._graph.numbers,
         self._graph.curves, self._graph.agreed, self._control])
    self._report.write_summary(results[1], summary)
    return results

  def _is_last_step(self):
    last = self._options.max_number_of_steps
    return last is not None and self.step >= last
