"""The parts of the pictures of a report: a function draws one part into axes."""

from collections.abc import Sequence

import numpy as np
from matplotlib import ticker
from PIL import Image

from slim_zoo import diagnostics
from slim_zoo.drawing.colours import (
    BLUE,
    FAINT,
    GRAY,
    INK,
    MUTED,
    PALE,
    VERMILION,
    shade,
)
from slim_zoo.evaluation.metrics import Accuracy, Metrics

# Above these many classes a matrix has no room for its counts and its names.
MAX_COUNTED_CLASSES = 20
MAX_NAMED_CLASSES = 40
MAX_BARS = 20
THUMBNAIL_SIDE = 256


def shorten(name: str, width: int) -> str:
  """Returns `name` in at most `width` printable characters.

  ImageNet's names list synonyms behind commas: those go first.
  """
  name = diagnostics.printable(name)
  if len(name) > width:
    name = name.split(',')[0]
  return name if len(name) <= width else name[:width - 1].rstrip() + '…'


def number(value: float) -> str:
  """Returns '0.957', or '-' for a number that is not defined."""
  return '-' if np.isnan(value) else diagnostics.fixed(value, 3)


def confusion_title(metrics: Metrics) -> str:
  """Returns the title for `draw_confusion`."""
  if metrics.num_classes > MAX_NAMED_CLASSES:
    return 'Confusion matrix: a larger dot is more images'
  return 'Confusion matrix'


def draw_confusion(axes, metrics: Metrics) -> None:
  """Draws the confusion matrix; many classes are drawn as dots, without names."""
  count = metrics.num_classes
  if count > MAX_NAMED_CLASSES:
    _draw_confusion_dots(axes, metrics)
  else:
    _draw_confusion_cells(axes, metrics)
    names = [shorten(name, 16) for name in metrics.class_names]
    slant = 90 if max(map(len, names)) > 3 and count > 2 else 0
    size = 10 if count <= 12 else 8 if count <= 25 else 6.5
    axes.set_xticks(range(count), names, rotation=slant, fontsize=size)
    axes.set_yticks(range(count), names, fontsize=size)
    axes.tick_params(length=0)
  axes.set_xlabel('predicted')
  axes.set_ylabel('true')


def _draw_confusion_cells(axes, metrics: Metrics) -> None:
  confusion, count = metrics.confusion, metrics.num_classes
  shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
  # The root lifts a single mistake among many images into sight.
  cells = shade(VERMILION, np.sqrt(shares))
  diagonal = np.arange(count)
  cells[diagonal, diagonal] = shade(BLUE, shares[diagonal, diagonal])
  axes.imshow(cells, interpolation='nearest')
  edges = np.arange(count + 1) - 0.5
  axes.vlines(edges, -0.5, count - 0.5, color=FAINT, linewidth=0.8)
  axes.hlines(edges, -0.5, count - 0.5, color=FAINT, linewidth=0.8)
  axes.spines[:].set_visible(False)
  if count > MAX_COUNTED_CLASSES:
    return
  size = min(14.0, 130 / count / max(1, len(str(confusion.max())) - 2))
  for true, predicted in zip(*np.nonzero(confusion), strict=True):
    dark = cells[true, predicted] @ (0.21, 0.72, 0.07) < 0.5
    axes.text(predicted, true, f'{confusion[true, predicted]}', ha='center',
              va='center', fontsize=size, color='white' if dark else INK)


def _draw_confusion_dots(axes, metrics: Metrics) -> None:
  count = metrics.num_classes
  axes.plot([0, count], [0, count], color=BLUE, linewidth=1, zorder=1)
  pairs = np.array(metrics.confused_pairs(limit=count ** 2)).reshape([-1, 3])
  if len(pairs):
    true, predicted, images = pairs.T
    # Area says how many; a split of any size fills its axes alike.
    area = 30 * images / images.max()
    axes.scatter(predicted, true, s=np.maximum(area, 1), color=VERMILION,
                 alpha=0.5, linewidths=0, zorder=2)
  axes.set_xlim(-0.5, count - 0.5)
  axes.set_ylim(count - 0.5, -0.5)
  axes.set_aspect('equal')
  axes.set_xticks([])
  axes.set_yticks([])
  axes.spines[:].set_color(FAINT)


def draw_confused_pairs(axes, metrics: Metrics, limit: int) -> None:
  """Lists the pairs of classes that are confused most often."""
  axes.axis('off')
  axes.set_xlim(0, 1)
  axes.set_ylim(limit - 0.5, -1.5)
  pairs = metrics.confused_pairs(limit)
  if not pairs:
    axes.text(0, -1, 'There are no mistakes.', color=MUTED)
    return
  for position, heading in ((0, 'images'), (0.13, 'true'), (0.58, 'predicted')):
    axes.text(position, -1, heading, color=MUTED, va='center', fontsize=9)
  for row, (true, predicted, images) in enumerate(pairs):
    axes.text(0.08, row, f'{images}', ha='right', va='center', color=VERMILION)
    axes.text(0.13, row, shorten(metrics.class_names[true], 24), va='center')
    axes.text(0.58, row, shorten(metrics.class_names[predicted], 24),
              va='center')


def draw_per_class(axes, metrics: Metrics, room: int) -> None:
  """Draws F1 per class as bars, the worst on top; at most MAX_BARS of them.

  With fewer bars than there is `room` for, the rest of the axes stays empty.
  """
  shown = metrics.worst_classes()[:MAX_BARS]
  draw_bars(axes, 'F1', [metrics.class_names[label] for label in shown],
            metrics.per_class.f1[shown], metrics.per_class.support[shown], room)


