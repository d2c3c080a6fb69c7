"""The cluster of a job: TF_CONFIG, flags, Slurm, and the servers of its processes."""

import json
import signal
import subprocess
import sys
import threading

import pytest

from slim_zoo import diagnostics
from slim_zoo.config.clusters import adopt_cluster
from slim_zoo.config.training import TrainConfig
from slim_zoo.deployment import cluster, servers
from slim_zoo.tasks import job as task_job
from slim_zoo.tf_compat import tf
from tests import jobs, scripts
from tests.conftest import ROOT, on_digits

SECONDS = scripts.TIMEOUT_SECS


def tf_config(jobs_of, kind='worker', index=0):
  return json.dumps({'cluster': jobs_of, 'task': {'type': kind, 'index': index}})


def adopted(text=None, **options):
  environment = {} if text is None else {'TF_CONFIG': text}
  config = adopt_cluster(TrainConfig.from_options(options), environment)
  config.distribution.check()
  return config.distribution


CHIEF_AND_WORKERS = {'chief': ['a:1'], 'worker': ['b:1', 'c:1'], 'ps': ['d:1']}


@pytest.mark.parametrize(('text', 'expected'), [
    (tf_config(CHIEF_AND_WORKERS, 'chief'), ('worker', 0)),
    (tf_config(CHIEF_AND_WORKERS, 'worker', 1), ('worker', 2)),
    (tf_config(CHIEF_AND_WORKERS, 'worker', '1'), ('worker', 2)),
    (tf_config(CHIEF_AND_WORKERS, 'ps'), ('ps', 0)),
    (tf_config(CHIEF_AND_WORKERS, 'evaluator'), ('evaluator', 0)),
    (tf_config({'master': ['a:1'], 'worker': ['b:1', 'c:1'], 'ps': ['d:1']}, 'master'),
     ('worker', 0)),
    (tf_config({'worker': ['a:1', 'b:1', 'c:1'], 'ps': {'0': 'd:1'}}, 'worker', 1),
     ('worker', 1)),
])
def test_tf_config(text, expected):
  found = cluster.from_tf_config(text)
  assert (found.job_name, found.task) == expected
  assert found.workers == ('a:1', 'b:1', 'c:1')
  assert found.parameter_servers == ('d:1',)
  options = adopted(text)
  assert (options.job_name, options.task) == expected
  assert (options.worker_replicas, options.num_ps_tasks) == (3, 1)
  assert options.is_chief == (expected == ('worker', 0))


@pytest.mark.parametrize(('options', 'words'), [
    ({}, "no split 'test' in imagenet"),
    ({'dataset_name': 'digits', 'dataset_dir': 'nowhere'}, "no folder 'nowhere'"),
    ({'dataset_name': 'nodigits'}, "did you mean 'digits'"),
])
def test_an_evaluator_without_images_is_refused_before_tensorflow_loads(
    options, words, tmp_path):
  with pytest.raises(diagnostics.UserError, match=words):
    TrainConfig.from_options(
        {'job_name': 'evaluator', 'train_dir': str(tmp_path), **options}).check()


@pytest.mark.parametrize('text', [
    None, '', '{}', '{"environment": "cloud"}', tf_config({'chief': ['a:1']}, 'chief'),
    tf_config({'worker': ['a:1']})])
def test_tf_config_of_one_process(text):
  assert cluster.from_tf_config(text) is None
  assert adopted(text).own_cluster is None


def test_the_only_process_of_its_kind_needs_no_index():
  jobs_of_two = {'chief': ['a:1'], 'worker': ['b:1', 'c:1'], 'ps': ['d:1']}
  for kind, expected in (('chief', ('worker', 0)), ('ps', ('ps', 0)),
                         ('evaluator', ('evaluator', 0))):
    found = cluster.from_tf_config(json.dumps(
        {'cluster': jobs_of_two, 'task': {'type': kind}}))
    assert (found.job_name, found.task) == expected


