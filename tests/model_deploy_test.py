"""Clones, replicas and their devices: deployment/model_deploy.py."""

import inspect

import numpy as np
import pytest

from slim_zoo.deployment import model_deploy
from slim_zoo.diagnostics import UserError
from slim_zoo.tf_compat import slim, tf
from tests.clone_nets import (
  BATCH_NORM_UPDATES,
  IMAGES,
  cpu_config,
  cpu_session,
  dense_net,
  split_net,
  whole_batch,
)

CONFIGS = {
    'defaults': (
        {}, [''], ['/device:GPU:0'], '/device:CPU:0'),
    'one clone on the CPU': (
        {'clone_on_cpu': True}, [''], ['/device:CPU:0'], '/device:CPU:0'),
    'two clones': (
        {'num_clones': 2}, ['clone_0', 'clone_1'],
        ['/device:GPU:0', '/device:GPU:1'], '/device:CPU:0'),
    'two clones on the CPU': (
        {'num_clones': 2, 'clone_on_cpu': True}, ['clone_0', 'clone_1'],
        ['/device:CPU:0'] * 2, '/device:CPU:0'),
    'a parameter server': (
        {'num_ps_tasks': 1}, [''],
        ['/job:worker/device:GPU:0'], '/job:worker/device:CPU:0'),
    'replicas of two clones': (
        {'num_clones': 2, 'replica_id': 1, 'num_replicas': 2, 'num_ps_tasks': 2,
         'worker_job_name': 'w'}, ['clone_0', 'clone_1'],
        ['/job:w/device:GPU:0', '/job:w/device:GPU:1'], '/job:w/device:CPU:0'),
    'devices as given': (
        {'num_clones': 3, 'clone_devices': ['/cpu:1', '/device:GPU:3', '']},
        ['clone_0', 'clone_1', 'clone_2'],
        ['/device:CPU:1', '/device:GPU:3', ''], '/device:CPU:0'),
    'devices as given, of a worker': (
        {'num_ps_tasks': 1, 'clone_devices': ('/device:CPU:1',)}, [''],
        ['/job:worker/device:CPU:1'], '/job:worker/device:CPU:0'),
}


@pytest.mark.parametrize(
    ('arguments', 'scopes', 'devices', 'host'), CONFIGS.values(), ids=list(CONFIGS))
def test_config_places_clones_optimizer_and_inputs(arguments, scopes, devices, host):
  config = model_deploy.DeploymentConfig(**arguments)
  indices = range(config.num_clones)
  assert [config.clone_scope(index) for index in indices] == scopes
  assert [config.clone_device(index) for index in indices] == devices
  assert config.optimizer_device() == config.inputs_device() == host


def test_config_keeps_the_established_arguments_and_defaults():
  parameters = inspect.signature(model_deploy.DeploymentConfig).parameters
  assert {name: value.default for name, value in parameters.items()} == {
      'num_clones': 1, 'clone_on_cpu': False, 'replica_id': 0, 'num_replicas': 1,
      'num_ps_tasks': 0, 'worker_job_name': 'worker', 'ps_job_name': 'ps',
      'clone_devices': None, 'variables_on_clones': False}
  assert list(parameters)[-2:] == ['clone_devices', 'variables_on_clones']
  alone = model_deploy.DeploymentConfig()
  served = model_deploy.DeploymentConfig(num_ps_tasks=1)
  assert (alone.ps_device, alone.worker_device) == ('', '')
  assert (served.ps_device, served.worker_device) == ('/job:ps', '/job:worker')


@pytest.mark.parametrize(('arguments', 'message'), [
    ({'num_clones': 0}, 'num_clones is 0'),
    ({'num_ps_tasks': -1}, 'num_ps_tasks is -1'),
    ({'num_replicas': 2}, 'num_replicas is 2 but num_ps_tasks is 0'),
    ({'replica_id': 1}, 'replica_id is 1.*at most 0'),
    ({'replica_id': -1}, 'replica_id is -1'),
    ({'replica_id': 2, 'num_replicas': 2, 'num_ps_tasks': 1}, 'replica_id is 2'),
    ({'num_ps_tasks': 1, 'ps_job_name': ''}, "ps_job_name is empty.*'ps'"),
    ({'num_ps_tasks': 1, 'worker_job_name': ''}, "_name is empty.*'worker'"),
    ({'num_ps_tasks': 1, 'variables_on_clones': True}, 'leave out one of them'),
    ({'clone_devices': '/cpu:0'}, "clone_devices is '/cpu:0'.*list"),
    ({'num_clones': 2, 'clone_devices': ['/cpu:0']}, 'num_clones=2 device strings'),
    ({'clone_devices': ['the best one']}, "names 'the best one'"),
    ({'clone_devices': [None]}, 'names None'),
    ({'clone_devices': ['/cpu:0'], 'clone_on_cpu': True}, 'give one of them'),
])
def test_config_refuses_what_cannot_be(arguments, message):
  with pytest.raises(UserError, match=message):
    model_deploy.DeploymentConfig(**arguments)


