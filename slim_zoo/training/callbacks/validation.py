"""Validation inside a run, and the history of its results.

It runs between steps, in evaluation mode, on the weights of the session, so nothing is
written and read back. The results decide which checkpoint is the best, and whether to
stop early.
"""

import dataclasses
import json
import os
from collections.abc import Callable, Mapping

from slim_zoo import diagnostics
from slim_zoo.files import atomic
from slim_zoo.training import intervals
from slim_zoo.training.callbacks import batch_norm_health, best_checkpoint, summaries
from slim_zoo.training.callbacks.callback import Callback, InputFailure

FILE = 'validation.json'
# Less than one image of any split makes.
_ROUNDING = 1e-9


@dataclasses.dataclass(frozen=True)
class Finding:
  """The results of one validation.

  Attributes:
    step: the global step of the weights.
    score: the accuracy, or what else is to become high, 0 to 1; None if the network
      gives no finite numbers.
    correct: how many images, or pixels, were right.
    images: how many there are, unreadable images included.
    loss: the mean cross entropy of the readable ones, if known.
    train_mode_accuracy: of a sample, with the statistics of its batches; None
      without batch norm.
    eval_mode_accuracy: of the same sample as evaluation sees it.
    precision: the type that the network was computed in.
    unit: what is counted, 'images' or 'pixels'.
  """

  step: int
  score: float | None
  correct: int
  images: int
  loss: float | None = None
  train_mode_accuracy: float | None = None
  eval_mode_accuracy: float | None = None
  precision: str = 'float32'
  unit: str = 'images'


class History:
  """The findings of a run, in a file beside its checkpoints.

  Args:
    folder: the run's.
    source: the validation data; findings on other data are not comparable, and
      are forgotten.

  Attributes:
    findings: `Finding`s by step.
    forgotten: the data of the findings that were forgotten, or None.
  """

  def __init__(self, folder: str, source: str):
    self._path, self._source = os.path.join(folder, FILE), source
    stored = atomic.read_json(self._path) or {}
    self.forgotten = None
    self.findings = []
    if stored.get('source', source) == source:
      self.findings = [Finding(**finding) for finding in stored.get('findings', [])]
    else:
      self.forgotten = stored['source']

  def rewind(self, step: int) -> None:
    """Removes the results after a step, because a continued run repeats these steps.

    Args:
      step: the global step that the run continues from.
    """
    self.findings = [finding for finding in self.findings if finding.step <= step]

  def add(self, finding: Finding) -> None:
    """Adds a finding, in place of one of the same step; raises OSError."""
    self.rewind(finding.step - 1)
    self.findings.append(finding)
    atomic.write_text(self._path, json.dumps({
        'source': self._source,
        'findings': [dataclasses.asdict(each) for each in self.findings],
    }, indent=1) + '\n')

  def best(self) -> Finding | None:
    """Returns the finding of the highest score, the first of equal ones."""
    finite = [finding for finding in self.findings if finding.score is not None]
    return max(finite, key=lambda finding: finding.score, default=None)

  def without_improvement(self, min_delta: float = 0.0) -> int:
    """Returns how many validations in a row, up to the last, were no improvement.

    Args:
      min_delta: by how much the score of the last improvement must be surpassed.
    """
    reached, waiting = None, 0
    for finding in self.findings:
      if finding.score is not None and (
          reached is None or finding.score > reached + min_delta + _ROUNDING):
        reached, waiting = finding.score, 0
      else:
        waiting += 1
    return waiting


class ValidationStoppedError(Exception):
  """A validation was to stop before its last image."""


@dataclasses.dataclass(frozen=True)
class Rules:
  """When to validate and when to stop.

  Attributes:
    every_steps: steps between two validations.
    patience: stop after so many validations without an improvement; None: never.
    min_delta: by how much the score must rise to be an improvement.
    measure: the name of the score.
    precision: the type in which the sessions of the run compute.
  """

  every_steps: int
  patience: int | None = None
  min_delta: float = 0.0
  measure: str = 'accuracy'
  precision: str = 'float32'


