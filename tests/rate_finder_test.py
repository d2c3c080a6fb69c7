"""--find_learning_rate: the rates of the steps, the suggestion, the command."""

import math
import os

import numpy as np
import pytest

from slim_zoo import diagnostics
from slim_zoo.config.training import TrainConfig
from slim_zoo.training import rate_search
from tests import scripts
from tests.conftest import on_digits


def test_rates_rise_from_the_lowest_to_the_highest_by_one_factor():
  rising = rate_search.RisingRate(1e-6, 10.0, 71)
  rates = rising.at(np.arange(71))
  assert (rates[0], rates[-1]) == (pytest.approx(1e-6), pytest.approx(10.0))
  np.testing.assert_allclose(rates[1:] / rates[:-1], 10 ** 0.1)


def test_the_suggestion_is_a_tenth_of_the_rate_of_the_smallest_loss():
  """The loss falls along a logistic curve around 1e-3, and grows from 0.1 on."""
  rising = rate_search.RisingRate(1e-6, 10.0, 300)
  rates = rising.at(np.arange(300))
  losses = 2.3 / (1 + (rates / 1e-3) ** 2) + np.maximum(rates - 0.1, 0) * 20
  found = rate_search.search_of([*losses[:250], math.nan, 1.0], rising)
  assert len(found.losses) == 250
  # Smoothing delays the curve by about ten steps, a factor of 1.7.
  assert 0.03 < found.least < 0.3
  assert found.suggested == pytest.approx(found.least / 10)
  assert rate_search.search_of(losses[:10], rising) is None
  assert rate_search.search_of(np.arange(1.0, 31.0), rising).suggested is None


def test_a_loss_that_has_grown_ends_the_search():
  recorder = rate_search.LossRecorder()
  for step, loss in enumerate([2.0] * 15 + [1.0] * 30 + [40.0] * 3):
    recorder.measured(step, loss, 0.0)
    stopped = recorder.after_step(None, step)
    assert (stopped is None) == (step < 45), step
    if stopped:
      break


def test_the_command_finds_a_rate_and_keeps_nothing_else(digits_dir, tmp_path):
  flags = {**on_digits(digits_dir), 'optimizer': 'sgd'}
  del flags['learning_rate']
  done = scripts.run('train', '--find_learning_rate', train_dir=tmp_path / 'run',
                     max_number_of_steps=100, batch_size=16, **flags)
  assert done.returncode == 0, done.stderr
  assert os.listdir(tmp_path / 'run') == ['learning_rate_finder.png']
  line = next(line for line in done.stdout.splitlines()
              if line.startswith('try --learning_rate='))
  assert 1e-4 < float(line.split('=')[1]) < 2


@pytest.mark.parametrize(('given', 'words'), [
    ({'max_number_of_steps': 10}, 'expected 50 steps or more'),
    ({'worker_hosts': 'a:1,b:1'}, 'one process')])
def test_refused_searches(digits_dir, tmp_path, given, words):
  from slim_zoo.config.clusters import adopt_cluster
  config = adopt_cluster(TrainConfig.from_options({
      'train_dir': str(tmp_path), 'dataset_name': 'digits', 'model_name': 'lenet',
      'dataset_dir': str(digits_dir), 'find_learning_rate': True, **given}), {})
  with pytest.raises(diagnostics.UserError, match=words):
    config.check()