def test_variables_on_the_only_clone():
  config = model_deploy.DeploymentConfig(variables_on_clones=True)
  assert config.variables_device() == config.optimizer_device() == '/device:GPU:0'
  assert config.step_device() == config.inputs_device() == '/device:CPU:0'
  model_deploy.create_clones(config, dense_net, whole_batch())
  assert {variable.device for variable in slim.get_variables()} == {'/device:GPU:0'}


@pytest.mark.parametrize('index', [2, -1])
def test_config_has_no_clone_beyond_its_number(index):
  config = model_deploy.DeploymentConfig(num_clones=2)
  for method in (config.clone_device, config.clone_scope):
    with pytest.raises(ValueError, match=f'clone_index is {index}'):
      method(index)


@pytest.mark.parametrize('use_resource', [True, False])
def test_variables_go_round_the_parameter_servers(use_resource):
  config = model_deploy.DeploymentConfig(num_ps_tasks=2)
  with tf.device(config.variables_device()):
    variables = [tf.get_variable(name, [], use_resource=use_resource)
                 for name in 'abc']
    other = tf.no_op()
  assert [variable.device for variable in variables] == [
      f'/job:ps/task:{task}/device:CPU:0' for task in (0, 1, 0)]
  assert other.device == ''
  assert config.caching_device()(other) == ''
  assert model_deploy.DeploymentConfig().caching_device() is None
  assert model_deploy.DeploymentConfig().variables_device() == '/device:CPU:0'


def test_an_only_clone_has_no_scope():
  config = model_deploy.DeploymentConfig()
  clone, = model_deploy.create_clones(config, dense_net, whole_batch())
  assert clone._fields == ('outputs', 'scope', 'device', 'copies')
  assert clone[1:] == ('', '/device:GPU:0', None)
  assert clone.outputs.op.name == 'logits/BiasAdd'
  assert clone.outputs.device == '/device:GPU:0'
  assert [loss.op.name for loss in tf.losses.get_losses()] == [
      'sparse_softmax_cross_entropy_loss/value']


def test_several_clones_have_scopes_and_devices_and_share_variables():
  config = model_deploy.DeploymentConfig(num_clones=3)
  clones = model_deploy.create_clones(
      config, dense_net, whole_batch(), {'batch_norm': True})
  for index, clone in enumerate(clones):
    assert clone.scope == f'clone_{index}/'
    assert clone.device == clone.outputs.device == f'/device:GPU:{index}'
    assert clone.outputs.op.name == f'clone_{index}/logits/BiasAdd'
    for collection, count in ((tf.GraphKeys.LOSSES, 1),
                              (tf.GraphKeys.UPDATE_OPS, BATCH_NORM_UPDATES)):
      assert len(tf.get_collection(collection, clone.scope)) == count
  assert {variable.op.name: variable.device for variable in slim.get_variables()} == {
      name: '/device:CPU:0' for name in (
          'norm/beta', 'norm/moving_mean', 'norm/moving_variance', 'hidden/weights',
          'hidden/biases', 'logits/weights', 'logits/biases')}
  assert len(slim.get_variables()) == 7
  penalties = tf.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES)
  assert len(penalties) == 2  # One per weights, not one per clone.


def test_clones_of_a_replica_leave_their_variables_to_the_parameter_servers():
  config = model_deploy.DeploymentConfig(num_clones=2, num_ps_tasks=2)
  model = model_deploy.deploy(config, dense_net, whole_batch(),
                              optimizer=tf.train.AdamOptimizer())
  # Slots and step counts of the optimizer follow the model's variables.
  for index, variable in enumerate(slim.get_model_variables()):
    assert variable.device == f'/job:ps/task:{index % 2}/device:CPU:0'
  for variable in tf.global_variables():
    assert variable.device.startswith('/job:ps/task:')
  assert [clone.device for clone in model.clones] == [
      '/job:worker/device:GPU:0', '/job:worker/device:GPU:1']
  assert model.train_op.device == '/job:worker/device:CPU:0'


