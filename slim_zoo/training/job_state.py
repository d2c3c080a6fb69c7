"""What the workers of a job tell each other, in variables on a parameter server.

The chief says whether the variables are ready, asks the other workers to pause, and
says when the job has ended. Each worker counts up while it is alive, and answers.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from slim_zoo import diagnostics
from slim_zoo.deployment import peers
from slim_zoo.tf_compat import tf

# Numbers of an answer.
ANSWER_SIZE = 4
_SECONDS_BETWEEN_SIGNS = 2.0
# A worker that gave no sign of life for so long is away.
_SECONDS_UNTIL_AWAY = 15.0
_SECONDS_BETWEEN_READS = 0.05
# A run that is to end waits no longer than this for the answers.
_SECONDS_AT_THE_END = 3.0
# Why a pause is asked for: only to wait, or to validate a shard.
WAIT, VALIDATE = 0, 1
# What the chief says of the job.
GOES_ON, IS_DONE, HAS_FAILED = 0, 1, 2
_LEFT = -1


class Control:
  """What the chief says.

  Attributes:
    run: the number of the chief's session; 0 while it has none.
    call: the number of the pause that it asks for; 0 for none.
    job: one of `GOES_ON`, `IS_DONE` and `HAS_FAILED`.
    due: the global step that the pause follows; 0: it begins at once.
    purpose: of the pause, `WAIT` or `VALIDATE`.
  """

  def __init__(self, values: Sequence[int]):
    self.run, self.call, self.job, self.due = map(int, values)
    self.purpose = self.call % 2


class JobState:
  """The variables; make it before the graph is final.

  Args:
    task: the number of this worker; 0 is the chief.
    num_workers: of the job.
    device: of the variables, a parameter server's CPU.

  Attributes:
    run: the number of the chief's session, once `enter` or `open` was called.
  """

  def __init__(self, task: int, num_workers: int, device: str):
    self._task = task
    self._others = [other for other in range(num_workers) if other != task]
    with tf.device(device), tf.variable_scope('job', reuse=False):
      # In no collection: a checkpoint has nothing of them.
      variable = lambda name, value: tf.get_variable(
          name, initializer=value, trainable=False, collections=[])
      control = variable('control', np.zeros(4, np.int64))
      reason = variable('reason', tf.constant('', name='no_reason'))
      signs = variable('signs', np.zeros(num_workers, np.int64))
      answers = variable('answers', np.zeros([num_workers, 2 + ANSWER_SIZE]))
      self._values = tf.placeholder(tf.int64, [4])
      self._text = tf.placeholder(tf.string, [])
      self._row = tf.placeholder(tf.float64, [2 + ANSWER_SIZE])
      self._sign = tf.placeholder(tf.int64, [])
      self._set_control = control.assign(self._values).op
      self._set_reason = reason.assign(self._text).op
      self._set_sign = tf.scatter_update(signs, [task], [self._sign]).op
      self._set_answer = tf.scatter_update(answers, [task], [self._row]).op
      self._initialize = tf.group(
          control.initializer, reason.initializer, signs.initializer,
          answers.initializer)
      self._control, self._reason = control, reason.read_value()
      self._read_control = control.read_value()
      self._signs, self._answers = signs.read_value(), answers.read_value()
      # TensorFlow complains of a `tf.is_variable_initialized` that nobody runs.
      self._is_initialized = control.is_initialized()
    self.run, self._count, self._number, self._call, self._job = 0, 0, 0, 0, GOES_ON
    self._seen = np.zeros(num_workers, np.int64)
    self._seen_at = np.full(num_workers, -np.inf)
    self._stop = threading.Event()

  # --- Of the chief.

  def open(self, session: tf.Session) -> None:
    """Prepares the variables; the other workers still wait."""
    session.run(self._initialize)
    self._job = GOES_ON
    # Unlike those of an earlier session: a late answer to one of these does not count.
    self._number = int(time.time())
    self._seen[:], self._seen_at[:] = 0, -np.inf

  def say_ready(self, session: tf.Session) -> None:
    """Lets the other workers begin: the weights are initialized or restored."""
    self.run = time.time_ns()
    self._set(session)
    self._give_signs(session)

  def ask(self, session: tf.Session, purpose: int, due: int = 0) -> None:
    """Asks for a pause after the steps that are under way.

    Args:
      session: of the run.
      purpose: `WAIT` or `VALIDATE`.
      due: the global step that the pause follows; 0: whichever each worker takes now.
    """
    self._number += 1
    self._set(session, call=2 * self._number + purpose, due=due)

  @contextlib.contextmanager
  def held(self, session: tf.Session, is_to_stop: Callable[[], bool],
           release: Callable[[], None] | None = None,
           release_after: float = 0) -> Iterator[list[int]]:
    """Holds the other workers, after `ask`, so that no variable changes.

    Args:
      session: of the run.
      is_to_stop: tells whether the run is to end soon.
      release: lets one worker continue if it waits inside a step; or None.
      release_after: seconds until it is called for each worker that does not answer.

    Yields:
      The tasks of the held workers. A worker that is away is not held.
    """
    try:
      yield self._wait_for_answers(session, is_to_stop, release, release_after)
    finally:
      # A server that is lost is noticed in the next step.
      with contextlib.suppress(tf.errors.OpError, RuntimeError):
        self._set(session)

  def _wait_for_answers(self, session, is_to_stop, release, release_after):
    start, is_released = time.monotonic(), False
    while True:
      answered = session.run(self._answers)[:, 0]
      held = [task for task in self._others if answered[task] == self._call]
      missing = set(self.present(session)) - set(held)
      waited = time.monotonic() - start
      if not missing or (is_to_stop() and waited > _SECONDS_AT_THE_END):
        return held
      if release and not is_released and waited > release_after:
        is_released = True
        for _ in missing:
          release()
      time.sleep(_SECONDS_BETWEEN_READS)

  def numbers_of(self, session: tf.Session, task: int) -> np.ndarray | None:
    """Returns the numbers that a worker has answered in this pause, None before."""
    call, has_numbers, *numbers = session.run(self._answers)[task]
    return np.array(numbers) if call == self._call and has_numbers else None

  def present(self, session: tf.Session) -> list[int]:
    """Returns the other workers that gave a sign of life lately."""
    now, signs = time.monotonic(), session.run(self._signs)
    self._seen_at[signs != self._seen] = now
    self._seen_at[signs == _LEFT] = -np.inf
    self._seen = signs
    return [task for task in self._others
            if now - self._seen_at[task] < _SECONDS_UNTIL_AWAY]

  def absent(self) -> list[int]:
    """Returns the other workers that gave no sign lately, as last read."""
    return [task for task in self._others
            if time.monotonic() - self._seen_at[task] >= _SECONDS_UNTIL_AWAY]

  def end(self, session: tf.Session, job: int, reason: str) -> None:
    """Says that the job has ended; `open` need not have been called.

    Args:
      session: of the run.
      job: `IS_DONE` or `HAS_FAILED`.
      reason: in words.
    """
    session.run(self._set_reason, {self._text: reason})
    self._job = job
    self._set(session)

  def interrupt(self, session: tf.Session) -> None:
    """Says that the chief stops, and is expected to come back."""
    self.run = 0
    self._set(session)

  def _set(self, session, call=0, due=0):
    self._call = call
    session.run(self._set_control, {self._values: [self.run, call, self._job, due]})

  # --- Of the other workers.

  def is_ready(self, session: tf.Session) -> bool:
    """Tells whether the chief has initialized or restored the weights."""
    return bool(session.run(self._is_initialized)) and self.read(session).run != 0

  def has_failed(self, session: tf.Session) -> bool:
    """Tells whether the chief has failed, maybe before it had a session."""
    return bool(session.run(self._is_initialized)) and (
        self.read(session).job == HAS_FAILED)

  def failure(self, session: tf.Session) -> diagnostics.UserError:
    """Returns the error for the user of a worker whose chief has failed."""
    return diagnostics.UserError(f'the job has failed: {self.reason(session)}')

  def enter(self, session: tf.Session) -> bool:
    """Starts to report regularly that this worker is alive.

    Returns:
      Whether the chief is still ready.
    """
    self._give_signs(session)
    self.run = self.read(session).run
    return self.run != 0

  def read(self, session: tf.Session) -> Control:
    """Returns what the chief says now."""
    return Control(session.run(self._read_control))

  def control_after(self, step: tf.Tensor) -> tf.Tensor:
    """Returns int64 [4], for `Control`, read when a step has ended."""
    with tf.control_dependencies([step]):
      return self._control.read_value()

  def reason(self, session: tf.Session) -> str:
    """Returns why the job has ended."""
    return session.run(self._reason).decode(errors='replace')

  def answer(self, session: tf.Session, call: int,
             numbers: Sequence[float] | None = None) -> None:
    """Answers a pause: this worker rests, or brings up to ANSWER_SIZE numbers."""
    row = np.zeros(2 + ANSWER_SIZE)
    row[0] = call
    if numbers is not None:
      row[1], row[2:2 + len(numbers)] = 1, numbers
    session.run(self._set_answer, {self._row: row})

  # --- Of all.

  def leave(self, session: tf.Session) -> None:
    """Gives no more signs of life: nobody waits for this worker."""
    self._stop.set()
    session.run(self._set_sign, {self._sign: _LEFT})

  def stop_signs(self) -> None:
    """Ends the thread that gives signs, before the session is closed."""
    self._stop.set()

  def _give_signs(self, session):
    self._stop.set()
    self._stop = stop = threading.Event()
    # Unlike that of an earlier process with this task.
    self._count = time.time_ns()

    def give_signs():
      while not stop.wait(_SECONDS_BETWEEN_SIGNS):
        # The loop meets the same error in its next step.
        with contextlib.suppress(tf.errors.OpError, RuntimeError):
          self._give_sign(session)

    self._give_sign(session)
    peers.native_thread(give_signs).start()

  def _give_sign(self, session):
    self._count += 1
    session.run(self._set_sign, {self._sign: self._count})
    self.present(session)