@pytest.mark.parametrize(('text', 'words'), [
    ('{', 'TF_CONFIG is not JSON'),
    ('[]', 'no "cluster"'),
    ('{"cluster": [], "task": {}}', 'no "cluster"'),
    (tf_config({'worker': 'a:1'}), 'expected a list'),
    (tf_config({'worker': ['a:1', 'a:1']}), "TF_CONFIG: the address 'a:1' is 2 times"),
    (tf_config({'worker': ['a', 'b:1']}), "the address 'a' is not of the form"),
    (tf_config({'worker': ['grpc://a:1', 'b:1']}), "the address 'grpc://a:1' is not"),
    (tf_config({'worker': ['a:1', 'b:70000']}), "the address 'b:70000' is not"),
    (tf_config({'worker': ['a:1', 'b:1']}, 'worker', 2),
     'TF_CONFIG: the task is worker 2, but the cluster has worker 0 to 1'),
    (tf_config({'chief': ['a:1'], 'worker': ['b:1']}, 'chief', 1),
     'TF_CONFIG: the task is chief 1, but the cluster has chief 0 to 0'),
    (tf_config({'chief': ['a:1'], 'worker': ['b:1']}, 'worker', 1), 'worker 0 to 0'),
    (json.dumps({'cluster': {'worker': ['a:1', 'b:1']}}), 'TF_CONFIG: the task {} is'),
    # Each process would be worker 0.
    (json.dumps({'cluster': {'worker': ['a:1', 'b:1']}, 'task': {'type': 'worker'}}),
     'TF_CONFIG: the task {"type": "worker"} is none: expected "task":'),
    (json.dumps({'cluster': {'worker': ['a:1', 'b:1']}, 'task': {'type': [7]}}),
     'TF_CONFIG: the task {"type": [7]} is none'),
    (json.dumps({'cluster': {'worker': ['a:1', 'b:1']}, 'task': {'index': 1}}),
     'expected "task": {"type": ..., "index": ...}'),
    (tf_config({'worker': ['a:1', 'b:1']}, 'chief'), 'the cluster has no chief'),
    (tf_config({'worker': ['a:1', 'b:1']}, 'ps'), 'the cluster has no ps'),
    (tf_config({'worker': ['a:1', 'b:1']}, 'boss'), 'with a type of chief'),
    (tf_config({'chief': ['a:1', 'b:1']}, 'chief'), '2 chiefs'),
    (tf_config({'ps': ['a:1']}, 'ps'), 'has no worker'),
    (tf_config({'wrokers': ['a:1', 'b:1']}),
     "no job 'wrokers' in TF_CONFIG; did you mean 'worker'?"),
    (tf_config({'worker': ['a:1'], 'pss': ['b:1']}), "did you mean 'ps'?"),
    (tf_config({'worker': ['a:1']}, 'boss'), 'with a type of chief'),
    (tf_config({'worker': ['a:1']}, 'chief'), 'the cluster has no chief'),
    (tf_config({'chief': ['a:1']}, 'worker'), 'the cluster has no worker'),
    (tf_config({'worker': ['a:1']}, 'worker', 1), 'worker 0 to 0'),
    ('{"clutser": {"worker": ["a:1", "b:1"]}}', "did you mean 'cluster'?"),
    ('{"cluster": {"worker": ["a:1", "b:1"]}, "tsk": {"type": "worker"}}',
     "TF_CONFIG has no key 'tsk'; did you mean 'task'?"),
    ('{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "indx": 1}}',
     "did you mean 'index'?"),
])
def test_a_wrong_tf_config_is_one_line(text, words):
  with pytest.raises(diagnostics.UserError) as error:
    cluster.from_tf_config(text)
  assert words in str(error.value)
  assert '\n' not in str(error.value)


@pytest.mark.parametrize(('options', 'expected'), [
    ({'cluster': 'a:1, b:1', 'task': 1}, ('worker', 1, 2, 0)),
    ({'worker_hosts': 'a:1,b:1', 'task': 1}, ('worker', 1, 2, 0)),
    ({'worker_hosts': 'a:1,b:1', 'ps_hosts': 'c:1'}, ('worker', 0, 2, 1)),
    ({'worker_hosts': ['a:1'], 'ps_hosts': 'c:1,d:1', 'job_name': 'ps', 'task': 1,
      'num_ps_tasks': 2}, ('ps', 1, 1, 2)),
])
def test_flags(options, expected):
  made = adopted(**options)
  assert (made.job_name, made.task, made.worker_replicas, made.num_ps_tasks) == expected
  assert made.own_cluster is not None


@pytest.mark.parametrize('options', [
    {}, {'cluster': 'a:1'}, {'worker_hosts': 'a:1'},
    {'master': 'grpc://a:1', 'worker_replicas': 2, 'num_ps_tasks': 1, 'task': 1}])
def test_no_server_of_its_own(options):
  assert adopted(**options).own_cluster is None


BOTH = tf_config({'worker': ['a:1', 'b:1']})


