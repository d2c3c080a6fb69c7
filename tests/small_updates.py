"""Small graphs that are trained a few steps, for tests of optimizers and updates."""

import types

import numpy as np

from slim_zoo.deployment import model_deploy
from slim_zoo.tf_compat import slim, tf
from slim_zoo.training.updates import optimizers, updates
from slim_zoo.training.updates.learning_rates import Schedule

OPTIONS = {
    'adadelta_rho': 0.95, 'adagrad_initial_accumulator_value': 0.1, 'adam_beta1': 0.9,
    'adam_beta2': 0.999, 'opt_epsilon': 1.0, 'ftrl_learning_rate_power': -0.5,
    'ftrl_initial_accumulator_value': 0.1, 'ftrl_l1': 0.0, 'ftrl_l2': 0.0,
    'lars_trust_coefficient': 0.1, 'momentum': 0.9, 'rmsprop_momentum': 0.9,
    'rmsprop_decay': 0.9, 'weight_decay': 0.02}
BOWLS = {'a/weights': [[3.0, -2.0]], 'b/weights': [[1.0], [-0.5]], 'b/biases': [0.7]}


def make(name, **changed):
  """Returns the function that makes an optimizer with these options."""
  return lambda rate: optimizers.get_optimizer(name, rate, **{**OPTIONS, **changed})


def bowls(scale=1):
  """Adds a loss for each variable of `BOWLS`: its squared distance from 0.25."""
  for name, start in BOWLS.items():
    variable = slim.model_variable(name, initializer=np.float32(start) * scale)
    tf.losses.add_loss(tf.reduce_sum(tf.square(variable - 0.25)))
  return outputs(tf.zeros([1, 1]))


def outputs(logits, inputs=None):
  """Returns what the clones of a training graph give."""
  images = logits if inputs is None else inputs
  return types.SimpleNamespace(images=images), logits, {}


def build(optimizer_fn, model_fn=bowls, rate=0.1, num_clones=1, **options):
  """Returns the `updates.Update` of a model; options are those of an update."""
  config = model_deploy.DeploymentConfig(num_clones, clone_on_cpu=True)
  clones = model_deploy.create_clones(config, model_fn)
  return updates.make_train_op(clones, config, Schedule('fixed', rate), optimizer_fn,
                               updates.UpdateOptions(**options))


def take(session, update, steps, accumulate_steps=1):
  """Takes steps as the training loop does; returns their losses."""
  losses = []
  for _ in range(steps):
    for _ in range(accumulate_steps - 1):
      session.run(update.accumulate_op)
    losses.append(session.run(update.train_op))
  return losses


def values(session):
  """Returns the values of all variables by name."""
  return dict(zip([variable.op.name for variable in tf.global_variables()],
                  session.run(tf.global_variables()), strict=True))


def trained(steps, *arguments, **options):
  """Returns all variables by name after some steps in a new graph."""
  tf.reset_default_graph()
  update = build(*arguments, **options)
  with tf.Session() as session:
    session.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
    take(session, update, steps, options.get('accumulate_steps', 1))
    return values(session)


def gradient(weights):
  """Returns the gradient of a bowl."""
  return 2 * (weights - 0.25)
