"""What the validations of a run found, kept over its interruptions."""

import dataclasses
import json
import os

from slim_zoo.files import atomic

FILE = 'validation.json'
# Less than one image of any split makes.
_ROUNDING = 1e-9


@dataclasses.dataclass(frozen=True)
class Finding:
  """What one validation found.

  Attributes:
    step: the global step of the weights.
    score: the accuracy, or what else is to become high, 0 to 1; None if the network
      gives no finite numbers.
    correct: how many images were right.
    images: how many there are, unreadable ones included.
    loss: the mean cross entropy of the readable ones, if known.
    train_mode_accuracy: of a sample, with the statistics of its batches; None
      without batch norm.
    eval_mode_accuracy: of the same sample as evaluation sees it.
  """

  step: int
  score: float | None
  correct: int
  images: int
  loss: float | None = None
  train_mode_accuracy: float | None = None
  eval_mode_accuracy: float | None = None


class History:
  """The findings of a run, in a file beside its checkpoints.

  Args:
    folder: the run's.
    source: what it validates on; findings on something else are not comparable, and
      are forgotten.

  Attributes:
    findings: `Finding`s by step.
    forgotten: what the findings that were forgotten were made on, or None.
  """

  def __init__(self, folder: str, source: str):
    self._path, self._source = os.path.join(folder, FILE), source
    kept = atomic.read_json(self._path) or {}
    self.forgotten = None
    self.findings = []
    if kept.get('source', source) == source:
      self.findings = [Finding(**finding) for finding in kept.get('findings', [])]
    else:
      self.forgotten = kept['source']

  def rewind(self, step: int) -> None:
    """Forgets what is later than a step: a run that goes on from it comes there again.

    Args:
      step: the global step that the run goes on from.
    """
    self.findings = [finding for finding in self.findings if finding.step <= step]

  def add(self, finding: Finding) -> None:
    """Adds a finding, in place of one of the same step; raises OSError."""
    self.rewind(finding.step - 1)
    self.findings.append(finding)
    atomic.write_text(self._path, json.dumps({
        'source': self._source,
        'findings': [dataclasses.asdict(found) for found in self.findings],
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