@pytest.mark.parametrize(('text', 'options', 'words'), [
    (BOTH, {'cluster': 'a:1,b:1'}, '--cluster=a:1,b:1: TF_CONFIG names'),
    (BOTH, {'task': 0}, '--task=0: TF_CONFIG names'),
    (BOTH, {'master': 'grpc://a:1'}, '--master=grpc://a:1: TF_CONFIG names'),
    (BOTH, {'worker_replicas': 3}, '--worker_replicas=3: TF_CONFIG names 2'),
    (None, {'cluster': 'a:1,b:1', 'num_ps_tasks': 1}, '--cluster names 0'),
    (None, {'cluster': 'a:1,b:1', 'ps_hosts': 'c:1'}, '--ps_hosts=c:1 and --cluster'),
    (None, {'cluster': 'a:1,b:1', 'worker_hosts': 'c:1'}, 'leave out one of them'),
    (None, {'cluster': 'a:1,b:1', 'master': 'c:1'}, 'leave out one of them'),
    (None, {'cluster': 'a:1,b:1', 'task': 2}, 'the tasks are 0 to 1'),
    (None, {'cluster': 'a:1,b:x'}, "'b:x' is not of the form HOST:PORT"),
    (None, {'cluster': f'a:1,b:{"1" * 5000}'}, 'is not of the form HOST:PORT'),
    (None, {'ps_hosts': 'a:1'}, '--ps_hosts=a:1 needs --worker_hosts'),
    (None, {'cluster': 'slurm', 'task': 1}, 'srun decides this'),
    (None, {'cluster': 'slurm'}, 'SLURM_PROCID is not set'),
    (None, {'job_name': 'ps'}, '--job_name=ps needs the addresses'),
    (None, {'num_ps_tasks': 1}, '--num_ps_tasks=1 needs servers'),
    (None, {'worker_replicas': 2}, '--worker_replicas=2 needs the addresses'),
])
def test_contradictions_are_one_line(text, options, words):
  with pytest.raises(diagnostics.UserError) as error:
    adopted(text, **options)
  assert words in str(error.value)
  assert '\n' not in str(error.value)


@pytest.mark.parametrize(('options', 'words'), [
    ({'data_service': 'grpc://a:1'}, '--data_service=grpc://a:1 with {ps}'),
    ({'deterministic': True}, '--deterministic with {ps}'),
    ({'precision': 'float16'}, '--precision=float16 with {ps}'),
    ({'precision': 'auto'}, '--precision=auto with {ps}'),
    ({'layer_devices': 'LeNet/fc3:1'}, '--layer_devices with {ps}'),
])
@pytest.mark.parametrize(('text', 'processes', 'name'), [
    (None, {'worker_hosts': 'a:1', 'ps_hosts': 'b:1'}, '--ps_hosts=b:1'),
    (tf_config({'worker': ['a:1'], 'ps': ['b:1']}), {}, 'the processes of TF_CONFIG'),
])
def test_a_refused_option_is_one_that_was_given(
    digits_dir, options, words, text, processes, name):
  config = adopt_cluster(
      TrainConfig.from_options({**on_digits(digits_dir), **processes, **options}),
      {} if text is None else {'TF_CONFIG': text})
  with pytest.raises(diagnostics.UserError) as error:
    config.check()
  assert words.format(ps=name) in str(error.value)


def slurm(monkeypatch, rank, node='n2', nodes='n[1-2]', tasks='2(x2)'):
  for name, value in {
      'PROCID': rank, 'STEP_NUM_TASKS': 4, 'STEP_NODELIST': nodes, 'JOB_ID': 7,
      'STEP_TASKS_PER_NODE': tasks}.items():
    monkeypatch.setenv(f'SLURM_{name}', str(value))
  monkeypatch.setenv('SLURMD_NODENAME', node)


@pytest.mark.parametrize(('num_ps_tasks', 'rank', 'expected'), [
    (0, 3, ('worker', 3)), (1, 3, ('worker', 2)), (1, 0, ('ps', 0))])
def test_slurm(monkeypatch, num_ps_tasks, rank, expected):
  slurm(monkeypatch, rank, 'n1' if rank < 2 else 'n2')
  found = servers.from_slurm(num_ps_tasks)
  every = ['n1:20007', 'n1:20008', 'n2:20007', 'n2:20008']
  assert [*found.parameter_servers, *found.workers] == every
  assert (found.job_name, found.task) == expected


