"""Losses: values by other formulas, gradients by differences, and large logits."""

import json
import math
import types

import numpy as np
import pytest

from slim_zoo import diagnostics
from slim_zoo.catalog import losses as catalog
from slim_zoo.deployment import model_deploy
from slim_zoo.tf_compat import tf
from slim_zoo.training import losses
from slim_zoo.training.callbacks import summaries
from tests import scripts
from tests.conftest import on_digits

LOGITS = np.random.default_rng(1).normal(0, 2, [5, 4])
LABELS = np.array([3, 0, 1, 1, 2])
ONE_HOT = np.eye(4)[LABELS]
SEVERAL = np.array([[1, 0, 1, 1], [0, 0, 0, 0], [0, 1, 0, 0], [1, 1, 1, 1],
                    [0, 0, 0, 1]], float)
SOFT = np.random.default_rng(2).dirichlet(np.ones(4), 5)
WEIGHTS = [0.5, 2.0, 0.0, 1.5]


def run(*tensors):
  with tf.Session() as session:
    return session.run(tensors[0] if len(tensors) == 1 else tensors)


def softmax_of(logits):
  return [[math.exp(x) / sum(math.exp(y) for y in row) for x in row] for row in logits]


def image_weights(targets, weights):
  return [1.0 if weights is None else sum(
      t * w for t, w in zip(row, weights, strict=True)) for row in targets]


def expected_softmax(logits, targets, gamma=0.0, smoothing=0.0, weights=None):
  """The formula of the paper, number by number."""
  total = 0.0
  for p_row, t_row, weight in zip(
      softmax_of(logits), targets, image_weights(targets, weights), strict=True):
    for p, t in zip(p_row, t_row, strict=True):
      t = t * (1 - smoothing) + smoothing / len(t_row)
      total -= weight * t * (1 - p) ** gamma * math.log(p)
  return total / len(targets)


def expected_sigmoid(logits, targets, gamma=0.0, alpha=None, smoothing=0.0,
                     weights=None):
  true, other = (1.0, 1.0) if alpha is None else (alpha, 1 - alpha)
  values = []
  for x_row, t_row in zip(logits, targets, strict=True):
    for x, t, weight in zip(x_row, t_row, weights or [1.0] * len(t_row), strict=True):
      p, t = 1 / (1 + math.exp(-x)), t * (1 - smoothing) + smoothing / 2
      values.append(weight * (
          -true * t * (1 - p) ** gamma * math.log(p)
          - other * (1 - t) * p ** gamma * math.log(1 - p)))
  return sum(values) / len(values)


@pytest.mark.parametrize('targets', [ONE_HOT, SOFT], ids=['hard', 'soft'])
@pytest.mark.parametrize('smoothing', [0.0, 0.3])
@pytest.mark.parametrize('weights', [None, WEIGHTS], ids=['plain', 'weighted'])
def test_softmax_losses_are_their_formulas(targets, smoothing, weights):
  logits = tf.constant(LOGITS)
  values = run(
      losses.softmax(logits, tf.constant(targets), smoothing, weights),
      losses.softmax_focal(logits, tf.constant(targets), 0.0, smoothing, weights),
      losses.softmax_focal(logits, tf.constant(targets), 2.0, smoothing, weights))
  np.testing.assert_allclose(values, [
      expected_softmax(LOGITS, targets, gamma, smoothing, weights)
      for gamma in (0, 0, 2)], rtol=1e-9)


@pytest.mark.parametrize('targets', [ONE_HOT, SOFT, SEVERAL],
                         ids=['hard', 'soft', 'several'])
@pytest.mark.parametrize('smoothing', [0.0, 0.3])
@pytest.mark.parametrize('weights', [None, WEIGHTS], ids=['plain', 'weighted'])
def test_sigmoid_losses_are_their_formulas(targets, smoothing, weights):
  logits, targets_of_graph = tf.constant(LOGITS), tf.constant(targets)
  more = {'label_smoothing': smoothing, 'class_weights': weights}
  values = run(
      losses.sigmoid(logits, targets_of_graph, **more),
      losses.sigmoid_focal(logits, targets_of_graph, 0.0, **more),
      losses.sigmoid_focal(logits, targets_of_graph, 1.5, **more),
      losses.sigmoid_focal(logits, targets_of_graph, 2.0, 0.25, **more))
  np.testing.assert_allclose(values, [
      expected_sigmoid(LOGITS, targets, gamma, alpha, smoothing, weights)
      for gamma, alpha in ((0, None), (0, None), (1.5, None), (2, 0.25))], rtol=1e-9)


