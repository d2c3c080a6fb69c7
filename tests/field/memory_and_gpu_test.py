"""Computations without memory, and GPUs that are there and not used."""

import errno
import os
import subprocess
import sys

import pytest

import slim_zoo
from slim_zoo import diagnostics
from slim_zoo.config.benchmark import BenchmarkConfig
from slim_zoo.deployment import unused_gpus
from slim_zoo.evaluation import over_split
from slim_zoo.inference import inference_graph
from slim_zoo.prediction import checkpoint_model
from slim_zoo.tasks import benchmark, training_callbacks
from slim_zoo.tf_compat import tf
from slim_zoo.training import failures
from tests import scripts
from tests.conftest import on_digits
from tests.small_runs import Recorder, run, saved_step

OF_GPU = (
    'OOM when allocating tensor with shape[32,64,224,224] and type float on'
    ' /job:localhost/replica:0/task:0/device:GPU:0 by allocator GPU_0_bfc\n'
    '\t [[{{node vgg_16/conv1/Conv2D}}]]\nHint: If you want to see a list of tensors')


def error_of(kind, text):
  return kind(None, None, text)


@pytest.mark.parametrize('error', [
    error_of(tf.errors.ResourceExhaustedError, OF_GPU),
    error_of(tf.errors.ResourceExhaustedError, 'failed to allocate memory'),
    error_of(tf.errors.InternalError, 'CUDA_ERROR_OUT_OF_MEMORY: out of memory'),
    error_of(tf.errors.InternalError, 'Dst tensor is not initialized: out of memory.'),
    error_of(tf.errors.UnknownError, 'cuDNN: CUDNN_STATUS_ALLOC_FAILED'),
    error_of(tf.errors.InternalError, 'failed: CUBLAS_STATUS_ALLOC_FAILED'),
    MemoryError('Unable to allocate 3.4 GiB for an array'), MemoryError()])
def test_a_computation_without_memory_is_one_line(error):
  line = diagnostics.explain_memory_error(error)
  assert line.startswith('out of memory')
  assert '\n' not in line


def test_the_tensor_and_its_device_are_named():
  line = diagnostics.explain_memory_error(
      error_of(tf.errors.ResourceExhaustedError, OF_GPU))
  assert 'on GPU:0 for a tensor of shape [32,64,224,224]' in line


@pytest.mark.parametrize('error', [
    error_of(tf.errors.ResourceExhaustedError,
             'Received message larger than max (5242880 vs. 4194304)'),
    error_of(tf.errors.ResourceExhaustedError, 'No space left on device'),
    error_of(tf.errors.InvalidArgumentError, 'shapes differ'),
    ValueError('out of memory'), KeyError('a')])
def test_other_errors_are_not_called_so(error):
  assert diagnostics.explain_memory_error(error) is None


ALL = {'batch_size': 7, 'train_image_size': None, 'num_clones': 2,
       'accumulate_steps': 1, 'precision': 'float32', 'mixed_precision': None,
       'gpu_memory_fraction': 0.25}


@pytest.mark.parametrize(('options', 'words', 'others'), [
    (ALL, ['lower --batch_size=7 or --train_image_size or --num_clones=2 (with'
           ' --accumulate_steps a step takes as many images as before), try 16 bits'
           ' by --precision=bfloat16, or end other programs'],
     ['gpu_memory']),
    # One image or one clone cannot be less.
    ({'batch_size': 1, 'batch_sizes': ('1', '32'), 'num_clones': 1, 'image_size': None},
     ['lower --batch_sizes=1,32 or --image_size, or end'], ['16 bits']),
    ({**ALL, 'mixed_precision': 'bfloat16'}, ['--batch_size=7'], ['16 bits']),
    ({**ALL, 'precision': 'bfloat16'}, ['--batch_size=7'], ['16 bits']),
    ({}, ['out of memory: use less memory, or end other'], ['lower', '16 bits'])])
def test_options_that_take_memory_are_named(options, words, others):
  line = diagnostics.explain_memory_error(MemoryError(), options)
  for word in words:
    assert word in line
  for word in others:
    assert word not in line


def test_a_limit_of_the_options_is_named():
  line = diagnostics.explain_memory_error(
      error_of(tf.errors.ResourceExhaustedError, OF_GPU), ALL)
  words = ', try 16 bits by --precision=float16, raise --gpu_memory_fraction=0.25, or'
  assert words in line


