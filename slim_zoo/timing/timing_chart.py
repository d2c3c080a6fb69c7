"""Pictures of measured rates: bars of networks, or of contenders side by side."""

import os
import textwrap
from collections.abc import Mapping, Sequence

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch

# Of the palette by Okabe and Ito (Color Universal Design, 2008), which colour-blind
# readers can tell apart.
COLOURS = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9')
INK, MUTED, FAINT = '#222222', '#666666', '#E4E4E4'
_DOTS_PER_INCH = 150
_BAR_INCHES = 0.2


def draw(path: os.PathLike, title: str, groups: Mapping[str, Mapping[str, float]],
         xlabel: str, footnote: str = '', line_at: float | None = None,
         log: bool = False, number: str = '{:,.4g}') -> None:
  """Writes a picture of horizontal bars.

  Args:
    path: of the PNG file.
    title: of the picture.
    groups: {label of the group: {what the bar is of: its value}}, from the top.
    xlabel: what the values are.
    footnote: small text below.
    line_at: a value to draw a line at.
    log: whether the axis is logarithmic, for values of very different size.
    number: how the value is written beside its bar.
  """
  kinds = list(dict.fromkeys(kind for group in groups.values() for kind in group))
  bars = sum(len(group) for group in groups.values())
  notes = textwrap.wrap(footnote, 150)
  inches = 1.7 + _BAR_INCHES * (bars + 0.8 * len(groups)) + 0.16 * len(notes)
  figure = Figure(figsize=(9.6, inches), layout='constrained')
  FigureCanvasAgg(figure)
  axes = figure.add_subplot()
  position, ticks = 0.0, []
  for group in groups.values():
    first = position
    for kind, value in group.items():
      axes.barh(position, value, height=0.86, color=COLOURS[kinds.index(kind) % 6])
      axes.annotate(number.format(value), (value, position), (4, 0),
                    textcoords='offset points', va='center', fontsize=8, color=INK,
                    # Bars and the line near a number leave it to be read.
                    bbox={'color': 'white', 'pad': 0.5}, zorder=4)
      position += 1
    ticks.append((first + position - 1) / 2)
    position += 0.8
  _finish(axes, groups, ticks, xlabel, log, position)
  if line_at is not None:
    axes.axvline(line_at, color=INK, linewidth=1, linestyle='--')
  axes.set_title(title, loc='left', fontsize=12, fontweight='bold', color=INK)
  handles = [Patch(color=COLOURS[index % 6]) for index in range(len(kinds))]
  figure.legend(handles, kinds, loc='outside upper left', ncols=min(4, len(kinds)),
                frameon=False, fontsize=9)
  if notes:
    figure.supxlabel('\n'.join(notes), x=0.01, ha='left', fontsize=7, color=MUTED)
  figure.savefig(path, dpi=_DOTS_PER_INCH)


def _finish(axes, labels: Sequence[str], ticks, xlabel, log, end):
  """Puts labels and grid to the bars, and takes the frame away."""
  axes.set_yticks(ticks, list(labels), fontsize=9)
  axes.set_ylim(end - 1.1, -0.7)
  if log:
    axes.set_xscale('log')
  axes.margins(x=0.12)
  axes.set_xlabel(xlabel, fontsize=9, color=MUTED)
  axes.tick_params(axis='x', labelsize=8, colors=MUTED)
  axes.tick_params(axis='y', length=0)
  axes.grid(axis='x', color=FAINT)
  axes.set_axisbelow(True)
  for side in ('top', 'right', 'left'):
    axes.spines[side].set_visible(False)
