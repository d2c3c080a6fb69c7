"""Charts, drawn with matplotlib: the style, new figures, files, bars, intervals.

Only matplotlib's figures and the Agg canvas are used: no window system, no global
state, and the user's own matplotlib settings change nothing.
"""

import contextlib
import dataclasses
import logging
import os
import textwrap
import warnings
from collections.abc import Iterable, Mapping

from matplotlib import style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import StrMethodFormatter

from slim_zoo.drawing import fonts
from slim_zoo.drawing.colours import FAINT, INK, MUTED, PAPER, SERIES
from slim_zoo.files import atomic

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
  """Writes a figure as a PNG file; if it fails, an earlier file stays unchanged.

  Raises:
    OSError: the file cannot be written.
  """
  with atomic.replacing(path) as unfinished:
    # Without the version of matplotlib, the same figure is the same file.
    figure.savefig(unfinished, format='png', dpi=_DOTS_PER_INCH,
                   metadata={'Software': None})


@dataclasses.dataclass(frozen=True)
class Interval:
  """A value with its interval.

  Attributes:
    value: the middle.
    low: the begin.
    high: the end.
    text: what is written beside it.
    is_hollow: whether it is drawn as an empty circle, for what makes no difference.
  """

  value: float
  low: float
  high: float
  text: str
  is_hollow: bool = False


def write_bars(path: str | os.PathLike, title: str,
               groups: Mapping[str, Mapping[str, float]], xlabel: str,
               footnote: str = '', log: bool = False, number: str = '{:,.4g}') -> None:
  """Writes a chart of horizontal bars as a PNG file.

  Args:
    path: of the file.
    title: of the chart.
    groups: {label of the group: {kind: value}}, from the top.
    xlabel: the quantity of the values and its unit.
    footnote: small text below.
    log: whether the axis is logarithmic, for values of very different size. Then they
      are points: such an axis has no zero for bars to begin at.
    number: the format of the value beside its bar.
  """
  def draw(axes, position, value, colour):
    if log:
      axes.plot(value, position, 'o', color=colour)
    else:
      axes.barh(position, value, height=0.86, color=colour)
    _write_beside(axes, value, position, number.format(value), 8 if log else 4)

  _write(path, title, groups, draw, xlabel, footnote, log)


def write_intervals(path: str | os.PathLike, title: str,
                    groups: Mapping[str, Mapping[str, Interval]], xlabel: str,
                    footnote: str = '', line_at: float | None = None) -> None:
  """Writes a chart of points with their intervals as a PNG file.

  Arguments are those of `write_bars`; `line_at` is a value to draw a line at.
  """
  def draw(axes, position, interval, colour):
    axes.hlines(position, interval.low, interval.high, color=colour, linewidth=2)
    axes.plot(interval.value, position, 'o', color=colour, zorder=3,
              markerfacecolor=PAPER if interval.is_hollow else colour)
    _write_beside(axes, max(interval.high, interval.value), position, interval.text, 8)

  _write(path, title, groups, draw, xlabel, footnote, line_at=line_at)


def _write(path, title, groups, draw, xlabel, footnote, log=False, line_at=None):
  """Writes a chart; draw(axes, position, value, colour) draws one of its values."""
  kinds = list(dict.fromkeys(kind for group in groups.values() for kind in group))
  colours = {kind: SERIES[place % len(SERIES)] for place, kind in enumerate(kinds)}
  rows = sum(len(group) for group in groups.values())
  notes = textwrap.wrap(footnote, 150)
  inches = 1.7 + _BAR_INCHES * (rows + 0.8 * len(groups)) + 0.16 * len(notes)
  with in_style(groups):
    figure = new(9.6, inches)
    axes = figure.add_subplot()
    if line_at is not None:
      axes.axvline(line_at, color=INK, linewidth=1, linestyle='--', zorder=1)
    _draw_groups(axes, groups, colours, draw)
    _finish(axes, xlabel, log)
    axes.set_title(title)
    figure.legend([Patch(color=colours[kind]) for kind in kinds], kinds,
                  loc='outside upper left', ncols=min(4, len(kinds)), frameon=False,
                  fontsize=9)
    if notes:
      figure.supxlabel('\n'.join(notes), x=MARGIN / 9.6, ha='left', fontsize=7,
                       color=MUTED)
    save(figure, path)


def _draw_groups(axes, groups, colours, draw):
  position, ticks = 0.0, []
  for group in groups.values():
    ticks.append(position + (len(group) - 1) / 2)
    for kind, value in group.items():
      draw(axes, position, value, colours[kind])
      position += 1
    position += 0.8
  axes.set_yticks(ticks, list(groups), fontsize=9)
  axes.set_ylim(position - 1.1, -0.7)


def _write_beside(axes, place, position, text, points):
  axes.annotate(text, (place, position), (points, 0), textcoords='offset points',
                va='center', fontsize=8)


def _finish(axes, xlabel, log):
  """Sets the x axis and the grid, and removes the frame."""
  if log:
    axes.set_xscale('log')
    # Its own labels are formulas, which are not read as such here.
    axes.xaxis.set_major_formatter(StrMethodFormatter('{x:,.4g}'))
  axes.margins(x=0.15)
  axes.set_xlabel(xlabel, fontsize=9)
  axes.tick_params(axis='x', labelsize=8, colors=MUTED)
  axes.tick_params(axis='y', length=0)
  axes.grid(axis='x', color=FAINT)
  axes.set_axisbelow(True)
  axes.spines[['top', 'right', 'left']].set_visible(False)