def test_options_are_compared_with_the_processes_of_slurm(digits_dir, monkeypatch):
  slurm(monkeypatch, 3)
  config = TrainConfig.from_options(
      {**on_digits(digits_dir), 'cluster': 'slurm', 'deterministic': True})
  config.check()
  with pytest.raises(diagnostics.UserError, match='--deterministic with 4 workers'):
    task_job.resolved(config)


def test_slurm_is_refused_in_one_line(monkeypatch):
  slurm(monkeypatch, 0, node='n2')
  with pytest.raises(diagnostics.UserError, match='places this process on n1'):
    servers.from_slurm()
  with pytest.raises(diagnostics.UserError, match='has 4 processes'):
    servers.from_slurm(4)


def test_a_job_of_tf_config_trains_and_all_its_processes_end(digits_dir, tmp_path):
  flags = dict(on_digits(digits_dir), train_dir=tmp_path, max_number_of_steps=20,
               batch_size=8)
  with jobs.Job(tmp_path, 'train_image_classifier',
                {'chief': 1, 'worker': 1, 'ps': 1}, **flags) as job:
    for key, done in job.run(SECONDS).items():
      assert done.returncode == 0, (key, done.stdout, done.stderr)
  assert 'the job has ended' in job.processes['ps', 0].stdout
  assert (tmp_path / 'model.ckpt-20.index').exists() or list(
      tmp_path.glob('model.ckpt-2*.index'))


def test_a_parameter_server_ends_by_a_signal(tmp_path):
  with jobs.Job(tmp_path, 'train_image_classifier', {'worker': 2, 'ps': 1}) as job:
    server = job.start('ps')
    assert server.wait_for('ps 0', SECONDS)
    server.signal(signal.SIGTERM)
    done = server.wait(SECONDS)
  assert done.returncode == 128 + signal.SIGTERM, done.stderr


def test_parameter_servers_are_cleared_while_a_worker_is_away():
  """TensorFlow's own reset waits for the worker."""
  addresses = jobs.free_addresses(3)
  started = {job: cluster.Cluster(tuple(addresses[:2]), tuple(addresses[2:]), job)
             for job in (cluster.PS, cluster.WORKER)}
  target = servers.start(started[cluster.PS]).target
  servers.start(started[cluster.WORKER])
  clearing = servers.start_for_clearing(started[cluster.WORKER])
  config = servers.job_config(started[cluster.PS])
  config.device_filters.append('/job:ps')
  with tf.Graph().as_default():
    with tf.device('/job:ps/task:0'):
      variable = tf.get_variable('variable', initializer=1.0)
    is_there = tf.is_variable_initialized(variable)
    with tf.Session(target, config=config) as session:
      session.run(variable.initializer)
    thread = threading.Thread(
        target=tf.Session.reset, args=(clearing.target,), daemon=True)
    thread.start()
    thread.join(SECONDS)
    assert not thread.is_alive()
    with tf.Session(target, config=config) as session:
      assert not session.run(is_there)


PROGRAM_THAT_ENDS = """
import atexit, threading, time
from slim_zoo.commands import running
from slim_zoo.deployment import peers
atexit.register(print, 'Python ends')
def other_thread(call, *arguments):
  return threading.Thread(target=call, args=arguments, daemon=True)
def main(unused):
  {thread}(time.sleep, 60).start()
  print('main ends')
  return 3
running.run(main)
"""


@pytest.mark.parametrize(('thread', 'ends'), [
    ('peers.native_thread', []), ('other_thread', ['Python ends'])])
def test_a_process_with_a_thread_in_native_code_ends_without_python(thread, ends):
  """Python ends such a thread when it comes back; TensorFlow aborts the process."""
  done = subprocess.run(
      [sys.executable, '-c', PROGRAM_THAT_ENDS.format(thread=thread)],
      cwd=ROOT, text=True, capture_output=True, check=False, timeout=SECONDS)
  assert (done.returncode, done.stderr) == (3, '')
  assert done.stdout.splitlines() == ['main ends', *ends]


def test_a_port_in_use_is_one_line(tmp_path):
  with jobs.Job(tmp_path, 'train_image_classifier', {'worker': 2, 'ps': 1}) as job:
    assert job.start('ps').wait_for('ps 0', SECONDS)
    second = scripts.Started(tmp_path, scripts.command(
        'train_image_classifier', worker_hosts=','.join(job.cluster['worker']),
        ps_hosts=job.cluster['ps'][0], job_name='ps'))
    scripts.answer(second.wait(SECONDS), 'another process may use this port')
