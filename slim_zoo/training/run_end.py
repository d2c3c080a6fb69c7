"""The end of a run: what is saved, and what callbacks and other workers are told."""

import contextlib
from typing import NoReturn

from slim_zoo import diagnostics
from slim_zoo.tf_compat import tf
from slim_zoo.training import job_state, stopping
from slim_zoo.training.current_run import CurrentRun
from slim_zoo.training.updates import numerics


def finish(run: CurrentRun, session: tf.Session, rest: contextlib.ExitStack) -> None:
  """Ends the callbacks and saves, at the end or where the weights are sound.

  Args:
    run: the run.
    session: of the run.
    rest: takes the pause of the other workers, in which the chief saves.
  """
  stops = run.stop_request.signal is not None
  if not run.options.is_chief:
    if run.callbacks.failure is None and not stops:
      run.team.await_end(session)
      run.end = run.team.has_ended or run.end
    _end_callbacks(run, session)
    run.team.leave(session)
    return
  rest.enter_context(run.team.at_rest(
      session, job_state.WAIT if stops else job_state.VALIDATE))
  if run.step is not None:
    run.step = run.read_step(session)
  _end_callbacks(run, session)
  run.check_failure(session)
  if run.step is not None or run.callbacks.failure is None:
    run.save(session)
  failure = run.callbacks.failure
  if failure is not None:
    tell_others(run, session, failure)
  else:
    run.team.say_end(
        session, job_state.GOES_ON if stops else job_state.IS_DONE, run.end)


def unsaved(run: CurrentRun, session: tf.Session, error: BaseException,
            step: int | None = None) -> NoReturn:
  """Calls every `end`, then raises the failure: there is nothing to save.

  Args:
    run: the run.
    session: of the run.
    error: what to raise, the first failure unless there was one.
    step: the global step that the run began at, if it has taken none.
  """
  run.is_unsound = True
  if run.graph.agreement is not None:
    run.graph.agreement.has_left = True
  run.callbacks.note(error, 'the run')
  _end_callbacks(run, session, step or 0)
  raise run.callbacks.failure


def check_sound(run: CurrentRun, session: tf.Session, error: BaseException) -> None:
  """Returns if the weights are sound after a step that failed; else ends the run.

  Args:
    run: the run; has the failure afterwards, if there is one.
    session: of the run.
    error: of the step.

  Raises:
    SessionLostError: another session can go on.
    Exception: what ended the run.
  """
  run.sessions.check(session, error)
  if isinstance(error, tf.errors.OpError):
    if _is_released(run, session, error):
      return
    agreement = run.graph.agreement
    error = (agreement and agreement.workers.explain(error)) or error
  if isinstance(error, tf.errors.OpError):
    bad = numerics.explain(error, session, run.graph.finite_check, run.step)
    if bad:
      unsaved(run, session, bad)
    of_input = run.images.failure(error)
    if of_input is not None:
      run.callbacks.note(of_input, 'the input')
      if run.step is None:
        unsaved(run, session, of_input)
      return
  unsaved(run, session, error)


def _is_released(run, session, error):
  """Tells whether a step ended because nobody waits for other workers any more."""
  if not isinstance(error, tf.errors.OutOfRangeError):
    return False
  if run.watch.timed_out:
    run.callbacks.note(diagnostics.UserError(run.watch.timed_out), 'the job')
  elif run.team.is_ended_soon(session):
    run.end = run.team.has_ended
  elif run.stop_request.signal is None:
    return False
  return run.step is not None


def tell_others(run: CurrentRun, session: tf.Session, error: BaseException) -> None:
  """Tells the other workers of what ends this one."""
  if isinstance(error, stopping.Stopped):
    job = job_state.GOES_ON
  elif run.options.is_chief or isinstance(error, numerics.BadNumbers):
    job = job_state.HAS_FAILED
  else:
    run.team.leave(session)
    return
  run.team.say_end(session, job, str(error).split('\n', maxsplit=1)[0])


def _end_callbacks(run, session, step=None):
  """Ends the summaries and the callbacks, at the last step or one without any."""
  if run.step is not None:
    step = run.step
    try:
      run.report.write_curves(run.step, run.curves)
    except BaseException as error:
      run.callbacks.note(error, 'the last summary')
  run.callbacks.end(session, step)
  # The chief saves, and compares its weights with those of the others before.
  is_compared = run.graph.agreement is not None and not run.is_unsound
  if is_compared and not run.options.is_chief:
    try:
      run.callbacks.before_save(session, step)
    except BaseException as error:
      run.callbacks.note(error, 'the comparison of the weights')
