"""Writes the files of a robustness test.

  robustness.json   all counts, and the facts about the evaluation
  robustness.csv    a line for each corruption and severity
  robustness.png    accuracy against severity
  examples.png      the first image with every corruption
"""

import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from slim_zoo.catalog.corruptions import GROUPS, SEVERITIES
from slim_zoo.drawing import charts, sheets
from slim_zoo.drawing.colours import BLUE, FAINT, MUTED
from slim_zoo.evaluation import report_files
from slim_zoo.evaluation.corruptions import table
from slim_zoo.evaluation.robustness import Counts
from slim_zoo.files import atomic

STATE = 'robustness.json'
_TABLE, _CHART, _EXAMPLES = 'robustness.csv', 'robustness.png', 'examples.png'
_COLUMNS, _THUMBNAIL = 4, 100


def load(folder: str, key: str) -> Counts | None:
  """Returns the counts of an earlier run; None if there is none with the same key.

  Args:
    folder: folder of the files.
    key: digest of everything that the counts depend on.
  """
  values = atomic.read_json(os.path.join(folder, STATE))
  if values is None or values.get('key') != key:
    return None
  try:
    counts = Counts(int(values['images']), int(values['clean']['correct']), {
        kind: tuple(int(row['correct']) for row in rows['severities'])
        for kind, rows in values['corruptions'].items()})
  except (KeyError, TypeError, ValueError, AttributeError):
    return None
  whole = all(kind in table.CORRUPTIONS and len(correct) == len(SEVERITIES)
              for kind, correct in counts.corrupted.items())
  return counts if whole else None


def save(folder: str, key: str, counts: Counts, facts: Mapping[str, object],
         kinds: Sequence[str]) -> None:
  """Writes the counts of all finished kinds, also of earlier runs.

  Args:
    folder: an existing folder.
    key: see `load`.
    counts: counts of the finished kinds.
    facts: facts about the evaluation.
    kinds: kinds of this run, for the mean.

  Raises:
    OSError: the file cannot be written.
  """
  atomic.write_text(os.path.join(folder, STATE), report_files.json_text(
      report_files.plain({'key': key, 'run': dict(facts), **values_of(counts, kinds)})))


def values_of(counts: Counts, kinds: Sequence[str]) -> dict[str, Any]:
  """Returns all numbers as plain values.

  Args:
    counts: counts of the finished kinds.
    kinds: kinds of the mean; kinds that are not finished are left out.
  """
  clean, *rows = counts.rows()
  averaged = [kind for kind in kinds if kind in counts.corrupted]
  return {
      'images': counts.num_images, 'clean': clean,
      'mean_accuracy': counts.of_kinds(averaged).mean if averaged else None,
      'mean_of': averaged,
      'corruptions': {kind: {
          'mean_accuracy': counts.mean_of(kind),
          'severities': [row for row in rows if row['corruption'] == kind]}
                      for kind in counts.corrupted}}


def write(folder: str, counts: Counts, title: str, image: np.ndarray | None,
          seed: int, shortest: int) -> list[str]:
  """Writes the table and the pictures.

  Args:
    folder: an existing folder.
    counts: counts of all kinds.
    title: title of the chart.
    image: uint8 [height, width, channels], the image for the examples; None: no
      examples are drawn.
    seed: seed of the corruptions.
    shortest: see `table.severities`.

  Returns:
    A line for each picture that could not be drawn.

  Raises:
    OSError: a file cannot be written.
  """
  with atomic.replacing(os.path.join(folder, _TABLE)) as unfinished:
    report_files.write_csv(pathlib.Path(unfinished), counts.rows())
  problems = []
  for name, draw in ((_CHART, lambda path: draw_chart(path, counts, title)),
                     (_EXAMPLES, lambda path: draw_examples(
                         path, image, tuple(counts.corrupted), seed, shortest))):
    if name == _EXAMPLES and image is None:
      continue
    try:
      # Matplotlib and Pillow choose the format by the suffix.
      partial = os.path.join(folder, f'.{os.getpid()}.part.{name}')
      with atomic.replacing(os.path.join(folder, name), partial) as unfinished:
        draw(unfinished)
    except OSError:
      raise
    except Exception as error:  # Drawing libraries raise many kinds of errors.
      problems.append(f'{name} is left out: {type(error).__name__}: {error}')
  return problems


def draw_chart(path: str, counts: Counts, title: str) -> None:
  """Draws accuracy against severity: a panel for each kind, a row for each group.

  Args:
    path: path of the PNG file.
    counts: counts of one kind or more.
    title: title above the panels.
  """
  rows = [shown for kinds in GROUPS.values()
          if (shown := [kind for kind in kinds if kind in counts.corrupted])]
  columns = min(_COLUMNS, max(map(len, rows)))
  with charts.in_style([title]):
    figure = charts.new(max(5.5, 2.5 * columns), 0.9 + 2.0 * len(rows))
    grid = figure.subplots(len(rows), columns, sharex=True, sharey=True, squeeze=False)
    for axes, kinds in zip(grid, rows, strict=True):
      for place, part in enumerate(axes):
        if place < len(kinds):
          _draw_kind(part, counts, kinds[place])
        else:
          part.set_axis_off()
      axes[0].set_ylabel('accuracy in percent', fontsize=8)
    for place, part in enumerate(grid[-1]):
      if place < len(rows[-1]):
        part.set_xlabel('severity', fontsize=8)
    figure.suptitle(title, x=0.01, ha='left')
    charts.save(figure, path)


def _draw_kind(axes, counts, kind):
  accuracies = [counts.accuracy(), *(
      counts.accuracy(kind, severity) for severity in SEVERITIES)]
  places = [0, *SEVERITIES]
  values = [100 * accuracy.value for accuracy in accuracies]
  low, high = zip(*(accuracy.interval for accuracy in accuracies), strict=True)
  axes.axhline(values[0], color=MUTED, linewidth=1, linestyle='--')
  axes.fill_between(places, 100 * np.array(low), 100 * np.array(high), color=BLUE,
                    alpha=0.2, linewidth=0)
  axes.plot(places, values, 'o-', color=BLUE, linewidth=1.6, markersize=4)
  axes.set_title(kind.replace('_', ' '), fontsize=10)
  axes.set_ylim(0, 104)  # A marker at 100 is not cut.
  axes.set_xticks(places)
  axes.tick_params(labelsize=8)
  axes.grid(axis='y', color=FAINT)
  axes.spines[['top', 'right']].set_visible(False)


def draw_examples(path: str, image: np.ndarray, kinds: Sequence[str],
                  seed: int = 0, shortest: int | None = None) -> None:
  """Draws an image in every severity of each kind, corrupted as in the evaluation.

  Args:
    path: path of the PNG file.
    image: uint8 [height, width, channels].
    kinds: kinds in the order of the rows.
    seed: seed of the corruptions.
    shortest: see `table.severities`.
  """
  tiles = []
  for kind in kinds:
    shown = table.severities(image, kind, 0, seed, shortest)
    tiles += [
        sheets.Tile(sheets.image_of(one), [sheets.Line(
            kind.replace('_', ' '), value=str(severity), size=10)])
        for severity, one in zip(SEVERITIES, shown, strict=True)]
  sheet = sheets.draw(
      [sheets.Section('corruptions, severity 1 to 5', tiles)], 2 * len(SEVERITIES),
      _THUMBNAIL)
  sheets.save(sheet, path)
