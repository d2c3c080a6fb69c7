"""The output of a classification: answers as text, CSV or JSON lines; notes on stderr.

Needs no TensorFlow.
"""

import collections
import csv
import json
import sys
from collections.abc import Sequence
from typing import TextIO

from slim_zoo import diagnostics
from slim_zoo.prediction.classifier import Answer
from slim_zoo.prediction.sources import NamedFiles

_MOST_NAMED = 20


def printable(text: str) -> str:
  """Returns a text in which bytes that are not UTF-8, and line breaks, are a sign."""
  text = text.encode('utf-8', 'surrogateescape').decode('utf-8', 'replace')
  return ''.join(letter if letter.isprintable() else '\ufffd' for letter in text)


class Writer:
  """Writes answers to a stream as they come.

  Args:
    stream: where to.
    format: 'text', 'csv' or 'jsonl'.
    names: of the classes.
    top_k: how many of the most probable classes are written.
  """

  def __init__(self, stream: TextIO, format: str, names: Sequence[str], top_k: int):
    self._stream, self._names = stream, names
    self._count = min(top_k, len(names))
    self._write = {'text': self._write_text, 'csv': self._write_csv,
                   'jsonl': self._write_json}[format]
    if format == 'csv':
      self._rows = csv.writer(stream, lineterminator='\n')
      self._rows.writerow(
          ['file', *(f'{column}_{rank}' for rank in range(1, self._count + 1)
                     for column in ('class', 'name', 'probability')),
           'read_as', 'refused'])

  def write(self, answer: Answer) -> None:
    """Writes one answer; of a refused file, CSV and JSON lines tell the reason."""
    self._write(answer)

  def _write_text(self, answer):
    if answer.refused:
      return
    lines = [printable(answer.path)]
    for label, probability in answer.most_probable(self._count):
      share = f'{probability:.2%}'
      if answer.mask is not None and share == '0.00%':
        share = '<0.01%'  # The mask has the class.
      lines.append(f'  {share:>7}  {printable(self._names[label])}')
    print('\n'.join(lines), file=self._stream, flush=True)

  def _write_csv(self, answer):
    cells = [] if answer.refused else [
        cell for label, probability in answer.most_probable(self._count)
        for cell in (label, self._names[label], _rounded(probability))]
    cells += [''] * (3 * self._count - len(cells))
    self._rows.writerow(
        [answer.path, *cells, answer.change or '', answer.refused or ''])

  def _write_json(self, answer):
    record = {'file': answer.path}
    if answer.refused:
      record['refused'] = answer.refused
    else:
      record['predictions'] = [
          {'class': label, 'name': self._names[label],
           'probability': _rounded(probability)}
          for label, probability in answer.most_probable(self._count)]
    if answer.change:
      record['read_as'] = answer.change
    # Names that are not UTF-8 are kept as the escapes that Python reads back.
    self._stream.write(json.dumps(record) + '\n')


def _rounded(probability):
  """Returns a probability with all the digits that float32 has."""
  return float(f'{probability:.8g}')


def note(text: str) -> None:
  """Prints a remark to stderr."""
  print(f'note: {printable(text)}', file=sys.stderr, flush=True)


class Tally:
  """Counts answers, and says why files are skipped as soon as they are.

  Args:
    program: the name that the lines begin with.
  """

  def __init__(self, program: str):
    self._program = program
    self._refused, self._changes = 0, collections.Counter()

  def add(self, answer: Answer) -> None:
    """Counts an answer."""
    if answer.refused:
      self._refused += 1
      if self._refused <= _MOST_NAMED:
        self._print(f"'{printable(answer.path)}' is skipped: {answer.refused}")
    elif answer.change:
      self._changes[answer.change] += 1

  def _print(self, text):
    print(f'{self._program}: {text}', file=sys.stderr, flush=True)

  def finish(self, named: NamedFiles) -> None:
    """Prints the summary.

    Raises:
      UserError: there were several files, and none could be classified.
    """
    if named.left_out:
      note(f'left out {len(named.left_out)} files whose names promise no image, such'
           f" as '{named.left_out[0]}'")
    if self._changes:
      kinds = '; '.join(f'{count} {kind}' for kind, count in self._changes.items())
      note(f'read as slim-zoo convert-images stores them: {kinds}')
    if self._refused > _MOST_NAMED:
      self._print(f'{self._refused - _MOST_NAMED} more are skipped')
    total = len(named.files)
    if self._refused == total > 1:
      raise diagnostics.UserError(f'none of the {total} files could be classified')
