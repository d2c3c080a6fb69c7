"""The report folder: numbers for programs, tables and pictures for people.

  report.html           all of it for a browser, with the images behind the numbers
  report.png            the essentials on one page
  report.json           all numbers
  per_class.csv         one line per class
  predictions.csv       one line per image
  confusion_matrix.png, per_class.png, reliability.png, worst_mistakes.png
"""

import os
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from slim_zoo.drawing import sheets
from slim_zoo.evaluation import figures, panels, report_files
from slim_zoo.evaluation.metrics import ClassNames, Metrics
from slim_zoo.evaluation.page import content, writing
from slim_zoo.evaluation.page.extras import PageParts

_NUM_PAIRS = 20
_SUMMARY_CLASSES, _SUMMARY_PAIRS = 3, 2


def write_report(folder: str | os.PathLike, metrics: Metrics,
                 class_names: ClassNames, header: Mapping[str, object],
                 read_image: Callable[[int], np.ndarray],
                 extras: PageParts = PageParts()) -> list[str]:
  """Writes the report of one evaluation.

  All files are made aside and then moved into place, report.json last. The old
  report.json goes first, so one that is there belongs to the files beside it.

  Args:
    folder: made where it does not exist; other files in it are left alone.
    metrics: the numbers.
    class_names: see `metrics.complete_names`.
    header: facts of the evaluation, shown in this order. Of its keys 'network',
      'data set' and 'split' make the title, 'command' stands in report.json
      only and 'report' in the terminal only.
    read_image: takes an image's key, returns it as uint8 [h, w], [h, w, 1] or
      [h, w, 3]. Called for images of which there are pictures only, by several
      threads.
    extras: what else is in report.html and in report.json.

  Returns:
    A line for each thing that is left out.

  Raises:
    OSError: the folder cannot be written.
  """
  metrics, problems = metrics.with_names(class_names), []
  worst = metrics.mistakes()[:figures.NUM_WORST_MISTAKES]
  with report_files.replacing(folder) as unfinished:
    (unfinished / 'report.json').write_text(
        report_files.json_text({**report_values(metrics, header), **_extra_values(
            extras)}), encoding='utf-8')
    report_files.write_csv(unfinished / 'per_class.csv', _class_rows(metrics))
    report_files.write_csv(unfinished / 'predictions.csv', _image_rows(metrics))
    numbers = metrics.records.keys[worst].tolist()
    images = {number: read_image(number) for number in numbers}
    with report_files.catching_picture_errors(unfinished, problems):
      thumbnails = [
          sheets.thumbnail(sheets.image_of(images[number]), panels.THUMBNAIL_SIDE)
          for number in numbers]
      figures.write_figures(unfinished, metrics, header, thumbnails)
    writing.write(unfinished, figures.title(header), content.of_evaluation(
        metrics, header, lambda number: images[number] if number in images else
        read_image(number), extras, problems))
  return problems


def report_values(metrics: Metrics, header: Mapping[str, object]) -> dict:
  """Returns the content of report.json; undefined numbers are None."""
  values = {
      'run': dict(header),
      'num_images': metrics.num_images,
      'num_unreadable': metrics.num_unreadable,
      'num_classes': metrics.num_classes,
      # The established tags; the second means top-k with k at most 5.
      'eval/Accuracy': metrics.top1.value,
      'eval/Recall_5': metrics.topk.value,
      'top1': _accuracy_values(metrics.top1),
      'topk': _accuracy_values(metrics.topk),
      'cross_entropy': metrics.cross_entropy,
      'macro': vars(metrics.macro),
      'calibration_error': metrics.calibration.error,
      'calibration_bins': _calibration_rows(metrics),
      'classes': list(_class_rows(metrics)),
      'confused_pairs': [
          {'label': true, 'prediction': predicted, 'images': images}
          for true, predicted, images in metrics.confused_pairs(_NUM_PAIRS)],
      'worst_mistakes': [
          row for _, row in zip(range(figures.NUM_WORST_MISTAKES),
                                _mistake_rows(metrics), strict=False)],
      'unreadable': metrics.records.keys[~metrics.records.readable],
      'confusion_matrix': metrics.confusion,
  }
  return report_files.plain(values)