def test_a_command_without_such_options_answers_in_one_line():
  done = subprocess.run(
      [sys.executable, '-c', f"""
import sys
sys.path.insert(0, {str(scripts.ROOT)!r})
from slim_zoo.commands import running
def main(argv):
  raise MemoryError
running.run(main)
"""], text=True, capture_output=True, check=False, timeout=scripts.TIMEOUT_SECS)
  scripts.answer(done, 'out of memory: use less memory', code=1)


def fail(*unused, **unused_too):
  raise error_of(tf.errors.ResourceExhaustedError, OF_GPU)


# The function, where it runs out of memory, and a part of the message.
FAILING = {
    'train': (training_callbacks, 'make', '--batch_size=7 or --train_image_size'),
    'evaluate': (over_split, 'collect', '--batch_size=7 or --eval_image_size'),
    'classify': (checkpoint_model.CheckpointModel, 'predict', '--batch_size=7'),
    'export': (inference_graph, 'of_network', 'lower --eval_image_size')}


@pytest.mark.parametrize('name', FAILING)
def test_each_function_names_its_options(
    name, digits_dir, trained_dir, tmp_path, monkeypatch):
  place, function, words = FAILING[name]
  monkeypatch.setattr(place, function, fail)
  digits = {'dataset_name': 'digits', 'dataset_dir': digits_dir}
  calls = {
      'train': lambda: slim_zoo.train(
          **on_digits(digits_dir), train_dir=tmp_path, batch_size=7),
      'evaluate': lambda: slim_zoo.evaluate(
          **digits, checkpoint_path=trained_dir, eval_dir=tmp_path, batch_size=7),
      'classify': lambda: slim_zoo.classify(
          scripts.ROOT / 'docs' / 'step_rates.png', checkpoint_path=trained_dir,
          batch_size=7),
      'export': lambda: slim_zoo.export(
          **digits, checkpoint_path=trained_dir, export_dir=tmp_path)}
  with pytest.raises(diagnostics.UserError, match='out of memory on GPU:0') as raised:
    calls[name]()
  assert words in str(raised.value)


def test_a_benchmark_without_memory_names_its_options(monkeypatch, capsys):
  monkeypatch.setattr(benchmark, '_time', fail)
  monkeypatch.setattr(benchmark, '_matrix_rate', lambda _: 1.0)
  config = BenchmarkConfig.from_options({'networks': 'lenet', 'batch_sizes': '2048'})
  with pytest.raises(diagnostics.UserError, match='networks failed: lenet'):
    benchmark.benchmark(config)
  line, = [line for line in capsys.readouterr().err.splitlines() if 'lenet' in line]
  assert line.startswith('lenet: skipped: out of memory on GPU:0')
  assert '--batch_sizes=2048' in line


def test_a_step_without_memory_names_the_options_and_the_checkpoint(
    digits_dir, tmp_path, monkeypatch):
  monkeypatch.setattr(
      training_callbacks, 'make', lambda *unused: [Recorder('after_step', 2, fail)])
  with pytest.raises(diagnostics.UserError, match='out of memory on GPU:0') as raised:
    slim_zoo.train(**on_digits(digits_dir), train_dir=tmp_path, batch_size=7,
                   max_number_of_steps=5)
  for words in ('lower --batch_size=7', '(after step 2). The last good checkpoint is'):
    assert words in str(raised.value)


# --- In a run: in a step, in a validation, and a disk that is full.

@pytest.mark.parametrize(('place', 'step'), [('after_step', 1), ('after_step', 3),
                                             ('end', 4)])
def test_a_validation_without_memory_saves_the_weights(place, step, tmp_path):
  with pytest.raises(diagnostics.UserError, match='out of memory on GPU:0') as raised:
    run(tmp_path, [Recorder(place, step, fail)])
  assert f'(after step {step}). The last good checkpoint is' in str(raised.value)
  assert saved_step(tmp_path) == step


def test_a_first_step_without_memory_is_told_before_a_missing_kernel(tmp_path):
  answer = failures.explain(
      error_of(tf.errors.InternalError, 'CUDA_ERROR_OUT_OF_MEMORY {{node a}}'), None,
      str(tmp_path))
  assert 'out of memory' in str(answer)
  assert '(in the first step). There is no checkpoint yet' in str(answer)


def test_a_full_disk_is_not_taken_for_full_memory(tmp_path):
  answer = failures.explain(
      error_of(tf.errors.ResourceExhaustedError,
               f'{tmp_path}/model.ckpt; {os.strerror(errno.ENOSPC)}'), 3, str(tmp_path))
  assert 'the disk is full' in str(answer)


# --- GPUs.

