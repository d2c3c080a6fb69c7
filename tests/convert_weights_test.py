"""Weights to Keras and PyTorch and back: tables, engine, whole conversions, answers."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from slim_zoo import diagnostics
from slim_zoo.catalog import networks
from slim_zoo.checkpoints import run_card
from slim_zoo.weight_conversion import (
    checking,
    converting,
    engine,
    framework_process,
    layers,
    pairs,
    recognizing,
    slim_networks,
)
from slim_zoo.weight_conversion.runners import pytorch_runner
from tests import random_weights, scripts
from tests.conftest import ROOT
from tests.evaluated_networks import on_demand

# An interpreter with PyTorch and timm, which the other tests do not need.
PYTORCH = os.environ.get('PYTORCH_PYTHON', sys.executable)
EVERY_PAIR = 'CONVERT_EVERY_PAIR'
SMALL = converting.Options(image_size=64, accept_differences=True)


def has_pytorch():
  return subprocess.run([PYTORCH, '-c', 'import torch, timm'], check=False,
                        capture_output=True).returncode == 0


def name_of(pair):
  return f'{pair.framework.name}-{pair.model_name}'


def covered(pair, shapes):
  """Returns the names of slim's variables that the rows of a pair stand for."""
  found = []
  for row in pair.rows():
    scopes = [] if row.kind == 'norm' else [row.kernel, f'{row.scope}/biases']
    if row.norm:
      scopes += [f'{row.norm_scope}/{name}' for name in row_norms()]
    found += [name for name in scopes if name in shapes]
    assert row.kind == 'norm' or row.kernel in shapes
  return found


def row_norms():
  return layers.KERAS.norm


@pytest.mark.parametrize('pair', pairs.PAIRS, ids=name_of)
def test_table_covers_every_variable_once(pair):
  shapes = pair.shapes(7, 3)
  found = covered(pair, shapes)
  assert len(found) == len(set(found))
  assert set(found) == set(shapes)
  names = [name for row in pair.rows() for name in
           (row.layer and pair.framework.kernel(row), row.norm) if name]
  assert len(names) == len(set(names))


@pytest.mark.parametrize('pair', pairs.PAIRS, ids=name_of)
def test_head_of_table_depends_on_classes(pair):
  head = f'{pair.head()}/weights'
  assert pair.shapes(7, 3)[head][-1] == 7
  assert [name for name, shape in pair.shapes(7919, 3).items() if 7919 in shape] == [
      head, f'{pair.head()}/biases']


@pytest.mark.parametrize('pair', pairs.PAIRS, ids=name_of)
def test_a_network_is_found_by_the_shapes_of_its_tensors(pair, monkeypatch):
  tensors = engine.from_slim({
      name: np.zeros(shape, np.float32) for name, shape in pair.shapes(5, 3).items()
      if np.prod(shape) < 1e7}, [
          row for row in pair.rows()
          if row.kind == 'norm' or np.prod(pair.shapes(5, 3)[row.kernel]) < 1e7],
                             pair.framework)
  # Without the tensors that the framework may lack, and with another layer.
  shapes = [array.shape for name, array in tensors.arrays.items()
            if name not in tensors.optional] + [(5, 7), (7,)]
  monkeypatch.setattr(framework_process, 'shapes', lambda *arguments: shapes)
  found = recognizing.find('file', pair.framework.name)
  assert found.framework_name == pair.framework_name
  assert not found.needs_training


@pytest.mark.parametrize('shapes', [[(3, 3, 3, 8)], [(3, 3, 64, 64)] * 30])
def test_a_file_of_another_network_is_answered_in_one_line(shapes, monkeypatch):
  monkeypatch.setattr(framework_process, 'shapes', lambda *arguments: shapes)
  with pytest.raises(diagnostics.UserError, match='is unknown: it has') as raised:
    recognizing.find('file', 'keras')
  assert '--model_name' in str(raised.value)
  assert '\n' not in str(raised.value)


def test_every_slim_variant_of_pytorch_is_known_to_its_runner():
  variants = {pair.slim_variant for pair in pairs.PAIRS
              if pair.framework is layers.PYTORCH}
  assert variants == {'', *pytorch_runner.SLIM_VARIANTS}


