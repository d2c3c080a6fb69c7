"""The sessions of a run: opened, made ready to train, and closed.

A run on this machine has one. With servers in other processes a session may be lost:
a server ends, or the chief restarts. Then the next one is opened, and the run goes
on from its last checkpoint.
"""

import contextlib
import dataclasses
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping

from slim_zoo import diagnostics
from slim_zoo.checkpoints import checkpoint_names, state_file
from slim_zoo.deployment import peers, session_settings
from slim_zoo.tf_compat import tf
from slim_zoo.training import job_state, savers
from slim_zoo.training.synchronization import Synchronization

# What TensorFlow raises in the others if a server of a session ends.
_LOST = (tf.errors.UnavailableError, tf.errors.AbortedError)
# What may come of a chief that restarts, or of something else.
_PERHAPS_LOST = (
    tf.errors.CancelledError, tf.errors.FailedPreconditionError,
    tf.errors.NotFoundError, tf.errors.OutOfRangeError, tf.errors.InternalError,
    tf.errors.DeadlineExceededError, tf.errors.UnknownError)
# What a server answers to the job and the task of another one.
_FOREIGN_SERVER = re.compile(
    r'/job:(\w+)/replica:\d+/task:(\d+)/device:\S+ unknown device')
_SECONDS_BETWEEN_LOOKS, _SECONDS_BETWEEN_LINES = 0.5, 30.0
_SECONDS_TO_CLOSE, _LOOKS_AFTER_LOSS = 2.0, 4


class SessionLostError(Exception):
  """The session is lost, not the run; the message says why."""


@dataclasses.dataclass(frozen=True)
class Place:
  """Where the sessions of a run are.

  Attributes:
    master: the address of a TensorFlow server; '': this process.
    is_chief: whether this process makes the variables ready.
    device_filters: the devices that this process may see; all if empty.
    num_cpus: logical devices that the CPU is divided into.
    servers: addresses, by name, of the servers that a step needs.
    chief: a name for the chief, for messages.
    timeout_secs: how long to wait for a server or for the chief; 0: forever.
    settings: memory of GPUs, threads.
    clearing: the server that clears the parameter servers; None: `master` does.
  """

  master: str = ''
  is_chief: bool = True
  device_filters: tuple[str, ...] = ()
  num_cpus: int = 1
  servers: Mapping[str, str] = dataclasses.field(default_factory=dict)
  chief: str = 'the chief'
  timeout_secs: float = 0
  settings: session_settings.SessionSettings = session_settings.DEFAULTS
  clearing: tf.train.Server | None = None


