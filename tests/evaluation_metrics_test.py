"""The numbers of an evaluation, against scikit-learn and by hand."""

import dataclasses
import math

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics

from slim_zoo.diagnostics import UserError
from slim_zoo.evaluation.metrics import Accuracy, Predictions, complete_names, evaluate


def softmax(logits):
  powers = np.exp(logits - logits.max(axis=1, keepdims=True))
  return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def sample(count, classes, seed=0, present=None):
  """Returns labels and the probabilities of a network that is often right."""
  random = np.random.default_rng(seed)
  labels = random.integers(0, present or classes, count)
  logits = 2 * random.normal(size=[count, classes])
  logits[np.arange(count), labels] += 3
  return labels, softmax(logits)


def fill(labels, probabilities, batch_size=32, unreadable=()):
  """Adds images in order; those at the rows `unreadable` could not be decoded."""
  predictions = Predictions()
  good = np.setdiff1d(np.arange(len(labels)), unreadable)
  for start in range(0, len(good), batch_size):
    rows = good[start:start + batch_size]
    predictions.add(rows, labels[rows], probabilities[rows])
  if len(unreadable):
    predictions.add_unreadable(np.array(unreadable), labels[np.array(unreadable)])
  return predictions


def log_loss(labels, probabilities):
  exact = probabilities.astype(np.float64)
  exact /= exact.sum(axis=1, keepdims=True)
  return sklearn.metrics.log_loss(
      labels, exact, labels=np.arange(exact.shape[1]))


def check_per_class(per_class, labels, guesses):
  classes = np.arange(len(per_class.support))
  def expected(zero_division):
    return sklearn.metrics.precision_recall_fscore_support(
        labels, guesses, labels=classes, zero_division=zero_division)
  precision, recall, _, support = expected(np.nan)
  np.testing.assert_allclose(per_class.precision, precision)
  np.testing.assert_allclose(per_class.recall, recall)
  np.testing.assert_array_equal(per_class.support, support)
  # Releases of scikit-learn differ in whether an F1 of 0 may be undefined.
  np.testing.assert_allclose(np.nan_to_num(per_class.f1), expected(0)[2])


def numbers(metrics):
  """Returns every number of the metrics as one flat array."""
  found = []
  def visit(value):
    if dataclasses.is_dataclass(value):
      for field in dataclasses.fields(value):
        visit(getattr(value, field.name))
    elif not isinstance(value, tuple):
      found.append(np.ravel(np.asarray(value, np.float64)))
  visit(metrics)
  return np.concatenate(found)


@pytest.mark.parametrize('classes', [2, 3, 10, 40])
def test_every_number_agrees_with_scikit_learn(classes):
  labels, probabilities = sample(257, classes)
  metrics = evaluate(fill(labels, probabilities), classes, None)
  guesses = probabilities.argmax(axis=1)
  check_per_class(metrics.per_class, labels, guesses)
  np.testing.assert_array_equal(
      metrics.confusion,
      sklearn.metrics.confusion_matrix(labels, guesses, labels=np.arange(classes)))
  assert metrics.confusion.dtype == np.int64
  assert metrics.top1.value == sklearn.metrics.accuracy_score(labels, guesses)
  assert metrics.cross_entropy == pytest.approx(
      log_loss(labels, probabilities), rel=1e-5)
  assert metrics.num_images == metrics.top1.total == 257


@pytest.mark.parametrize('classes', [6, 10, 40])
def test_top_5_agrees_with_scikit_learn(classes):
  labels, probabilities = sample(300, classes, seed=1)
  metrics = evaluate(fill(labels, probabilities), classes, None)
  assert metrics.topk.name == 'top-5'
  assert metrics.topk.correct == sklearn.metrics.top_k_accuracy_score(
      labels, probabilities, k=5, labels=np.arange(classes), normalize=False)
  assert metrics.top1.correct < metrics.topk.correct < 300


@pytest.mark.parametrize(('classes', 'k'), [(1, 1), (2, 2), (4, 4), (5, 5), (6, 5)])
def test_k_is_capped_by_the_class_count(classes, k):
  labels, probabilities = sample(20, classes)
  metrics = evaluate(fill(labels, probabilities), classes, None)
  assert (metrics.topk.k, metrics.topk.name) == (k, f'top-{k}')
  assert metrics.records.top_classes.shape == (20, k)
  if k == classes:
    assert metrics.topk.correct == 20


