"""How the workers of a job keep together: pauses, the end, and who waits for whom."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from slim_zoo.tf_compat import tf
from slim_zoo.training import job_state, sessions
from slim_zoo.training.synchronization import Synchronization

_SECONDS_BETWEEN_READS = 0.1
# A worker may be within a step; whether the update waits for all of them.
_SECONDS_UNTIL_RELEASE = {False: 2.0, True: 10.0}
# A chief that releases the steps of others then says why.
_READS_AFTER_RELEASE = 100


class Team:
  """The workers of a job with parameter servers, as one of them sees them.

  Without a `state` there is no other worker: nothing waits, and nothing is asked.

  Args:
    state: what the workers tell each other, or None.
    is_chief: whether this process is the chief.
    sync: of synchronous replicas, or None.

  Attributes:
    state: as above.
    sync: as above.
    is_to_stop: tells whether the run is to end soon; the run sets it.
    held: the tasks of the workers that validate in the pause that is now.
    work: what this worker does in a pause to validate, called as work(session); returns
      numbers for the chief, or None. None: it only waits.
    has_ended: why the chief has ended the job, or None.
    is_asked: whether a pause follows the step that runs now.
  """

  def __init__(self, state: job_state.JobState | None = None, is_chief: bool = True,
               sync: Synchronization | None = None):
    self.state, self._is_chief, self.sync = state, is_chief, sync
    self.is_to_stop: Callable[[], bool] = lambda: False
    self.held: list[int] = []
    self.work: Callable[[tf.Session], Sequence[float] | None] | None = None
    self.has_ended = None
    self.is_asked = self._is_at_rest = False

  @property
  def _waits_for_all(self):
    """Whether no variable changes while one worker is between two steps."""
    return self.sync is not None and self.sync.waits_for_all

  # --- Of the chief.

  def before_step(self, session: tf.Session, due: int | None) -> None:
    """Asks for a pause after a step, which synchronous workers must know before it.

    Args:
      session: of the run.
      due: the global step after the step, if a pause follows it; else None.
    """
    if (due is not None and self.state is not None and self._is_chief
        and self._waits_for_all):
      self.state.ask(session, job_state.VALIDATE, due)
      self.is_asked = True

  @contextlib.contextmanager
  def at_rest(self, session: tf.Session,
              purpose: int = job_state.WAIT) -> Iterator[None]:
    """Holds the other workers where the block runs, if they change variables."""
    if (self.state is None or not self._is_chief or self._is_at_rest
        or (self._waits_for_all and not self.is_asked)):
      yield
      return
    self._is_at_rest = True
    if self.is_asked:
      purpose = job_state.VALIDATE
    else:
      self.state.ask(session, purpose)
    self.is_asked, release = False, None
    if self.sync is not None:
      # A worker that was killed left tokens of earlier steps: gradients of these do not
      # count, and another worker may wait for ever.
      release = lambda: self.sync.release(session)
    try:
      with self.state.held(
          session, self.is_to_stop, release,
          _SECONDS_UNTIL_RELEASE[self._waits_for_all]) as held:
        # In another pause they only wait, and bring no numbers.
        self.held = held if purpose == job_state.VALIDATE else []
        yield
    finally:
      self.held, self._is_at_rest = [], False

  def numbers_of(self, session: tf.Session, task: int) -> np.ndarray | None:
    """Returns what another worker brings in this pause; None if it went away.

    Args:
      session: of the run.
      task: the worker.
    """
    while task in self.held and not self.is_to_stop():
      numbers = self.state.numbers_of(session, task)
      if numbers is not None:
        return numbers
      if task not in self.state.present(session):
        return None
      time.sleep(_SECONDS_BETWEEN_READS)
    return None

  def say_end(self, session: tf.Session, job: int, reason: str) -> None:
    """Tells the other workers that the chief ends, for good or to come back.

    Args:
      session: of the run.
      job: one of `job_state.IS_DONE`, `HAS_FAILED` and `GOES_ON`: a signal stops it.
      reason: in words.
    """
    if self.state is None:
      return
    # A server that is gone needs no word.
    with contextlib.suppress(tf.errors.OpError):
      if job == job_state.GOES_ON:
        self.state.interrupt(session)
      else:
        self.state.end(session, job, reason)
      self.release(session)

  def absent_names(self) -> list[str]:
    """Returns the workers that synchronous steps wait for in vain, for messages."""
    if self.state is None or self.sync is None:
      return []
    return [f'worker {task}' if task else 'the chief' for task in self.state.absent()]

  def release(self, session: tf.Session) -> None:
    """Ends the steps that wait for other workers."""
    if self.sync is not None and self._is_chief:
      self.sync.close_queue(session)

  # --- Of the other workers.

  def follow(self, session: tf.Session, control: job_state.Control,
             step: int | None = None) -> bool:
    """Does what the chief asks for between two steps.

    Args:
      session: of the run.
      control: read with the last step.
      step: the global step; None if this worker takes no further step. The chief asks
        before the step that a pause follows, so a worker may read of it one step too
        early. If it rested then, the chief would wait for its gradients for ever.

    Returns:
      Whether the job has ended; see `has_ended`.

    Raises:
      UserError: it has failed.
      SessionLostError: the chief restarts.
    """
    if self.state is None:
      return False
    answered = None
    while True:
      if control.job == job_state.HAS_FAILED:
        raise self.state.failure(session)
      if control.run != self.state.run:
        raise sessions.SessionLostError(
            'there are two chiefs' if self._is_chief else
            'the chief has stopped or restarts')
      if self._is_chief:
        return False
      if control.job == job_state.IS_DONE:
        self.has_ended = self.state.reason(session)
        return True
      is_early = step is not None and step < control.due
      if not control.call or is_early or self.is_to_stop():
        return False
      if control.call != answered:
        answered = control.call
        self._answer(session, control)
      time.sleep(_SECONDS_BETWEEN_READS)
      control = self.state.read(session)

  def joins(self, session: tf.Session, step: int) -> bool:
    """Follows the chief before the first step, which may come in a pause.

    Args:
      session: of the run.
      step: the global step.

    Returns:
      Whether the job has ended.
    """
    if self.state is None or self._is_chief:
      return False
    return self.follow(session, self.state.read(session), step)

  def _answer(self, session, control):
    self.state.answer(session, control.call)
    if control.purpose == job_state.VALIDATE and self.work is not None:
      self.state.answer(session, control.call, self.work(session))

  def is_ended_soon(self, session: tf.Session) -> bool:
    """Tells whether the job has ended, or is about to: a step was released.

    Raises:
      UserError, SessionLostError: see `follow`.
    """
    if self.state is None or self._is_chief:
      return False
    for _ in range(_READS_AFTER_RELEASE):
      if self.follow(session, self.state.read(session)):
        return True
      time.sleep(_SECONDS_BETWEEN_READS)
    return False

  def await_end(self, session: tf.Session) -> None:
    """Waits, after the last step, for the chief, which may ask for more validation.

    Raises:
      UserError, SessionLostError: see `follow`.
    """
    if self.state is None or self._is_chief:
      return
    while not self.is_to_stop():
      if self.follow(session, self.state.read(session)):
        return
      time.sleep(_SECONDS_BETWEEN_READS)

  def leave(self, session: tf.Session) -> None:
    """Says that this worker gives no more gradients."""
    if self.state is not None:
      with contextlib.suppress(tf.errors.OpError):
        self.state.leave(session)
