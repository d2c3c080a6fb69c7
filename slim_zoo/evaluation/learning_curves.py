"""Learning curves: a picture of what runs wrote for TensorBoard, and a reader of it."""

import glob
import os
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from slim_zoo import diagnostics
from slim_zoo.drawing import charts, fonts
from slim_zoo.drawing.colours import FAINT, SERIES
from slim_zoo.tf_compat import tf

# One step's loss says little: a line is drawn of the means over this share of the run.
_SMOOTHED_SHARE = 0.04
_MANY = 20

# The names of measurements on a split, by the beginning of their tags.
_SPLITS = {'validation': 'validations', 'eval': 'evaluations'}

Curves = dict[str, tuple[np.ndarray, np.ndarray]]


class Panel(NamedTuple):
  """One of the axes.

  Attributes:
    title: above the axes.
    of_steps: the tag of what training writes of single steps, which is noisy.
    of_splits: the tags of measurements on a whole split.
    substitute: a tag of single steps for runs that lack the first one, and what it
      shows; None: there is none.
    is_logarithmic: whether the axis is, where all values allow it.
  """

  title: str
  of_steps: str
  of_splits: tuple[str, ...] = ()
  substitute: tuple[str, str] | None = None
  is_logarithmic: bool = False


PANELS = (
    Panel('cross entropy', 'cross_entropy/training_batch',
          ('validation/loss', 'eval/cross_entropy'),
          # What runs had before they wrote the cross entropy alone.
          ('total_loss', 'total loss, with the penalty on weights'),
          is_logarithmic=True),
    Panel('accuracy', 'accuracy/training_batch',
          ('validation/accuracy', 'eval/Accuracy')),
    Panel('learning rate', 'learning_rate'),
)


def read(folder: str) -> Curves:
  """Returns the curves in the event files of a folder, by tag.

  If a run was killed and repeated some steps, the last values count.

  Args:
    folder: what --train_dir or --eval_dir named.

  Returns:
    For each tag of scalars (steps, values), int64 and float64 [points], by step.

  Raises:
    UserError: there are no event files in it, or no scalars in them.
  """
  points_by_tag = {}
  for path in sorted(glob.glob(
      os.path.join(glob.escape(folder), 'events.out.tfevents.*'))):
    try:
      for event in tf.train.summary_iterator(path):
        for value in event.summary.value:
          if value.HasField('simple_value'):
            points_by_tag.setdefault(value.tag, {})[event.step] = value.simple_value
    except tf.errors.DataLossError:
      pass  # A kill cut the last record: those before it are whole.
  if not points_by_tag:
    raise diagnostics.UserError(
        f"no numbers for TensorBoard in '{folder}': name a folder that --train_dir or"
        ' --eval_dir named')
  return {tag: (np.array(sorted(points)),
                np.array([points[step] for step in sorted(points)]))
          for tag, points in points_by_tag.items()}


def smoothed(steps: np.ndarray, values: np.ndarray) -> np.ndarray:
  """Returns the mean of the curve around each of its points.

  Args:
    steps: numbers [points], ascending.
    values: numbers [points].
  """
  # As far to either side, or the ends would be drawn towards the middle.
  reach = np.minimum((steps[-1] - steps[0]) * _SMOOTHED_SHARE / 2,
                     np.minimum(steps - steps[0], steps[-1] - steps))
  # Of the area, not of the points: a run may write more of them at its beginning.
  areas = np.concatenate(
      [[0], np.cumsum(np.diff(steps) * (values[1:] + values[:-1]) / 2)])
  around = (np.interp(steps + reach, steps, areas)
            - np.interp(steps - reach, steps, areas))
  return np.divide(around, 2 * reach, out=values.astype(float), where=reach > 0)


def draw(path: str | os.PathLike, runs: Mapping[str, Curves]) -> None:
  """Draws the curves of runs, one panel below the other.

  Args:
    path: of the PNG file.
    runs: what `read` gave, by the name to show.

  Raises:
    UserError: there is nothing to draw in any of them.
  """
  shown = [panel for panel in PANELS if any(
      tag in curves for curves in runs.values()
      for tag in (panel.of_steps, *(panel.substitute or ())[:1], *panel.of_splits))]
  if not shown:
    raise diagnostics.UserError(
        'none of the folders has a loss, an accuracy or a learning rate in it')
  runs = {fonts.legible(name): curves for name, curves in runs.items()}
  with charts.in_style(runs):
    figure = charts.new(9, 2.4 * len(shown))
    axes = figure.subplots(len(shown), sharex=True, squeeze=False)[:, 0]
    for panel, part in zip(shown, axes, strict=True):
      part.set_title(panel.title)
      part.grid(axis='y', color=FAINT)
      part.spines[['top', 'right']].set_visible(False)
      for number, (name, curves) in enumerate(runs.items()):
        _draw_run(part, panel, name, curves, SERIES[number % len(SERIES)])
      if panel.is_logarithmic and all(
          (line.get_ydata() > 0).all() for line in part.lines):
        part.set_yscale('log')
        part.yaxis.set_major_formatter('{x:g}')
        part.yaxis.set_minor_formatter('')
      part.legend(frameon=False, fontsize=9)
    axes[-1].set_xlabel('step')
    charts.save(figure, path)


def _draw_run(axes, panel, name, curves, colour):
  tag, source, style = panel.of_steps, 'batches', '-'
  if tag not in curves and panel.substitute:
    (tag, of_substitute), style = panel.substitute, '--'
    source = f'batches, {of_substitute}'
  if tag in curves:
    steps, values = curves[tag]
    finite = np.isfinite(values)
    steps, values = steps[finite], values[finite]
    if panel.of_splits and len(values) > _MANY:
      axes.plot(steps, values, color=colour, alpha=0.25, linewidth=0.8)
      values = smoothed(steps, values)
    # A line through few points hides how few they are; one point has none.
    axes.plot(steps, values, style, color=colour, linewidth=1.6, markersize=3,
              marker='o' if len(values) <= _MANY else None,
              label=f'{name}: {source}' if panel.of_splits else name)
  for tag in panel.of_splits:
    if tag in curves:
      steps, values = curves[tag]
      axes.plot(steps, values, 'o-', color=colour, markersize=5, linewidth=1,
                markeredgecolor='white', label=f'{name}: {_SPLITS[tag.split("/")[0]]}')