@pytest.mark.parametrize('batch_size', [1, 7, 100, 103])
def test_numbers_do_not_depend_on_batches_or_order(batch_size):
  labels, probabilities = sample(103, 7)
  expected = evaluate(fill(labels, probabilities, 103), 7, None)
  backwards = Predictions()
  for start in reversed(range(0, 103, batch_size)):
    rows = np.arange(103)[start:start + batch_size][::-1]
    backwards.add(rows, labels[rows], probabilities[rows])
  np.testing.assert_array_equal(
      numbers(evaluate(backwards, 7, None)), numbers(expected))
  assert len(backwards) == 103


def test_records_hold_the_image_they_name():
  labels, probabilities = sample(50, 8, seed=3)
  rows = np.random.default_rng(0).permutation(50)
  predictions = Predictions()
  predictions.add(rows * 10, labels[rows], probabilities[rows])
  records = predictions.records(8)
  np.testing.assert_array_equal(records.keys, np.arange(50) * 10)
  np.testing.assert_array_equal(records.labels, labels)
  np.testing.assert_array_equal(records.predictions, probabilities.argmax(axis=1))
  np.testing.assert_array_equal(records.confidences, probabilities.max(axis=1))
  np.testing.assert_array_equal(
      records.label_probabilities, probabilities[np.arange(50), labels])
  np.testing.assert_array_equal(
      records.label_ranks,
      (probabilities > probabilities[np.arange(50), labels, None]).sum(axis=1))


def test_ties_go_to_the_lower_class():
  uniform = np.full([10, 10], 0.1, np.float32)
  records = fill(np.arange(10), uniform).records(10)
  np.testing.assert_array_equal(records.label_ranks, np.arange(10))
  np.testing.assert_array_equal(records.top_classes, [[0, 1, 2, 3, 4]] * 10)
  metrics = evaluate(fill(np.arange(10), uniform), 10, None)
  assert (metrics.top1.correct, metrics.topk.correct) == (1, 5)


def test_the_rank_among_many_ties_is_as_documented():
  random = np.random.default_rng(2)
  values = random.integers(1, 4, [50, 300])
  probabilities = (values / values.sum(axis=1, keepdims=True)).astype(np.float32)
  labels = random.integers(0, 300, 50)
  ranks = [(row > row[label]).sum() + (row[:label] == row[label]).sum()
           for label, row in zip(labels, values, strict=True)]
  np.testing.assert_array_equal(
      fill(labels, probabilities).records(300).label_ranks, ranks)


def test_a_tie_below_a_larger_probability_is_ranked_after_it():
  row = np.array([[0.2, 0.4, 0.2, 0.2]], np.float32)
  ranks = [fill(np.array([label]), row).records(4).label_ranks[0]
           for label in range(4)]
  assert ranks == [1, 0, 2, 3]


@pytest.mark.parametrize('keys', [[7, 5, 8], [7, 8, 7]])
@pytest.mark.parametrize('readable', [True, False])
def test_a_repeated_image_is_refused_and_its_batch_not_kept(keys, readable):
  labels, probabilities = sample(3, 4)
  predictions = Predictions()
  predictions.add([4, 5, 6], labels, probabilities)
  add = (lambda: predictions.add(keys, labels, probabilities)) if readable else (
      lambda: predictions.add_unreadable(keys, labels))
  with pytest.raises(ValueError, match=r'image [57] was evaluated twice'):
    add()
  assert len(predictions) == evaluate(predictions, 4, None).num_images == 3


def test_unreadable_images_are_mistakes_of_their_class():
  labels, probabilities = sample(60, 5)
  lost = [3, 17, 40]
  metrics = evaluate(fill(labels, probabilities, unreadable=lost), 5, None)
  # An extra class that is never true stands for 'unreadable' in the check.
  guesses = probabilities.argmax(axis=1)
  guesses[lost] = 5
  check_per_class(metrics.per_class, labels, guesses)
  assert metrics.num_unreadable == metrics.per_class.unreadable.sum() == 3
  assert (metrics.top1.correct, metrics.top1.total) == ((guesses == labels).sum(), 60)
  # Even top-5 of 5 classes cannot save an image that was never seen.
  assert (metrics.topk.correct, metrics.topk.total) == (57, 60)
  assert metrics.confusion.sum() == metrics.calibration.images.sum() == 57
  readable = np.setdiff1d(np.arange(60), lost)
  assert metrics.cross_entropy == pytest.approx(
      log_loss(labels[readable], probabilities[readable]), rel=1e-5)
  assert not set(lost) & set(metrics.records.keys[metrics.mistakes()])


