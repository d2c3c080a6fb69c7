"""Any combination of flags runs, or is answered in one line and a non-zero exit."""

import functools
import os
import pathlib
from xml.etree import ElementTree

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from slim_zoo.__main__ import COMMANDS
from slim_zoo.catalog import losses, networks, preprocessing_families
from tests import scripts, stored_images
from tests.conftest import on_digits
from tests.field.flag_server import REACHED
from tests.field.fuzzing import cases

_TAKE_ARGUMENTS = ('classify', 'curves')

# The flags with which a script comes to the import of TensorFlow.
_DATA = {'dataset_name': 'digits', 'dataset_dir': 'data', 'model_name': 'lenet'}
_BASE = {
    'train_image_classifier': {**_DATA, 'train_dir': 'empty/run'},
    'eval_image_classifier': {
        **_DATA, 'checkpoint_path': 'run', 'eval_dir': 'empty/eval'},
    'export_inference_graph': {**_DATA, 'output_file': 'empty/graph.pb'},
    'export': {'checkpoint_path': 'run', 'export_dir': 'empty',
                     'images': 'photos', 'format': 'tflite'},
    'classify': {'checkpoint_path': 'run'},
    'inspect': {'checkpoint_path': 'run'},
    'convert-images': {'image_dir': 'photos', 'dataset_dir': 'empty/pets',
                             'dataset_name': 'pets'},
    'download_and_convert_data': {'dataset_name': 'digits', 'dataset_dir': 'empty/new'},
    'benchmark_nets': {'networks': 'lenet'},
    'convert-weights': {'model_name': 'resnet_v1_50', 'source': 'run',
                        'target': 'empty/new.safetensors'},
    'networks': {}, 'curves': {}}
_NUMBERS = ('0', '1', '2', '7', '100', '0.5', '1.0', '-1', '-0.1', '1e-30', '1e30',
            '999999999999999999999', 'nan', 'inf', 'x', '', ' 3')
_BOOLEANS = ('true', 'false', 'true', 'false', 'maybe')
_PATHS = ('run', 'run/model.ckpt-5', 'run/model.ckpt-5.index', 'run/checkpoint',
          'run/model.ckpt-6', 'data', 'photos', 'photos/cat/0.png', 'empty', 'missing',
          'missing/deep/file.png', 'file.txt', 'file.txt/below', 'gs://bucket/run',
          '~/nothing', '$HOME', '*.png', 'photos/*/*.png', 'caf\u00e9 \u732b', '.', '/',
          '/dev/null', '/proc/none', 'a' * 300, 'run/', './run')
_NAMES = ('', ' ', 'x', 'auto', 'none', 'lenet', 'LeNet', 'mobilenet_v1', 'imagenet',
          'digits', 'digit', 'flowers', 'tfds:mnist', 'pets', 'train', 'test',
          'validation', 'LeNet/fc4', 'LeNet/fc4,', 'lenet,cifarnet', 'a=b', 'csv',
          'tflite,onnx', 'cat:dog', '0:1', '-1', '\U0001f408', 'localhost:2222',
          *sorted(networks.NETWORKS)[::9], *preprocessing_families.NAMES,
          *losses.NAMES)


@pytest.fixture(scope='module')
def folder(digits_dir, tmp_path_factory):
  """Returns a folder in which the paths above exist, or do not."""
  folder = tmp_path_factory.mktemp('flags')
  (folder / 'data').symlink_to(digits_dir)
  stored_images.fill(folder, {
      'run/model.ckpt-5.index': b'index', 'run/model.ckpt-5.data-00000-of-00001': b'',
      'run/checkpoint': b'model_checkpoint_path: "model.ckpt-5"\n',
      'file.txt': b'0:cat\n1:dog\n'})
  stored_images.plain_folder(folder / 'photos', 3)
  (folder / 'empty').mkdir()
  return folder


@pytest.fixture(scope='module')
def run(folder):
  """Returns what runs a script up to the import of TensorFlow."""
  server = scripts.start_server(
      pathlib.Path(__file__).with_name('flag_server.py'), cwd=folder,
      env={**os.environ, 'HOME': str(folder / 'empty')})
  yield functools.partial(scripts.run_with_server, server)
  server.stdin.close()
  server.wait()
  server.stdout.close()


@functools.cache
def _flags_of(script):
  """Returns {name: (type, choices)} of the flags that a script defines itself."""
  done = scripts.run_anew(script, '--helpxml')
  root = ElementTree.fromstring(done.stdout)
  return {flag.findtext('name'): (flag.findtext('type'), tuple(
      choice.text for choice in flag.findall('enum_value')))
          for flag in root.findall('flag')
          if not flag.findtext('file').startswith(('absl', 'tensorflow'))}


def _values(name, kind, choices):
  if choices:
    return st.sampled_from([*choices * 3, choices[0][:-1], choices[0].upper(), ''])
  if kind == 'int':
    return st.sampled_from(_NUMBERS[:5] * 3 + _NUMBERS)
  if kind == 'float':
    return st.sampled_from(_NUMBERS[:7] * 2 + _NUMBERS)
  if kind == 'bool':
    return st.sampled_from(_BOOLEANS)
  if name.endswith(('_dir', '_path', '_file', 'output', 'source', 'target')):
    return st.sampled_from(_PATHS)
  return st.sampled_from([*_NAMES, *_PATHS])


