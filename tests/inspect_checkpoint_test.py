"""What slim-zoo inspect says of files: sound, damaged, odd, unknown."""

import dataclasses
import json
import re
import shlex
import subprocess
import sys

import numpy as np
import pytest

from slim_zoo import diagnostics
from slim_zoo.checkpoints import (
  contents,
  described,
  identify,
  inspection,
  quantization,
)
from slim_zoo.tasks import inspect as inspect_task
from slim_zoo.tasks import suggested_commands
from slim_zoo.tf_compat import tf
from tests import scripts
from tests.conftest import ROOT, on_digits
from tests.identify_test import as_trained, sized, without

SMALL = 'mobilenet_v1_025'


def build_nothing(*_, **__):
  raise AssertionError('a network was built')


def values_for(shapes):
  """Returns an array for each variable; batch norm's averages as if updated."""
  return {name: np.full(shape, 0.5, np.float32) if shape or name != 'global_step'
          else np.int64(1200) for name, shape in shapes.items()}


def write(path, values, **kwargs):
  """Writes a checkpoint of arrays by name."""
  with tf.Graph().as_default(), tf.Session() as session:
    made = [tf.Variable(value, name=name) for name, value in values.items()]
    session.run(tf.global_variables_initializer())
    return tf.train.Saver(made, **kwargs).save(
        session, str(path), write_meta_graph=False)


def inspect(path, **kwargs):
  return inspection.inspect(str(path), build_nothing, **kwargs)


def found_of(shapes):
  """Returns an Inspection of shapes that fit a network, without files."""
  match, *_ = nearest = identify.identify(shapes)
  assert match.fits
  return inspection.Inspection(
      'folder/model.ckpt', 1000, contents.sort(shapes), None, None, match, nearest)


def command(found, what):
  """Returns the words of a command, without `python`."""
  return shlex.split(suggested_commands.commands(found)[what].replace('\\\n', ' '))[1:]


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  folder = tmp_path_factory.mktemp('trained')
  return write(folder / 'model.ckpt-1200',
               values_for(as_trained(sized(SMALL, classes=10))))


def test_trained_checkpoint_tells_everything(trained):
  found = inspect(trained)
  assert (found.match.network, found.match.depth_multiplier) == (SMALL, 0.25)
  assert found.match.num_classes == 10
  assert found.step == 1200
  # Known from the literature: 0.47M with 1001 classes, 257 less for each class less.
  assert found.parameters == 470329 - 991 * 257
  assert found.num_bytes == pytest.approx(4 * 4 * found.parameters, rel=0.2)
  assert found.values.not_finite == []
  assert (found.values.statistics, found.values.initial_statistics) == (54, 0)
  text = dict(described.rows(found))
  assert text['optimizer'].startswith('rmsprop: RMSProp of 137 variables, RMSProp_1')
  assert text['averages'] == 'of 137 of 137 variables'
  assert text['classes'] == '10, as many as in cifar10 or digits or mnist'
  assert text['images'] == '224 x 224, 3 channels, preprocessing inception'
  assert json.loads(json.dumps(inspect_task.facts_of(found).values()))['slots'] == {
      'RMSProp': 137, 'RMSProp_1': 137}


@pytest.mark.parametrize('name', ['.index', '.meta', '.data-00002-of-00003', 'folder'])
def test_any_name_of_a_checkpoint_finds_it(trained, name, tmp_path):
  if name == 'folder':
    path = tmp_path / 'run'
    path.mkdir()
    write(path / 'model.ckpt-3', {'LeNet/conv1/weights': np.zeros(2, np.float32)})
    found = inspect(path, read_values=False)
    assert found.path == str(path / 'model.ckpt-3')
  else:
    found = inspect(trained + name, read_values=False)
    assert found.path == trained
  assert found.values is None


