"""What people should know besides the answers: what was refused, or changed."""

import collections
import sys

from slim_zoo import diagnostics
from slim_zoo.prediction.answers import printable
from slim_zoo.prediction.classifier import Answer
from slim_zoo.prediction.sources import Found

_MOST_TOLD = 20
_SOME_REFUSED, _NONE_CLASSIFIED = 3, 1


def note(text: str) -> None:
  """Prints a remark to stderr."""
  print(f'note: {printable(text)}', file=sys.stderr, flush=True)


class Tally:
  """Counts answers, and says why files are skipped as soon as they are.

  Args:
    script: the name that the lines begin with.
  """

  def __init__(self, script: str):
    self._script = script
    self._refused, self._changes = 0, collections.Counter()

  def add(self, answer: Answer) -> None:
    """Takes an answer."""
    if answer.refused:
      self._refused += 1
      if self._refused <= _MOST_TOLD:
        self._tell(f"'{printable(answer.path)}' is skipped: {answer.refused}")
    elif answer.change:
      self._changes[answer.change] += 1

  def _tell(self, text):
    print(f'{self._script}: {text}', file=sys.stderr, flush=True)

  def conclude(self, found: Found) -> int:
    """Says what is left to say; returns the exit code.

    Raises:
      UserError: there were several files, and none could be classified.
    """
    if found.left_out:
      note(f'left out {len(found.left_out)} files whose names promise no image, such'
           f" as '{found.left_out[0]}'")
    if self._changes:
      kinds = '; '.join(f'{count} {kind}' for kind, count in self._changes.items())
      note(f'read as slim-zoo convert-images stores them: {kinds}')
    if self._refused > _MOST_TOLD:
      self._tell(f'{self._refused - _MOST_TOLD} more are skipped')
    total = len(found.files)
    if self._refused == total > 1:
      raise diagnostics.UserError(f'none of the {total} files could be classified')
    if self._refused == total:
      return _NONE_CLASSIFIED
    return _SOME_REFUSED if self._refused else 0
