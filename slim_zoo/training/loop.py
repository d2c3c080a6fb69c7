"""The training loop: steps, and what happens between two of them.

There all variables are of one step, so checkpoints, summaries and progress lines are
written there (`step_report.py`), and not in threads beside the steps. The chief of a
job holds the other workers meanwhile, if their steps would change the variables.
"""

import contextlib
from collections.abc import Iterator

from slim_zoo.deployment.agreement import SAVE, STOP_BY_SIGNAL, STOP_WITH_REASON
from slim_zoo.tf_compat import tf
from slim_zoo.training import graph_steps, job_state, run_end, sessions
from slim_zoo.training.current_run import CurrentRun
from slim_zoo.training.updates import numerics


class TrainingLoop:
  """Takes the steps of a run in one session.

  Args:
    run: the run.
    session: ready to train.
    writer: of the summaries; None in a process that writes none.
    rest: holds the pause of the other workers.
  """

  def __init__(self, run: CurrentRun, session: tf.Session,
               writer: tf.summary.FileWriter | None, rest: contextlib.ExitStack):
    self._run, self._session, self._writer, self._rest = run, session, writer, rest

  def steps(self) -> Iterator[bool]:
    """Takes steps to the end of the run, a signal or a failure; yields True after each.

    Raises:
      SessionLostError: another session can go on.
      Exception: the run ended without saving its weights. A failure after which they
        were saved is `callbacks.failure` of the run.
    """
    run, session = self._run, self._session
    try:
      begin, last = self._begin(), run.options.max_number_of_steps
      stop = (last is not None and begin >= last) or run.team.joins(session, begin)
      while not stop:
        stop = self._train_step()
        yield True
      run_end.finish(run, session, self._rest)
    except BaseException as error:
      if not isinstance(error, sessions.SessionLostError):
        run.sessions.check(session, error)
        run_end.tell_others(run, session, error)
      raise

  def _begin(self):
    """Prepares the steps; returns the global step that they begin at."""
    run, session = self._run, self._session
    for shared in filter(None, [run.graph.agreement, run.graph.copies]):
      shared.broadcast(session)
    step = run.read_step(session)
    if self._writer is not None:
      self._writer.add_session_log(tf.SessionLog(status=tf.SessionLog.START), step)
    run.callbacks.begin(session, step, self._writer)
    run.check_failure(session)
    if run.callbacks.failure is not None:
      run_end.unsaved(run, session, run.callbacks.failure, step)
    if run.stop_request.signal is not None:
      run_end.unsaved(run, session, run.stop_request.answer(None), step)
    run.steps.begin(session)
    run.report.begin(step, self._writer)
    return step

  def _train_step(self):
    """Takes a step; returns whether to stop, and then to save the weights.

    What is raised leaves them unsaved.
    """
    run, session = self._run, self._session
    try:
      run.team.before_step(session, self._step_before_rest())
      values = self._take_step()
    except BaseException as error:
      run_end.check_sound(run, session, error)
      return True
    run.stop_request.has_progress, is_first = True, run.step is None
    run.stop_request.is_waiting = False
    run.step = values.step
    try:
      if is_first:
        run.report.write_curves(run.step, run.curves)
      stop = self._after_step(values)
      if run.team.follow(session, values.control, run.step):
        run.end, stop = run.team.has_ended, True
    except sessions.SessionLostError:
      raise
    # The step is whole, whatever failed after it.
    except BaseException as error:
      run.callbacks.note(error, 'the loop')
      stop = True
    run.check_failure(session)
    if isinstance(run.callbacks.failure, numerics.BadNumbers):
      run_end.unsaved(run, session, run.callbacks.failure)
    if not stop:
      self._rest.close()
    return stop

  def _step_before_rest(self):
    """Returns the next global step if the weights are needed at rest after it."""
    run = self._run
    if run.step is None:
      return None
    following, last = run.step + 1, run.options.max_number_of_steps
    is_last = last is not None and following >= last
    return following if is_last or run.callbacks.needs_rest(following) else None

  def _take_step(self):
    """Takes a step in the graph, and writes its summaries if it has any."""
    run = self._run
    with run.watch.step():
      values = run.steps.take()
      if values.summary is not None:
        run.report.write_summary(values.step, values.summary)
    run.curves = values.curves
    return values

  def _after_step(self, values: graph_steps.StepValues) -> bool:
    """Tells of a step, and saves where it is time; returns whether it is the last."""
    run, session = self._run, self._session
    run.images.log.deliver(values.numbers)
    run.report.print_skipped()
    run.report.add(values.step, values.loss, values.waited, values.curves)
    run.callbacks.measured(values.step, float(values.loss), float(values.waited))
    is_printed = run.report.is_due(values.step)
    if is_printed:
      self._print_progress(values.learning_rate)
    saves = run.options.is_chief and run.save_due.due()
    # Validation, for one, takes longer than steps do.
    with run.report.interval.paused():
      self._rest_after(values.step, saves)
      reasons = run.callbacks.after_step(session, run.step)
    run.end = next(iter(reasons), run.end)
    is_last, saves = self._decide(values.agreed, bool(reasons), saves)
    if is_last:
      if run.options.log_every_n_steps and not is_printed:
        self._print_progress(values.learning_rate)
      return True
    with run.report.interval.paused():
      if saves and run.options.is_chief:
        run.save(session)
      elif saves:
        run.callbacks.before_save(session, run.step)
    return run.graph.agreement is None and run.callbacks.failure is not None

  def _print_progress(self, learning_rate):
    run = self._run
    numbers = run.report.print_progress(run.step, learning_rate)
    run.callbacks.progress(int(run.step), {
        **dict(zip(run.graph.curve_tags, map(float, run.curves), strict=True)),
        **numbers})

  def _rest_after(self, step, saves):
    """Holds the other workers where the weights are needed at rest.

    Other workers may have taken steps until all are held, which are then counted.
    """
    run = self._run
    validates = run.callbacks.needs_rest(step) or (
        run.is_last_step() and not run.ends_soon())
    if run.options.is_chief and (validates or saves or run.team.is_asked):
      self._rest.enter_context(run.team.at_rest(
          self._session, job_state.VALIDATE if validates else job_state.WAIT))
      run.step = run.read_step(self._session)

  def _decide(self, agreed, has_reason, saves):
    """Returns whether the step was the last one, and whether to save.

    All-reduce workers decide together: all do the request of one after the next step.
    """
    run = self._run
    requests = {STOP_BY_SIGNAL} if run.stop_request.signal is not None else set()
    if has_reason or run.callbacks.failure is not None:
      requests.add(STOP_WITH_REASON)
    if saves:
      requests.add(SAVE)
    decided = requests
    if run.graph.agreement is not None:
      decided = run.graph.agreement.decide(self._session, agreed, requests)
      run.is_stopped_by_others = bool({STOP_BY_SIGNAL} & (decided - requests))
      if STOP_WITH_REASON in decided and run.end == 'done':
        run.end = 'another worker ended the run'
    return bool(decided - {SAVE}) or run.is_last_step(), SAVE in decided
