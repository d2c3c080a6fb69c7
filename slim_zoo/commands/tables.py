"""Tables of texts, aligned or as Markdown, and the rows that a filter selects."""

import fnmatch
from collections.abc import Iterable, Sequence

from slim_zoo import diagnostics

Line = Sequence[str]


def as_text(headings: Line, right_aligned: Iterable[str], lines: Iterable[Line]) -> str:
  """Returns a table as aligned columns.

  Args:
    headings: of the columns.
    right_aligned: those of them whose columns end at the same place.
    lines: a text for each column.
  """
  every, right = [headings, *lines], set(right_aligned)
  widths = [max(map(len, column)) for column in zip(*every, strict=True)]
  return '\n'.join(
      '  '.join(text.rjust(width) if heading in right else text.ljust(width)
                for heading, text, width in zip(headings, line, widths, strict=True)
                ).rstrip()
      for line in every)


def as_markdown(headings: Line, right_aligned: Iterable[str],
                lines: Iterable[Line]) -> str:
  """Returns a table as Markdown; the arguments are those of `as_text`."""
  right = set(right_aligned)
  rule = ['---:' if heading in right else '---' for heading in headings]
  return '\n'.join(f"| {' | '.join(line)} |" for line in (headings, rule, *lines))


def fitting(pattern: str, names: Iterable[str], kind: str, example: str) -> list[str]:
  """Returns the names that contain `pattern` or fit it as a glob pattern.

  Args:
    pattern: of the flag --filter; lower and upper case are the same.
    names: all names.
    kind: what they name, such as 'network'.
    example: a pattern for the message.

  Raises:
    UserError: there is none.
  """
  names, lower = list(names), pattern.lower()
  if any(character in pattern for character in '*?['):
    found = [name for name in names if fnmatch.fnmatchcase(name.lower(), lower)]
  else:
    found = [name for name in names if lower in name.lower()]
  if not found:
    raise diagnostics.UserError(
        f"--filter='{pattern}' fits no {kind}'s name: expected part of a name or a"
        f" pattern, as in --filter='{example}'"
        f'{diagnostics.suggestion(pattern, names)}')
  return found