ROWS = [layers.Row('conv', 'a', 'a_norm'),
        layers.Row('deep', 'b', 'b_norm', 'depthwise'),
        layers.Row('alone', '', 'c_norm', 'norm'), layers.Row('one', 'd', kind='dense'),
        layers.Row('whole', 'e', kind='dense'),
        layers.Row('parted', 'f', kind='spatial'),
        layers.Row('parted', 'g', kind='pointwise')]


def shapes_of_rows(scales):
  norm = {name: 6 for name in row_norms() if scales or name != 'gamma'}
  shapes = {'conv/weights': (3, 5, 4, 6), 'deep/depthwise_weights': (3, 3, 6, 1),
            'one/weights': (1, 1, 6, 7), 'one/biases': (7,),
            'whole/weights': (2, 3, 6, 7), 'whole/biases': (7,),
            'parted/depthwise_weights': (5, 5, 6, 1),
            'parted/pointwise_weights': (1, 1, 6, 9)}
  for scope in ('conv/BatchNorm', 'deep/BatchNorm', 'alone'):
    shapes |= {f'{scope}/{name}': (size,) for name, size in norm.items()}
  return shapes


@pytest.mark.parametrize('scales', [False, True])
@pytest.mark.parametrize('framework', layers.FRAMEWORKS.values(),
                         ids=layers.FRAMEWORKS)
def test_engine_gives_back_every_bit(framework, scales):
  shapes = shapes_of_rows(scales)
  values = random_weights.values(shapes)
  there = engine.from_slim(values, ROWS, framework)
  assert len(there.optional) == (2 if scales else 5)
  back = engine.to_slim(there.arrays, ROWS, framework, shapes)
  assert set(back) == set(values)
  for name, value in values.items():
    np.testing.assert_array_equal(back[name], value, err_msg=name)


def test_pytorch_layouts_are_output_channels_first():
  values = random_weights.values(shapes_of_rows(True))
  arrays = engine.from_slim(values, ROWS, layers.PYTORCH).arrays
  assert arrays['a.weight'].shape == (6, 4, 3, 5)
  assert arrays['b.weight'].shape == (6, 1, 3, 3)
  assert arrays['d.weight'].shape == (7, 6)
  assert arrays['f.weight'].shape == (6, 1, 5, 5)
  assert arrays['g.weight'].shape == (9, 6, 1, 1)
  assert arrays['a.weight'][1, 2, 0, 3] == values['conv/weights'][0, 3, 2, 1]


@pytest.mark.parametrize('framework', layers.FRAMEWORKS.values(),
                         ids=layers.FRAMEWORKS)
def test_bias_and_gamma_are_folded_where_slim_has_neither(framework):
  random = np.random.default_rng(1)
  shapes = {name: shape for name, shape in shapes_of_rows(False).items()
            if name.startswith('conv/')}
  arrays = engine.from_slim(random_weights.values(shapes), ROWS[:1], framework).arrays
  bias, gamma = random.normal(size=[2, 6])
  arrays[framework.tensor('a', framework.bias)] = bias
  arrays[framework.tensor('a_norm', framework.norm['gamma'])] = gamma
  values = engine.to_slim(arrays, ROWS[:1], framework, shapes)
  patch = random.normal(size=(3, 5, 4))
  kernel = random_weights.values(shapes)['conv/weights']
  norm = {name: arrays[framework.tensor('a_norm', theirs)]
          for name, theirs in framework.norm.items()}
  deviation = np.sqrt(norm['moving_variance'] + 1e-3)
  convolved = np.tensordot(patch, kernel, 3) + bias
  wanted = gamma * (convolved - norm['moving_mean']) / deviation + norm['beta']
  got = (np.tensordot(patch, values['conv/weights'], 3)
         - values['conv/BatchNorm/moving_mean']) / deviation + norm['beta']
  np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(('change', 'words'), [
    (lambda arrays: arrays.pop('d/bias'), 'lack d/bias'),
    (lambda arrays: arrays.update(more=np.zeros(3)), '1 tensors that this network'),
    (lambda arrays: arrays.update({'d/bias': np.zeros(3)}), r'shape \[3\], not \[7\]'),
], ids=['missing', 'beside', 'shape'])
def test_engine_refuses_what_does_not_fit(change, words):
  shapes = shapes_of_rows(True)
  arrays = engine.from_slim(random_weights.values(shapes), ROWS, layers.KERAS).arrays
  change(arrays)
  with pytest.raises(diagnostics.UserError, match=words):
    engine.to_slim(arrays, ROWS, layers.KERAS, shapes)