@st.composite
def _lines(draw):
  """Draws a script and its arguments."""
  script = draw(st.sampled_from(sorted(_BASE)))
  flags = _flags_of(script)
  arguments = [f'--{name}={value}' for name, value in _BASE[script].items()]
  for name in draw(st.lists(st.sampled_from(sorted(flags)), max_size=4)):
    value = draw(_values(name, *flags[name]))
    arguments.append(draw(st.sampled_from(
        [f'--{name}={value}'] * 40 + [f'--{name}', f'--no{name}', f'{name}={value}',
                                      f'--{name[:-1]}={value}', f'-{name}={value}'])))
  if script in _TAKE_ARGUMENTS:
    arguments += draw(st.lists(st.sampled_from(('photos', 'run', *_PATHS)), max_size=2))
  return script, arguments


def check_answer(script, done):
  """Checks that a run that failed did so in one line of its own."""
  assert 'Traceback' not in done.stderr + done.stdout, done.stderr
  if done.returncode in (0, REACHED):
    return
  assert done.returncode in (1, 2, 3, 4), (done.returncode, done.stderr)
  name = f'slim-zoo {script}' if script in COMMANDS else f'{script}.py'
  own = [line for line in done.stderr.splitlines() if line.startswith(f'{name}: ')]
  assert len(own) == 1, done.stderr
  assert done.stderr.rstrip().splitlines()[-1] == own[0], done.stderr


@cases(0.4)
@given(line=_lines())
def test_flags_are_accepted_or_answered_in_one_line(line, run):
  script, arguments = line
  if script == 'download_and_convert_data':
    arguments = [*arguments, '--source=empty']  # Nothing is downloaded.
  done = run(script, *arguments)
  event(f'{script} exits with {done.returncode}')
  check_answer(script, done)


# Flags of training that a run of one step can take, with values that fit and others.
_TRAINING = {
    'model_name': ('lenet', 'cifarnet', 'mobilenet_v1_025', 'alexnet_v2'),
    'batch_size': ('1', '3'), 'train_image_size': ('1', '16', '28', '33'),
    'optimizer': ('sgd', 'adam', 'ftrl', 'rmsprop', 'adadelta', 'momentum'),
    'learning_rate': ('0', '1e-30', '1e30'), 'weight_decay': ('0', '1e10'),
    'learning_rate_decay_type': ('fixed', 'exponential', 'polynomial', 'cosine'),
    'num_epochs_per_decay': ('0.001', '1e9'), 'label_smoothing': ('0.5', '1'),
    'moving_average_decay': ('0.9', '1', '0'), 'num_clones': ('1', '2'),
    'labels_offset': ('1', '9'), 'use_grayscale': ('true', 'false'),
    'preprocessing_name': ('inception', 'vgg', 'cifarnet', 'lenet'),
    'dataset_split_name': ('train', 'test'), 'validation_share': ('0.1', '0.9999'),
    'validation_split_name': ('test',), 'validate_every_steps': ('1',),
    'trainable_scopes': ('LeNet/fc4', 'x'), 'accumulate_steps': ('2',),
    'checkpoint_path': ('{trained}', 'missing'),
    'checkpoint_exclude_scopes': ('LeNet/fc4', 'auto', 'x'),
    'cache_dir': ('{folder}/cache',), 'save_summaries_secs': ('0', '1'),
    'log_every_n_steps': ('0', '1'), 'ignore_missing_vars': ('true',),
    'mixed_precision': ('bfloat16',), 'precision': ('auto', 'bfloat16', 'float16'),
    'data_format': ('NCHW', 'NHWC'),
    'max_loss_growth': ('0', '1e-9')}
_EVALUATION = {
    'model_name': ('lenet', 'cifarnet'), 'batch_size': ('1', '1000'),
    'eval_image_size': ('1', '28', '40'), 'max_num_batches': ('1',),
    'labels_offset': ('1',), 'use_grayscale': ('true',),
    'preprocessing_name': ('inception', 'lenet'), 'moving_average_decay': ('0.9',),
    'dataset_split_name': ('train', 'test'), 'recalibrate_batch_norm': ('true',)}


def _some_of(table):
  return st.lists(st.sampled_from(sorted(table)), unique=True, max_size=4).flatmap(
      lambda names: st.fixed_dictionaries(
          {name: st.sampled_from(table[name]) for name in names}))


def _filled(flags, trained_dir, folder):
  return {name: value.format(trained=trained_dir, folder=folder)
          for name, value in flags.items()}


@pytest.mark.parametrize('script', sorted(_BASE))
def test_flags_that_fit_are_accepted(script, run):
  flags = {**_BASE[script], **({'measure': True} if script == 'networks' else {})}
  arguments = ['photos' if script == 'classify' else 'run'] if (
      script in _TAKE_ARGUMENTS) else []
  assert run(script, *arguments, **flags).returncode == REACHED


@cases(0.015)
@given(flags=_some_of(_TRAINING))
def test_training_runs_or_is_answered_in_one_line(
    flags, digits_dir, trained_dir, tmp_path_factory):
  folder = tmp_path_factory.mktemp('trained')
  check_answer('train_image_classifier', scripts.run('train_image_classifier', **{
      **on_digits(digits_dir), 'batch_size': 2, 'train_dir': folder / 'run',
      **_filled(flags, trained_dir, folder), 'max_number_of_steps': 1}))


@cases(0.01)
@given(flags=_some_of(_EVALUATION))
def test_evaluation_runs_or_is_answered_in_one_line(
    flags, digits_dir, trained_dir, tmp_path_factory):
  check_answer('eval_image_classifier', scripts.run('eval_image_classifier', **{
      'dataset_name': 'digits', 'dataset_dir': digits_dir, 'model_name': 'lenet',
      'checkpoint_path': trained_dir, 'max_num_batches': 1,
      'eval_dir': tmp_path_factory.mktemp('evaluated'), **flags}))
