"""The pictures of a report, as PNG files."""

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from slim_zoo.drawing import charts, fonts
from slim_zoo.drawing.colours import BLUE, INK, MUTED, VERMILION
from slim_zoo.evaluation import panels
from slim_zoo.evaluation.metrics import Metrics

NUM_WORST_MISTAKES = 24
_PAGE_WIDTH, _SHEET_WIDTH = 11, 10
_PAGE_COLUMNS, _SHEET_COLUMNS = 8, 6
_PAGE_MISTAKES = 2 * _PAGE_COLUMNS

# Fields of a report's header that are in the title, or of no use in a picture.
_NOT_DETAILS = ('network', 'data set', 'split', 'command', 'report')


def write_figures(folder: pathlib.Path, metrics: Metrics,
                  header: Mapping[str, object],
                  thumbnails: list[Image.Image]) -> None:
  """Writes all pictures of a report into `folder`.

  Args:
    folder: an existing folder.
    metrics: the numbers.
    header: facts of the evaluation, see `report.write_report`.
    thumbnails: of the first NUM_WORST_MISTAKES of `metrics.mistakes()`.
  """
  metrics = metrics.with_names(fonts.legible_classes(metrics.class_names))
  header = {key: fonts.legible(value) if isinstance(value, str) else value
            for key, value in header.items()}
  with charts.in_style([*metrics.class_names, *map(str, header.values())]):
    for name, figure in (
        ('confusion_matrix.png', _confusion_figure(metrics)),
        ('per_class.png', _per_class_figure(metrics)),
        ('reliability.png', _reliability_figure(metrics)),
        ('worst_mistakes.png', _mistakes_figure(metrics, thumbnails)),
        ('report.png', _page(metrics, header, thumbnails))):
      charts.save(figure, folder / name)


def _confusion_figure(metrics: Metrics) -> Figure:
  if metrics.num_classes > panels.MAX_NAMED_CLASSES:
    figure = charts.new(13, 6.6)
    matrix, pairs = figure.subplots(1, 2)
    pairs.set_title('Most confused')
    panels.draw_confused_pairs(pairs, metrics, limit=20)
  else:
    figure = charts.new(7.2, 7.2)
    matrix = figure.subplots()
  matrix.set_title(panels.confusion_title(metrics))
  panels.draw_confusion(matrix, metrics)
  return figure


def _per_class_figure(metrics: Metrics) -> Figure:
  bars = min(metrics.macro.classes, panels.MAX_BARS)
  figure = charts.new(7, 0.6 + 0.3 * bars)
  axes = figure.subplots()
  axes.set_title(panels.per_class_title(metrics))
  panels.draw_per_class(axes, metrics, room=bars)
  return figure


def write_precisions(path: pathlib.Path, names: Sequence[str], values: np.ndarray,
                     images: np.ndarray) -> None:
  """Writes a picture of the average precision of classes, the worst first.

  Args:
    path: of the PNG file.
    names: of the classes, at least one, as `fonts.legible_classes` has them; the
      first ones are shown.
    values: float [classes].
    images: int [classes], how many images each class has.
  """
  shown = min(len(names), panels.MAX_BARS)
  with charts.in_style(names):
    figure = charts.new(7, 0.6 + 0.3 * shown)
    axes = figure.subplots()
    axes.set_title('Average precision' + (
        f' of the {shown} worst of {len(names)} classes' if shown < len(names)
        else ' per class'))
    panels.draw_bars(axes, 'AP', names[:shown], values[:shown], images[:shown], shown)
    charts.save(figure, path)


def _reliability_figure(metrics: Metrics) -> Figure:
  figure = charts.new(6, 6.6)
  axes, histogram = figure.subplots(2, 1, height_ratios=[4, 1], sharex=True)
  axes.set_title('Reliability: expected calibration error '
                 f'{panels.number(metrics.calibration.error)}', pad=22)
  panels.draw_reliability(axes, histogram, metrics)
  return figure


def _mistakes_title(metrics: Metrics, shown: int) -> str:
  total = len(metrics.mistakes())
  which = f'{shown} of {total:,} mistakes' if shown < total else 'All mistakes'
  order = 'highest probability first'
  return f'{which}, {order} (true → predicted, probability)' if total else ''