class Sessions:
  """Opens the sessions of a run in the default graph, which is final afterwards.

  Args:
    place: where.
    train_dir: of the checkpoints.
    saver: restores the newest one.
    config: of the sessions; an attribute, too.
    init_fn: called with the session if there is none, after the initial values are set.
    sync: of synchronous replicas, or None.
    state: of a job with parameter servers, or None.
    ender: the op that ends the input pipeline before a session closes, or None.

  Attributes:
    initialize_local: op that initializes the local variables and the tables.
  """

  def __init__(self, place: Place, train_dir: str, saver: savers.CheckpointSaver,
               config: tf.ConfigProto,
               init_fn: Callable | None = None, sync: Synchronization | None = None,
               state: job_state.JobState | None = None,
               ender: tf.Operation | None = None):
    self._ender = ender
    self._place, self._train_dir, self._saver = place, train_dir, saver
    self._init_fn, self._sync, self._state = init_fn, sync, state
    self.config = config
    with tf.name_scope('init_ops'):
      self._initialize = tf.global_variables_initializer()
      self.initialize_local = tf.group(
          tf.local_variables_initializer(), tf.tables_initializer())
    self._graph = tf.get_default_graph()
    self._has_begun = False

  @contextlib.contextmanager
  def opened(self) -> Iterator[tf.Session]:
    """Yields a session that is ready to train, and closes it.

    Raises:
      UserError: a server, or the chief, is not there in time.
      SessionLostError: a server was lost meanwhile.
    """
    place = self._place
    self._graph.finalize()
    peers.wait_for(place.servers, place.timeout_secs, _print)
    try:
      if place.is_chief and self._state is not None:
        self._clear()
      session = tf.Session(place.master, graph=self._graph, config=self.config)
    except _LOST as error:
      raise SessionLostError('a server was lost while the session began') from error
    except tf.errors.InvalidArgumentError as error:
      self._check_job(error)
      raise
    try:
      with self._translated(session):
        self._prepare(session)
      yield session
    finally:
      self._close(session)

  def check(self, session: tf.Session, error: BaseException) -> None:
    """Raises SessionLostError if an error comes of a lost server or of a new chief."""
    if self._state is None or not isinstance(error, _LOST + _PERHAPS_LOST):
      return
    silent = self._silent_servers(isinstance(error, _LOST))
    if silent:
      raise SessionLostError(f'lost {", ".join(silent)}') from error
    if isinstance(error, _LOST) or (
        self._sync is not None and isinstance(self._sync.failure, _LOST)):
      # One that ended and came back at once may answer again.
      raise SessionLostError('lost a server of the job') from error
    try:
      run = self._state.read(session).run
    except tf.errors.OpError:
      run = None
    if run != self._state.run:
      raise SessionLostError(
          'a parameter server has restarted' if self._place.is_chief else
          'the chief has stopped or restarts') from error

  def _silent_servers(self, is_lost):
    """Returns the servers that do not answer; a port outlives its process a little."""
    for _ in range(_LOOKS_AFTER_LOSS if is_lost else 1):
      silent = peers.silent(self._place.servers)
      if silent:
        break
      time.sleep(_SECONDS_BETWEEN_LOOKS)
    return silent

  @contextlib.contextmanager
  def _translated(self, session):
    """Turns the errors of a lost server into SessionLostError."""
    try:
      yield
    except tf.errors.OpError as error:
      self._check_job(error)
      self.check(session, error)
      if not self._place.is_chief and self._state is not None and isinstance(
          error, _PERHAPS_LOST):
        # Another chief began after this worker saw that the weights were ready.
        raise SessionLostError('the chief has stopped or restarts') from error
      raise

  def _check_job(self, error):
    """Raises UserError if a server answered that is of another job."""
    foreign = _FOREIGN_SERVER.search(str(error))
    if foreign is None or not self._place.servers:
      return
    name = f'{foreign[1]} {foreign[2]}'
    at = ', '.join(self._place.servers.values())
    raise diagnostics.UserError(
        f'a server at {at} is not {name} of this job: another job uses its port; end'
        ' that job, or name another port in every process') from error

  def _clear(self):
    """Removes what an earlier chief left on the servers."""
    place = self._place
    if self._sync is not None:
      with tf.Session(place.master, graph=self._graph, config=self.config) as session:
        # Workers that wait for its tokens would do so for ever.
        self._sync.close_queue(session)
    tf.Session.reset(place.clearing.target if place.clearing else place.master)

  def _prepare(self, session):
    if not self._place.is_chief and self._state is not None:
      self._await_chief(session)
      session.run(self.initialize_local)
      if self._sync is not None:
        self._sync.begin_worker(session)
      if not self._state.enter(session):
        raise SessionLostError('the chief has stopped or restarts')
      return
    if self._state is not None:
      self._state.open(session)
    self.restore_or_initialize(session)
    session.run(self.initialize_local)
    if self._sync is not None:
      self._sync.begin_chief(session)
    if self._state is not None:
      self._state.say_ready(session)

  def restore_or_initialize(self, session: tf.Session) -> None:
    """Restores the newest checkpoint, or initializes the variables without one."""
    folder = self._train_dir
    # Without shared variables the chief sends its own to the others.
    newest = checkpoint_names.latest(folder) if self._place.is_chief else None
    if newest is None:
      session.run(self._initialize)
      if self._init_fn is not None:
        self._init_fn(session)
    else:
      self._saver.restore(session, newest)
      self._saver.recover_last_checkpoints(
          [os.path.join(folder, name) for name in reversed(state_file.names(folder))])
    if self._has_begun:
      _print(f'continues from {newest}' if newest else
             'begins again: there is no checkpoint yet')
    self._has_begun = True

  def _await_chief(self, session):
    """Waits until the chief has made the variables ready, or has failed."""
    place = self._place
    start, next_line = time.monotonic(), 1.0
    while not self._state.is_ready(session):
      if self._state.has_failed(session):
        raise self._state.failure(session)
      waited = time.monotonic() - start
      if place.timeout_secs and waited > place.timeout_secs:
        raise diagnostics.UserError(
            f'{place.chief} has not prepared the variables for {waited:.0f} s: start'
            ' it; the same command continues')
      if waited >= next_line:
        _print(f'waiting for {place.chief}, which initializes or restores the weights')
        next_line = waited + _SECONDS_BETWEEN_LINES
      time.sleep(_SECONDS_BETWEEN_LOOKS)

  def _close(self, session):
    if self._state is not None:
      self._state.stop_signs()
    if not self._place.servers:
      self._end(session)
      return
    # It waits for every server of the session, also for one that is lost.
    closing = peers.native_thread(self._end, session)
    closing.start()
    closing.join(_SECONDS_TO_CLOSE)

  def _end(self, session):
    with contextlib.suppress(tf.errors.OpError, RuntimeError):
      if self._sync is not None:
        self._sync.stop(session)
      if self._ender is not None:
        session.run(self._ender)
    with contextlib.suppress(tf.errors.OpError, RuntimeError):
      session.close()


def _print(line):
  print(line, flush=True)
