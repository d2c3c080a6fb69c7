"""Memory of GPUs and threads: the options, the sessions, settings without effect."""

import subprocess
import sys

import pytest

import slim_zoo
from slim_zoo import diagnostics
from slim_zoo.config import options
from slim_zoo.config.benchmark import BenchmarkConfig
from slim_zoo.config.classification import ClassifyConfig
from slim_zoo.config.devices import Devices
from slim_zoo.config.evaluation import EvaluateConfig
from slim_zoo.config.export import ExportConfig
from slim_zoo.config.training import TrainConfig
from slim_zoo.deployment import cluster, servers, session_configs, session_settings
from slim_zoo.deployment.session_settings import SessionSettings
from slim_zoo.tf_compat import tf
from tests import scripts
from tests.conftest import ROOT, on_digits

FEW = {'inter_op_parallelism_threads': 3, 'intra_op_parallelism_threads': 5}
VARIABLE = 'TF_FORCE_GPU_ALLOW_GROWTH'


@pytest.mark.parametrize(
    'config', [TrainConfig, EvaluateConfig, ClassifyConfig, ExportConfig,
               BenchmarkConfig])
def test_every_command_that_computes_has_the_options(config):
  made = config.from_options({**FEW, 'gpu_memory_fraction': 0.5})
  assert made.devices.settings == SessionSettings(True, 0.5, 3, 5)
  assert config.from_options({}).devices.settings == session_settings.DEFAULTS


@pytest.mark.parametrize(('name', 'value'), [
    ('gpu_memory_fraction', 0), ('gpu_memory_fraction', 1.5),
    ('inter_op_parallelism_threads', -1), ('intra_op_parallelism_threads', 10**6)])
def test_values_without_a_meaning_are_refused(name, value):
  with pytest.raises(diagnostics.UserError, match=rf'--{name}=[-\d.]+: expected a'):
    options.sort_into_groups({'devices': Devices}, {name: value})


@pytest.mark.parametrize('config', [
    lambda settings: session_configs.session_config(settings),
    lambda settings: servers.job_config(None, settings=settings),
    # Of the server of a worker.
    lambda settings: servers.job_config(
        cluster.Cluster(('a:1', 'b:1'), (), 'worker', 1), settings=settings)])
def test_sessions_and_servers_have_the_settings(config):
  made = config(SessionSettings(False, 0.25, 3, 5))
  assert not made.gpu_options.allow_growth
  assert made.gpu_options.per_process_gpu_memory_fraction == 0.25
  assert made.inter_op_parallelism_threads == 3
  assert made.intra_op_parallelism_threads == 5
  assert made.allow_soft_placement
  assert config(session_settings.DEFAULTS).gpu_options.allow_growth


def test_each_function_gives_its_sessions_the_settings(
    digits_dir, tmp_path, monkeypatch, capsys):
  seen, make = [], session_configs.session_config

  def remember(settings=None, **more):
    seen.append(settings)
    return make(settings or session_settings.DEFAULTS, **more)

  monkeypatch.setattr(session_configs, 'session_config', remember)
  # As in a program that has opened its devices.
  monkeypatch.setattr(session_configs, '_opened', session_settings.DEFAULTS)
  run, few = tmp_path / 'run', SessionSettings(inter_op_parallelism_threads=3)
  given = {'inter_op_parallelism_threads': 3}
  slim_zoo.train(**on_digits(digits_dir), **given, train_dir=run, batch_size=2,
                 max_number_of_steps=1, save_summaries_secs=0)
  slim_zoo.evaluate(
      **given, checkpoint_path=run, dataset_name='digits', dataset_dir=digits_dir,
      eval_dir=tmp_path / 'eval', max_num_batches=1)
  slim_zoo.classify(ROOT / 'docs' / 'step_rates.png', **given, checkpoint_path=run)
  # One of each function.
  assert [settings for settings in seen if settings == few] == [few] * 3
  assert capsys.readouterr().err.count(
      '--inter_op_parallelism_threads=3 has no effect: the first session') == 3


# --- The first session of a process.

PROGRAM = """
import collections, pathlib, sys
{before}
from slim_zoo import start_up
from slim_zoo.deployment.session_settings import SessionSettings
start_up.{load}(SessionSettings(
    inter_op_parallelism_threads=3, intra_op_parallelism_threads=5))
names = [path.read_text().strip() for path in pathlib.Path('/proc/self/task').glob(
    '*/comm')]
print(names.count('tf_Compute'))
start_up.{load}(SessionSettings(inter_op_parallelism_threads=2))
"""
OWN_SESSION = """
from slim_zoo.tf_compat import tf
with tf.Session(config=tf.ConfigProto(inter_op_parallelism_threads=7)):
  pass
"""


