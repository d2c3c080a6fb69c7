"""Quantized networks equal the contracts of TensorFlow 1's rewriter.

The contracts have the variables in order, the number of fake quantizations, logits,
gradients, losses and ranges of networks with the weights of `recipe.py`. The logits are
themselves rounded, to multiples of one step.
"""

import functools
import json
import os
import pathlib

import numpy as np
import pytest

from slim_zoo.nets import nets_factory
from slim_zoo.tf_compat import slim, tf
from tests import recipe

CONTRACTS = pathlib.Path(__file__).parent / 'data' / 'contracts' / 'quantized'
FACTS = json.loads((CONTRACTS / 'facts.json').read_text())
NUMBERS = dict(np.load(CONTRACTS / 'logits.npz'))
EVALUATED = [key.removesuffix('|eval') for key in NUMBERS if key.endswith('|eval')]
TRAINED = [key.removesuffix('|losses') for key in NUMBERS if key.endswith('|losses')]
# Others take longer to build.
QUICK = ('mobilenet_v1_025|0|11|96', 'mobilenet_v2_035|0|11|96',
         'mobilenet_v1_025|0|11|96|train|delay=0')


def parameters(keys):
  return [pytest.param(key, marks=pytest.mark.skipif(
      key not in QUICK and not os.environ.get('EVERY_NETWORK'),
      reason='on demand: EVERY_NETWORK=1')) for key in keys]


def values(name, shape, seed):
  if not name.endswith(('/min', '/max')):
    return recipe.fill(name, shape, seed)
  limit = recipe._rng(name, seed).uniform(0.5, 1.0)
  if name.endswith('/min'):
    return np.full(shape, -limit, np.float32)
  return np.full(
      shape, limit if '/weights_quant/' in name else 6 * limit, np.float32)


def load(session, seed):
  session.run(tf.global_variables_initializer())
  variables = [variable for variable in tf.global_variables()
               if variable.dtype.base_dtype == tf.float32]
  session.run([variable.initializer for variable in variables], {
      variable.initializer.inputs[1]: values(
          variable.op.name, variable.shape.as_list(), seed)
      for variable in variables})


def parse(key):
  name, seed, classes, size = key.split('|')[:4]
  return name, int(seed), int(classes), [2, int(size), int(size), 3]


@pytest.mark.parametrize('key', parameters(EVALUATED))
def test_evaluation(key):
  name, seed, classes, shape = parse(key)
  network_fn = nets_factory.get_network_fn(name, classes, quantize=True)
  logits, end_points = network_fn(tf.constant(recipe.images(shape, seed)))

  facts = FACTS[name]
  # The variables of the facts are those of one number of classes.
  assert [variable.op.name for variable in tf.global_variables()] == [
      variable for variable, _ in facts['eval']]
  assert sum(operation.type.startswith('FakeQuant') for operation
             in tf.get_default_graph().get_operations()) == facts['eval_fake_quants']
  with tf.Session() as session:
    load(session, seed)
    logits, probabilities = session.run([logits, end_points['Predictions']])
  expected = NUMBERS[f'{key}|eval']
  step = np.diff(np.unique(expected)).min()
  difference = np.abs(logits - expected)
  assert np.mean(difference <= 1e-3 * np.abs(expected).max()) >= 0.98
  assert difference.max() <= 2 * step
  np.testing.assert_array_equal(probabilities.argmax(1), logits.argmax(1))


def training(name, classes, delay, images):
  """Builds the training of one network without dropout; returns (loss, train op)."""
  network_fn = nets_factory.get_network_fn(
      name, classes, is_training=True, quantize=True, quantize_delay=delay)
  keep = {'dropout_keep_prob': 1.0} if name.startswith('mobilenet_v1') else {}
  logits, _ = network_fn(images, **keep)
  tf.losses.sparse_softmax_cross_entropy(np.arange(2) % classes, logits)
  loss = tf.losses.get_total_loss()
  return loss, slim.learning.create_train_op(
      loss, tf.train.GradientDescentOptimizer(1e-4))


@pytest.fixture
def without_dropout(monkeypatch):
  for name in ('mobilenet_v2', 'mobilenet_v2_035', 'mobilenet_v3_small'):
    scope = nets_factory.arg_scopes_map[name]
    monkeypatch.setitem(nets_factory.arg_scopes_map, name,
                        functools.partial(scope, dropout_keep_prob=1.0))


@pytest.mark.parametrize('key', parameters(TRAINED))
def test_training(key, without_dropout):
  name, seed, classes, shape = parse(key)
  delay = int(key.rpartition('=')[2])
  images = tf.placeholder(tf.float32, shape)
  loss, train_op = training(name, classes, delay, images)

  facts = FACTS[name]
  variables = {variable.op.name: variable for variable in tf.global_variables()}
  assert list(variables) == [
      variable for variable, *_ in facts['train']
      if delay or variable != 'fake_quantization_step']
  trained = [variable.op.name for variable in tf.trainable_variables()]
  assert sorted(trained) == sorted(facts['trainable'])
  with tf.Session() as session:
    if f'{key}|gradient_norms' in NUMBERS:
      check_gradients(session, loss, facts['trainable'], variables, images, key)
    load(session, seed)
    losses = [session.run(train_op, {images: recipe.images(shape, seed + step)})
              for step in range(4)]
    ranges = session.run([variables[range_] for range_ in facts['ranges']])
  expected = NUMBERS[f'{key}|losses']
  assert losses[0] == pytest.approx(expected[0], rel=1e-3)
  assert losses[1] == pytest.approx(expected[1], rel=5e-2)
  close = np.isclose(ranges, NUMBERS[f'{key}|ranges'], rtol=0.1, atol=1e-3)
  assert close.mean() >= 0.95


def check_gradients(session, loss, trainable, variables, images, key):
  _, seed, _, shape = parse(key)
  gradients = tf.gradients(loss, [variables[name] for name in trainable])
  load(session, seed)
  norms = session.run([tf.norm(gradient) for gradient in gradients],
                      {images: recipe.images(shape, seed)})
  close = np.isclose(norms, NUMBERS[f'{key}|gradient_norms'], rtol=0.01, atol=1e-7)
  assert close.mean() >= 0.95