@pytest.mark.parametrize('recipe', [
    losses.Recipe(4), losses.Recipe(4, label_smoothing=0.3, class_weights=WEIGHTS),
    losses.Recipe(4, (('softmax_focal', 2.0),))], ids=['plain', 'more', 'focal'])
def test_the_cross_entropy_of_evaluation_is_of_the_labels_alone(recipe):
  logits = tf.constant(np.float32(LOGITS))
  np.testing.assert_allclose(
      run(recipe.cross_entropy(logits, tf.constant(LABELS)),
          recipe.cross_entropy(logits, tf.constant(ONE_HOT))),
      expected_softmax(LOGITS, ONE_HOT), rtol=1e-5)


def test_the_cross_entropy_of_several_labels_is_that_of_sigmoids():
  recipe = losses.Recipe(4, (('sigmoid', 3.0),), label_smoothing=0.3)
  np.testing.assert_allclose(
      run(recipe.cross_entropy(tf.constant(np.float32(LOGITS)), tf.constant(SEVERAL))),
      expected_sigmoid(LOGITS, SEVERAL), rtol=1e-5)


def all_losses(logits, targets, several):
  """Returns {title: loss} of every kind, in the dtype of the logits."""
  values = {
      'sigmoid': losses.sigmoid(logits, several, 0.1, WEIGHTS),
      'sigmoid_focal': losses.sigmoid_focal(logits, several, 2.0, 0.25),
      'sigmoid_focal_half': losses.sigmoid_focal(logits, several, 0.5),
      'softmax': losses.softmax(logits, targets, 0.1, WEIGHTS),
      'softmax_focal': losses.softmax_focal(logits, targets, 2.0, 0.0, WEIGHTS),
      'softmax_focal_half': losses.softmax_focal(logits, targets, 0.5, 0.1)}
  assert {name.removesuffix('_half') for name in values} == set(catalog.NAMES)
  return values


def test_gradients_are_the_differences_of_the_values():
  logits = tf.placeholder(tf.float64, LOGITS.shape)
  values = all_losses(logits, tf.constant(SOFT), tf.constant(SEVERAL))
  gradients = {name: tf.gradients(value, logits)[0] for name, value in values.items()}
  step = 1e-5
  with tf.Session() as session:
    found = session.run(gradients, {logits: LOGITS})
    for place in np.ndindex(*LOGITS.shape):
      change = np.zeros_like(LOGITS)
      change[place] = step
      above = session.run(values, {logits: LOGITS + change})
      below = session.run(values, {logits: LOGITS - change})
      for name in values:
        np.testing.assert_allclose(
            found[name][place], (above[name] - below[name]) / (2 * step), atol=1e-8,
            err_msg=name)


def test_large_logits_give_finite_values_and_gradients():
  large = 1e4
  rows = np.float32([[large, -large], [-large, large], [large, large],
                     [-large, -large], [0, large], [0, -large]])
  for right in ([1.0, 0.0], [0.0, 1.0], [0.5, 0.5]):
    logits = tf.constant(np.pad(rows, [[0, 0], [0, 2]]))
    targets = tf.constant(np.float32([[*right, 0, 0]] * len(rows)))
    for name, value in all_losses(logits, targets, targets).items():
      (gradient,) = tf.gradients(value, logits)
      value, gradient = run(value, gradient)
      assert np.isfinite(value), name
      assert np.isfinite(gradient).all(), name


@pytest.mark.parametrize('name', catalog.NAMES)
def test_large_logits_cost_what_they_should(name):
  function = {'softmax': losses.softmax, 'softmax_focal': losses.softmax_focal,
              'sigmoid': losses.sigmoid, 'sigmoid_focal': losses.sigmoid_focal}[name]
  targets = tf.constant([[1.0, 0.0]])
  right, wrong = run(function(tf.constant([[1e4, -1e4]]), targets),
                     function(tf.constant([[-1e4, 1e4]]), targets))
  assert right == 0
  assert wrong == pytest.approx(2e4 if name in catalog.SOFTMAX else 1e4)