def _mistakes_figure(metrics: Metrics, thumbnails: list[Image.Image]) -> Figure:
  rows = max(1, -(-len(thumbnails) // _SHEET_COLUMNS))
  figure = charts.new(_SHEET_WIDTH,
                      0.6 + rows * (1.65 + 0.16 * panels.caption_lines(metrics)))
  figure.suptitle(_mistakes_title(metrics, len(thumbnails)),
                  x=charts.MARGIN / _SHEET_WIDTH, ha='left')
  panels.draw_mistakes(
      figure, metrics, thumbnails, _SHEET_COLUMNS, name_width=21)
  return figure


def _page(metrics: Metrics, header: Mapping[str, object],
          thumbnails: list[Image.Image]) -> Figure:
  """One page with the essentials."""
  shown = thumbnails[:_PAGE_MISTAKES]
  rows = -(-len(shown) // _PAGE_COLUMNS)
  heights = [1.8, 5.2,
             0.55 + rows * (1.3 + 0.16 * panels.caption_lines(metrics))]
  page = charts.new(_PAGE_WIDTH, sum(heights))
  head, middle, bottom = page.subfigures(3, 1, height_ratios=heights)
  _draw_head(head, metrics, header)
  left, right = middle.subplots(1, 2, width_ratios=[1.1, 1])
  if metrics.num_classes > panels.MAX_NAMED_CLASSES:
    left.set_title('Most confused')
    panels.draw_confused_pairs(left, metrics, limit=20)
  else:
    left.set_title(panels.confusion_title(metrics))
    panels.draw_confusion(left, metrics)
  right.set_title(panels.per_class_title(metrics))
  panels.draw_per_class(right, metrics, room=5)
  bottom.suptitle(_mistakes_title(metrics, len(shown)),
                  x=charts.MARGIN / _PAGE_WIDTH, ha='left')
  panels.draw_mistakes(bottom, metrics, shown, _PAGE_COLUMNS, name_width=16)
  return page


def _draw_head(head, metrics: Metrics, header: Mapping[str, object]) -> None:
  """Draws the facts of the evaluation and the main numbers."""
  margin = charts.MARGIN / _PAGE_WIDTH
  head.text(margin, 0.84, title(header), fontsize=17, weight='bold', va='center')
  head.text(margin, 0.65, _details(header), fontsize=9, color=MUTED, va='center')
  low, high = metrics.top1.interval
  tiles = [
      (metrics.top1.percent, 'accuracy, 95% interval '
       f'{low:.1%} to {high:.1%}'),
      (f'{metrics.top1.correct:,}', f'correct of {metrics.num_images:,} images'),
      (metrics.topk.percent, f'{metrics.topk.name} accuracy'),
      (panels.number(metrics.cross_entropy), 'cross entropy'),
      (panels.number(metrics.macro.f1), 'macro F1'),
  ]
  for place, (value, meaning) in zip(
      (margin, 0.36, 0.55, 0.73, 0.88), tiles, strict=True):
    head.text(place, 0.36, value, fontsize=22, va='center',
              color=BLUE if place == margin else INK)
    head.text(place, 0.14, meaning, fontsize=9, color=MUTED, va='center')
  if metrics.num_unreadable:
    head.text(1 - margin, 0.84, f'{metrics.num_unreadable:,} unreadable, counted as'
              ' mistakes', ha='right', va='center', color=VERMILION)


def title(header: Mapping[str, object]) -> str:
  """Returns 'lenet on digits, test' as far as `header` says it."""
  network = str(header.get('network', 'evaluation'))
  data = ', '.join(str(header[key]) for key in ('data set', 'split')
                   if key in header)
  return f'{network} on {data}' if data else network


def _details(header: Mapping[str, object]) -> str:
  """The rest of the header in one line; a path is cut down to its end."""
  parts = []
  for key, value in header.items():
    if value is not None and key not in _NOT_DETAILS:
      name = '/'.join(str(value).split('/')[-2:])
      parts.append(f'{key} {panels.shorten(name, 50)}')
  return panels.shorten('   ·   '.join(parts), 150)