def draw_bars(axes, what: str, names: Sequence[str], values: np.ndarray,
              images: np.ndarray, room: int) -> None:
  """Draws a number of some classes as bars, from the top.

  Args:
    axes: to draw into.
    what: the number.
    names: of the classes.
    values: from 0 to 1.
    images: how many images each class has.
    room: bars that fit; with fewer the rest of the axes stays empty.
  """
  rows = np.arange(len(names))
  axes.barh(rows, np.ones(len(names)), height=0.7, color=PALE)
  axes.barh(rows, values, height=0.7, color=BLUE)
  for row, value, count in zip(rows, values, images, strict=True):
    axes.text(1.02, row, number(value), va='center_baseline', fontsize=9)
    axes.text(1.17, row, f'{count:,}',
              va='center_baseline', fontsize=9, color=MUTED)
  for position, heading in ((1.02, what), (1.17, 'images')):
    axes.text(position, 1.01, heading, transform=axes.transAxes, va='bottom',
              fontsize=9, color=MUTED)
  axes.set_yticks(rows, [shorten(name, 22) for name in names],
                  fontsize=10 if len(names) <= 12 else 9)
  axes.set_ylim(max(len(names), room) - 0.4, -0.6)
  axes.set_xlim(0, 1)
  axes.set_xticks([])
  axes.tick_params(length=0)
  axes.spines[:].set_visible(False)


def per_class_title(metrics: Metrics) -> str:
  """Returns the title for `draw_per_class`."""
  present = metrics.macro.classes
  if present > MAX_BARS:
    return f'F1 of the {MAX_BARS} worst of {present} classes'
  return 'F1 per class'


def draw_reliability(axes, histogram, metrics: Metrics) -> None:
  """Draws accuracy against confidence, and below it how many images there are."""
  calibration = metrics.calibration
  axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (4, 3)),
            label='perfectly calibrated')
  filled = np.flatnonzero(calibration.images)
  # The interval tells a bin of two images from one of two thousand.
  lows, highs = np.array([
      Accuracy(1, int(calibration.correct[i]), int(calibration.images[i])).interval
      for i in filled]).reshape([-1, 2]).T
  confidence = calibration.confidence[filled]
  axes.vlines(confidence, lows, highs, color=BLUE, alpha=0.35, linewidth=4,
              label='95% interval')
  axes.plot(confidence, calibration.accuracy[filled], 'o', color=BLUE,
            markersize=7, label='accuracy', clip_on=False)
  axes.set_ylim(0, 1)
  axes.set_ylabel('accuracy')
  axes.legend(loc='lower left', bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0.7,
              borderpad=0, frameon=False, fontsize=9)
  axes.tick_params(labelbottom=False)
  histogram.bar(calibration.edges[:-1], calibration.images, align='edge',
                width=0.92 / len(calibration.images), color=GRAY)
  histogram.set_ylabel('images')
  histogram.set_xlabel('confidence: the probability of the prediction')
  histogram.yaxis.set_major_locator(
      ticker.MaxNLocator(nbins=3, integer=True, min_n_ticks=1))
  for part in (axes, histogram):
    part.set_xlim(0, 1)
    part.spines[['top', 'right']].set_visible(False)


def draw_mistakes(figure, metrics: Metrics, thumbnails: list[Image.Image],
                  columns: int, name_width: int) -> None:
  """Draws mistakes, row by row, each with its true and predicted class.

  Args:
    figure: a Figure or SubFigure of its own.
    metrics: the numbers.
    thumbnails: of the first of `metrics.mistakes()`, in order.
    columns: images side by side.
    name_width: how many characters of a name fit below an image.
  """
  if not thumbnails:
    figure.text(0.5, 0.5, _no_mistakes(metrics), ha='center', va='center',
                fontsize=13, color=MUTED)
    return
  rows = -(-len(thumbnails) // columns)
  grid = figure.add_gridspec(rows, columns)
  for place, (record, picture) in enumerate(
      zip(metrics.mistakes(), thumbnails, strict=False)):
    axes = figure.add_subplot(grid[place // columns, place % columns])
    width, height = picture.size
    axes.imshow(np.asarray(picture), interpolation='antialiased',
                extent=(0, width, height, 0))
    # Square axes whatever the image: it stands on its caption, in the middle.
    axes.set_xlim((width - THUMBNAIL_SIDE) / 2, (width + THUMBNAIL_SIDE) / 2)
    axes.set_ylim(height, height - THUMBNAIL_SIDE)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.set_xlabel(_caption(metrics, record, name_width), fontsize=9,
                    color=INK, labelpad=3)


def caption_lines(metrics: Metrics) -> int:
  """How many lines each caption of a sheet has: short names share one."""
  return 1 if max(map(len, metrics.class_names)) <= 5 else 3


def _caption(metrics: Metrics, record: int, name_width: int) -> str:
  true, predicted = (
      metrics.class_names[label] for label in (
          metrics.records.labels[record], metrics.records.predictions[record]))
  confidence = f'{metrics.records.confidences[record]:.0%}'
  if caption_lines(metrics) == 1:
    return f'{true} → {predicted}  {confidence}'
  return (f'{shorten(true, name_width)}\n→ {shorten(predicted, name_width - 2)}\n'
          f'{confidence}')


def _no_mistakes(metrics: Metrics) -> str:
  if metrics.num_unreadable:
    return 'No mistakes among the images that could be read.'
  return f'No mistakes: all {metrics.num_images:,} images are right.'
