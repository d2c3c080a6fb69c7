"""Computations without memory, and GPUs that are there and not used."""

import errno
import os
import subprocess
import sys

import pytest
from absl import flags

from slim_zoo import diagnostics
from slim_zoo.deployment import unused_gpus
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


def script_without_memory(script, error):
  """Runs a script's own answer to an error; its flags are those of the process."""
  return subprocess.run(
      [sys.executable, '-c', f"""
import sys
sys.path.insert(0, {str(scripts.ROOT)!r})
import slim_zoo.commands.{script}
from slim_zoo.commands import running
def main(argv):
  {error}
running.run(main)
""", '--batch_size=7'], text=True, capture_output=True, check=False,
      cwd=scripts.ROOT, timeout=scripts.TIMEOUT_SECS)


@pytest.mark.parametrize(('script', 'words'), [
    ('train', ['--batch_size=7', '--train_image_size', '--accumulate_steps']),
    ('eval', ['--batch_size=7', '--eval_image_size']),
    ('classify', ['--batch_size=7'])])
def test_each_script_names_its_flags_that_take_memory(script, words):
  done = script_without_memory(script, 'raise MemoryError("no more")')
  scripts.answer(done, 'out of memory: lower', *words, code=1)


def test_advice_leaves_out_what_cannot_be_lower(monkeypatch):
  values = flags.FlagValues()
  flags.DEFINE_integer('batch_size', 1, '', flag_values=values)
  flags.DEFINE_list('batch_sizes', ['1', '32'], '', flag_values=values)
  flags.DEFINE_integer('num_clones', 1, '', flag_values=values)
  flags.DEFINE_integer('image_size', None, '', flag_values=values)
  values(['a'])
  monkeypatch.setattr(flags, 'FLAGS', values)
  line = diagnostics.explain_memory_error(MemoryError())
  assert 'lower --batch_sizes=1,32 or --image_size, or end' in line


# --- In a run: in a step, in a validation, and a disk that is full.

@pytest.mark.parametrize(('place', 'step'), [('after_step', 1), ('after_step', 3),
                                             ('end', 4)])
def test_a_validation_without_memory_saves_the_weights(place, step, tmp_path):
  def fail():
    raise error_of(tf.errors.ResourceExhaustedError, OF_GPU)

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
  said = unused_gpus.what_tensorflow_says()
  if not tf.config.list_physical_devices('GPU'):
    assert unused_gpus._reasons(said), said


# --- The suite itself on a machine with a GPU.

def test_scripts_are_not_forked_where_there_may_be_a_gpu(
    sign, digits_dir, tmp_path, monkeypatch):
  assert scripts.may_have_gpu([sign])
  monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')
  assert not scripts.may_have_gpu([sign])
  assert os.environ['TF_FORCE_GPU_ALLOW_GROWTH'] == 'true'
  monkeypatch.setattr(scripts, 'may_have_gpu', lambda: True)
  monkeypatch.setattr(scripts, '_server', lambda: pytest.fail('it would be forked'))
  done = scripts.run('train_image_classifier', train_dir=tmp_path / 'run',
                     max_number_of_steps=1, batch_size=1, **on_digits(digits_dir))
  assert (done.returncode, done.stderr) == (0, '')
  killed = scripts.run_killed(lambda printed: True, 'networks')
  assert killed.returncode == -9