def test_background_class_is_dropped_and_added():
  head = {'h/weights': np.ones([1, 1, 2, 3], np.float32),
          'h/biases': np.arange(3, dtype=np.float32)}
  dropped = engine.drop_background(head, ['h'])
  assert dropped['h/weights'].shape == (1, 1, 2, 2)
  np.testing.assert_array_equal(dropped['h/biases'], [1, 2])
  added = engine.add_background(dropped, ['h'])
  np.testing.assert_array_equal(added['h/biases'], [-100, 1, 2])
  np.testing.assert_array_equal(added['h/weights'][0, 0], [[0, 1, 1]] * 2)


def there_and_back(pair, folder, options, suffix, num_classes=11):
  """Converts random weights there and back; returns (values, again, lines)."""
  values = random_weights.values(pair.shapes(num_classes, 3))
  slim_networks.write(values, f'{folder}/a')
  lines = converting.from_slim(pair, f'{folder}/a', f'{folder}/there{suffix}', options)
  lines += converting.to_slim(pair, f'{folder}/there{suffix}', f'{folder}/b', options)
  return values, slim_networks.read(f'{folder}/b', pair), '\n'.join(lines)


def assert_equal(values, again):
  assert set(again) == set(values)
  for name, value in values.items():
    np.testing.assert_array_equal(again[name], value, err_msg=name)


@on_demand
def test_resnet_goes_to_keras_and_back(tmp_path):
  pair = pairs.find('ResNet50', 'keras')
  values, again, lines = there_and_back(pair, tmp_path, SMALL, '.keras')
  assert_equal(values, again)
  assert lines.count("check, with slim's pool1 in both networks") == 2
  assert lines.count('warning: Keras pads pool1') == 2
  assert 'reads BGR' in lines
  assert sorted(os.listdir(tmp_path)) == [
      'a.data-00000-of-00001', 'a.index', 'b.card.json', 'b.data-00000-of-00001',
      'b.index', 'there.keras']


def test_script_drops_background_class_of_a_checkpoint_and_adds_it_again(tmp_path):
  pair = pairs.find('mobilenet_v2_035', 'keras')
  values = random_weights.values(pair.shapes(1001, 3))
  slim_networks.write(values, f'{tmp_path}/old.ckpt')
  common = {'image_size': 64}  # The network is found both times.
  there = tmp_path / 'made' / 'there.weights.h5'
  done = scripts.run('convert-weights', **common, source=f'{tmp_path}/old.ckpt',
                     target=there)
  assert done.returncode == 0, done.stderr
  assert '1001 classes become 1000' in done.stdout
  assert 'top-1 agrees on 4 of 4 images' in done.stdout
  done = scripts.run('convert-weights', **common, source=there,
                     target=f'{tmp_path}/new.ckpt', background_class='add')
  assert done.returncode == 0, done.stderr
  assert 'top-1 agrees on 4 of 4 images' in done.stdout
  card, note = run_card.facts_of(f'{tmp_path}/new.ckpt')
  assert (note, card.model_name, card.num_classes, card.image_size,
          card.preprocessing_name) == (None, pair.model_name, 1001, 64, 'inception')
  again = slim_networks.read(f'{tmp_path}/new.ckpt', pair)
  assert_equal(engine.add_background(engine.drop_background(
      values, [pair.head()]), [pair.head()]), again)


@pytest.mark.skipif(not has_pytorch(), reason='needs torch and timm: pip install'
                    ' "torch>=2,<3" "timm>=1,<2", or name another interpreter in'
                    ' PYTORCH_PYTHON')
def test_se_resnet_goes_to_pytorch_and_back(tmp_path):
  pair = pairs.find('seresnet50', 'pytorch')
  options = converting.Options(image_size=64, python=PYTORCH)
  values, again, lines = there_and_back(pair, tmp_path, options, '.pth')
  assert_equal(values, again)
  assert lines.count('top-1 agrees on 4 of 4 images') == 2


@pytest.mark.skipif(EVERY_PAIR not in os.environ,
                    reason=f'takes half an hour: set {EVERY_PAIR}=1')
@pytest.mark.parametrize('pair', pairs.PAIRS, ids=name_of)
def test_every_pair_goes_there_and_back(pair, tmp_path):
  python = PYTORCH if pair.framework is layers.PYTORCH else ''
  suffix = {'keras': '.weights.h5', 'pytorch': '.safetensors'}[pair.framework.name]
  options = converting.Options(accept_differences=True, python=python)
  values, again, _ = there_and_back(pair, tmp_path, options, suffix)
  assert_equal(values, again)


