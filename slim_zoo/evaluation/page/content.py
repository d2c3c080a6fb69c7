"""The data in a page, as plain values for JSON.

Images are known by their number in the split. Lists of numbers are columns: a page of
50,000 images has about 1 MB of them.
"""

import functools
import os
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from slim_zoo.evaluation import label_errors, near_duplicates, selective_accuracy
from slim_zoo.evaluation.metrics import Accuracy, Metrics
from slim_zoo.evaluation.page import selection
from slim_zoo.evaluation.page.extras import PageParts
from slim_zoo.evaluation.page.pictures import SIDE, Pictures
from slim_zoo.evaluation.report_files import plain

# Limit for listed images, and for cells of the confusion matrix.
MAX_LISTED = 100_000
MAX_PAIRS = 1000
_TOP_CLASSES = 3
_DIGITS = 4
_COVERAGES = (0.5, 0.8, 0.9, 0.95)


def of_evaluation(metrics: Metrics, header: Mapping[str, object],
                  read_image: Callable[[int], np.ndarray], extras: PageParts,
                  problems: list[str]) -> dict:
  """Returns the content of the page of an evaluation.

  Args:
    metrics: the numbers of the evaluation.
    header: facts of the evaluation, see `report.write_report`.
    read_image: see `Pictures`.
    extras: optional parts of the page.
    problems: this list gets a line for each part that is left out.
  """
  keys = metrics.records.keys
  worst, uncertain = (keys[rows].tolist() for rows in (
      selection.worst(metrics), selection.least_certain(metrics)))
  pictures = Pictures(read_image, extras.images.name if extras.images else _no_name)
  pictures.add(worst + uncertain)
  heat = _heat(extras, [*dict.fromkeys(worst + uncertain)], pictures, problems)
  suspects = _label_errors(metrics, pictures)
  duplicates = _near_duplicates(extras, pictures)
  comparison = _comparison(metrics, extras, pictures)
  pictures.add(keys[selection.of_cells(metrics)])
  listed = _listed(metrics, [
      *pictures.by_number, *worst, *uncertain, *suspects['number'],
      *(pair['number'] for pair in (duplicates or {}).get('pairs', [])),
      *(number for name in ('onlyThis', 'onlyOther')
        for number in (comparison or {}).get(name, []))])
  true, predicted, counts = _cells(metrics)
  return {
      'facts': [[key, plain(value)] for key, value in header.items()
                if value is not None and key != 'report'],
      'summary': _summary(metrics), 'classes': list(metrics.class_names),
      'perClass': _per_class(metrics), 'calibration': _calibration(metrics),
      'coverage': _coverage(metrics),
      'cells': {'true': true, 'predicted': predicted, 'images': counts},
      'images': _images(metrics, listed),
      'records': _records(extras, keys),
      'pictures': _pictures(metrics, pictures, heat),
      'worst': worst, 'uncertain': uncertain, 'hasHeat': bool(heat),
      'labelErrors': suspects, 'nearDuplicates': duplicates, 'comparison': comparison,
      'notes': _notes(metrics, pictures, len(listed), sum(counts))}


def _no_name(number):
  return ''


def _rounded(values: np.ndarray) -> list:
  """Returns numbers with few digits, and None in place of NaN."""
  values = np.round(np.asarray(values, np.float64), _DIGITS)
  return [None if value != value else value for value in values.tolist()]


def _accuracy(accuracy: Accuracy) -> dict:
  low, high = accuracy.interval
  return {'name': accuracy.name, 'percent': accuracy.percent, 'value': accuracy.value,
          'correct': accuracy.correct, 'total': accuracy.total, 'low': low,
          'high': high}


def _summary(metrics: Metrics) -> dict:
  return plain({
      'accuracy': _accuracy(metrics.top1), 'topk': _accuracy(metrics.topk),
      'crossEntropy': metrics.cross_entropy, 'macroF1': metrics.macro.f1,
      'calibrationError': metrics.calibration.error,
      'unreadable': metrics.num_unreadable})


