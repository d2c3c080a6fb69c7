"""How many lines are read exactly, and the character error rate."""

import dataclasses
from collections.abc import Iterable, Sequence

from slim_zoo.evaluation import metrics


@dataclasses.dataclass(frozen=True)
class Result:
  """Counts over lines of text.

  Attributes:
    lines: all lines.
    right: lines that are read exactly.
    characters: of the true texts.
    edits: the least insertions, deletions and substitutions that make the true texts of
      what was read.
  """

  lines: int
  right: int
  characters: int
  edits: int

  def __str__(self):
    exact = metrics.Accuracy(1, self.right, self.lines)
    low, high = exact.interval
    # More edits than characters are possible, but no share above 1.
    wrong = min(self.edits, self.characters)
    of_edits = metrics.Accuracy(1, wrong, self.characters)
    least, most = of_edits.interval
    return (f'exact lines {exact.percent} ({self.right} of {self.lines}, 95% interval'
            f' {low:.2%} to {high:.2%}); character error rate'
            f' {self.edits / self.characters:.2%} ({self.edits} of {self.characters},'
            f' 95% interval {least:.2%} to {most:.2%})')


def compare(true_texts: Sequence[str], read_texts: Iterable[str]) -> Result:
  """Returns the counts for lines; at least one, and one character."""
  pairs = list(zip(true_texts, read_texts, strict=True))
  return Result(
      len(pairs), sum(true == read for true, read in pairs),
      sum(len(true) for true, _ in pairs),
      sum(edit_distance(true, read) for true, read in pairs))


def edit_distance(first: str, second: str) -> int:
  """Returns the least number of insertions, deletions and substitutions.

  Levenshtein 1966, Binary codes capable of correcting deletions, insertions, and
  reversals.
  """
  distances = list(range(len(second) + 1))
  for row, letter in enumerate(first, 1):
    diagonal, distances[0] = distances[0], row
    for column, other in enumerate(second, 1):
      diagonal, distances[column] = distances[column], min(
          distances[column] + 1, distances[column - 1] + 1,
          diagonal + (letter != other))
  return distances[-1]
