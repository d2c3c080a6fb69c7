"""What fine-tuning says before its first step, and what it then restores."""

import json
import re
import types

import numpy as np
import pytest

from slim_zoo import diagnostics
from slim_zoo.catalog import networks
from slim_zoo.catalog import variables as catalog_variables
from slim_zoo.checkpoints import heads, preflight, renaming, restore
from slim_zoo.nets import nets_factory
from slim_zoo.tf_compat import tf
from slim_zoo.training import starting_point
from tests import checkpoint_files
from tests.conftest import ROOT

AVERAGE = '/ExponentialMovingAverage'


def build(model_name='lenet', num_classes=10, image_size=None):
  """Builds a network for training in the default graph; returns it for restoring."""
  network_fn = nets_factory.get_network_fn(model_name, num_classes, is_training=True)
  row = networks.get_network(model_name)
  size = image_size or network_fn.default_image_size
  network_fn(tf.placeholder(tf.float32, [2, size, size, row.channels]))
  return starting_point.network_of(
      model_name, heads.Head(row.head_scopes, num_classes))


def lenet_values(num_classes=10, image_size=28, seed=0, scope='LeNet'):
  """Returns random values for the variables of LeNet, by name."""
  random = np.random.default_rng(seed)
  shapes = {'conv1': (5, 5, 1, 32), 'conv2': (5, 5, 32, 64),
            'fc3': ((image_size // 4) ** 2 * 64, 1024), 'fc4': (1024, num_classes)}
  values = {}
  for layer, shape in shapes.items():
    values[f'{scope}/{layer}/weights'] = random.random(shape, np.float32)
    values[f'{scope}/{layer}/biases'] = random.random(shape[-1:], np.float32)
  return values


def contract_shapes(name):
  """Returns the shapes of a network's variables, for 1001 classes."""
  path = ROOT / 'tests' / 'data' / 'contracts' / 'nets' / f'{name}.json'
  return {variable: shape for variable, shape, _ in json.loads(
      path.read_text())['variables']}


def listing(shapes):
  """Returns the listing of a checkpoint that is not written."""
  return restore.Listing(
      'a.ckpt', {name: list(shape) for name, shape in shapes.items()},
      {name: name for name in shapes})


def refusal(network, shapes, ignore_missing_vars=False):
  """Returns the error of a checkpoint that does not fit."""
  plan = restore.plan_restore(listing(shapes), network.variables)
  with pytest.raises(diagnostics.UserError) as caught:
    preflight.check(plan, network, ignore_missing_vars)
  assert '\n' not in str(caught.value)
  return str(caught.value)


def fine_tune(prefix, network, **how):
  """Prepares a run from a checkpoint; returns its lines and the values after."""
  lines, init_fn = starting_point.StartingPoint(restored=str(prefix)).prepare(
      network, starting_point.FineTuning(**how))
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    before = session.run({v.op.name: v for v in tf.global_variables()})
    init_fn(session)
    after = session.run({v.op.name: v for v in tf.global_variables()})
  return lines, before, after


def row(lines, what):
  """Returns the count and the names of a row of the table."""
  line, = [line for line in lines if line.strip().startswith(what)]
  count, names = re.match(rf'  {what} +([\d,]+) *(.*)', line).groups()
  return int(count.replace(',', '')), names


# --- The table.

def test_the_table_says_what_becomes_of_every_variable(tmp_path):
  values = lenet_values(num_classes=7)
  values.pop('LeNet/conv2/biases')
  values |= {'LeNet/conv1/weights/Adam': values['LeNet/conv1/weights'],
             'LeNet/extra/weights': np.float32([1]), 'global_step': np.int64(1234)}
  prefix = checkpoint_files.write(tmp_path / 'a.ckpt', values)
  network = build()
  lines, _, _ = fine_tune(prefix, network, exclude_scopes=['LeNet/conv1'],
                          ignore_missing_vars=True)
  assert lines[0] == f'from {prefix}, step 1,234:'
  assert row(lines, 'restored') == (
      3, 'LeNet/conv2/weights, LeNet/fc3/weights, LeNet/fc3/biases')
  assert row(lines, 'excluded') == (2, 'LeNet/conv1/weights, LeNet/conv1/biases')
  assert row(lines, 'missing in the checkpoint') == (1, 'LeNet/conv2/biases')
  count, names = row(lines, 'shape differs')
  assert count == 2
  assert ('LeNet/fc4/weights [1024, 7] in the checkpoint, [1024, 10] in the network'
          in names)
  assert row(lines, 'unused in the checkpoint') == (1, 'LeNet/extra/weights')
  assert any(line.startswith('WARNING: --ignore_missing_vars initializes 3')
             for line in lines)


def test_many_names_are_counted_by_scope():
  names = [f'Net/block_{block}/conv_{layer}/weights'
           for block in range(4) for layer in range(5)]
  assert preflight.summary(names) == (
      'Net/block_0 (5), Net/block_1 (5), Net/block_2 (5), Net/block_3 (5)')
  assert preflight.summary(names[:2]) == ', '.join(names[:2])
  assert preflight.summary([f'top_{number}/w' for number in range(9)]).endswith(
      'top_5 (1), and 3 more')


def test_a_refusal_shows_the_table_first(tmp_path, capfd):
  prefix = checkpoint_files.write(tmp_path / 'a.ckpt', lenet_values(num_classes=7))
  with pytest.raises(diagnostics.UserError):
    fine_tune(prefix, build())
  assert row(capfd.readouterr().out.splitlines(), 'shape differs')[0] == 2


# --- The causes of what does not fit.

def test_another_class_count_is_named_with_both_numbers():
  text = refusal(build(num_classes=5), contract_shapes('lenet'))
  assert 'the checkpoint has 1,001 classes, the data set 5' in text
  assert '--checkpoint_exclude_scopes=auto initializes the head LeNet/fc4' in text
  assert '--labels_offset' not in text


def test_one_class_more_may_be_the_background():
  text = refusal(build(num_classes=11), {
      name: value.shape for name, value in lenet_values(10).items()})
  assert '--labels_offset=1 leaves out the background class' in text


def test_both_heads_of_inception_are_named():
  network = build('inception_v3', 5)
  shapes = contract_shapes('inception_v3')
  assert ('1,001 classes, the data set 5: --checkpoint_exclude_scopes=auto initializes'
          ' the head InceptionV3/Logits, InceptionV3/AuxLogits') in refusal(
              network, shapes)
  assert network.head.scopes_to_exclude(network.variables, shapes) == [
      'InceptionV3/Logits', 'InceptionV3/AuxLogits']
  # Without an auxiliary head, and of as many classes.
  alone = {name: [*shape[:-1], 5] if shape[-1] == 1001 else shape
           for name, shape in shapes.items() if 'AuxLogits' not in name}
  assert 'it has no InceptionV3/AuxLogits' in refusal(network, alone)
  assert network.head.scopes_to_exclude(network.variables, alone) == [
      'InceptionV3/AuxLogits']
  with pytest.raises(diagnostics.UserError, match=re.escape(
      "scope 'InceptionV3/Logitts' matches no variable of the network; did you mean"
      " 'InceptionV3/Logits'?")):
    restore.plan_restore(listing(shapes), network.variables, ['InceptionV3/Logitts'])


def test_another_width_names_the_network_that_has_it():
  network = build('mobilenet_v2', 5)
  text = refusal(network, contract_shapes('mobilenet_v2_140'))
  assert 'width 1.4: use --model_name=mobilenet_v2_140' in text


def test_another_image_size_is_named():
  text = refusal(build(image_size=32), {
      name: value.shape for name, value in lenet_values(image_size=28).items()})
  assert ('LeNet/fc3/weights has another shape, [3136, 1024] in the'
          ' checkpoint and [4096, 1024] in the network') in text
  assert 'images of 28 x 28' in text
  assert '--train_image_size=28' in text


def test_another_network_is_named():
  network = build('cifarnet')
  text = refusal(network, contract_shapes('lenet'))
  assert 'a checkpoint of another network' in text
  assert 'use --model_name=lenet' in text
  # Not even --ignore_missing_vars takes a checkpoint for nothing.
  assert text == refusal(network, contract_shapes('lenet'), ignore_missing_vars=True)


def test_another_scope_on_top_is_found():
  shapes = {f'module/{name}': shape for name, shape in contract_shapes('lenet').items()}
  assert '--checkpoint_rename=module/LeNet=LeNet' in refusal(build(), shapes)


@pytest.mark.parametrize(('ending', 'words'), [
    (AVERAGE, f'--checkpoint_rename={AVERAGE}='),
    ('/.ATTRIBUTES/VARIABLE_VALUE', 'Keras'),
])
def test_other_endings_are_found(ending, words):
  shapes = {name + ending: shape for name, shape in contract_shapes('lenet').items()}
  assert words in refusal(build(num_classes=1001), shapes)


def test_missing_layers_without_a_known_cause_are_listed():
  shapes = {name: value.shape for name, value in lenet_values().items()
            if 'conv' not in name}
  text = refusal(build(), shapes)
  assert 'lacks 4 variables' in text
  assert 'LeNet/conv1/weights' in text
  assert '--ignore_missing_vars' in text


def test_what_the_checkpoint_has_more_is_no_fault(tmp_path):
  values = lenet_values() | {'other/w': np.float32([1])}
  lines, _, _ = fine_tune(
      checkpoint_files.write(tmp_path / 'a.ckpt', values), build())
  assert row(lines, 'unused in the checkpoint') == (1, 'other/w')


def test_excluding_everything_is_refused(tmp_path):
  prefix = checkpoint_files.write(tmp_path / 'a.ckpt', lenet_values())
  with pytest.raises(diagnostics.UserError, match='leaves nothing'):
    fine_tune(prefix, build(), exclude_scopes=['LeNet'])


@pytest.mark.parametrize('num_classes', [5, 128, 768, 1001])
def test_the_layers_of_the_classes_are_known_in_every_network(num_classes):
  """Also where a layer of an auxiliary head happens to be as wide."""
  sizes = {'classes': num_classes, 'channels': 3}
  stored = catalog_variables.load()
  assert set(stored) == set(networks.NETWORKS)
  for name, known in stored.items():
    variables = [types.SimpleNamespace(
        op=types.SimpleNamespace(name=variable), shape=tf.TensorShape(
            [sizes.get(size, size if isinstance(size, int) else 24) for size in shape]))
                 for variable, shape in known.shapes.items()]
    head = heads.Head(networks.NETWORKS[name].head_scopes, num_classes)
    of_classes = {variable for variable, shape in known.shapes.items()
                  if 'classes' in shape}
    assert set(head.class_variables(variables)) == of_classes, name
    shapes = {variable: [1000 if size == 'classes' else size for size in shape]
              for variable, shape in known.shapes.items()}
    assert head.class_count(variables, shapes) == 1000, name
    assert head.scopes_to_exclude(variables, shapes) == list(head.scopes), name


# --- What is restored.

def test_auto_excludes_the_head_when_the_classes_differ_and_only_then(tmp_path):
  values = lenet_values(num_classes=7)
  prefix = checkpoint_files.write(tmp_path / 'a.ckpt', values)
  lines, before, after = fine_tune(prefix, build(num_classes=4),
                                   exclude_scopes=['auto'])
  assert row(lines, 'excluded') == (2, 'LeNet/fc4/weights, LeNet/fc4/biases')
  assert lines[-1] == ('the checkpoint has 7 classes, the data set 4: the head'
                       ' LeNet/fc4 is initialized')
  for name, value in after.items():
    same_as = before if name.startswith('LeNet/fc4') else values
    np.testing.assert_array_equal(value, same_as[name])

  tf.reset_default_graph()
  lines, _, after = fine_tune(prefix, build(num_classes=7), exclude_scopes=['auto'])
  assert row(lines, 'excluded')[0] == 0
  np.testing.assert_array_equal(after['LeNet/fc4/weights'], values['LeNet/fc4/weights'])


def test_renamed_averages_are_restored_in_place_of_the_weights(tmp_path):
  weights, averages = lenet_values(scope='module/net'), lenet_values(seed=1)
  values = dict(weights)
  for name, value in averages.items():
    values[name.replace('LeNet', 'module/net') + AVERAGE] = value
  prefix = checkpoint_files.write(tmp_path / 'a.ckpt', values)
  lines, _, after = fine_tune(
      prefix, build(), rename=renaming.parse(['module/net=LeNet', f'{AVERAGE}=']))
  assert row(lines, 'restored')[0] == 8
  assert row(lines, 'unused in the checkpoint')[0] == 0
  for name, value in averages.items():
    np.testing.assert_array_equal(after[name], value)

  tf.reset_default_graph()
  lines, _, after = fine_tune(
      prefix, build(), rename=renaming.parse(['module/net=LeNet']))
  assert 'also has moving averages of 8 of these' in lines[-1]
  np.testing.assert_array_equal(
      after['LeNet/fc3/biases'], weights['module/net/fc3/biases'])


def test_moving_averages_of_the_run_begin_with_the_restored_weights(tmp_path):
  values = lenet_values(num_classes=7)
  prefix = checkpoint_files.write(tmp_path / 'a.ckpt', values)
  network = build(num_classes=4)
  tf.train.ExponentialMovingAverage(0.99).apply(network.variables)
  _, before, after = fine_tune(prefix, network, exclude_scopes=['auto'])
  for variable in network.variables:
    name = variable.op.name
    np.testing.assert_array_equal(after[name + AVERAGE], after[name])
  assert (before['LeNet/fc3/weights' + AVERAGE]
          != after['LeNet/fc3/weights' + AVERAGE]).any()


def test_classes_of_the_same_name_keep_their_weights(tmp_path):
  values = lenet_values(num_classes=4)
  prefix = checkpoint_files.write(tmp_path / 'a.ckpt', values)
  old = {0: 'background', 1: 'tulip', 2: 'Sea rose', 3: 'oak', 4: 'twin'}
  new = {0: 'sea_rose', 1: 'new', 2: 'tulip', 3: 'twin', 4: 'twin'}
  lines, before, after = fine_tune(prefix, build(num_classes=5),
                                   old_class_names=old, new_class_names=new)
  assert row(lines, 'restored class by class')[0] == 2
  assert row(lines, 'shape differs')[0] == 0
  assert lines[-1].startswith('2 of 5 classes keep the weights')
  for name in ('LeNet/fc4/weights', 'LeNet/fc4/biases'):
    # The four classes of the checkpoint are the labels 1 to 4.
    np.testing.assert_array_equal(after[name][..., 2], values[name][..., 0])
    np.testing.assert_array_equal(after[name][..., 0], values[name][..., 1])
    for anew in (1, 3, 4):
      np.testing.assert_array_equal(after[name][..., anew], before[name][..., anew])
  np.testing.assert_array_equal(after['LeNet/fc3/weights'], values['LeNet/fc3/weights'])


def test_as_many_classes_in_another_order_are_put_in_order(tmp_path):
  values = lenet_values(num_classes=3)
  prefix = checkpoint_files.write(tmp_path / 'a.ckpt', values)
  _, _, after = fine_tune(
      prefix, build(num_classes=3), exclude_scopes=['auto'],
      old_class_names={0: 'a', 1: 'b', 2: 'c'},
      new_class_names={0: 'c', 1: 'a', 2: 'b'})
  np.testing.assert_array_equal(
      after['LeNet/fc4/weights'], values['LeNet/fc4/weights'][:, [2, 0, 1]])


@pytest.mark.parametrize(('old', 'scopes', 'words'), [
    ({0: 'x', 1: 'y'}, [],
     "no class of the data set has .*'a' in the data set, 'x' in the checkpoint"),
    ({0: 'a', 8: 'b'}, [], 'its labels end at 8.* 4 classes'),
    ({}, [], 'its labels end at -1'),
    ({0: 'a'}, ['LeNet/fc4'], 'no weights of classes are restored'),
])
def test_classes_that_cannot_be_transferred(tmp_path, old, scopes, words):
  prefix = checkpoint_files.write(tmp_path / 'a.ckpt', lenet_values(num_classes=4))
  with pytest.raises(diagnostics.UserError, match=words):
    fine_tune(prefix, build(num_classes=3), exclude_scopes=scopes,
              old_class_names=old, new_class_names={0: 'a', 1: 'b', 2: 'c'})


def test_values_of_another_type_are_refused(tmp_path):
  values = lenet_values() | {'LeNet/conv1/biases': np.zeros(32, np.float64)}
  prefix = checkpoint_files.write(tmp_path / 'a.ckpt', values)
  with pytest.raises(diagnostics.UserError,
                     match="'LeNet/conv1/biases' as float64, the network as float32"):
    fine_tune(prefix, build())


def test_a_checkpoint_of_the_first_format_is_one_file(tmp_path):
  """Most of the published ones are."""
  values = lenet_values()
  prefix = checkpoint_files.write(
      tmp_path / 'lenet.ckpt', values, tf.train.SaverDef.V1)
  assert (tmp_path / 'lenet.ckpt').is_file()
  restore.verify(restore.find(prefix))
  _, _, after = fine_tune(prefix, build())
  for name, value in values.items():
    np.testing.assert_array_equal(after[name], value)


# --- Where a run begins.

@pytest.fixture(scope='module')
def folders(tmp_path_factory):
  """Returns an empty folder, the folder of a run, and a checkpoint."""
  empty, run = tmp_path_factory.mktemp('empty'), tmp_path_factory.mktemp('run')
  checkpoint_files.write_run(run, [3])
  other = checkpoint_files.write(
      tmp_path_factory.mktemp('other') / 'a.ckpt', {'w': np.float32([1])})
  return {'empty': str(empty), 'run': str(run)}, other


@pytest.mark.parametrize(('init', 'folder', 'given', 'expected'), [
    ('auto', 'empty', False, 'random'), ('auto', 'empty', True, 'restored'),
    ('auto', 'run', False, 'resumed'), ('auto', 'run', True, 'resumed'),
    ('resume', 'run', True, 'resumed'), ('resume', 'empty', True, 'holds no run'),
    ('finetune', 'empty', True, 'restored'),
    ('finetune', 'run', True, 'already holds a run (model.ckpt-3)'),
    ('scratch', 'empty', False, 'random'),
    ('scratch', 'run', False, 'already holds a run (model.ckpt-3)'),
])
def test_init_says_where_the_weights_come_from(folders, init, folder, given, expected):
  train_dirs, other = folders
  arguments = train_dirs[folder], other if given else None, init
  if 'hold' in expected:
    with pytest.raises(diagnostics.UserError, match=re.escape(expected)):
      starting_point.find(*arguments)
    # The workers find the run that their chief has begun.
    starting_point.find(*arguments, is_chief=False)
    return
  start = starting_point.find(*arguments)
  assert (start.resumed is not None) == (expected == 'resumed')
  assert (start.restored is not None) == (expected == 'restored')
  assert start.step == (3 if expected == 'resumed' else 0)
  assert start.not_used == (other if expected == 'resumed' and given else None)
