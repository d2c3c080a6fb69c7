"""The channels of images are the same in training and in everything after it."""

import json

import pytest

from slim_zoo.catalog import preprocessing_families
from slim_zoo.preprocessing import preprocessing_factory
from slim_zoo.tf_compat import tf
from tests import scripts
from tests.evaluated_networks import on_demand


@pytest.mark.parametrize('use_grayscale', [False, True])
@pytest.mark.parametrize('decoded', [1, 3])
@pytest.mark.parametrize('is_training', [False, True])
@pytest.mark.parametrize('name', [
    *preprocessing_families.NAMES, 'lenet', 'mobilenet_v1_025', 'resnet_v1_50'])
def test_preprocessing_gives_the_channels_of_the_table(
    name, is_training, decoded, use_grayscale):
  preprocess = preprocessing_factory.get_preprocessing(name, is_training, use_grayscale)
  image = preprocess(tf.zeros([40, 40, decoded], tf.uint8), 32, 32)
  assert image.shape[-1] == preprocessing_families.channels_after(
      name, decoded, use_grayscale)


def input_channels(tmp_path, **flags):
  """Returns the channels of the placeholder in the graph that the script writes."""
  path = tmp_path / 'graph.pb'
  done = scripts.run('export_inference_graph', output_file=path, **flags)
  assert done.returncode == 0, done.stderr
  (placeholder,) = [node for node in tf.GraphDef.FromString(path.read_bytes()).node
                    if node.op == 'Placeholder']
  return placeholder.attr['shape'].shape.dim[-1].size


@pytest.mark.parametrize(('flags', 'channels'), [
    ({'model_name': 'lenet', 'dataset_name': 'digits'}, 1),
    ({'model_name': 'lenet', 'dataset_name': 'cifar10'}, 3),
    ({'model_name': 'lenet', 'dataset_name': 'cifar10', 'use_grayscale': True}, 1),
    ({'model_name': 'lenet', 'dataset_name': 'digits',
      'preprocessing_name': 'inception'}, 3),
    ({'model_name': 'mobilenet_v1_025', 'dataset_name': 'digits',
      'preprocessing_name': 'lenet'}, 1),
    ({'model_name': 'mobilenet_v1_025', 'dataset_name': 'mnist'}, 3),
    ({'model_name': 'mobilenet_v1_025', 'dataset_name': 'mnist',
      'use_grayscale': True}, 1),
], ids=lambda value: ' '.join(map(str, value.values())) if isinstance(value, dict) else
                         '')
def test_an_exported_graph_has_the_channels_of_training(flags, channels, tmp_path):
  assert input_channels(tmp_path, **flags) == channels


@pytest.mark.parametrize(('name', 'channels'), [
    pytest.param('cifarnet', 1, marks=on_demand), ('mobilenet_v1_025', 3)])
def test_a_network_on_gray_records_is_used_as_it_was_trained(
    name, channels, digits_dir, tmp_path):
  """Typed in a row: training, evaluation, inspection and both exports."""
  train_dir = tmp_path / 'train'
  data = {'dataset_name': 'digits', 'dataset_dir': digits_dir}
  done = scripts.run('train_image_classifier', train_dir=train_dir, model_name=name,
                     max_number_of_steps=1, batch_size=4, train_image_size=32,
                     sample_predictions=0, **data)
  assert done.returncode == 0, done.stderr
  checkpoint = train_dir / 'model.ckpt-1'
  shapes = dict(tf.train.list_variables(str(checkpoint)))
  (first,) = [shape for variable, shape in shapes.items() if variable.endswith((
      'LeNet/conv1/weights', 'CifarNet/conv1/weights', 'Conv2d_0/weights'))]
  assert first[2] == channels
  assert input_channels(tmp_path, model_name=name, dataset_name='digits') == channels
  done = scripts.run_for_numbers('eval_image_classifier', checkpoint_path=checkpoint,
                     eval_dir=tmp_path / 'eval', model_name=name, max_num_batches=1,
                     dataset_split_name='test', eval_image_size=32, **data)
  assert done.returncode == 0, done.stderr
  done = scripts.run('inspect', checkpoint_path=checkpoint, json=True)
  assert done.returncode == 0, done.stderr
  assert json.loads(done.stdout)['channels'] == channels
  done = scripts.run('export', checkpoint_path=checkpoint, num_images=3,
                     export_dir=tmp_path / 'out', format='frozen_graph', **data)
  assert done.returncode == 0, done.stderr
  assert f'images of 32 x 32 x {channels}\n' in done.stdout