def as_before(logits, auxiliary, labels, smoothing):
  """The loss of the established script: the sum of what it collected."""
  targets = np.eye(logits.shape[1])[labels] * (1 - smoothing) + (
      smoothing / logits.shape[1])
  def entropy(x):
    return np.mean([
        -np.sum(t * (row - np.log(np.sum(np.exp(row)))))
        for t, row in zip(targets, x, strict=True)])
  return entropy(logits) + 0.4 * entropy(auxiliary)


@pytest.mark.parametrize('smoothing', [0.0, 0.1])
def test_the_default_is_the_established_loss(smoothing):
  auxiliary = LOGITS[::-1].copy()
  losses.Recipe(4, label_smoothing=smoothing).add(
      tf.constant(LOGITS, tf.float32),
      {'AuxLogits': tf.constant(auxiliary, tf.float32)},
      tf.constant(LABELS))
  collected = tf.losses.get_losses()
  assert [loss.op.name for loss in collected] == [
      'aux_loss/value', 'softmax_cross_entropy_loss/value']
  assert run(tf.add_n(collected)) == pytest.approx(
      as_before(LOGITS, auxiliary, LABELS, smoothing), rel=1e-6)


def test_the_default_takes_targets_too():
  logits = tf.constant(LOGITS, tf.float32)
  for labels in (tf.constant(LABELS), tf.constant(ONE_HOT, tf.float32)):
    losses.Recipe(4).add(logits, {}, labels)
  first, second = run(*tf.losses.get_losses())
  assert first == second


def test_weights_of_ones_change_nothing():
  logits, labels = tf.constant(LOGITS, tf.float32), tf.constant(LABELS)
  losses.Recipe(4, label_smoothing=0.1).add(logits, {}, labels)
  losses.Recipe(4, label_smoothing=0.1, class_weights=[1.0] * 4).add(
      logits, {}, labels)
  first, second = run(*tf.losses.get_losses())
  assert first == pytest.approx(second, rel=1e-6)


def test_a_sum_of_losses_is_weighted_and_each_has_its_name():
  logits = tf.constant(LOGITS, tf.float32)
  losses.Recipe(
      4, (('softmax', 1.0), ('sigmoid_focal', 0.5)), gamma=1.0, alpha=0.25,
      auxiliary_weight=0.2).add(logits, {'AuxLogits': -logits}, tf.constant(LABELS))
  values = run({loss.op.name: loss for loss in tf.losses.get_losses()})
  wanted = {
      'softmax': expected_softmax(LOGITS, ONE_HOT),
      'softmax_auxiliary': 0.2 * expected_softmax(-LOGITS, ONE_HOT),
      'sigmoid_focal': 0.5 * expected_sigmoid(LOGITS, ONE_HOT, 1.0, 0.25),
      'sigmoid_focal_auxiliary':
          0.1 * expected_sigmoid(-LOGITS, ONE_HOT, 1.0, 0.25)}
  assert values == {name: pytest.approx(value, rel=1e-5)
                    for name, value in wanted.items()}


def test_no_auxiliary_weight_leaves_the_auxiliary_head_out():
  logits = tf.constant(LOGITS, tf.float32)
  losses.Recipe(4, auxiliary_weight=0.0).add(
      logits, {'AuxLogits': logits}, tf.constant(LABELS))
  assert len(tf.losses.get_losses()) == 1


def test_each_clone_has_its_own_losses():
  def build():
    losses.Recipe(4, (('softmax_focal', 1.0), ('sigmoid', 2.0))).add(
        tf.constant(LOGITS, tf.float32), {}, tf.constant(LABELS))
  clones = model_deploy.create_clones(
      model_deploy.DeploymentConfig(2, clone_on_cpu=True), build)
  shares = model_deploy.clone_losses(clones)
  one = expected_softmax(LOGITS, ONE_HOT, 2.0) + 2 * expected_sigmoid(LOGITS, ONE_HOT)
  assert run([share for _, share in shares]) == [pytest.approx(one / 2)] * 2


def test_each_loss_is_shown_by_its_name():
  def build():
    logits, labels = tf.constant(LOGITS, tf.float32), tf.constant(LABELS)
    losses.Recipe(4, (('softmax', 1.0), ('softmax_focal', 0.5))).add(
        logits, {'AuxLogits': logits}, labels)
    return types.SimpleNamespace(labels=labels), logits, {}
  clones = model_deploy.create_clones(
      model_deploy.DeploymentConfig(1, clone_on_cpu=True), build)
  summaries.add(clones, tf.constant(0.0), tf.constant(0.0))
  shown = tf.Summary.FromString(run(tf.summary.merge_all())).value
  values = {value.tag: value.simple_value for value in shown}
  plain = expected_softmax(LOGITS, ONE_HOT)
  assert values['losses/softmax'] == pytest.approx(plain)
  assert values['losses/softmax_auxiliary'] == pytest.approx(0.4 * plain)
  assert values['losses/softmax_focal'] == pytest.approx(
      0.5 * expected_softmax(LOGITS, ONE_HOT, 2.0))