def _extra_values(extras: PageParts) -> dict:
  """Returns the content of report.json that only some evaluations have."""
  parts = {'comparison': extras.comparison, 'near_duplicates': extras.near_duplicates}
  return report_files.plain({
      name: part.values() for name, part in parts.items() if part is not None})


def _accuracy_values(accuracy) -> dict:
  return {'k': accuracy.k, 'correct': accuracy.correct, 'total': accuracy.total,
          'accuracy': accuracy.value, 'interval_95': accuracy.interval}


def _calibration_rows(metrics: Metrics) -> list[dict]:
  bins = metrics.calibration
  return [
      {'above': low, 'up_to': high, 'images': images, 'correct': correct,
       'confidence': confidence, 'accuracy': accuracy}
      for low, high, images, correct, confidence, accuracy in zip(
          bins.edges[:-1], bins.edges[1:], bins.images, bins.correct,
          bins.confidence, bins.accuracy, strict=True)]


def _class_rows(metrics: Metrics) -> Iterable[dict]:
  per_class = metrics.per_class
  for label, name in enumerate(metrics.class_names):
    yield {
        'label': label,
        'name': name,
        'images': per_class.support[label],
        'correct': per_class.correct[label],
        'precision': per_class.precision[label],
        'recall': per_class.recall[label],
        'f1': per_class.f1[label],
        'predicted': per_class.predicted[label],
        'unreadable': per_class.unreadable[label],
    }


def _image_row(metrics: Metrics, row: int) -> dict:
  records, names = metrics.records, metrics.class_names
  readable = records.readable[row]
  prediction = int(records.predictions[row])
  return {
      'key': records.keys[row],
      'label': records.labels[row],
      'label_name': names[records.labels[row]],
      'prediction': prediction if readable else None,
      'prediction_name': names[prediction] if readable else 'unreadable',
      'probability': records.confidences[row],
      'correct': int(records.correct[row]),
  }


def _image_rows(metrics: Metrics) -> Iterable[dict]:
  return (_image_row(metrics, row) for row in range(metrics.num_images))


def _mistake_rows(metrics: Metrics) -> Iterable[dict]:
  return (_image_row(metrics, row) for row in metrics.mistakes())


def summary_lines(metrics: Metrics, class_names: ClassNames,
                  header: Mapping[str, object]) -> list[str]:
  """Returns the summary of an evaluation for a terminal, as lines.

  The arguments are those of `write_report`.
  """
  metrics = metrics.with_names(class_names)
  low, high = metrics.top1.interval
  rows = [
      ('accuracy', f'{metrics.top1.percent}, {metrics.top1.correct} of'
       f' {metrics.num_images} images (95% interval {low:.2%} to {high:.2%})'),
      (metrics.topk.name, f'{metrics.topk.percent}, {metrics.topk.correct} of'
       f' {metrics.num_images} images'),
      ('cross entropy', panels.number(metrics.cross_entropy)),
      ('worst classes', '; '.join(_worst_classes(metrics)) or 'none is wrong'),
      ('most confused', '; '.join(_worst_pairs(metrics)) or 'no pair'),
  ]
  if metrics.num_unreadable:
    rows.append(('unreadable', f'{metrics.num_unreadable} images, counted as'
                 ' mistakes'))
  if 'report' in header:
    rows.append(('report', str(header['report'])))
  return [figures.title(header),
          *(f'  {name:<15}{value}' for name, value in rows)]


def _worst_classes(metrics: Metrics) -> Iterable[str]:
  per_class = metrics.per_class
  for label in metrics.worst_classes()[:_SUMMARY_CLASSES]:
    if per_class.f1[label] < 1:
      yield (f'{panels.shorten(metrics.class_names[label], 24)}'
             f' (F1 {panels.number(per_class.f1[label])},'
             f' {per_class.correct[label]} of {per_class.support[label]} found)')


def _worst_pairs(metrics: Metrics) -> Iterable[str]:
  for true, predicted, images in metrics.confused_pairs(_SUMMARY_PAIRS):
    times = 'once' if images == 1 else f'{images} times'
    yield (f'{panels.shorten(metrics.class_names[true], 24)} predicted as'
           f' {panels.shorten(metrics.class_names[predicted], 24)} ({times})')
