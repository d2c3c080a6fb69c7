"""Charts, drawn with matplotlib: the style, new figures, files, bars.

Only matplotlib's figures and the Agg canvas are used: no window system, no global
state, and the user's own matplotlib settings change nothing.
"""

import contextlib
import logging
import os
import textwrap
import warnings
from collections.abc import Iterable, Mapping

from matplotlib import style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from slim_zoo.drawing import fonts
from slim_zoo.drawing.colours import FAINT, INK, MUTED, PAPER, SERIES

# Around the content of a figure, in inches.
MARGIN = 0.12
_DOTS_PER_INCH = 150
_BAR_INCHES = 0.2

_STYLE = {
    'axes.edgecolor': MUTED,
    'axes.labelcolor': MUTED,
    'axes.titlelocation': 'left',
    'axes.titlesize': 12,
    'axes.titleweight': 'bold',
    'figure.titlesize': 13,
    'figure.titleweight': 'bold',
    'font.size': 10,
    'text.color': INK,
    # A class name may have a dollar sign.
    'text.parse_math': False,
    'xtick.color': INK,
    'ytick.color': INK,
}


@contextlib.contextmanager
def in_style(texts: Iterable[str] = ()):
  """Sets the style of charts, and silences matplotlib's notes about fonts.

  Args:
    texts: of the chart that may have letters that DejaVu Sans does not have.
  """
  font_manager = logging.getLogger('matplotlib.font_manager')
  level = font_manager.level
  font_manager.setLevel(logging.ERROR)
  try:
    own_style = {**_STYLE, 'font.family': fonts.families(texts)}
    with warnings.catch_warnings(), style.context(own_style, after_reset=True):
      warnings.filterwarnings('ignore', message='Glyph .* missing from')
      yield
  finally:
    font_manager.setLevel(level)


def new(width: float, height: float) -> Figure:
  """Returns an empty figure; width and height are in inches."""
  figure = Figure((width, height), layout='constrained', facecolor=PAPER)
  FigureCanvasAgg(figure)
  figure.get_layout_engine().set(w_pad=MARGIN, h_pad=MARGIN / 2)
  return figure


def save(figure: Figure, path: str | os.PathLike) -> None:
  """Writes a figure as a PNG file; raises OSError."""
  # Without the version of matplotlib, the same figure is the same file.
  figure.savefig(path, dpi=_DOTS_PER_INCH, metadata={'Software': None})


def write_bars(path: str | os.PathLike, title: str,
               groups: Mapping[str, Mapping[str, float]], xlabel: str,
               footnote: str = '', line_at: float | None = None, log: bool = False,
               number: str = '{:,.4g}') -> None:
  """Writes a chart of horizontal bars as a PNG file.

  Args:
    path: of the file.
    title: of the chart.
    groups: {label of the group: {kind: value}}, from the top.
    xlabel: the quantity of the values and its unit.
    footnote: small text below.
    line_at: a value to draw a line at.
    log: whether the axis is logarithmic, for values of very different size.
    number: the format of the value beside its bar.
  """
  kinds = list(dict.fromkeys(kind for group in groups.values() for kind in group))
  colours = {kind: SERIES[place % len(SERIES)] for place, kind in enumerate(kinds)}
  bars = sum(len(group) for group in groups.values())
  notes = textwrap.wrap(footnote, 150)
  inches = 1.7 + _BAR_INCHES * (bars + 0.8 * len(groups)) + 0.16 * len(notes)
  with in_style(groups):
    figure = new(9.6, inches)
    axes = figure.add_subplot()
    _draw_groups(axes, groups, colours, number)
    _finish(axes, xlabel, log)
    if line_at is not None:
      axes.axvline(line_at, color=INK, linewidth=1, linestyle='--')
    axes.set_title(title)
    figure.legend([Patch(color=colours[kind]) for kind in kinds], kinds,
                  loc='outside upper left', ncols=min(4, len(kinds)), frameon=False,
                  fontsize=9)
    if notes:
      figure.supxlabel('\n'.join(notes), x=MARGIN / 9.6, ha='left', fontsize=7,
                       color=MUTED)
    save(figure, path)


def _draw_groups(axes, groups, colours, number):
  position, ticks = 0.0, []
  for group in groups.values():
    ticks.append(position + (len(group) - 1) / 2)
    for kind, value in group.items():
      axes.barh(position, value, height=0.86, color=colours[kind])
      axes.annotate(number.format(value), (value, position), (4, 0),
                    textcoords='offset points', va='center', fontsize=8,
                    # The number stays legible over bars and the line.
                    bbox={'color': PAPER, 'pad': 0.5}, zorder=4)
      position += 1
    position += 0.8
  axes.set_yticks(ticks, list(groups), fontsize=9)
  axes.set_ylim(position - 1.1, -0.7)


def _finish(axes, xlabel, log):
  """Sets the x axis and the grid, and removes the frame."""
  if log:
    axes.set_xscale('log')
  axes.margins(x=0.12)
  axes.set_xlabel(xlabel, fontsize=9)
  axes.tick_params(axis='x', labelsize=8, colors=MUTED)
  axes.tick_params(axis='y', length=0)
  axes.grid(axis='x', color=FAINT)
  axes.set_axisbelow(True)
  axes.spines[['top', 'right', 'left']].set_visible(False)
