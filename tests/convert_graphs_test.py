"""Frozen graphs and SavedModels become checkpoints."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest

from slim_zoo import diagnostics
from slim_zoo.catalog import networks
from slim_zoo.checkpoints import checkpoint_names, identified_network
from slim_zoo.inference import graph_editing, inference_graph
from slim_zoo.nets import nets_factory
from slim_zoo.tf_compat import slim, tf
from slim_zoo.weight_conversion import checking
from slim_zoo.weight_conversion.graphs import from_graph
from tests import frozen_graphs, scripts
from tests.conftest import ROOT
from tests.evaluated_networks import EVERY_NETWORK, on_demand

NAMED, GONE = (), (frozen_graphs.without_names,)
FOLDED, SEPARATE = (frozen_graphs.folded,), (frozen_graphs.separate,)
# Network, size of the images, changes of its graph, how it is found, whether the values
# are the same bits.
CASES = {
    'names': ('mobilenet_v1_025', 32, NAMED, 'the names of', True),
    'names below a scope': (
        'lenet', 28, (frozen_graphs.below_a_scope,), "constants below 'import/LeNet'",
        True),
    'names, separate batch norm': (
        'mobilenet_v1_025', 32, SEPARATE, 'the names of', True),
    'another head': ('lenet', 28, (frozen_graphs.with_another_head,), 'names', True),
    'no names': ('mobilenet_v1_025', 32, GONE, 'the order and shapes of', True),
    'no names, another head': (
        'cifarnet', 32, (frozen_graphs.with_another_head, *GONE), 'the order', True),
    'folded': ('mobilenet_v1_025', 32, FOLDED, 'the order and shapes of', False),
    'folded, no names': (
        'mobilenet_v3_small', 32, FOLDED + GONE, 'the order and shapes of', False),
    'separate batch norm, no names': (
        'inception_v1', 32, SEPARATE + GONE, 'the order and shapes of 58', False),
    'half precision': ('lenet', 28, (frozen_graphs.in_half_precision,), 'names', False),
    'half precision, no names': (
        'lenet', 28, (frozen_graphs.in_half_precision, *GONE), 'the order', False),
    'pixels and switches': (
        'lenet', 28, (frozen_graphs.with_pixels,), "constants below 'net/LeNet'", True)}
LARGE = {
    f'{name}, {form}': (name, size, changes, '', form != 'folded')
    for name, size in (
        ('mobilenet_v2_035', 32), ('mobilenet_v3_small', 32), ('inception_v1', 32),
        ('resnet_v1_50', 64), ('resnet_v1b_50', 64), ('resnet_v2_50', 64),
        ('se_resnext_50', 64), ('inception_v2', 64), ('inception_v3', 96),
        ('inception_v4', 96), ('inception_resnet_v2', 96), ('nasnet_cifar', 32),
        ('nasnet_mobile', 96), ('pnasnet_mobile', 96), ('mobilenet_v3_large', 64),
        ('mobilenet_edgetpu', 64), ('alexnet_v2', 224), ('vgg_a', 224))
    for form, changes in (
        ('names', NAMED), ('no names', GONE), ('folded', FOLDED + GONE))}
if EVERY_NETWORK in os.environ:
  CASES |= LARGE


def write(path, graph_def):
  path.write_bytes(graph_def.SerializeToString())
  return str(path)


@pytest.mark.parametrize('case', CASES)
def test_a_graph_becomes_the_checkpoint_that_it_was_made_of(case, tmp_path):
  name, size, changes, how, is_exact = CASES[case]
  graph_def, logits, values = frozen_graphs.make(name, 10, size, *changes)
  source, target = write(tmp_path / 'graph.pb', graph_def), str(tmp_path / 'net.ckpt')
  lines = from_graph.convert(source, target, is_saved_model=False)
  assert f'{name}, 10 classes, images of {size} x {size}' in lines[0]
  assert how in lines[0]
  text = '\n'.join(lines)
  assert 'largest difference of logits' in text
  assert ('ignored' in text) == (frozen_graphs.with_another_head in changes)
  assert ('set for inference: is_training to False, keep_prob to 1.0' in text) == (
      frozen_graphs.with_pixels in changes)

  written = tf.train.load_checkpoint(target)
  assert set(written.get_variable_to_shape_map()) == set(values)
  if is_exact:
    for key, value in values.items():
      np.testing.assert_array_equal(written.get_tensor(key), value, key)
  assert ('to -1 and white pixels to 1, as inception preprocessing does' in text) == (
      frozen_graphs.with_pixels in changes)
  network = identified_network.find(target)
  assert network.preprocessing_name == (
      'inception' if frozen_graphs.with_pixels in changes else
      networks.NETWORKS[name].preprocessing)
  assert (network.model_name, network.num_classes, network.image_size) == (
      name, 10, size)
  _check_logits(network, graph_def, logits)


def _check_logits(network, graph_def, logits):
  """Compares a checkpoint with the graph, fed where its images come in."""
  images = checking.images(network.image_size, network.channels, reads_bytes=False)
  with tf.Graph().as_default(), tf.Session() as session:
    tf.import_graph_def(graph_def, name='')
    (placeholder,) = (
        operation.outputs[0] for operation in session.graph.get_operations()
        if operation.type == 'Placeholder' and operation.outputs[0].shape.rank == 4
        and operation.outputs[0].consumers())
    if placeholder.dtype == tf.uint8:
      pixels = np.round(images * 127.5 + 127.5).astype(np.uint8)
      images = ((pixels - 127.5) / 127.5).astype(np.float32)
    else:
      pixels = images
    expected = session.run(f'{logits}:0', {placeholder: pixels}).reshape(4, -1)
  graph = inference_graph.of_network(network)
  with graph.session() as session:
    actual = session.run(graph.logits, {graph.images: images})
  np.testing.assert_allclose(actual, expected, atol=1e-4 * np.ptp(expected))


def test_a_graph_in_half_precision(tmp_path):
  graph_def, _, values = frozen_graphs.make(
      'lenet', 10, 28, frozen_graphs.all_in_half_precision)
  lines = from_graph.convert(
      write(tmp_path / 'graph.pb', graph_def), str(tmp_path / 'net.ckpt'), False)
  assert 'values in float16 become float32' in lines
  written = tf.train.load_checkpoint(str(tmp_path / 'net.ckpt'))
  for name, value in values.items():
    np.testing.assert_array_equal(
        written.get_tensor(name), value.astype(np.float16).astype(np.float32), name)


def test_a_graph_of_2015(tmp_path):
  name = 'mobilenet_v1_025'
  graph_def, _, values = frozen_graphs.make(name, 10, 32, frozen_graphs.of_2015)
  lines = from_graph.convert(
      write(tmp_path / 'graph.pb', graph_def), str(tmp_path / 'net.ckpt'), False)
  assert lines[0].endswith(f"of {len(values)} constants below 'net/MobilenetV1'")
  assert any('white pixels to 0.9922, as inception preprocessing does' in line
             for line in lines), lines
  written = tf.train.load_checkpoint(str(tmp_path / 'net.ckpt'))
  for key, value in values.items():
    np.testing.assert_array_equal(written.get_tensor(key), value, key)


@on_demand
def test_the_published_network_of_2015_differs_in_a_pool(tmp_path):
  graph_def, *_ = frozen_graphs.make(
      'inception_v3', 1008, 299, frozen_graphs.with_a_maximum_pool,
      frozen_graphs.of_2015, frozen_graphs.without_names)
  with pytest.raises(diagnostics.UserError) as raised:
    from_graph.convert(
        write(tmp_path / 'graph.pb', graph_def), str(tmp_path / 'net.ckpt'), False)
  assert re.search('has the layers of inception_v3, but computes other logits: .*'
                   "'node_.*' is a maximum pool, in the network it is an average pool",
                   str(raised.value))


def test_a_text_is_a_graph_too(tmp_path):
  graph_def, _, values = frozen_graphs.make('lenet', 10, 28)
  tf.io.write_graph(graph_def, str(tmp_path), 'graph.pbtxt', as_text=True)
  from_graph.convert(str(tmp_path / 'graph.pbtxt'), str(tmp_path / 'net.ckpt'), False)
  written = tf.train.load_checkpoint(str(tmp_path / 'net.ckpt'))
  np.testing.assert_array_equal(
      written.get_tensor('LeNet/fc4/weights'), values['LeNet/fc4/weights'])


TENSORFLOW_2 = '''
import sys
import numpy as np
import tensorflow as tf

class Net(tf.Module):
  def __init__(self, values):
    self.weights = {key: tf.Variable(value) for key, value in values.items()}
    self.steps = tf.Variable(0)

  def layer(self, name):
    return self.weights[name + '_weights'], self.weights[name + '_biases']

  @tf.function
  def dense(self, features, name):
    weights, biases = self.layer(name)
    return tf.matmul(features, weights) + biases

  @tf.function(input_signature=[tf.TensorSpec([None, 28, 28, 1])])
  def serve(self, images):
    features = images
    for name in ('conv1', 'conv2'):
      weights, biases = self.layer(name)
      features = tf.nn.relu(tf.nn.conv2d(features, weights, 1, 'SAME') + biases)
      features = tf.nn.max_pool2d(features, 2, 2, 'VALID')
    features = tf.reshape(features, [tf.shape(features)[0], -1])
    features = tf.nn.relu(self.dense(features, 'fc3'))
    return {'probabilities': tf.nn.softmax(self.dense(features, 'fc4'))}

net = Net(dict(np.load(sys.argv[1])))
tf.saved_model.save(net, sys.argv[2], signatures=net.serve)
tf.saved_model.save(tf.train.Checkpoint(**net.weights), sys.argv[2] + '_unsigned')
'''


def saved_model_of_tensorflow_1(folder, values):
  graph_def, logits, _ = frozen_graphs.make('lenet', 10, 28)
  with tf.Graph().as_default(), tf.Session() as session:
    variables = {name: tf.get_variable(name, initializer=value, use_resource=False)
                 for name, value in values.items()}
    session.run(tf.global_variables_initializer())
    kept = tf.GraphDef()
    kept.node.extend(node for node in graph_def.node if node.name not in values)
    graph_editing.drop_places(kept)
    images = tf.placeholder(tf.float32, [None, 28, 28, 1])
    (outputs,) = tf.import_graph_def(
        kept, {**{name: one.value() for name, one in variables.items()},
               'input': images}, [f'{logits}:0'], name='model')
    tf.saved_model.simple_save(
        session, str(folder), {'images': images}, {'logits': outputs})


def saved_model_of_tensorflow_2(folder, values):
  arrays = folder.with_name('values.npz')
  np.savez(arrays, **{name.removeprefix('LeNet/').replace('/', '_'): value
                      for name, value in values.items()})
  program = folder.with_name('program.py')
  program.write_text(TENSORFLOW_2)
  subprocess.run([sys.executable, program, arrays, folder], check=True, cwd=ROOT,
                 capture_output=True)


@pytest.mark.parametrize('named', ['folder', 'file'])
@pytest.mark.parametrize('write_model', [
    saved_model_of_tensorflow_1, saved_model_of_tensorflow_2])
def test_a_saved_model_becomes_a_checkpoint(write_model, named, tmp_path):
  _, _, values = frozen_graphs.make('lenet', 10, 28)
  write_model(tmp_path / 'saved', values)
  source = tmp_path / 'saved' / ('' if named == 'folder' else 'saved_model.pb')
  from_graph.convert(str(source), str(tmp_path / 'net.ckpt'), is_saved_model=True)
  written = tf.train.load_checkpoint(str(tmp_path / 'net.ckpt'))
  for name, value in values.items():
    np.testing.assert_array_equal(written.get_tensor(name), value)
  if os.path.exists(tmp_path / 'saved_unsigned'):
    with pytest.raises(diagnostics.UserError, match='has no signature'):
      from_graph.convert(str(tmp_path / 'saved_unsigned'), str(tmp_path / 'other.ckpt'),
                         is_saved_model=True)


def test_a_copy_for_pixels_shows_the_preprocessing(tmp_path):
  """In a SavedModel whose first signature reads files."""
  graph_def, logits, _ = frozen_graphs.make('lenet', 10, 28)
  shared = [node.name for node in graph_def.node if node.name.endswith('/read')]
  with tf.Graph().as_default() as graph:
    files, pixels = tf.placeholder(tf.string, []), tf.placeholder(
        tf.float32, [None, 28, 28, 1])
    weights = dict(zip(shared, tf.import_graph_def(
        graph_def, return_elements=[f'{name}:0' for name in shared], name='weights'),
                       strict=True))
    for images in (tf.cast(tf.image.decode_jpeg(files, 1), tf.float32)[tf.newaxis],
                   tf.image.per_image_standardization(pixels)):
      tf.import_graph_def(graph_def, {'input': images, **weights}, [f'{logits}:0'])
  lines = from_graph.convert(
      write(tmp_path / 'graph.pb', graph.as_graph_def()), str(tmp_path / 'net.ckpt'),
      is_saved_model=False)
  assert any('as cifarnet preprocessing does' in line for line in lines), lines
  assert identified_network.find(
      str(tmp_path / 'net.ckpt')).preprocessing_name == 'cifarnet'


def unknown_network():
  with tf.Graph().as_default() as graph:
    images = tf.placeholder(tf.float32, [None, 28, 28, 1])
    tf.nn.conv2d(images, tf.constant(np.ones([3, 3, 1, 5], np.float32)), 1, 'SAME')
  return graph.as_graph_def().SerializeToString()


def not_frozen():
  with tf.Graph().as_default() as graph:
    tf.get_variable('LeNet/conv1/weights', [5, 5, 1, 32])
  return graph.as_graph_def().SerializeToString()


def no_layers():
  with tf.Graph().as_default() as graph:
    tf.identity(tf.placeholder(tf.float32, [3]))
  return graph.as_graph_def().SerializeToString()


def other_pools():
  """A network of average pools where the layers are those of lenet."""
  graph_def, _, _ = frozen_graphs.make('lenet', 10, 28)
  for node in graph_def.node:
    if node.op == 'MaxPool':
      node.op = 'AvgPool'
  return graph_def.SerializeToString()


def changed():
  """A network whose features are negated on the way: its names say nothing of it."""
  graph_def, _, _ = frozen_graphs.make('lenet', 10, 28)
  for node in graph_def.node:
    if node.op == 'Relu':
      node.op = 'Neg'
  return graph_def.SerializeToString()


WHOLE = frozen_graphs.make('lenet', 10, 28)[0].SerializeToString


@pytest.mark.parametrize(('content', 'model_name', 'message'), [
    (lambda: WHOLE()[:100_000], None, 'is damaged'),
    (lambda: b'node { name: "a"', None, 'is damaged'),
    (unknown_network, None, 'unknown network'),
    (WHOLE, 'cifarnet', 'is not a graph of cifarnet: the nearest network is lenet'),
    (not_frozen, None, r'is not frozen: it has 1 variables .*LeNet/conv1/weights'),
    (no_layers, None, 'no layers with constant weights'),
    (other_pools, None, "logits: .*'LeNet/pool2/MaxPool' is an average pool, in the"
                        ' network it is a maximum pool'),
    (changed, None, 'has the layers of lenet, but computes other logits')])
def test_what_cannot_be_converted_leaves_nothing(
    content, model_name, message, tmp_path):
  source = tmp_path / 'graph.pb'
  source.write_bytes(content())
  with pytest.raises(diagnostics.UserError, match=message) as raised:
    from_graph.convert(
        str(source), str(tmp_path / 'net.ckpt'), False, model_name)
  assert '\n' not in str(raised.value)
  assert list(tmp_path.iterdir()) == [source]


def test_the_command_that_a_graph_is_answered_with_converts_it(tmp_path):
  path = tmp_path / 'graph.ckpt'
  write(path, frozen_graphs.make('lenet', 10, 28)[0])
  with pytest.raises(diagnostics.UserError) as raised:
    checkpoint_names.check_there(str(path))
  command = str(raised.value).partition('slim-zoo ')[2].partition(' makes')[0].split()
  flags = dict(word.removeprefix('--').split('=') for word in command[1:])
  assert flags['target'] == f'{tmp_path}/graph.converted.ckpt'
  done = scripts.run(command[0], **flags)
  assert done.returncode == 0, done.stderr
  assert 'lenet, 10 classes' in done.stdout
  for given, words in (
      ({'num_classes': 3}, '--num_classes has no effect on --from=graph_def'),
      ({'from': 'saved_model'}, 'is a frozen graph: set --from=graph_def'),
      ({'target': 'net.pth'}, 'give a checkpoint as --target'),
      ({'target': flags['target']}, 'exists already'),
      ({'target': path / 'net.ckpt'}, 'cannot write to the folder')):
    scripts.answer(scripts.run(command[0], **{**flags, **given}), words, code=1)


def test_other_files_are_no_graphs(tmp_path):
  (tmp_path / 'empty.pb').touch()
  for source, words in (
      ('empty.pb', 'it is an empty file'), ('absent.pb', 'it is not there'),
      ('.', 'it is a folder without one')):
    scripts.answer(scripts.run(
        'convert-weights', framework='graph_def', source=tmp_path / source,
        target=tmp_path / 'net.ckpt'), words, code=1)


def test_an_image_size_that_the_graph_does_not_take(tmp_path):
  graph_def, _, _ = frozen_graphs.make('mobilenet_v1_025', 10, 224)
  with tf.Graph().as_default() as graph:
    images = tf.placeholder(tf.float32, name='any_shape')
    tf.import_graph_def(graph_def, {'input': images})
  source, target = write(tmp_path / 'graph.pb', graph.as_graph_def()), str(
      tmp_path / 'net.ckpt')
  with pytest.raises(diagnostics.UserError, match='does not run on images of 96 x 96'):
    from_graph.convert(source, target, False, image_size=96)
  assert '224 x 224 x 3' in from_graph.convert(source, target, False)[0]


def test_a_graph_with_a_switch_for_training(tmp_path):
  """As the network was built with a placeholder for is_training."""
  name = 'mobilenet_v1_025'
  with tf.Graph().as_default() as graph, tf.Session() as session:
    images = tf.placeholder(tf.float32, [None, 32, 32, 3])
    training = tf.placeholder_with_default(True, [], 'training')
    with slim.arg_scope(nets_factory.arg_scopes_map[name]()), slim.arg_scope(
        [slim.batch_norm, slim.dropout], is_training=training):
      logits, _ = nets_factory.networks_map[name](
          images, num_classes=10, is_training=training)
    session.run(tf.global_variables_initializer())
    graph_def = tf.graph_util.convert_variables_to_constants(
        session, graph.as_graph_def(), [logits.op.name])
  lines = from_graph.convert(
      write(tmp_path / 'graph.pb', graph_def), str(tmp_path / 'net.ckpt'), False)
  assert f'{name}, 10 classes' in lines[0]
  assert 'set for inference: training to False' in lines


def test_images_that_are_not_square_are_told(tmp_path):
  with tf.Graph().as_default() as graph, tf.Session() as session:
    images = tf.placeholder(tf.float32, [None, 32, 64, 3], 'input')
    logits, _ = nets_factory.get_network_fn('mobilenet_v1_025', 10)(images)
    session.run(tf.global_variables_initializer())
    graph_def = tf.graph_util.convert_variables_to_constants(
        session, graph.as_graph_def(), [logits.op.name])
  lines = from_graph.convert(write(tmp_path / 'graph.pb', graph_def),
                             str(tmp_path / 'net.ckpt'), is_saved_model=False)
  assert 'images of 32 x 64 x 3' in lines[0]
  assert any('warning: later commands give the network images of 32 x 32' in line
             for line in lines)


def test_an_image_size_that_is_not_the_graph_s_is_refused(tmp_path):
  graph_def, _, _ = frozen_graphs.make('lenet', 10, 28)
  with tf.Graph().as_default() as graph:
    images = tf.placeholder(tf.float32, [1, 28, 28, 1], 'images')
    tf.import_graph_def(graph_def, {images_of(graph_def): images}, name='')
  source = write(tmp_path / 'graph.pb', graph.as_graph_def())
  with pytest.raises(diagnostics.UserError,
                     match='--image_size=32: the graph accepts images of 28 x 28 only'):
    from_graph.convert(source, str(tmp_path / 'net.ckpt'), False, image_size=32)
  assert os.listdir(tmp_path) == ['graph.pb']


def images_of(graph_def):
  (name,) = (node.name for node in graph_def.node if node.op == 'Placeholder')
  return name


@pytest.mark.parametrize(('flags', 'words'), [
    ({'target': '/proc/a.ckpt'}, "cannot write to the folder '/proc'"),
    ({'framework': 'tflite'}, 'is a frozen graph: set --from=graph_def'),
    ({'framework': 'keras'}, 'is a frozen graph: set --from=graph_def'),
    ({'source': 'random'}, 'of unknown kind')])
def test_flags_that_do_not_fit_are_one_line(flags, words, tmp_path):
  write(tmp_path / 'graph.pb', frozen_graphs.make('lenet', 10, 28)[0])
  (tmp_path / 'random').write_bytes(np.random.default_rng(0).bytes(5000))
  given = {'source': 'graph.pb', 'target': 'net.ckpt', **flags}
  given |= {name: tmp_path / given[name] for name in ('source', 'target')}
  scripts.answer(scripts.run('convert-weights', **given), words, code=1)
  assert sorted(os.listdir(tmp_path)) == ['graph.pb', 'random']
