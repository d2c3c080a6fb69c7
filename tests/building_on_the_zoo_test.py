"""The program on docs/building_on_the_zoo.md runs, and does what the page says."""

import re

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from slim_zoo import diagnostics
from slim_zoo.checkpoints import restore
from slim_zoo.inference import frozen_outputs
from slim_zoo.nets import nets_factory, normalization
from slim_zoo.tf_compat import tf
from tests.conftest import ROOT

STEPS = 100


@pytest.fixture(scope='module')
def page():
  """Returns the names that the code of the page defines."""
  text = (ROOT / 'docs' / 'building_on_the_zoo.md').read_text()
  code = '\n'.join(re.findall(r'```python\n(.*?)```', text, re.DOTALL))
  assert 50 <= sum(bool(line.strip()) for line in code.splitlines()) <= 80
  names = {}
  exec(compile(code, 'building_on_the_zoo.md', 'exec'), names)
  return names


@pytest.fixture(scope='module')
def backbone_values(page, tmp_path_factory):
  """Returns a checkpoint of the whole network, and its values by name.

  The weights are random, the statistics of batch norm those of the digits.
  """
  path = str(tmp_path_factory.mktemp('backbone') / 'whole.ckpt')
  with tf.Graph().as_default(), tf.Session() as session:
    tf.set_random_seed(2)
    images = page['network_inputs'](tf.constant(page['PIXELS'][:100]))
    with normalization.batch_statistics(decay=0.0):
      nets_factory.get_network_fn(page['BACKBONE'], 1001)(images)
    session.run(tf.global_variables_initializer())
    session.run(tf.get_collection(tf.GraphKeys.UPDATE_OPS))
    tf.train.Saver().save(session, path, write_state=False)
    return path, session.run({v.op.name: v for v in tf.global_variables()})


@pytest.fixture(scope='module')
def run(page, backbone_values, tmp_path_factory):
  """Returns the folder of a run of the page's program."""
  folder = tmp_path_factory.mktemp('two_heads')
  page['main'](backbone_values[0], str(folder), steps=STEPS)
  return folder


def test_the_backbone_is_restored_and_its_first_layer_stays(run, backbone_values):
  path = restore.find(str(run))
  assert path.endswith(f'-{STEPS}')
  trained = tf.train.load_checkpoint(path)
  changed = {name for name, value in backbone_values[1].items()
             if trained.has_tensor(name)
             and not np.array_equal(trained.get_tensor(name), value)}
  names = {name for name in trained.get_variable_to_shape_map()
           if name.startswith('MobilenetV1/')
           and name.rpartition('/')[2] in ('weights', 'depthwise_weights', 'beta',
                                           'gamma')}
  assert changed == {name for name in names if '/Conv2d_0/' not in name}
  # Layers behind the feature map at stride 16 are not there.
  assert 'MobilenetV1/Conv2d_11_pointwise/weights' in names
  assert not any('Conv2d_12' in name for name in names)


def test_the_pictures_and_the_export_are_of_the_trained_heads(run, page):
  with Image.open(run / f'examples-{STEPS}.png') as first:
    assert first.size[1] > 4 * 100
  images = page['PIXELS'][:100]
  with tf.Graph().as_default(), tf.Session() as session:
    inputs = session.run(page['network_inputs'](tf.constant(images)))
  model = onnxruntime.InferenceSession(str(run / 'two_heads.onnx'))
  outputs = dict(zip([output.name for output in model.get_outputs()], model.run(
      None, {'input:0': inputs}), strict=True))
  right = (outputs['digit'].argmax(1) == page['LABELS'][:100]).mean()
  assert right > 0.3  # Of random features; chance is 0.1.
  frozen = frozen_outputs_of(run, page)
  with tf.Session(graph=frozen.graph) as session:
    expected = session.run(frozen.outputs, {frozen.images: inputs})
  for name, value in expected.items():
    np.testing.assert_allclose(outputs[name], value, rtol=1e-3, atol=1e-3)


def frozen_outputs_of(run, page):
  with tf.Graph().as_default():
    images = tf.placeholder(tf.float32, [None, 64, 64, 3])
    return frozen_outputs.freeze(images, page['build'](images), str(run))


def test_frozen_outputs_are_those_of_the_variables(run, page):
  frozen = frozen_outputs_of(run, page)
  assert not [operation for operation in frozen.graph.get_operations()
              if operation.type in ('VariableV2', 'VarHandleOp')]
  images = tf.placeholder(tf.float32, [None, 64, 64, 3])
  outputs = page['build'](images)
  pixels = np.random.default_rng(0).uniform(-1, 1, [2, 64, 64, 3])
  with tf.Session() as session:
    tf.train.Saver().restore(session, restore.find(str(run)))
    expected = session.run(outputs, {images: pixels})
  with tf.Session(graph=frozen.graph) as session:
    found = session.run(frozen.outputs, {frozen.images: pixels})
  for name, value in expected.items():
    np.testing.assert_allclose(found[name], value, rtol=1e-3, atol=1e-4)


def test_a_checkpoint_of_another_network_is_refused(run):
  images = tf.placeholder(tf.float32, [None, 28, 28, 1])
  logits, _ = nets_factory.get_network_fn('lenet', 10)(images)
  with pytest.raises(diagnostics.UserError, match=r'lacks LeNet/conv1/weights.*give a'):
    frozen_outputs.freeze(images, {'logits': logits}, str(run))
