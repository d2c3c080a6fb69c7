"""The report of images that have any number of classes, or none.

  report.json           all numbers
  per_class.csv         one line per class
  predictions.csv       one line per image: its classes, those given, and their
                        probabilities
  per_class.png         average precision of the worst classes
"""

import os
from collections.abc import Iterable, Mapping

import numpy as np

from slim_zoo.drawing import fonts
from slim_zoo.evaluation import figures, panels, report_files
from slim_zoo.evaluation.metrics import ClassNames
from slim_zoo.evaluation.multi_label import THRESHOLD, Metrics

_SUMMARY_CLASSES = 3


def write_report(folder: str | os.PathLike, metrics: Metrics,
                 class_names: ClassNames, header: Mapping[str, object]) -> list[str]:
  """Writes the report of one evaluation; see `report.write_report`.

  Returns:
    A line for each thing that is left out.

  Raises:
    OSError: the folder cannot be written.
  """
  metrics, problems = metrics.with_names(class_names), []
  with report_files.replacing(folder) as unfinished:
    (unfinished / 'report.json').write_text(report_files.json_text(
        report_values(metrics, header)), encoding='utf-8')
    report_files.write_csv(unfinished / 'per_class.csv', _class_rows(metrics))
    report_files.write_csv(unfinished / 'predictions.csv', _image_rows(metrics))
    worst = metrics.worst_classes()
    with report_files.catching_picture_errors(unfinished, problems):
      names = fonts.legible_classes(metrics.class_names)
      if len(worst):
        figures.write_precisions(
            unfinished / 'per_class.png', [names[label] for label in worst],
            metrics.per_class.average_precision[worst],
            metrics.per_class.support[worst])
  return problems


def report_values(metrics: Metrics, header: Mapping[str, object]) -> dict:
  """Returns the content of report.json; undefined numbers are None."""
  micro = metrics.micro
  return report_files.plain({
      'run': dict(header),
      'num_images': metrics.num_images,
      'num_unreadable': metrics.num_unreadable,
      'num_classes': len(metrics.class_names),
      'mean_average_precision': metrics.mean_average_precision,
      'threshold': THRESHOLD,
      'micro': {'correct': micro.correct, 'predicted': micro.predicted,
                'true': micro.true, 'precision': micro.precision,
                'recall': micro.recall, 'f1': micro.f1},
      'exactly_right': metrics.exact,
      'classes': list(_class_rows(metrics)),
      'unreadable': metrics.keys[np.isnan(metrics.probabilities).any(1)],
  })


def _class_rows(metrics: Metrics) -> Iterable[dict]:
  per_class = metrics.per_class
  for label, name in enumerate(metrics.class_names):
    yield {
        'label': label,
        'name': name,
        'images': per_class.support[label],
        'average_precision': per_class.average_precision[label],
        'correct': per_class.correct[label],
        'predicted': per_class.predicted[label],
        'precision': per_class.precision[label],
        'recall': per_class.recall[label],
        'f1': per_class.f1[label],
    }


def _image_rows(metrics: Metrics) -> Iterable[dict]:
  for key, target, row in zip(
      metrics.keys, metrics.targets, metrics.probabilities, strict=True):
    predicted = np.flatnonzero(row >= THRESHOLD)
    unreadable = np.isnan(row).any()
    yield {
        'key': key,
        'labels': _joined(np.flatnonzero(target)),
        'label_names': _joined(
            metrics.class_names[label] for label in np.flatnonzero(target)),
        'predictions': 'unreadable' if unreadable else _joined(predicted),
        'prediction_names': _joined(metrics.class_names[label] for label in predicted),
        'probabilities': _joined(f'{row[label]:.6g}' for label in predicted),
        'correct': int(not unreadable and np.array_equal(
            predicted, np.flatnonzero(target))),
    }


def _joined(values) -> str:
  return ';'.join(str(value) for value in values)


def summary_lines(metrics: Metrics, class_names: ClassNames,
                  header: Mapping[str, object]) -> list[str]:
  """Returns the summary of an evaluation for a terminal, as lines.

  The arguments are those of `write_report`.
  """
  metrics = metrics.with_names(class_names)
  micro, per_class = metrics.micro, metrics.per_class
  worst = '; '.join(
      f'{panels.shorten(metrics.class_names[label], 24)}'
      f' ({panels.number(per_class.average_precision[label])})'
      for label in metrics.worst_classes()[:_SUMMARY_CLASSES])
  present = int((per_class.support > 0).sum())
  rows = [
      ('mAP', f'{panels.number(metrics.mean_average_precision)}, the mean of {present}'
       ' classes'),
      ('micro F1', f'{panels.number(micro.f1)} at a probability of {THRESHOLD:g}:'
       f' {micro.correct} of {micro.true} labels found, {micro.predicted} given'),
      ('exactly right', f'{metrics.exact} of {metrics.num_images} images'),
      ('lowest AP', worst or 'no class has images'),
  ]
  if metrics.num_unreadable:
    rows.append(('unreadable', f'{metrics.num_unreadable} images, given no class'))
  if 'report' in header:
    rows.append(('report', str(header['report'])))
  return [figures.title(header),
          *(f'  {name:<15}{value}' for name, value in rows)]
