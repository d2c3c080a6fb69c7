"""Advice on batch norm: restored statistics are not initial; the better is kept."""

import types

import pytest

from slim_zoo.checkpoints import heads
from slim_zoo.evaluation import predictions, recalibration
from slim_zoo.nets import normalization
from slim_zoo.tf_compat import slim, tf
from slim_zoo.training import starting_point
from slim_zoo.training.callbacks import batch_norm_health
from tests.validation_test import small_network

ONE, TWO = 'Small/one/BatchNorm', 'Small/two/BatchNorm'


def build():
  small_network(True)(tf.zeros([2, 8, 8, 1]))
  return starting_point.network_of('lenet', heads.Head(('Small/logits',), 4))


@pytest.fixture
def checkpoint(tmp_path):
  """Returns a checkpoint of the network, and the graph that is empty again."""
  build()
  tf.train.get_or_create_global_step()
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    path = tf.train.Saver(slim.get_model_variables()).save(
        session, str(tmp_path / 'other.ckpt'))
  tf.reset_default_graph()
  return path


def fresh(network, **changed):
  scopes = changed.pop('exclude_scopes', ())
  start = starting_point.StartingPoint(**changed)
  return start.fresh(normalization.decays(), network, starting_point.FineTuning(
      exclude_scopes=scopes))


@pytest.mark.parametrize('place', ['restored', 'not_used'])
@pytest.mark.parametrize(('scopes', 'expected'), [
    ((), set()), (('Small/logits',), set()), (('Small/two',), {TWO}),
    (('Small/one', 'Small/two'), {ONE, TWO})])
def test_only_layers_that_are_not_restored_begin_at_0_and_1(
    checkpoint, place, scopes, expected):
  """At the beginning of fine-tuning, and when the same command continues."""
  found = fresh(build(), **{place: checkpoint}, exclude_scopes=scopes)
  assert set(found) == expected
  assert (batch_norm_health.stale(found, 10) is None) == (not expected)


def test_without_a_checkpoint_all_layers_begin_at_0_and_1():
  found = fresh(build())
  assert found == {ONE: 0.999, TWO: 0.999}
  assert '--recalibrate_batch_norm' in batch_norm_health.stale(found, 10)


def test_of_a_checkpoint_that_is_gone_nothing_is_said(tmp_path):
  assert fresh(build(), not_used=str(tmp_path / 'gone.ckpt')) == {}


def of(accuracy, loss=1.0):
  return types.SimpleNamespace(
      num_images=40, cross_entropy=loss, top1=types.SimpleNamespace(value=accuracy))


def several(score):
  return types.SimpleNamespace(num_images=40, mean_average_precision=score)


@pytest.mark.parametrize(('before', 'after', 'kept'), [
    (of(0.902), of(0.863), False), (of(0.5), of(0.9), True),
    (of(0.5, 2.0), of(0.5, 1.0), True), (of(0.5, 1.0), of(0.5, 2.0), False),
    (several(0.9), several(0.8), False), (several(0.8), several(0.9), True),
    (predictions.NotFiniteError('NaN'), of(0.1), True)])
def test_recalibration_keeps_the_better(tmp_path, before, after, kept):
  source, target = (str(tmp_path / name) for name in ('m-1', 'm-1-recalibrated'))
  for path in (source, target):
    for suffix in ('.index', '.data-00000-of-00001'):
      (tmp_path / (path + suffix)).touch()

  def measure(path):
    found = {source: before, target: after}[path]
    if isinstance(found, Exception):
      raise found
    return found

  path, told = recalibration.keep_better_checkpoint(source, target, measure)
  assert path == (target if kept else source)
  assert (tmp_path / 'm-1-recalibrated.index').exists() == kept
  assert (tmp_path / 'm-1.index').exists()
  assert '\n' not in told
  if not isinstance(before, Exception):
    shown = [getattr(found, 'mean_average_precision', None) or found.top1.value
             for found in (before, after)]
    assert all(f'{value:.2%} on 40 images' in told for value in shown)


def test_what_ends_the_comparison_leaves_no_new_checkpoint(tmp_path):
  (tmp_path / 'm-1-recalibrated.index').touch()

  def measure(_):
    raise SystemExit(130)

  with pytest.raises(SystemExit):
    recalibration.keep_better_checkpoint(
        str(tmp_path / 'm-1'), str(tmp_path / 'm-1-recalibrated'), measure)
  assert not list(tmp_path.iterdir())
