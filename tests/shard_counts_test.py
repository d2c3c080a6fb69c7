"""Validation by several workers: the counts of the shards add up exactly."""

import contextlib
import types

import pytest

from slim_zoo.tasks import validation
from slim_zoo.training import job_state
from slim_zoo.training.callbacks.validation import ValidationStoppedError
from slim_zoo.training.team import Team

# Right images, images, readable ones, and their cross entropy.
SHARDS = [[3, 5, 5, 2.0], [4, 4, 3, 0.5], [0, 2, 2, 3.5]]


class Counting(validation._Counting):
  """Knows the counts of the shards, and which of them the chief counted."""

  def __init__(self, shards):
    self.shards, self.counted = shards, []
    images = types.SimpleNamespace(count_records=lambda: 11)
    self._split = validation._Split(images, None, None, 3, 0, multi_label=False)

  def count(self, session, is_to_stop, shard=None):
    self.counted.append(shard and shard[0])
    if shard is None:
      return [sum(column) for column in zip(*self.shards, strict=True)]
    return self.shards[shard[0]]


def team(held, lost=()):
  return types.SimpleNamespace(held=held, numbers_of=lambda session, task: (
      SHARDS[task] if task in held and task not in lost else None))


@pytest.mark.parametrize(('workers', 'counted'), [
    (team([1, 2]), [0]),
    (team([1]), [0, 2]),
    (team([1, 2], lost=[1]), [0, 1]),
    (team([]), [None])])
def test_counts_add_up_whoever_counts(workers, counted):
  counting = Counting(SHARDS)
  finding = counting.finding_of_shards(None, 7, lambda: False, workers, 3)
  assert (finding.step, finding.correct, finding.images) == (7, 7, 11)
  assert (finding.score, finding.loss) == (7 / 11, 0.6)
  assert counting.counted == counted


def test_a_network_that_gives_nan_in_a_shard_has_no_score():
  counting = Counting([SHARDS[0], SHARDS[1], [-1, 0, 0, 0.0]])
  finding = counting.finding_of_shards(None, 7, lambda: False, team([1]), 3)
  assert (finding.score, finding.images) == (None, 11)


def test_a_shard_that_is_stopped_stops_the_validation():
  counting = Counting([None, SHARDS[1], SHARDS[2]])
  with pytest.raises(ValidationStoppedError):
    counting.finding_of_shards(None, 7, lambda: True, team([1, 2]), 3)


@pytest.mark.parametrize(('purpose', 'validating'), [
    (job_state.WAIT, []), (job_state.VALIDATE, [1, 2])])
def test_workers_that_only_wait_bring_no_numbers(purpose, validating):
  """Another worker may take the step that is due while the chief asks for a pause."""
  state = types.SimpleNamespace(
      ask=lambda session, purpose: None,
      held=lambda *arguments: contextlib.nullcontext([1, 2]))
  workers = Team(state)
  with workers.at_rest(None, purpose):
    assert workers.held == validating
  assert workers.held == []


def test_a_worker_rests_after_the_step_that_a_pause_follows():
  """It may read of the pause one step earlier, and the chief needs its gradients."""
  answered, goes_on = [], job_state.GOES_ON
  state = types.SimpleNamespace(
      run=5, answer=lambda session, call, *numbers: answered.append(call),
      read=lambda session: job_state.Control([5, 0, goes_on, 0]))
  worker = Team(state, is_chief=False)
  asked = job_state.Control([5, 8, goes_on, 12])
  assert not worker.follow(None, asked, 11)
  assert answered == []
  assert not worker.follow(None, asked, 12)
  assert answered == [8]
  # A worker without a further step rests at once.
  assert not worker.follow(None, asked)
  assert answered == [8, 8]