def pretend(monkeypatch, logits_of, variant_logits_of=lambda ours: None):
  """Lets the other framework give logits made of slim's."""
  ours = []
  run_slim = slim_networks.run

  def run(pair, values, images):
    ours.append(run_slim(pair, values, images))
    return ours[-1]

  def run_framework(pair, images, **arguments):
    pathlib.Path(arguments['save']).write_text('weights')
    return framework_process.Outcome(
        {}, logits_of(ours[-1]), variant_logits_of(ours[-1]))

  monkeypatch.setattr(slim_networks, 'run', run)
  monkeypatch.setattr(framework_process, 'run', run_framework)


def test_nothing_is_written_when_networks_differ(tmp_path, monkeypatch):
  pair = pairs.find('mobilenet_v1_025', 'keras')
  slim_networks.write(random_weights.values(pair.shapes(5, 3)), f'{tmp_path}/a')
  pretend(monkeypatch, lambda ours: ours + 0.01 * np.abs(ours).max() * np.eye(4, 5))
  with pytest.raises(diagnostics.UserError, match=r'compute different functions, .*'
                     r'padded differently: leave out --image_size'):
    converting.from_slim(pair, f'{tmp_path}/a', f'{tmp_path}/there.keras', SMALL)
  assert not list(tmp_path.glob('*.keras'))


def test_resnet_of_pytorch_is_only_taken_when_asked_for(tmp_path, monkeypatch):
  pair = pairs.find('resnet_v1_50', 'pytorch')
  slim_networks.write(random_weights.values(pair.shapes(5, 3)), f'{tmp_path}/a')
  pretend(monkeypatch, lambda ours: ours[:, ::-1], lambda ours: ours)
  target = f'{tmp_path}/there.pth'
  with pytest.raises(diagnostics.UserError, match='the 3x3 convolution'):
    converting.from_slim(pair, f'{tmp_path}/a', target,
                          converting.Options(image_size=64))
  assert not os.path.exists(target)
  lines = converting.from_slim(pair, f'{tmp_path}/a', target, SMALL)
  assert 'warning: in PyTorch the 3x3' in lines[-1]
  assert os.path.exists(target)


@pytest.mark.parametrize(('name', 'fold', 'low', 'high'), [
    ('vgg16', False, 0.5, 1), ('vgg16', True, 1, 2.65), ('VGG16', False, 64, 128)])
def test_images_of_the_check_are_as_large_as_those_of_training(
    name, fold, low, high, monkeypatch):
  given = []

  def run(pair, images, **arguments):
    given.append(images)
    raise diagnostics.UserError('enough')

  monkeypatch.setattr(framework_process, 'run', run)
  options = converting.Options(image_size=32, fold_normalization=fold)
  framework = 'keras' if name == 'VGG16' else 'pytorch'
  with pytest.raises(diagnostics.UserError, match='enough'):
    converting.to_slim(pairs.find(name, framework), 'a', 'b', options)
  assert low <= np.abs(given[0]).max() <= high


def test_check_sees_what_differs():
  logits = np.random.default_rng(0).normal(size=[4, 10])
  assert checking.compare(logits + 1e-5, logits).same
  assert not checking.compare(logits + np.eye(4, 10) * 1e-3, logits).same
  assert not checking.compare(logits[::-1], logits).same
  assert not checking.compare(logits * np.nan, logits).same