def test_a_split_without_a_readable_image_scores_zero():
  predictions = Predictions()
  predictions.add_unreadable([0, 1], [0, 2])
  metrics = evaluate(predictions, 3, None)
  assert (metrics.top1.correct, metrics.top1.total) == (0, 2)
  assert math.isnan(metrics.cross_entropy)
  assert math.isnan(metrics.calibration.error)
  np.testing.assert_array_equal(metrics.per_class.recall, [0, np.nan, 0])


def test_classes_without_images_or_predictions_are_undefined():
  labels = np.array([0, 0, 1])
  probabilities = np.eye(4, dtype=np.float32)[[0, 2, 0]]
  metrics = evaluate(fill(labels, probabilities), 4, None)
  nan = np.nan
  np.testing.assert_array_equal(metrics.per_class.precision, [0.5, nan, 0, nan])
  np.testing.assert_array_equal(metrics.per_class.recall, [0.5, 0, nan, nan])
  np.testing.assert_array_equal(metrics.per_class.f1, [0.5, 0, 0, nan])
  np.testing.assert_array_equal(metrics.worst_classes(), [1, 0])


def test_macro_means_are_over_the_classes_that_have_images():
  labels, probabilities = sample(200, 12, present=9)
  # Class 4 has images and is never predicted: its precision counts as 0.
  probabilities[:, 4] = 0
  probabilities /= probabilities.sum(axis=1, keepdims=True)
  metrics = evaluate(fill(labels, probabilities), 12, None)
  expected = sklearn.metrics.precision_recall_fscore_support(
      labels, probabilities.argmax(axis=1), labels=np.unique(labels),
      average='macro', zero_division=0)[:3]
  macro = metrics.macro
  np.testing.assert_allclose([macro.precision, macro.recall, macro.f1], expected)
  assert macro.classes == 9
  assert np.isnan(metrics.per_class.precision[4])


def test_calibration_agrees_with_a_loop_over_images():
  labels, probabilities = sample(500, 6, seed=5)
  metrics = evaluate(fill(labels, probabilities), 6, None)
  members = [[] for _ in range(15)]
  for label, row in zip(labels, probabilities.astype(np.float64), strict=True):
    members[math.ceil(row.max() * 15) - 1].append(
        (row.max(), row.argmax() == label))
  error = sum(
      len(member) / 500 * abs(np.mean([right for _, right in member])
                              - np.mean([sure for sure, _ in member]))
      for member in members if member)
  bins = metrics.calibration
  assert bins.error == pytest.approx(error, rel=1e-6)
  np.testing.assert_array_equal(bins.images, [len(member) for member in members])
  np.testing.assert_array_equal(
      bins.correct, [sum(right for _, right in member) for member in members])
  assert np.isnan(bins.accuracy[bins.images == 0]).all()
  assert (bins.images == 0).any()


def test_a_certain_prediction_falls_into_the_last_bin():
  metrics = evaluate(
      fill(np.array([0, 1]), np.array([[1, 0], [1, 0]], np.float32)), 2, None)
  assert metrics.calibration.images[-1] == 2
  assert metrics.calibration.error == pytest.approx(0.5)


def test_an_impossible_true_class_has_a_large_finite_loss():
  metrics = evaluate(
      fill(np.array([1]), np.array([[1, 0]], np.float32)), 2, None)
  assert metrics.cross_entropy == pytest.approx(87.3365, abs=1e-3)


@pytest.mark.parametrize(('correct', 'total'), [
    (355, 360), (0, 10), (10, 10), (1, 2), (38000, 50000)])
