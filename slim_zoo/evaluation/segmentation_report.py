"""The report of segmentation: numbers for programs, tables and pictures for people.

  report.json           all numbers
  per_class.csv         one line per class
  predictions.csv       one line per image
  per_class.png         the IoU of each class
  images.png            images, their masks and the predicted masks
"""

import dataclasses
import os
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from slim_zoo.drawing import charts, colours, fonts, sheets
from slim_zoo.evaluation import figures, panels, report_files
from slim_zoo.evaluation.segmentation import ImageRow, Metrics
from slim_zoo.images import mask_files

_WORST, _SPREAD = 6, 6
_SIDE = 200
_SUMMARY_CLASSES, _CHART_CLASSES = 3, 60


@dataclasses.dataclass(frozen=True, eq=False)
class Picture:
  """An image to draw.

  Attributes:
    pixels: uint8 [height, width] or [height, width, 3].
    mask: uint8 [height, width], the true classes.
    prediction: uint8 [height, width], the predicted classes.
  """

  pixels: np.ndarray
  mask: np.ndarray
  prediction: np.ndarray


def write_report(folder: str | os.PathLike, metrics: Metrics,
                 header: Mapping[str, object],
                 pictures_of: Callable[[Sequence[ImageRow]], list[Picture]],
                 name_of: Callable[[ImageRow], str]) -> list[str]:
  """Writes the report of one evaluation; see `report.write_report`.

  Args:
    folder: made where it does not exist.
    metrics: the numbers.
    header: facts of the evaluation.
    pictures_of: returns the pictures of some images.
    name_of: returns the name of an image.

  Returns:
    A line for each thing that is left out.

  Raises:
    OSError: the folder cannot be written.
  """
  problems = []
  with report_files.replacing(folder) as unfinished:
    (unfinished / 'report.json').write_text(
        report_files.json_text(report_values(metrics, header)), encoding='utf-8')
    report_files.write_csv(unfinished / 'per_class.csv', _class_rows(metrics))
    report_files.write_csv(
        unfinished / 'predictions.csv', _image_rows(metrics, name_of))
    with report_files.catching_picture_errors(unfinished, problems):
      _write_chart(unfinished / 'per_class.png', metrics, header)
      sections = _sections(metrics, pictures_of, name_of)
      if sections:
        sheets.draw(sections, 3, _SIDE).save(unfinished / 'images.png', 'PNG')
  return problems


def report_values(metrics: Metrics, header: Mapping[str, object]) -> dict:
  """Returns the content of report.json; undefined numbers are None."""
  return report_files.plain({
      'run': dict(header),
      'num_images': metrics.num_images,
      'num_unreadable': len(metrics.counts.unreadable),
      'num_classes': len(metrics.class_names),
      'num_pixels': metrics.num_pixels,
      'num_correct': metrics.num_correct,
      'mean_iou': metrics.mean_iou,
      'pixel_accuracy': metrics.pixel_accuracy,
      'cross_entropy': metrics.cross_entropy,
      'classes': list(_class_rows(metrics)),
      'confusion_matrix': metrics.counts.confusion,
  })


def _class_rows(metrics: Metrics) -> Iterable[dict]:
  confusion = metrics.counts.confusion
  for label, name in enumerate(metrics.class_names):
    yield {
        'label': label, 'name': name, 'pixels': confusion[label].sum(),
        'predicted': confusion[:, label].sum(), 'correct': confusion[label, label],
        'iou': metrics.iou[label], 'precision': metrics.precision[label],
        'recall': metrics.recall[label]}


def _image_rows(metrics: Metrics, name_of) -> Iterable[dict]:
  for row in metrics.counts.rows:
    yield {
        'image': name_of(row), 'pixels': row.pixels, 'correct': row.correct,
        'pixel_accuracy': row.correct / row.pixels if row.pixels else float('nan'),
        'mean_iou': row.mean_iou}


def _write_chart(path, metrics, header):
  shown = [label for label in np.argsort(-np.nan_to_num(metrics.iou), kind='stable')
           if not np.isnan(metrics.iou[label])][:_CHART_CLASSES]
  if shown:
    charts.write_bars(
        path, figures.title(header),
        {metrics.class_names[label]: {'IoU': float(metrics.iou[label])}
         for label in shown}, 'intersection over union',
        f'mean {metrics.mean_iou:.2%}, pixel accuracy {metrics.pixel_accuracy:.2%}',
        number='{:.1%}')


def _sections(metrics, pictures_of, name_of):
  """Returns the images of the lowest mean IoU, and some of all, as sheets."""
  readable = [row for row in metrics.counts.rows if row.pixels]
  worst = metrics.worst(_WORST)
  others = [row for row in readable if row not in worst]
  count = min(_SPREAD, len(others))
  spread = [others[place * len(others) // count] for place in range(count)]
  tiles = [_tiles(row, picture, name_of(row)) for row, picture in zip(
      [*worst, *spread], pictures_of([*worst, *spread]), strict=True)]
  return [
      sheets.Section(title, [tile for row in part for tile in row],
                     'image, mask, predicted mask')
      for title, part in (('the lowest mean IoU', tiles[:len(worst)]),
                          ('other images', tiles[len(worst):])) if part]


def _tiles(row, picture, name):
  image = sheets.image_of(picture.pixels)
  lines = [
      sheets.Line(fonts.legible(name), colours.MUTED, size=11, cut_middle=True),
      sheets.Line('mask', colours.MUTED, size=11),
      sheets.Line('predicted', value=f'{row.mean_iou:.0%}', value_colour=colours.BLUE)]
  shown = (image, mask_files.overlay(image, picture.mask),
           mask_files.overlay(image, picture.prediction))
  return [sheets.Tile(one, [line]) for one, line in zip(shown, lines, strict=True)]


def summary_lines(metrics: Metrics, header: Mapping[str, object]) -> list[str]:
  """Returns the summary of an evaluation for a terminal, as lines."""
  known = [label for label in np.argsort(metrics.iou, kind='stable')
           if not np.isnan(metrics.iou[label])]
  classes = [f'{panels.shorten(metrics.class_names[label], 24)}'
             f' {metrics.iou[label]:.2%}' for label in known]
  rows = [
      ('mean IoU', f'{metrics.mean_iou:.2%}, over {len(known)} of'
       f' {len(metrics.class_names)} classes and {metrics.num_images:,} images'),
      ('pixel accuracy', f'{metrics.pixel_accuracy:.2%}, {metrics.num_correct:,} of'
       f' {metrics.num_pixels:,} pixels'),
      ('cross entropy', panels.number(metrics.cross_entropy)),
      ('lowest IoU', '; '.join(classes[:_SUMMARY_CLASSES])),
      ('highest IoU', '; '.join(classes[::-1][:_SUMMARY_CLASSES]))]
  if metrics.counts.unreadable:
    rows.append(('unreadable', f'{len(metrics.counts.unreadable)} images, not counted'))
  rows.append(('report', str(header['report'])))
  return [figures.title(header), *(f'  {name:<15}{value}' for name, value in rows)]