def _per_class(metrics: Metrics) -> dict:
  numbers = metrics.per_class
  return {**{name: getattr(numbers, name).tolist() for name in (
      'support', 'correct', 'predicted', 'unreadable')},
          **{name: _rounded(getattr(numbers, name)) for name in (
              'precision', 'recall', 'f1')}}


def _calibration(metrics: Metrics) -> list[dict]:
  bins = metrics.calibration
  rows = []
  for place in np.flatnonzero(bins.images):
    accuracy = Accuracy(1, int(bins.correct[place]), int(bins.images[place]))
    rows.append(plain({
        'above': bins.edges[place], 'upTo': bins.edges[place + 1],
        'confidence': bins.confidence[place], **_accuracy(accuracy)}))
  return rows


def _coverage(metrics: Metrics) -> dict:
  curve = selective_accuracy.curve(metrics.records)
  at = [int(np.argmin(np.abs(curve.coverage - wanted))) for wanted in _COVERAGES]
  return {'coverage': _rounded(curve.coverage), 'accuracy': _rounded(curve.accuracy),
          'confidence': _rounded(curve.confidence), 'examples': sorted(set(at))}


def _cells(metrics: Metrics) -> tuple[list, list, list]:
  """Returns the largest cells of the confusion matrix that are not 0, as columns."""
  true, predicted = np.nonzero(metrics.confusion)
  images = metrics.confusion[true, predicted]
  kept = np.sort(np.argsort(-images, kind='stable')[:MAX_LISTED])
  return true[kept].tolist(), predicted[kept].tolist(), images[kept].tolist()


def _listed(metrics: Metrics, mentioned: Sequence[int]) -> np.ndarray:
  """Returns the rows of the images that the page lists, in order.

  If there are too many, mistakes are preferred.

  Args:
    metrics: the numbers of the evaluation.
    mentioned: numbers of images that are always listed.
  """
  records = metrics.records
  if len(records.keys) <= MAX_LISTED:
    return np.arange(len(records.keys))
  first = np.concatenate([metrics.mistakes(), np.flatnonzero(~records.readable),
                          np.flatnonzero(records.correct)])[:MAX_LISTED]
  return np.union1d(first, np.flatnonzero(np.isin(records.keys, mentioned)))


def _images(metrics: Metrics, rows: np.ndarray) -> dict:
  records = metrics.records
  return {'number': records.keys[rows].tolist(), 'label': records.labels[rows].tolist(),
          'prediction': records.predictions[rows].tolist(),
          'probability': _rounded(records.confidences[rows])}


def _records(extras: PageParts, numbers: np.ndarray) -> dict:
  """Returns the names of the record files, and runs of consecutive images.

  A run is [number, file, position]: image `number + i` is record `position + i`.
  """
  if extras.images is None:
    return {'files': [], 'runs': []}
  places = np.array([extras.images.keys[number] for number in numbers.tolist()])
  files, first = places[:, 0], places[:, 1] - numbers
  starts = np.flatnonzero(np.append(
      True, (np.diff(files) != 0) | (np.diff(first) != 0)))
  return {'files': [os.path.basename(path) for path in extras.images.files],
          'runs': np.column_stack([numbers, places])[starts].tolist()}


def _pictures(metrics: Metrics, pictures: Pictures, heat: Mapping[int, str]) -> dict:
  """Returns the facts about the images with pictures, by number."""
  records, found = metrics.records, {}
  for number, picture in pictures.by_number.items():
    row = int(np.searchsorted(records.keys, number))
    found[number] = {
        'source': picture.source, 'name': picture.name,
        'top': [[label, round(probability, _DIGITS)] for label, probability in zip(
            records.top_classes[row, :_TOP_CLASSES].tolist(),
            records.top_probabilities[row, :_TOP_CLASSES].tolist(), strict=True)
                if label >= 0]}
    if number in heat:
      found[number]['heat'] = heat[number]
  return found


def _heat(extras: PageParts, numbers: Sequence[int], pictures: Pictures,
          problems: list[str]) -> dict[int, str]:
  """Returns the Grad-CAM pictures of images, as addresses by number."""
  numbers = [number for number in numbers if number in pictures.by_number]
  if extras.explain is None or not numbers:
    return {}
  try:
    drawn = extras.explain(numbers)
  except Exception as error:  # TensorFlow has its own errors for too little memory.
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    problems.append(f'Grad-CAM is left out of report.html: {reason}')
    return {}
  sources = {number: pictures.add_drawn(image) for number, image in drawn.items()}
  return {number: source for number, source in sources.items() if source}