@pytest.mark.parametrize(('flags', 'words'), [
    ({'model_name': 'resnet_v1_5'}, ['resnet_v1_5', "did you mean 'resnet_v1_50'"]),
    ({'model_name': 'mobilenet_edgetpu'}, ['mobilenet_edgetpu', 'table']),
    ({'model_name': 'lenet'}, ['lenet', 'no table for Keras']),
    ({'framework': 'pytorch'}, ['--framework=pytorch', 'suffix']),
    ({'target': 'b.pth'}, ['both weights of another framework']),
    ({'source': 'a', 'target': 'b'}, ['neither', '.safetensors']),
    ({'source': 'absent.h5'}, ["no file 'absent.h5'"]),
    ({'target': '/proc/absent/b'}, ["cannot write to the folder '/proc/absent'"]),
    ({'model_name': 'inception_v3', 'source': 'pretrained', 'framework': 'pytorch'},
     ['average pools', 'inception_v3']),
    ({'keep_channel_order': True, 'model_name': 'mobilenet_v2'}, ['reads RGB']),
    ({'use_moving_averages': True}, ['whose weights have none']),
    ({'fold_normalization': True}, ['timm']),
    ({'target': None}, ['no --target']),
    ({'source': 'pretrained', 'framework': 'keras', 'model_name': None},
     ['--source=pretrained needs --model_name']),
])
def test_mistakes_are_answered_in_one_line(flags, words, tmp_path):
  weights = tmp_path / 'a.weights.h5'
  weights.write_text('no weights')
  flags = {'model_name': 'resnet_v1_50', 'source': weights,
           'target': tmp_path / 'b'} | flags
  given = {name: value for name, value in flags.items() if value is not None}
  scripts.answer(scripts.run('convert-weights', **given), *words)


def test_damaged_weights_are_answered_in_one_line(tmp_path):
  weights = tmp_path / 'a.weights.h5'
  weights.write_text('no weights')
  scripts.answer(scripts.run('convert-weights', model_name='mobilenet_v1_025',
                             source=weights, target=tmp_path / 'b', image_size=64),
                 'cannot read', 'a.weights.h5')


@pytest.mark.parametrize(('name', 'framework', 'words'), [
    ('vgg_16', 'pytorch', 'pip install "torch'), ('vgg_16', 'keras', '"keras>=3,<4"')])
def test_missing_framework_is_answered_with_what_to_install(
    name, framework, words, tmp_path, monkeypatch):
  for module in ('timm', 'keras'):
    (tmp_path / f'{module}.py').write_text(f'raise ImportError("no {module}")')
  monkeypatch.setenv('PYTHONPATH', str(tmp_path))
  with pytest.raises(diagnostics.UserError, match=words) as raised:
    framework_process.run(
        pairs.find(name, framework), np.zeros([1, 8, 8, 3], np.float32))
  assert '\n' not in str(raised.value)


def test_interpreter_that_cannot_be_run_is_named():
  with pytest.raises(diagnostics.UserError, match="--python='absent'"):
    framework_process.run(pairs.find('vgg_16', 'pytorch'),
                          np.zeros([1, 8, 8, 3], np.float32), python='absent')


@pytest.mark.parametrize(('end', 'words'), [
    ('kill -9 $$', 'ended by signal 9, perhaps because the memory of this machine is'),
    ('kill -15 $$', 'ended by signal 15'), ('exit 7', 'ended with exit code 7'),
    ('echo reason >&2; exit 7', ': reason')])
def test_the_error_of_a_failed_framework_is_one_line(end, words, tmp_path):
  python = tmp_path / 'python'
  python.write_text('#!/bin/sh\n'
                    # Frameworks print such lines when they start.
                    f'[ {end[:4]} = kill ] && echo "E0000 noise" >&2\n{end}\n')
  python.chmod(0o755)
  with pytest.raises(diagnostics.UserError, match=words) as raised:
    framework_process.run(pairs.find('vgg_16', 'pytorch'),
                          np.zeros([1, 8, 8, 3], np.float32), python=str(python))
  assert str(raised.value).startswith("PyTorch failed on 'vgg16': ")
  assert 'noise' not in str(raised.value)


def test_the_page_has_the_table_of_networks():
  done = scripts.run('convert-weights', list=True, format='markdown')
  assert done.returncode == 0, done.stderr
  table, notes = done.stdout.strip().split('\n\n')
  assert len(table.splitlines()) == 2 + sum(
      not row.frames for row in networks.NETWORKS.values())
  assert all(f'`{pair.framework_name}`' in table for pair in pairs.PAIRS)
  assert all(note in notes for pair in pairs.PAIRS for note in [pair.difference])
  page = (ROOT / 'docs' / 'converting_weights.md').read_text()
  assert done.stdout in page, 'slim-zoo convert-weights --list --format=markdown'


def test_list_tells_what_is_refused_and_why():
  done = scripts.run('convert-weights', list=True)
  assert done.returncode == 0, done.stderr
  for pair in pairs.PAIRS:
    assert pair.model_name in done.stdout
  for names in pairs.REFUSED.values():
    for name, reason in names.items():
      assert f'not {name}' in done.stdout
      assert reason in done.stdout