def run_program(load, before=''):
  done = subprocess.run(
      [sys.executable, '-c', PROGRAM.format(load=load, before=before)], cwd=ROOT,
      text=True, capture_output=True, check=False, timeout=scripts.TIMEOUT_SECS)
  assert done.returncode == 0, done.stderr
  return int(done.stdout), [
      line for line in done.stderr.splitlines() if line.startswith('note: --')]


@pytest.mark.skipif(not sys.platform.startswith('linux'),
                    reason='threads are counted in /proc')
@pytest.mark.parametrize('load', ['load_tensorflow', 'load_without_notes'])
def test_the_first_session_has_the_threads_and_later_settings_are_told(load):
  threads, lines = run_program(load)
  assert threads == 3
  assert lines == [
      'note: --inter_op_parallelism_threads=2 has no effect: the first session of this'
      ' program, --inter_op_parallelism_threads=3 decides; set it before that session,'
      ' or in another process',
      'note: --intra_op_parallelism_threads=0 has no effect: the first session of this'
      ' program, --intra_op_parallelism_threads=5 decides; set it before that session,'
      ' or in another process']


@pytest.mark.skipif(not sys.platform.startswith('linux'),
                    reason='threads are counted in /proc')
def test_a_session_of_the_users_own_program_is_told():
  threads, lines = run_program('load_without_notes', OWN_SESSION)
  assert threads == 7
  assert [line.split(' has no effect: the first session')[0] for line in lines] == [
      'note: --inter_op_parallelism_threads=3',
      'note: --intra_op_parallelism_threads=5',
      'note: --inter_op_parallelism_threads=2']


# --- Settings of GPUs.

@pytest.fixture
def process(monkeypatch):
  """Returns a function that makes this a process that has opened its devices."""
  def make(num_gpus, opened=session_settings.DEFAULTS, forced=None):
    monkeypatch.setattr(
        tf.config, 'list_physical_devices', lambda kind: [kind] * num_gpus)
    monkeypatch.setattr(session_configs, '_opened', opened)
    monkeypatch.delenv(VARIABLE, raising=False)
    if forced is not None:
      monkeypatch.setenv(VARIABLE, forced)
  return make


@pytest.mark.parametrize(('settings', 'flags'), [
    (SessionSettings(), []),
    (SessionSettings(allow_growth=False), ['--noallow_growth']),
    (SessionSettings(gpu_memory_fraction=0.5), ['--gpu_memory_fraction=0.5'])])
def test_settings_of_gpus_are_told_where_there_is_none(settings, flags, process):
  process(0)
  assert session_configs.open_devices(settings) == [
      f'{flag} has no effect: TensorFlow uses no GPU' for flag in flags]


@pytest.mark.parametrize(('forced', 'growth', 'is_told'), [
    (None, True, False), (None, False, False), ('true', True, False),
    ('false', False, False), ('true', False, True), ('false', True, True),
    # TensorFlow takes no other words.
    ('1', False, False)])
def test_the_environment_variable_decides_and_is_named(
    forced, growth, is_told, process):
  settings = SessionSettings(allow_growth=growth)
  process(1, settings, forced)
  lines = session_configs.open_devices(settings)
  assert len(lines) == is_told
  for line in lines:
    assert line.startswith(f"--{'' if growth else 'no'}allow_growth has no effect")
    assert f'{VARIABLE}={forced} decides' in line


def test_memory_of_a_gpu_cannot_be_set_later(process):
  process(1)
  line, = session_configs.open_devices(SessionSettings(gpu_memory_fraction=0.5))
  assert line.startswith('--gpu_memory_fraction=0.5 has no effect: the first session')


@pytest.mark.parametrize('config', [TrainConfig, EvaluateConfig])
def test_settings_of_another_server_are_told(config):
  made = config.from_options({'master': 'grpc://a:1', 'gpu_memory_fraction': 0.5})
  assert [line for line in made.notes() if 'gpu_memory_fraction' in line] == [
      '--gpu_memory_fraction=0.5 has no effect with --master=grpc://a:1: that server'
      ' was started with its own settings']
