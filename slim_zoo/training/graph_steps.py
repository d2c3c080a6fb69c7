"""The steps of a training graph: what a session runs for one, and what that gives."""

from typing import NamedTuple

import numpy as np

from slim_zoo.input import record_log
from slim_zoo.tf_compat import tf
from slim_zoo.training import graph, intervals, job_state


class StepValues(NamedTuple):
  """What a step gives.

  Attributes:
    loss: the total loss.
    step: the global step after it.
    learning_rate: the rate that it took.
    waited: the seconds that it waited for its batches.
    numbers: int64, the numbers of the records of its last batch.
    curves: of the step, see `graph.TrainingGraph`.
    agreed: float32 [requests], the number of workers with each; () for one worker.
    control: what the chief of a job says after it; None without other workers.
    summary: its summaries, if it was time for them; else None.
  """

  loss: float
  step: int
  learning_rate: float
  waited: float
  numbers: np.ndarray
  curves: np.ndarray
  agreed: np.ndarray
  control: job_state.Control | None
  summary: bytes | None


class GraphSteps:
  """Takes the steps of a training graph. Make it before the graph is final.

  Args:
    training_graph: what to run.
    state: what the workers of a job tell each other, or None.
    log: receives each batch of a step except the last one.
    summaries_secs: seconds between steps that give summaries; 0: none does.
  """

  def __init__(self, training_graph: graph.TrainingGraph,
               state: job_state.JobState | None, log: record_log.RecordLog,
               summaries_secs: float):
    self._graph, self._state, self._log = training_graph, state, log
    self._summaries_due = intervals.Every(summaries_secs)
    control = tf.constant(0) if state is None else (
        state.control_after(training_graph.train_op))
    self._fetches = [
        training_graph.train_op, training_graph.step, training_graph.learning_rate,
        training_graph.waited, training_graph.numbers, training_graph.curves,
        training_graph.agreed, control]
    self._session = self._run_step = self._run_batch = None

  def begin(self, session: tf.Session) -> None:
    """Prepares the steps in a session."""
    self._session = session
    self._run_step = session.make_callable(self._fetches)
    self._run_batch = None
    if self._graph.accumulate_op is not None:
      self._run_batch = session.make_callable(
          [self._graph.accumulate_op, self._graph.waited, self._graph.numbers])

  def take(self) -> StepValues:
    """Takes a step."""
    waited_before, summary = self._accumulate(), None
    if self._graph.summary_op is not None and self._summaries_due.due():
      summary, *values = self._session.run([self._graph.summary_op, *self._fetches])
    else:
      values = self._run_step()
    loss, step, learning_rate, waited, numbers, curves, agreed, control = values
    return StepValues(
        loss, step, learning_rate, waited + waited_before, numbers, curves, agreed,
        None if self._state is None else job_state.Control(control), summary)

  def _accumulate(self):
    """Takes the batches of a step but the last; returns the seconds they waited."""
    seconds = 0.0
    for _ in range(self._graph.accumulate_steps - 1):
      _, waited, numbers = self._run_batch()
      self._log.deliver(numbers)
      seconds += waited
    return seconds