@pytest.mark.parametrize(('text', 'terms'), [
    ('softmax', (('softmax', 1.0),)),
    ('softmax:1, softmax_focal:0.5', (('softmax', 1.0), ('softmax_focal', 0.5))),
    ('sigmoid:2', (('sigmoid', 2.0),)),
])
def test_sums_of_losses_are_read(text, terms):
  assert catalog.parse(text) == terms


@pytest.mark.parametrize(('text', 'words'), [
    ('sofmax', "no loss 'sofmax'.*did you mean 'softmax'"),
    ('softmax:0', "weight '0' is not a number above 0"),
    ('softmax:nan', "weight 'nan' is not a number above 0"),
    ('softmax:a', "weight 'a' is not a number above 0"),
    ('softmax,softmax:2', "'softmax' twice"),
    (' ,', 'is empty'),
])
def test_sums_of_losses_that_make_no_sense(text, words):
  with pytest.raises(diagnostics.UserError, match=words):
    catalog.parse(text)


def test_class_weights_are_their_formulas():
  counts, beta = [1000, 10, 1, 0], 0.99
  raw = [0.01 / (1 - beta ** n) for n in counts[:3]]
  np.testing.assert_allclose(
      losses.effective_number(counts, beta),
      [3 * weight / sum(raw) for weight in raw] + [0], rtol=1e-9)
  np.testing.assert_allclose(
      losses.inverse_frequency(counts),
      3 * np.array([0.001, 0.1, 1, 0]) / 1.101, rtol=1e-9)
  np.testing.assert_allclose(losses.effective_number(counts, 0), [1, 1, 1, 0])
  # The limit of the paper: beta near 1 is inverse frequency.
  np.testing.assert_allclose(
      losses.effective_number(counts, 1 - 1e-12),
      losses.inverse_frequency(counts), rtol=1e-6)
  for counts, beta in (([0, 0], 0.9), ([1, 2], 1.0), ([1, 2], -0.1)):
    with pytest.raises(diagnostics.UserError):
      losses.effective_number(counts, beta)


def test_a_run_with_several_losses_and_weights_of_the_records(digits_dir, tmp_path):
  done = scripts.run(
      'train_image_classifier', train_dir=tmp_path, max_number_of_steps=2,
      batch_size=8, loss='softmax:1,softmax_focal:0.5', focal_gamma=1,
      class_weights='effective_number', effective_number_beta=0.99,
      auxiliary_loss_weight=0.3, **on_digits(digits_dir))
  assert done.returncode == 0, done.stderr
  assert '1 softmax + 0.5 softmax_focal, gamma 1' in done.stdout
  assert 'effective_number' in done.stdout
  assert '--auxiliary_loss_weight=0.3 has no effect with lenet' in done.stdout
  card = json.loads((tmp_path / 'run_card.json').read_text())
  weights = card['run']['class_weights']
  assert sum(weights) == pytest.approx(10)
  assert len(set(weights)) > 1


@pytest.mark.parametrize(('flags', 'words'), [
    ({'loss': 'focal'}, ["no loss 'focal'", 'softmax_focal']),
    ({'focal_gamma': 2}, ['--focal_gamma=2', '--loss=softmax']),
    ({'loss': 'softmax_focal', 'focal_alpha': 0.25},
     ['--focal_alpha', 'sigmoid_focal']),
    ({'effective_number_beta': 0.9}, ['--effective_number_beta=0.9', 'none']),
    ({'class_weights': 'effective_number', 'effective_number_beta': 1},
     ['--effective_number_beta=1', 'less than 1']),
    ({'class_weights': 'inverse'}, ['inverse', 'inverse_frequency']),
    ({'class_weights': '1,2'}, ['expected 10 numbers']),
])
def test_loss_flags_that_make_no_sense(digits_dir, tmp_path, flags, words):
  scripts.answer(scripts.run(
      'train_image_classifier', train_dir=tmp_path,
      **{**on_digits(digits_dir), **flags}), *words)
