"""slim-zoo probe: features once, classifiers on them, honest accuracies."""

import json

import numpy as np
import pytest

from slim_zoo import diagnostics
from slim_zoo.config import probing as probing_options
from slim_zoo.config.probing import ProbeConfig
from slim_zoo.evaluation import probing, split_features
from tests import scripts


def run(digits_dir, trained_dir, cache_dir, *flags, **options):
  return scripts.run(
      'probe', *flags, dataset_name='digits', dataset_dir=digits_dir,
      dataset_split_name='test', checkpoint_path=trained_dir, cache_dir=cache_dir,
      folds=2, **options)


def test_features_are_computed_once_and_compared(digits_dir, trained_dir, tmp_path):
  """The second run reads the cache."""
  chart = tmp_path / 'charts' / 'probe.png'
  first = run(digits_dir, trained_dir, tmp_path / 'cache', format='json', chart=chart)
  assert first.returncode == 0, first.stderr
  assert 'features: ' in first.stderr
  (values,) = json.loads(first.stdout)
  assert (values['network'], values['images'], values['features']) == (
      'lenet', 355, 1024)
  assert values['logistic_regression']['accuracy'] > 0.85
  assert values['nearest_neighbours']['accuracy'] > 0.8
  low, high = values['logistic_regression']['interval_95']
  assert low < values['logistic_regression']['accuracy'] < high
  assert values['behind_the_best'] is None
  assert chart.read_bytes().startswith(b'\x89PNG')
  table = run(digits_dir, trained_dir, tmp_path / 'cache')
  assert table.returncode == 0, table.stderr
  assert 'features: ' not in table.stderr
  share = values['logistic_regression']['correct'] / 355
  assert f'{share:.2%}' in table.stdout
  assert '355 images, 2-fold cross-validation' in table.stdout


def test_a_damaged_cache_is_written_again(tmp_path):
  found = split_features.Features(np.ones([3, 2], np.float32), np.arange(3))
  calls = []

  def compute():
    calls.append(1)
    return found

  for _ in range(2):
    again = split_features.cached(str(tmp_path / 'new'), 'key', compute)
    np.testing.assert_array_equal(again.values, found.values)
    np.testing.assert_array_equal(again.labels, found.labels)
  assert len(calls) == 1
  (stored,) = (tmp_path / 'new').iterdir()
  stored.write_bytes(stored.read_bytes()[:100])
  split_features.cached(str(tmp_path / 'new'), 'key', compute)
  assert len(calls) == 2


def test_accuracies_are_of_images_that_were_not_trained_on():
  generator = np.random.default_rng(3)
  labels = np.repeat(np.arange(3), 40)
  noise = generator.normal(size=[120, 8]).astype(np.float32)
  calls = []
  guessed = probing.cross_validate(noise, labels, 4, 5, 0, calls.append)
  assert calls == [*range(1, probing.fits(4) + 1)]
  for probed in guessed.values():
    assert probed.accuracy.value < 0.55
  clear = noise + 6 * np.eye(3, 8, dtype=np.float32)[labels]
  found = probing.cross_validate(clear, labels, 4, 5, 0, calls.append)
  for kind, probed in found.items():
    assert probed.accuracy.value > 0.97, kind
    difference, low, high = guessed[kind].behind(probed)
    assert difference == pytest.approx(
        probed.accuracy.value - guessed[kind].accuracy.value)
    assert 0 < low < difference < high
  # A class that is in few parts only.
  labels[-1] = 7
  assert len(probing.cross_validate(
      clear, labels, 4, 500, 0, calls.append)[probing.NEAREST_NEIGHBOURS].correct) == (
          120)
  (note,) = probing.check(labels, 4, neighbours=2)
  assert note == (
      '--folds=4, but the smallest class, 7, has 1 image: some parts have none of them;'
      ' add images, or leave out the classes of one image')
  # Of 120 images, each of 4 parts is compared with 90.
  assert probing.check(labels, 4, neighbours=90) == [note]
  assert probing.check(labels, 4, neighbours=91)[1:] == [
      '--neighbours=91 is more than the 90 training images of a part: all of them'
      ' count']


@pytest.mark.parametrize(('labels', 'folds', 'words'), [
    ([1, 1, 1], 2, '3 images of 1 classes'), ([0, 0, 1], 2, 'at least two images'),
    ([0, 0, 1, 1, 1], 5, "the largest class, 'dog', has 3 images: use --folds=3$")])
def test_too_few_images(labels, folds, words):
  with pytest.raises(diagnostics.UserError, match=words):
    probing.check(np.array(labels), folds, 1, {0: 'cat', 1: 'dog'})


@pytest.mark.parametrize(('counts', 'names', 'line'), [
    ([9, 3], {0: 'cat', 1: 'dog'},
     "--folds=5, but the smallest class, 'dog', has 3 images: some parts have none of"
     ' them; --folds=3 puts images of every class into each part'),
    ([9, 4, 2], None,
     '--folds=5, but the smallest class, 2, has 2 images, and 1 more class has fewer'
     ' than 5: some parts have none of them; --folds=2 puts images of every class into'
     ' each part')])
def test_a_small_class_is_named_with_the_folds_that_work(counts, names, line):
  labels = np.repeat(np.arange(len(counts)), counts)
  assert probing.check(labels, 5, 1, names) == [line]
  folds = int(line.split('--folds=')[2][0])
  assert probing.check(labels, folds, 1, names) == []


def test_other_weights_and_facts_have_another_key(tmp_path):
  keys = []
  for content in (b'one', b'two'):
    (tmp_path / 'model.ckpt.index').write_bytes(content)
    keys += [split_features.key_of(str(tmp_path / 'model.ckpt'), size)
             for size in (224, 192)]
  assert len(set(keys)) == 4


@pytest.mark.parametrize(('changed', 'words'), [
    ({'checkpoint_path': ()}, 'no --checkpoint_path'),
    ({'checkpoint_path': ('published:mobilenet_v9',)}, 'mobilenet_v9'),
    ({'checkpoint_path': ('{trained}', '{trained}')}, 'twice'),
    ({'dataset_split_name': 'tset'}, "no split 'tset'"),
    ({'chart': 'probe.jpg'}, '--chart=probe.jpg'), ({'folds': 1}, '--folds=1')])
def test_mistakes_are_told_in_one_line(digits_dir, trained_dir, changed, words):
  options = {'dataset_name': 'digits', 'dataset_dir': str(digits_dir),
             'checkpoint_path': (str(trained_dir),), **changed}
  options['checkpoint_path'] = tuple(
      path.format(trained=trained_dir) for path in options['checkpoint_path'])
  with pytest.raises(diagnostics.UserError, match=words):
    ProbeConfig.from_options(options).check()


def test_without_scikit_learn(digits_dir, trained_dir, monkeypatch):
  monkeypatch.setattr(probing_options.importlib.util, 'find_spec', lambda name: None)
  with pytest.raises(diagnostics.UserError, match='needs scikit-learn'):
    ProbeConfig.from_options({
        'dataset_name': 'digits', 'dataset_dir': str(digits_dir),
        'checkpoint_path': (str(trained_dir),)}).check()