def test_interval_agrees_with_scipy(correct, total):
  expected = scipy.stats.binomtest(correct, total).proportion_ci(
      confidence_level=0.95, method='wilson')
  assert Accuracy(1, correct, total).interval == pytest.approx(
      (expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize(('correct', 'total', 'percent'), [
    (355, 360, '98.61%'), (360, 360, '100%'), (0, 360, '0%'),
    (99999, 100000, '99.99%'), (1, 1000000, '0.01%')])
def test_percent_never_rounds_to_all_or_none(correct, total, percent):
  assert Accuracy(1, correct, total).percent == percent


def test_mistakes_are_sorted_by_confidence_then_key():
  probabilities = np.array(
      [[0.6, 0.4], [0.2, 0.8], [0.9, 0.1], [0.4, 0.6], [0.7, 0.3]], np.float32)
  metrics = evaluate(
      fill(np.array([1, 0, 1, 0, 0]), probabilities), 2, None)
  np.testing.assert_array_equal(metrics.mistakes(), [2, 1, 0, 3])


def test_confused_pairs_are_sorted_by_count():
  labels = np.array([0, 0, 1, 1, 1, 2, 2])
  guesses = np.array([1, 1, 0, 2, 1, 0, 2])
  metrics = evaluate(fill(labels, np.eye(3, dtype=np.float32)[guesses]), 3, None)
  assert metrics.confused_pairs(9) == [(0, 1, 2), (1, 0, 1), (1, 2, 1), (2, 0, 1)]
  assert metrics.confused_pairs(1) == [(0, 1, 2)]


@pytest.mark.parametrize('label', [-1, 4])
def test_a_label_outside_the_classes_is_the_users_mistake(label):
  _, probabilities = sample(2, 4)
  message = f'image 8 has label {label}, but the network has classes 0 to 3'
  predictions = Predictions()
  with pytest.raises(UserError, match=message):
    predictions.add([7, 8], [0, label], probabilities)
  predictions.add_unreadable([8], [label])
  with pytest.raises(UserError, match=message):
    evaluate(predictions, 4, None)


def test_nan_is_refused_and_never_counted_as_right():
  _, probabilities = sample(3, 4)
  probabilities[1, 2] = np.nan
  with pytest.raises(UserError, match='NaN for image 21'):
    Predictions().add([20, 21, 22], [0, 0, 0], probabilities)


@pytest.mark.parametrize(('keys', 'labels', 'probabilities', 'message'), [
    ([0], [0], [[2.0, -1.0]], 'softmax'),
    ([0], [0], [[0.9, 0.9]], 'softmax'),
    ([0], [0], [0.5, 0.5], 'shape'),
    ([0, 1], [0, 1], [[0.5, 0.5]], '2 keys but 1 rows'),
    ([0], [[0]], [[0.5, 0.5]], 'shape'),
    (0, 0, [[0.5, 0.5]], 'shape'),
])
def test_arrays_that_do_not_fit_are_refused(keys, labels, probabilities, message):
  with pytest.raises(ValueError, match=message):
    Predictions().add(keys, labels, np.array(probabilities, np.float32))


def test_another_number_of_classes_is_refused():
  predictions = fill(*sample(4, 3))
  with pytest.raises(ValueError, match='of 3 classes, not of 5'):
    evaluate(predictions, 5, None)
  with pytest.raises(ValueError, match=r'expected \[batch, 3\]'):
    predictions.add([9], [0], sample(1, 4)[1])


def test_an_empty_split_is_the_users_mistake():
  with pytest.raises(UserError, match='no images'):
    evaluate(Predictions(), 3, None)


@pytest.mark.parametrize(('names', 'expected'), [
    (None, ('0', '1', '2')),
    (['cat', 'dog', 'owl', 'more'], ('cat', 'dog', 'owl')),
    ({0: 'cat', 2: 'owl'}, ('cat', '1', 'owl')),
])
def test_classes_without_a_name_are_called_by_their_number(names, expected):
  assert complete_names(names, 3) == expected
  assert evaluate(fill(*sample(4, 3)), 3, names).class_names == expected


def test_imagenet_keeps_a_few_numbers_per_image():
  labels, probabilities = sample(1000, 1001)
  predictions = fill(labels, probabilities, batch_size=100)
  records = predictions.records(1001)
  size = sum(getattr(records, field.name).nbytes
             for field in dataclasses.fields(records))
  assert size / 1000 < 100
  metrics = evaluate(predictions, 1001, None)
  assert metrics.confusion.shape == (1001, 1001)
  assert metrics.topk.correct == sklearn.metrics.top_k_accuracy_score(
      labels, probabilities, k=5, labels=np.arange(1001), normalize=False)