class Validator(Callback):
  """Validates every so many steps and at the end of the run.

  A run that a signal ends is not validated once more: there may be no time.

  Args:
    evaluate: called as evaluate(session, step, is_to_stop), returns the `Finding` of
      the weights in a session; raises `ValidationStoppedError` if is_to_stop() is true
      before an image. With all-reduce workers, all of them call theirs.
    rules: when.
    history: of the run.
    best: where the best checkpoint goes.
    decays: of the batch norm layers that began without statistics in this run, see
      `nets.normalization.decays`.
    modes: counts right answers in both modes; None without batch norm.
  """

  def __init__(self, evaluate: Callable, rules: Rules,
               history: History,
               best: best_checkpoint.BestCheckpoint,
               decays: Mapping[str, float],
               modes: batch_norm_health.ModeGap | None = None):
    self._evaluate, self._rules, self._history = evaluate, rules, history
    self._best, self._decays, self._modes = best, decays, modes
    self._writer, self._validated = None, None
    self._said_stale = False
    self._due = intervals.EverySteps(rules.every_steps)

  def begin(self, session, step, writer):
    """Takes up what earlier sessions of the run have found."""
    self._writer = writer
    self._history.rewind(step)
    self._due.start(step)
    self._validated = None

  def needs_rest(self, step):
    """Tells whether it is time."""
    return self._due.is_due(step)

  def after_step(self, session, step):
    """Validates, where it is time; returns a reason to stop, or None."""
    if not self._due.take(step) or not self._validate(session, step):
      return None
    patience = self._rules.patience
    waiting = self._history.without_improvement(self._rules.min_delta)
    if patience and waiting >= patience:
      best = self._history.best()
      return (f'stopped early, as the last {waiting} validations were no improvement'
              + (f' (best: step {best.step})' if best else ''))
    return None

  def end(self, session, step):
    """Validates the last weights."""
    if self._validated != step:
      self._validate(session, step)

  def report(self) -> dict:
    """Returns the results so far, for the run card."""
    last, best = self._history.findings[-1:], self._history.best()
    if not last:
      return {}
    return {'validation': {
        'last': dataclasses.asdict(last[0]),
        'measure': self._rules.measure,
        'best': best and {'step': best.step, 'score': best.score},
        'without_improvement': self._history.without_improvement(
            self._rules.min_delta)}}

  def _validate(self, session, step):
    """Validates, prints and stores the results; returns whether it was completed."""
    self._validated = step
    finding = _evaluated(self._evaluate, session, step, self.is_asked_to_stop)
    if finding is None:
      return False
    finding = dataclasses.replace(finding, precision=self._rules.precision)
    warnings = self._warnings_at(step)
    if self._modes is not None:
      in_train_mode, in_eval_mode, images = self._modes.count(session)
      if images:
        finding = dataclasses.replace(
            finding, train_mode_accuracy=in_train_mode / images,
            eval_mode_accuracy=in_eval_mode / images)
        warnings += filter(None, [batch_norm_health.gap(
            in_train_mode, in_eval_mode, images,
            batch_norm_health.stale(self._decays, step) is not None)])
    before = self._best.finding()
    is_best = finding.score is not None and (
        before is None or finding.score > before['score'])
    self._history.add(finding)
    print(self._line(finding, None if is_best else before), flush=True)
    for warning in warnings:
      print(f'WARNING: {warning}', flush=True)
    numbers = _tagged(finding, self._rules.measure)
    if self._writer is not None:
      summaries.write_scalars(self._writer, numbers, step)
    self.announce(int(step), numbers)
    if is_best:
      self._best.save(session, step, dataclasses.asdict(finding) | {
          'measure': self._rules.measure})
    return True

  def _warnings_at(self, step):
    """Returns the warning about stale statistics, once in a session."""
    stale = batch_norm_health.stale(self._decays, step)
    if stale is None or self._said_stale:
      return []
    self._said_stale = True
    return [stale]

  def _line(self, finding, best_before):
    """Returns the progress line; `best_before` is None for the best so far."""
    line = f'validation at step {finding.step}: '
    if finding.score is None:
      return line + ('the network gives NaN in evaluation mode: nothing is counted, and'
                     ' this is no improvement')
    line += (f'{self._rules.measure} {finding.score:.2%} ({finding.correct:,} of'
             f' {finding.images:,} {finding.unit})')
    if finding.loss is not None:
      line += f', loss {diagnostics.fixed(finding.loss, 4)}'
    if best_before is None:
      return line + ', the best so far'
    return f'{line}, best {best_before["score"]:.2%} at step {best_before["step"]}'


class ShardValidator(Callback):
  """Evaluates the shard of an all-reduce worker whenever the chief validates.

  Args:
    evaluate: as for `Validator`; its finding is for the chief.
    every_steps: steps between two validations.
  """

  def __init__(self, evaluate: Callable, every_steps: int):
    self._evaluate, self._validated = evaluate, None
    self._due = intervals.EverySteps(every_steps)

  def begin(self, session, step, writer):
    """Counts from the step that the run continues from."""
    self._due.start(step)
    self._validated = None

  def after_step(self, session, step):
    """Evaluates, where it is time."""
    if self._due.take(step):
      self._validate(session, step)

  def end(self, session, step):
    """Evaluates the last weights."""
    if self._validated != step:
      self._validate(session, step)

  def _validate(self, session, step):
    self._validated = step
    _evaluated(self._evaluate, session, step, self.is_asked_to_stop)


def _tagged(finding, measure):
  """Returns the known numbers of a finding by the tags of TensorBoard."""
  values = {measure.replace(' ', '_'): finding.score, 'loss': finding.loss,
            'train_mode_accuracy': finding.train_mode_accuracy,
            'eval_mode_accuracy': finding.eval_mode_accuracy}
  return {f'validation/{name}': value for name, value in values.items()
          if value is not None}


def _evaluated(evaluate, session, step, is_to_stop):
  """Returns the finding of a validation; None if it was stopped."""
  try:
    return evaluate(session, step, is_to_stop)
  except ValidationStoppedError:
    return None
  except diagnostics.UserError as error:
    raise InputFailure(f'validation at step {step} failed: {error}') from error