SAID = """2026-01-31 10:00:00.1: I tensorflow/core/util/port.cc:153] oneDNN custom ops
W0000 00:00:1769853600.1  77 gpu_device.cc:2341] Cannot dlopen some GPU libraries.
Could not load dynamic library 'libcudnn.so.9'; dlerror: libcudnn.so.9: cannot open
Could not load dynamic library 'libcudnn.so.9'; dlerror: libcudnn.so.9: cannot open
"""


@pytest.fixture
def sign(tmp_path, monkeypatch):
  """Returns the file of a driver, on a machine where TensorFlow sees no GPU."""
  monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)
  monkeypatch.setattr(tf.config, 'list_physical_devices', lambda kind: [])
  monkeypatch.setattr(tf.test, 'is_built_with_cuda', lambda: True)
  path = tmp_path / 'nvidia0'
  path.touch()
  return str(path)


def test_the_reason_why_a_gpu_is_not_used_is_shown(sign):
  assert unused_gpus.notes(['/no/such/file', sign], lambda: SAID) == [
      f'no GPU is used, though there is the driver of one ({sign}); TensorFlow says:',
      'Cannot dlopen some GPU libraries.',
      "Could not load dynamic library 'libcudnn.so.9'; dlerror: libcudnn.so.9: cannot"
      ' open']
  assert 'does not say why' in unused_gpus.notes([sign], lambda: '')[0]


def test_a_tensorflow_without_cuda_is_the_reason(sign, monkeypatch):
  monkeypatch.setattr(tf.test, 'is_built_with_cuda', lambda: False)
  line, = unused_gpus.notes([sign], lambda: pytest.fail('not to be asked'))
  assert 'built without CUDA' in line


@pytest.fixture
def nvidia_smi(tmp_path, monkeypatch):
  """Returns a function that makes a program in the place of the driver's."""
  def make(prints, code=0):
    path = tmp_path / 'nvidia-smi'
    path.write_text(f'#!/bin/sh\ncat <<END\n{prints}\nEND\nexit {code}\n')
    path.chmod(0o755)
    monkeypatch.setenv('PATH', f'{tmp_path}{os.pathsep}{os.environ["PATH"]}')
  return make


@pytest.mark.parametrize(('prints', 'code', 'shown'), [
    ('GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-1)\nGPU 1: Tesla T4 (UUID: GPU-2)', 0,
     'NVIDIA A100-SXM4-40GB, Tesla T4'),
    ('NVIDIA-SMI has failed because it could not communicate with the driver', 9, None),
    ('No devices found.', 0, None)])
def test_the_program_of_the_driver_is_asked(prints, code, shown, nvidia_smi, sign):
  nvidia_smi(prints, code)
  assert unused_gpus.driver([]) == shown
  # The files of the driver show a GPU even if its program fails.
  assert unused_gpus.driver([sign]) == (shown or sign)
  lines = unused_gpus.notes([], lambda: SAID)
  assert bool(lines) == bool(shown)
  for line in lines[:1]:
    assert f'the driver of one ({shown}); TensorFlow says:' in line


@pytest.mark.parametrize(
    'reason', ['no driver', 'a GPU is used', 'hidden', 'hidden: -1'])
def test_nothing_is_said_where_all_is_as_it_should_be(reason, sign, monkeypatch):
  if reason == 'a GPU is used':
    monkeypatch.setattr(tf.config, 'list_physical_devices', lambda kind: ['GPU:0'])
  elif reason.startswith('hidden'):
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', reason.partition(': ')[2])
  signs = ['/no/such/file'] if reason == 'no driver' else [sign]
  assert unused_gpus.notes(signs, lambda: pytest.fail('not to be asked')) == []


def test_tensorflow_is_asked_in_a_process_of_its_own():
  said = unused_gpus.gpu_search_messages()
  if not tf.config.list_physical_devices('GPU'):
    assert unused_gpus._reasons(said), said


# --- The suite itself on a machine with a GPU.

def test_scripts_are_not_forked_where_there_may_be_a_gpu(sign, monkeypatch):
  assert scripts.may_have_gpu(lambda: sign)
  assert not scripts.may_have_gpu(lambda: None)
  monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')
  assert not scripts.may_have_gpu(lambda: sign)
  assert os.environ['TF_FORCE_GPU_ALLOW_GROWTH'] == 'true'
  monkeypatch.setattr(scripts, 'may_have_gpu', lambda: True)
  monkeypatch.setattr(scripts, '_server', lambda: pytest.fail('it would be forked'))
  done = scripts.run('networks', filter='lenet')
  assert (done.returncode, done.stderr) == (0, '')
  killed = scripts.run_killed(lambda printed: True, 'networks')
  assert killed.returncode == -9