def test_checkpoint_of_the_first_format_is_one_file(tmp_path):
  path = tmp_path / 'lenet.ckpt'
  write(path, values_for(sized('lenet')), write_version=tf.train.SaverDef.V1)
  found = inspect(path)
  assert found.match.network == 'lenet'
  assert found.step is None
  assert found.num_bytes == path.stat().st_size > 4 * found.parameters
  assert dict(described.rows(found))['step'] == 'none'


def test_damage_is_answered_in_one_line(trained, tmp_path):
  values = values_for(sized('lenet'))
  path = write(tmp_path / 'model.ckpt-1', values)
  data = tmp_path / 'model.ckpt-1.data-00000-of-00001'
  whole = data.read_bytes()
  data.write_bytes(whole[:len(whole) // 2])
  with pytest.raises(diagnostics.UserError, match=r'damaged: LeNet/\S+ cannot be read'):
    inspect(path)
  # The names are whole, so this much is known all the same.
  assert inspect(path, read_values=False).match.network == 'lenet'
  index = tmp_path / 'model.ckpt-1.index'
  index.write_bytes(index.read_bytes()[:20])
  with pytest.raises(diagnostics.UserError, match='cannot read the checkpoint'):
    inspect(path)
  with pytest.raises(diagnostics.UserError, match='no checkpoint'):
    inspect(tmp_path / 'model.ckpt-2')


def test_objects_of_tensorflow_2_are_named_as_such(tmp_path):
  with tf.Session() as session:
    variable = tf.Variable([1.0])
    session.run(variable.initializer)
    path = tf.train.Checkpoint(weights=variable).write(
        str(tmp_path / 'ckpt-1'), session)
  with pytest.raises(diagnostics.UserError, match=r'tf\.train\.Checkpoint'):
    inspect(path)


def test_values_that_spoil_it_are_found(tmp_path):
  values = values_for(sized(SMALL, classes=10))
  values['MobilenetV1/Conv2d_0/weights'][0, 0, 0, 0] = np.nan
  values['MobilenetV1/Conv2d_3_pointwise/weights'][0, 0, 1] = np.inf
  # Their sum is not a float32.
  values['MobilenetV1/Conv2d_5_pointwise/weights'][:] = 3e38
  for name, value in values.items():
    if name.endswith('moving_mean'):
      value[:] = 0
    elif name.endswith('moving_variance'):
      value[:] = 1
  found = inspect(write(tmp_path / 'model.ckpt-1', values))
  assert found.values.not_finite == ['MobilenetV1/Conv2d_0/weights',
                                     'MobilenetV1/Conv2d_3_pointwise/weights']
  notes = ' '.join(described.notes(found))
  assert 'batch norm were never updated' in notes
  done = scripts.run('inspect', checkpoint_path=found.path)
  assert done.stdout.splitlines()[1].split()[:2] == ['network', SMALL]
  scripts.answer(done, 'NaN or infinite', 'Conv2d_0/weights and 1 more', code=1)


@pytest.mark.parametrize(('name', 'classes', 'words'), [
    ('vgg_16', 1000, {'--labels_offset=1', '--dataset_name=imagenet',
                      '--dataset_split_name=validation'}),
    ('inception_v3', 1000, {'--labels_offset=1'}),
    ('inception_v3', 1001, {'--dataset_name=imagenet'}),
    ('resnet_v1_50', 5, {'--dataset_name=flowers'}),
    ('resnet_v1_50', 17, {'--dataset_name=NAME'})])
def test_evaluation_follows_the_class_count(name, classes, words):
  told = set(command(found_of(sized(name, classes)), 'evaluate'))
  assert words <= told
  assert ('--labels_offset=1' in told) == (classes == 1000)
  assert f'--model_name={name}' in told
  assert '--checkpoint_path=folder/model.ckpt' in told
  assert not any('moving_average' in word for word in told)


@pytest.mark.parametrize(('change', 'fine_tune', 'evaluate'), [
    (as_trained, '--checkpoint_exclude_scopes=final_layer,aux_7/aux_logits/FC',
     '--moving_average_decay=0.9999'),
    (lambda shapes: without(shapes, 'aux_7'),
     '--checkpoint_exclude_scopes=final_layer,aux_7', None),
    (lambda shapes: without(as_trained(shapes), 'aux_7/aux_logits/Conv/weights/Exp'),
     None, '--moving_average_decay=0.9999'),
    (lambda shapes: without(as_trained(shapes), 'cell_3/beginning_bn/gamma/Exp'),
     None, None),
    (lambda shapes: {f'net/{name}': shape for name, shape in shapes.items()},
     '--checkpoint_rename=net/=', 'absent'),
    (lambda shapes: without(shapes, 'final_layer', 'aux_logits/FC'),
     '--checkpoint_exclude_scopes=final_layer,aux_7', 'absent'),
    (lambda shapes: {f'{name}/ExponentialMovingAverage': shape
                     for name, shape in shapes.items()},
     '--checkpoint_rename=/ExponentialMovingAverage=',
     '--moving_average_decay=0.9999')])
def test_commands_follow_what_is_there(change, fine_tune, evaluate):
  found = found_of(change(sized('nasnet_mobile')))
  words = command(found, 'fine-tune')
  assert fine_tune is None or fine_tune in words
  if evaluate == 'absent':
    assert 'evaluate' not in suggested_commands.commands(found)
  else:
    words = command(found, 'evaluate')
    averages = [word for word in words if word.startswith('--moving_average')]
    assert averages == ([] if evaluate is None else [evaluate])


def test_evaluation_is_offered_where_the_logits_have_what_they_need():
  found = found_of(without(sized('inception_v3', 1001), 'InceptionV3/Logits/Conv2d_1c'))
  assert list(suggested_commands.commands(found)) == ['fine-tune']
  for name, part in (('inception_v3', 'AuxLogits'), ('nasnet_mobile', 'aux_7')):
    found = found_of(without(sized(name, 1001), part))
    assert 'evaluate' in suggested_commands.commands(found)
    assert any('AuxLogits' in word or 'aux_7' in word
               for word in command(found, 'fine-tune')[3:4])


def test_gray_images_of_another_size_are_told_to_the_scripts():
  shapes = {**sized('cifarnet', channels=1),
            'CifarNet/fc3/weights': (16 * 16 * 64, 384)}
  found = found_of(shapes)
  assert {'--use_grayscale', '--train_image_size=64'} <= set(
      command(found, 'fine-tune'))
  assert {'--use_grayscale', '--eval_image_size=64'} <= set(command(found, 'evaluate'))
  # LeNet takes gray images anyway.
  assert '--use_grayscale' not in command(found_of(sized('lenet', channels=1)),
                                          'evaluate')


@pytest.mark.parametrize(('quantized', 'graph', 'training'), [
    (None, set(), set()),
    (quantization.Quantized(9), {'--quantize'}, {'--quantize_delay=0'}),
    (quantization.Quantized(9, True, 4, 8), None, {
        '--quantize_delay=0', '--quantize_per_channel', '--quantize_weight_bits=4'})])
def test_commands_have_the_rounding_and_the_channels(quantized, graph, training):
  found = dataclasses.replace(
      found_of(sized('lenet', channels=1)), quantized=quantized)
  if graph is None:
    assert 'write its graph' not in suggested_commands.commands(found)
  else:
    words = command(found, 'write its graph')
    assert '--use_grayscale' in words
    assert graph == {word for word in words if 'quantize' in word}
  assert training == {
      word for word in command(found, 'fine-tune') if 'quantize' in word}


def test_what_the_scripts_cannot_build_is_shown_in_python():
  video = suggested_commands.commands(found_of(sized('i3d', 400)))
  assert video == {'build it': "nets_factory.get_network_fn('i3d', 400)(images)"}
  found = found_of(sized('mobilenet_v1'))
  narrow = dataclasses.replace(found, match=dataclasses.replace(
      found.match, arguments={'depth_multiplier': 0.6}, depth_multiplier=0.6))
  assert suggested_commands.commands(narrow) == {
      'build it': "nets_factory.get_network_fn('mobilenet_v1', 5)(images,"
                  ' depth_multiplier=0.6)'}
  assert dict(described.rows(narrow))['network'] == (
      '--model_name=mobilenet_v1 with depth_multiplier 0.6: not a row of the catalog')


def test_unknown_network_shows_the_nearest_and_what_differs(tmp_path):
  shapes = sized('lenet')
  shapes['LeNet/fc3/biases'] = (1000,)
  shapes['LeNet/conv2/extra'] = (3,)
  del shapes['LeNet/conv2/biases']
  path = write(tmp_path / 'model.ckpt-7', values_for(shapes))
  done = scripts.run('inspect', checkpoint_path=path, json=True)
  assert done.returncode == 3, done.stderr
  told = json.loads(done.stdout)
  assert (told['network'], told['commands']) == (None, {})
  near = told['nearest'][0]
  assert (near['network'], near['missing'], near['other_shapes'], near['unexpected']
          ) == ('lenet', 1, 1, 1)
  assert near['scopes']['LeNet/conv2'] == {
      'missing': ['LeNet/conv2/biases'], 'unexpected': ['LeNet/conv2/extra']}
  lines = '\n'.join(described.difference_lines(inspect(path).nearest[0]))
  assert ('  LeNet/fc3: 1 other shapes, such as biases [1000] in the'
          ' checkpoint, [1024] in the network' in lines)


def test_scripts_take_the_flags_they_are_given():
  """Of every script that is named, whichever exist."""
  found = found_of(as_trained({
      **sized('cifarnet', 10, channels=1),
      'CifarNet/fc3/weights': (16 * 16 * 64, 384)}))
  renamed = found_of({f'net/{name}': shape for name, shape in sized('vgg_a').items()})
  told = {}
  for script, *words in [command(found, what)
                         for what in suggested_commands.commands(found)] + [
                             command(renamed, 'fine-tune'),
                             command(found_of(sized('vgg_a', 1000)), 'evaluate')]:
    told.setdefault(script, set()).update(
        re.match(r'--(\w+)', word)[1] for word in words if word != 'FOLDER')
  assert {'train', 'eval', 'classify', 'export'} <= set(told)
  for script, names in told.items():
    done = subprocess.run([sys.executable, '-m', 'slim_zoo', script, '--help'],
                          cwd=ROOT, text=True, capture_output=True, check=True,
                          timeout=scripts.TIMEOUT_SECS)
    known = set(re.findall(r'--(?:\[no\])?(\w+)', done.stdout))
    assert names <= known, script


def test_printed_evaluation_runs(trained_dir, digits_dir, tmp_path):
  """From the folder of a run to its accuracy, by the printed command."""
  done = scripts.run('inspect', checkpoint_path=trained_dir)
  assert done.returncode == 0, done.stderr
  assert '  network    lenet (LeCun 1998' in done.stdout
  assert '  optimizer  adam: Adam of 8 variables, Adam_1 of 8 variables' in done.stdout
  assert '  step       60' in done.stdout
  printed = done.stdout.split('evaluate:\n')[1].replace('\\\n', ' ').split('\n')[0]
  script, *words = shlex.split(printed)[1:]
  flags = dict(word.removeprefix('--').split('=', 1) for word in words)
  digits = on_digits(digits_dir)
  flags.update(dataset_name='digits', dataset_dir=digits['dataset_dir'],
               dataset_split_name='test', eval_dir=tmp_path)
  done = scripts.run(script, **flags)
  assert done.returncode == 0, done.stderr
  assert 'accuracy' in done.stdout.lower()
