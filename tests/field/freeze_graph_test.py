"""TensorFlow's freeze_graph on what export_inference_graph.py writes."""

import os

import numpy as np
import pytest
from tensorflow.python.tools import freeze_graph

from slim_zoo.catalog import variables
from slim_zoo.inference import inference_graph, network_graph
from slim_zoo.tf_compat import tf
from tests import checkpoint_files, random_weights

CLASSES = 5
# Networks of every kind of layer with variables, the number of channels here, and a
# small size that they take.
FAMILIES = [
    ('lenet', 1, 28), ('lenet', 3, 28), ('cifarnet', 3, 32),
    ('mobilenet_v1_025', 1, 96), ('resnet_v2_50', 1, 64)]
if os.environ.get('EVERY_NETWORK'):  # One of each module.
  FAMILIES += [
      ('mobilenet_v2_035', 3, 64), ('mobilenet_v3_small', 1, 64),
      ('inception_v1', 3, 224), ('se_resnext_50', 3, 64), ('pnasnet_mobile', 3, 64),
      ('mobilenet_edgetpu_075', 3, 64), ('inception_v2', 1, 224),
      ('inception_v3', 3, 299), ('inception_v4', 3, 299),
      ('inception_resnet_v2', 3, 299), ('se_inception_v4', 3, 299),
      ('resnet_v1_50', 3, 64), ('nasnet_cifar', 3, 32), ('alexnet_v2', 3, 224),
      ('overfeat', 3, 231), ('vgg_a', 3, 224)]


def write_checkpoint(folder, name, channels, version=tf.train.SaverDef.V2):
  """Writes a checkpoint such as training leaves, with averages and slots."""
  sizes = {variables.CLASSES: CLASSES, variables.CHANNELS: channels}
  shapes = {
      variable: [sizes.get(size) or (
          int(size.split('*')[0]) * channels if isinstance(size, str) else size)
                 for size in shape]
      for variable, shape in variables.load()[name].shapes.items()}
  values = random_weights.values(shapes)
  first = next(iter(values))
  values[f'{first}/ExponentialMovingAverage'] = values[first] * 3
  values[f'{first}/RMSProp'] = values[first] * 5
  values['global_step'] = np.int64(7)
  prefix = folder / 'model.ckpt-7'
  if version == tf.train.SaverDef.V1:
    return checkpoint_files.write(prefix, values, version)
  return checkpoint_files.write_quickly(prefix, values)


def frozen(folder, network, checkpoint, text=False):
  """Returns the GraphDef that freeze_graph makes, and writes it as 'frozen.pb'."""
  tf.io.write_graph(network.graph.as_graph_def(), str(folder), 'graph.pb', text)
  output = network.logits if network.probabilities is None else network.probabilities
  with tf.Graph().as_default():
    freeze_graph.freeze_graph(
        str(folder / 'graph.pb'), '', not text, checkpoint, output.op.name,
        'save/restore_all', 'save/Const:0', str(folder / 'frozen.pb'), True, '')
  graph_def = tf.GraphDef.FromString((folder / 'frozen.pb').read_bytes())
  assert not {node.op for node in graph_def.node} & {
      'VariableV2', 'VarHandleOp', 'ReadVariableOp'}
  return graph_def, output.name


def run(graph_def, images, output):
  with tf.Graph().as_default(), tf.Session() as session:
    tf.import_graph_def(graph_def, name='')
    return session.run(output, {'input:0': images})


def restored(network, checkpoint, images, output):
  """Returns what the graph gives with the checkpoint, by TensorFlow's saver."""
  with network.graph.as_default(), tf.Session() as session:
    tf.train.Saver().restore(session, checkpoint)
    return session.run(output, {'input:0': images})


def images_of(network, seed=0):
  shape = [size or 2 for size in network.images.shape.as_list()]
  return np.random.default_rng(seed).uniform(-1, 1, shape)


@pytest.mark.parametrize(('name', 'channels', 'size'), FAMILIES,
                         ids=lambda value: str(value))
def test_every_family_is_frozen(name, channels, size, tmp_path):
  checkpoint = write_checkpoint(tmp_path, name, channels)
  network = network_graph.build(name, CLASSES, channels, size)
  graph_def, output = frozen(tmp_path, network, checkpoint)
  images = images_of(network)
  found = run(graph_def, images, output)
  expected = restored(network, checkpoint, images, output)
  assert found.shape == (2, CLASSES)
  assert np.ptp(expected) > 1e-3
  np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('name', ['lenet', 'mobilenet_v1_025'])
def test_graphs_of_training_are_frozen(name, tmp_path):
  checkpoint = write_checkpoint(tmp_path, name, 3)
  network = network_graph.build(name, CLASSES, 3, 64 if name != 'lenet' else 28,
                                batch_size=4, is_training=True)
  found = run(*_with_images(frozen(tmp_path, network, checkpoint), images_of(network)))
  assert found.shape == (4, CLASSES)
  np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)


def _with_images(frozen_graph, images):
  graph_def, output = frozen_graph
  return graph_def, images, output


@pytest.mark.parametrize('version', [tf.train.SaverDef.V1, tf.train.SaverDef.V2])
@pytest.mark.parametrize('text', [False, True])
def test_graphs_as_text_and_old_checkpoints_are_frozen(text, version, tmp_path):
  checkpoint = write_checkpoint(tmp_path, 'lenet', 1, version)
  network = network_graph.build('lenet', CLASSES, 1)
  images = images_of(network)
  graph_def, output = frozen(tmp_path, network, checkpoint, text)
  assert run(graph_def, images, output).shape == (2, CLASSES)


def test_video_networks_are_frozen(tmp_path):
  checkpoint = write_checkpoint(tmp_path, 's3dg', 3)
  network = network_graph.build('s3dg', CLASSES, 3, 33, batch_size=1, num_frames=8)
  graph_def, output = frozen(tmp_path, network, checkpoint)
  assert run(graph_def, images_of(network), output).shape == (1, CLASSES)


@pytest.mark.parametrize('name', ['lenet', 'mobilenet_v1_025'])
def test_frozen_graphs_say_what_evaluation_says(name, tmp_path):
  checkpoint = write_checkpoint(tmp_path, name, 1)
  network = network_graph.build(name, CLASSES, 1)
  images = images_of(network)
  found = run(*_with_images(frozen(tmp_path, network, checkpoint), images))
  evaluated = inference_graph.build(name, CLASSES, checkpoint, channels=1)
  with evaluated.session() as session:
    expected = session.run(evaluated.probabilities, {evaluated.images: images})
  np.testing.assert_allclose(found, expected, atol=1e-4)
