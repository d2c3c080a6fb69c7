"""A training run in progress: its parts and its current step."""

import dataclasses
import os

import numpy as np

from slim_zoo.input import pipeline
from slim_zoo.tf_compat import tf
from slim_zoo.training import intervals, savers, step_watch
from slim_zoo.training.callbacks.callback import CallbackList
from slim_zoo.training.graph import TrainingGraph
from slim_zoo.training.graph_steps import GraphSteps
from slim_zoo.training.loop_options import LoopOptions
from slim_zoo.training.sessions import SessionLostError, Sessions
from slim_zoo.training.step_report import StepReport
from slim_zoo.training.stopping import StopRequest
from slim_zoo.training.team import Team


@dataclasses.dataclass
class CurrentRun:
  """A run. The loop and the end of the run change its state: `step` and below.

  Attributes:
    graph: what is run.
    options: how.
    images: the input pipeline.
    stop_request: whether a signal asked the run to end.
    callbacks: called between the steps; has the first failure of the run.
    team: the workers of the job.
    watch: of steps that may wait for other processes.
    steps: takes the steps.
    report: of the steps.
    saver: writes the checkpoints.
    save_due: says when to save.
    sessions: opens the sessions.
    step: the last step taken, or None.
    curves: those of that step.
    end: why the run ended, for its last line.
    is_unsound: whether the weights must not be saved.
    is_stopped_by_others: whether another worker was told by a signal to stop.
  """

  graph: TrainingGraph
  options: LoopOptions
  images: pipeline.Input
  stop_request: StopRequest
  callbacks: CallbackList
  team: Team
  watch: step_watch.StepWatch | step_watch.Unwatched
  steps: GraphSteps
  report: StepReport
  saver: savers.CheckpointSaver
  save_due: intervals.Every
  sessions: Sessions
  step: int | None = None
  curves: np.ndarray | None = None
  end: str = 'done'
  is_unsound: bool = False
  is_stopped_by_others: bool = False

  def ends_soon(self) -> bool:
    """Whether callbacks should be brief: after a signal, or with bad weights."""
    return (self.stop_request.signal is not None or self.is_stopped_by_others
            or self.is_unsound)

  def is_last_step(self) -> bool:
    """Whether the last step taken is the one to stop at."""
    last = self.options.max_number_of_steps
    return last is not None and self.step >= last

  def read_step(self, session: tf.Session) -> int:
    """Returns the global step, which other workers may have raised."""
    return int(session.run(tf.train.get_global_step(session.graph)))

  def save(self, session: tf.Session) -> None:
    """Writes a checkpoint."""
    self.saver.save(
        session, os.path.join(self.options.train_dir, savers.CHECKPOINT_NAME))

  def check_failure(self, session: tf.Session) -> None:
    """Raises SessionLostError if the failure of a callback comes of a lost server."""
    if self.callbacks.failure is not None:
      try:
        self.sessions.check(session, self.callbacks.failure)
      except SessionLostError:
        self.callbacks.failure = None
        raise