def _label_errors(metrics: Metrics, pictures: Pictures) -> dict:
  """Returns the suspected label errors, and adds pictures of the first of them."""
  found = label_errors.find(metrics.records, metrics.num_classes)
  numbers = metrics.records.keys[found.rows[:MAX_PAIRS]].tolist()
  pictures.add(numbers[:selection.SHOWN])
  return {'number': numbers, 'class': found.classes[:MAX_PAIRS].tolist(),
          'total': len(found.rows), 'shown': selection.SHOWN}


def _near_duplicates(extras: PageParts, pictures: Pictures) -> dict | None:
  """Returns the most similar pairs, and adds pictures of the first of them."""
  found = extras.near_duplicates
  if found is None:
    return None
  shown = slice(selection.SHOWN)
  pictures.add(found.numbers[shown])
  others = Pictures(functools.partial(extras.other_images.pixels, side=SIDE),
                    extras.other_images.name, pictures.limit)
  others.add(range(len(found.numbers[shown])))
  files = [os.path.basename(path) for path in extras.other_images.files]
  pairs = []
  for pair, number in enumerate(found.numbers[:MAX_PAIRS].tolist()):
    file, position = found.others[pair].tolist()
    picture = others.by_number.get(pair)
    pairs.append({
        'number': number, 'similarity': round(float(found.similarities[pair]), _DIGITS),
        'agreement': round(float(found.agreements[pair]), _DIGITS),
        'record': f'record {position} of {files[file]}',
        'label': int(found.other_labels[pair]),
        **({'source': picture.source, 'name': picture.name} if picture else {})})
  return {'split': found.split, 'others': found.num_others, 'pairs': pairs,
          'total': found.num_pairs, 'images': found.num_images,
          'threshold': near_duplicates.THRESHOLD, 'shown': selection.SHOWN}


def _comparison(metrics: Metrics, extras: PageParts, pictures: Pictures) -> dict | None:
  """Returns the numbers of a comparison, and adds pictures of its images."""
  found = extras.comparison
  if found is None:
    return None
  only_this, only_other = (metrics.records.keys[rows[:MAX_PAIRS]].tolist()
                           for rows in (found.only_this, found.only_other))
  for numbers in (only_this, only_other):
    pictures.add(numbers[:selection.SHOWN])
  difference, low, high = found.difference
  return {
      'name': found.other.name, 'folder': found.other.folder, 'test': found.test,
      'pValue': found.p_value, 'difference': difference, 'low': low, 'high': high,
      'otherAccuracy': _accuracy(found.other_accuracy),
      'otherCorrect': found.other_correct.tolist(),
      'onlyThis': only_this, 'numOnlyThis': len(found.only_this),
      'onlyOther': only_other, 'numOnlyOther': len(found.only_other),
      'shown': selection.SHOWN}


def _notes(metrics: Metrics, pictures: Pictures, num_listed: int, in_cells: int
           ) -> list[str]:
  """Returns lines about the images and pictures that are not in the page."""
  notes = [
      f'{len(pictures.by_number):,} of {metrics.num_images:,} images have a picture'
      f' here: those of the lists above, and up to {selection.MAX_OF_CELLS} of the'
      ' confusion matrix. The others are listed by their records.']
  if pictures.limit.left_out:
    notes.append(f'{pictures.limit.left_out:,} pictures are left out: the limit of'
                 ' the page is 10 MB of pictures.')
  if num_listed < metrics.num_images:
    notes.append(f'{metrics.num_images - num_listed:,} images are not listed, mostly'
                 f' right ones: the limit of the page is {MAX_LISTED:,}.'
                 ' predictions.csv has all images.')
  missing = metrics.num_images - metrics.num_unreadable - in_cells
  if missing:
    notes.append(f'Cells of the confusion matrix with {missing:,} images are left out:'
                 f' the page has the {MAX_LISTED:,} largest cells.')
  return notes