def test_clones_that_need_other_variables_are_refused():
  names = iter('ab')
  with pytest.raises(ValueError, match='Variable b does not exist'):
    model_deploy.create_clones(
        cpu_config(2), lambda: slim.model_variable(next(names), []))


@pytest.mark.parametrize('num_clones', [1, 2])
def test_deploy_trains_and_names_its_results(num_clones):
  optimizer = tf.train.GradientDescentOptimizer(0.5)
  model = model_deploy.deploy(cpu_config(num_clones), split_net(num_clones),
                              optimizer=optimizer, summarize_gradients=True)
  assert model._fields == ('train_op', 'summary_op', 'total_loss', 'clones')
  assert len(model.clones) == num_clones
  assert [result.op.name for result in model[:3]] == [
      'train_op', 'summary_op/summary_op', 'total_loss']
  with cpu_session() as session:
    losses = [session.run(model.train_op) for _ in range(30)]
    assert losses[-1] < 0.5 * losses[0]
    assert session.run(tf.train.get_global_step()) == 30
    summary = tf.Summary.FromString(session.run(model.summary_op))
  prefix = 'clone_0/' if num_clones > 1 else ''
  assert {value.tag for value in summary.value} == {
      f'{prefix}clone_loss', f'{prefix}regularization_loss', 'losses/total_loss',
      *(f'{layer}/{kind}/gradient{suffix}' for layer in ('hidden', 'logits')
        for kind in ('weights', 'biases') for suffix in ('', '_norm'))}


@pytest.mark.parametrize('optimizer', [None, tf.train.AdamOptimizer()])
def test_summaries_stay_off_the_gpus(optimizer):
  def penalized():
    slim.fully_connected(tf.ones([2, 3]), 4,
                         weights_regularizer=slim.l2_regularizer(0.1))

  model = model_deploy.deploy(
      model_deploy.DeploymentConfig(num_clones=2), penalized, optimizer=optimizer)
  assert {summary.device for summary in model.summary_op.op.inputs} == {
      '/device:CPU:0'}


def test_deploy_without_an_optimizer_only_evaluates():
  model = model_deploy.deploy(cpu_config(2), split_net(2))
  assert model.train_op is None
  assert model.total_loss.op.name == 'total_loss'
  assert tf.train.get_global_step() is None
  assert not [op for op in tf.get_default_graph().get_operations()
              if 'gradients' in op.name]


def test_deploy_without_any_loss_gives_none():
  model = model_deploy.deploy(cpu_config(2), lambda: tf.ones([]))
  assert model[:3] == (None, None, None)
  with pytest.raises(UserError, match='no loss to minimize'):
    model_deploy.deploy(cpu_config(2), lambda: tf.ones([]),
                        optimizer=tf.train.AdamOptimizer())


def test_deploy_runs_the_update_ops_of_the_first_clone_only():
  model = model_deploy.deploy(cpu_config(2), split_net(2, batch_norm=True),
                              optimizer=tf.train.GradientDescentOptimizer(0.1))
  assert len(tf.get_collection(tf.GraphKeys.UPDATE_OPS)) == 2 * BATCH_NORM_UPDATES
  moving_mean, = slim.get_variables_by_name('moving_mean')
  with cpu_session() as session:
    session.run(model.train_op)
    np.testing.assert_allclose(
        session.run(moving_mean), IMAGES[:8].mean(axis=0), rtol=1e-5)


GPUS = len(tf.config.list_physical_devices('GPU'))


@pytest.mark.skipif(GPUS < 2, reason=f'needs 2 GPUs, this machine has {GPUS}')
def test_clones_train_on_real_gpus():
  model = model_deploy.deploy(
      model_deploy.DeploymentConfig(num_clones=2), split_net(2),
      optimizer=tf.train.GradientDescentOptimizer(0.5))
  trace = tf.RunMetadata()
  # Soft placement only for the index arithmetic that has no GPU kernel.
  with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
    session.run(tf.global_variables_initializer())
    losses = [session.run(model.train_op) for _ in range(30)]
    session.run(
        model.train_op, run_metadata=trace,
        options=tf.RunOptions(trace_level=tf.RunOptions.FULL_TRACE))
  assert losses[-1] < 0.5 * losses[0]
  used = ' '.join(stats.device for stats in trace.step_stats.dev_stats).upper()
  assert 'GPU:0' in used
  assert 'GPU:1' in used
