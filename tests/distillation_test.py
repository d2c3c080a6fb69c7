"""Distillation: its losses, what the teacher sees, and that it stays as it is."""

import json
import os

import numpy as np
import pytest

import slim_zoo
from slim_zoo import diagnostics
from slim_zoo.checkpoints import contents, identified_network, restore, writing
from slim_zoo.checkpoints.trained_network import TrainedNetwork
from slim_zoo.config.training import TrainConfig
from slim_zoo.deployment import model_deploy
from slim_zoo.nets import nets_factory
from slim_zoo.preprocessing import value_ranges
from slim_zoo.tasks import teachers, training_updates
from slim_zoo.tf_compat import slim, tf
from slim_zoo.training import distillation, graph, losses, named_losses
from slim_zoo.training.updates import learning_rates, updates
from tests import constant_batches
from tests.conftest import on_digits

SIZE = 8


def softmax(logits):
  powers = np.exp(logits - logits.max(1, keepdims=True))
  return powers / powers.sum(1, keepdims=True)


@pytest.mark.parametrize('temperature', [1.0, 4.0])
def test_the_soft_loss_and_its_gradient_are_those_of_the_formula(temperature):
  random = np.random.default_rng(0)
  student, teacher = random.normal(0, 3, [2, 5, 7]).astype(np.float32)
  logits, wanted = tf.constant(student), tf.constant(teacher)
  loss = distillation.soft_loss(logits, wanted, temperature)
  to_student, to_teacher = tf.gradients(loss, [logits, wanted])
  assert to_teacher is None
  soft, own = softmax(teacher / temperature), softmax(student / temperature)
  with tf.Session() as session:
    value, gradient = session.run([loss, to_student])
  expected = temperature ** 2 * np.mean(
      np.sum(soft * (np.log(soft) - np.log(own)), axis=1))
  np.testing.assert_allclose(value, expected, rtol=1e-4)
  np.testing.assert_allclose(
      gradient, temperature * (own - soft) / len(student), rtol=1e-4, atol=1e-6)


def test_the_soft_loss_of_equal_answers_is_zero_and_of_sure_ones_finite():
  logits = tf.constant([[300.0, -300.0, 0.0], [-1e4, 1e4, 0.0]])
  with tf.Session() as session:
    assert session.run(distillation.soft_loss(logits, logits, 2.0)) == 0
    assert np.isfinite(session.run(distillation.soft_loss(-logits, logits, 1.0)))


@pytest.mark.parametrize('shape', [(2, 3, 3, 4), (2, 4)])
def test_a_hint_is_the_distance_after_a_1x1_convolution(shape):
  random = np.random.default_rng(1)
  features = random.normal(size=shape).astype(np.float32)
  wanted = random.normal(size=[*shape[:-1], 6]).astype(np.float32)
  loss = distillation.hint_loss(
      tf.constant(features), tf.constant(wanted), 'distillation/hint_1')
  weights, biases = tf.trainable_variables()
  assert [variable.op.name for variable in (weights, biases)] == [
      'distillation/hint_1/weights', 'distillation/hint_1/biases']
  assert not slim.get_model_variables()
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    value, kernel = session.run([loss, weights])
  np.testing.assert_allclose(
      value, np.mean((features @ kernel - wanted) ** 2), rtol=1e-5)


FAMILIES = ('cifarnet', 'inception', 'lenet', 'vgg')


@pytest.mark.parametrize('source', FAMILIES)
@pytest.mark.parametrize('target', FAMILIES)
@pytest.mark.parametrize('channels', [1, 3])
def test_the_input_of_the_teacher_has_the_same_pixels(source, target, channels):
  pixels = np.random.default_rng(2).uniform(0, 255, [2, 6, 6, channels])
  pixels = tf.constant(pixels.astype(np.float32))
  images = value_ranges.scaled(pixels, source)
  if source == 'cifarnet' != target:
    with pytest.raises(diagnostics.UserError, match='cannot be converted'):
      value_ranges.converted(images, source, target, 6, channels)
    return
  made = value_ranges.converted(images, source, target, 6, channels)
  assert (made is images) == (source == target)
  larger = value_ranges.converted(images, source, target, 9, 3)
  with tf.Session() as session:
    np.testing.assert_allclose(*session.run(
        [made, value_ranges.scaled(pixels, target)]), atol=1e-3)
    colours = pixels if channels == 3 else tf.image.grayscale_to_rgb(pixels)
    resized = tf.image.resize_bilinear(colours, [9, 9], half_pixel_centers=True)
    np.testing.assert_allclose(*session.run(
        [larger, value_ranges.scaled(resized, target)]), atol=1e-3)


def test_colours_become_the_luma_for_a_gray_teacher():
  pixels = tf.constant(np.random.default_rng(3).uniform(
      0, 255, [1, 4, 4, 3]).astype(np.float32))
  made = value_ranges.converted(
      value_ranges.scaled(pixels, 'vgg'), 'vgg', 'lenet', 4, 1)
  with tf.Session() as session:
    np.testing.assert_allclose(*session.run(
        [made, value_ranges.scaled(tf.image.rgb_to_grayscale(pixels), 'lenet')]),
                               atol=1e-4)


# --- The teacher in a training graph.

@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
  """Returns the prefix of a checkpoint of MobileNet with batch norm, and its values."""
  path = str(tmp_path_factory.mktemp('teacher') / 'model.ckpt')
  with tf.Graph().as_default(), tf.Session() as session:
    tf.set_random_seed(3)
    nets_factory.get_network_fn('mobilenet_v1_025', 3, is_training=True)(
        tf.random_uniform([2, SIZE, SIZE, 3]))
    session.run(tf.global_variables_initializer())
    tf.train.Saver().save(session, path, write_state=False)
    values = session.run({v.op.name: v for v in slim.get_model_variables()})
  return path, values


def training_graph(path, clones, seen=None, hints=(), weight=0.5):
  """Returns (graph of a run with a teacher, its batches)."""
  def prepare(images):
    if seen is not None:
      seen.append(images)
    return images

  images = np.random.default_rng(5).normal(size=[4, SIZE, SIZE, 3]).astype(np.float32)
  next_batch = constant_batches.parts(images, np.array([0, 1, 2, 0]), clones)
  batches = []

  def noted():
    batches.append(next_batch())
    return batches[-1]

  devices = model_deploy.DeploymentConfig(clones, clone_on_cpu=True)
  teacher = distillation.Teacher(
      TrainedNetwork(path, 'mobilenet_v1_025', 3), prepare)
  built = graph.build(
      devices, noted, nets_factory.get_network_fn('lenet', 3, is_training=True),
      losses.Recipe(3, (('softmax', 0.5),)).add, learning_rates.Schedule('fixed', 0.1),
      tf.train.GradientDescentOptimizer, updates.UpdateOptions(),
      distillation=distillation.Distillation(
          teacher, 2.0, weight, hints,
          [devices.clone_device(index) for index in range(clones)]))
  return built, batches


@pytest.mark.parametrize('clones', [1, 2])
def test_the_teacher_sees_the_batch_of_its_clone_and_does_not_change(
    checkpoint, clones):
  path, values = checkpoint
  seen = []
  built, batches = training_graph(path, clones, seen)
  assert len(seen) == clones
  assert all(images is batch.images
             for images, batch in zip(seen, batches, strict=True))
  # It is in no list of what is trained, saved, penalized or updated.
  for name in (tf.GraphKeys.GLOBAL_VARIABLES, tf.GraphKeys.MODEL_VARIABLES,
               tf.GraphKeys.TRAINABLE_VARIABLES, tf.GraphKeys.UPDATE_OPS,
               tf.GraphKeys.REGULARIZATION_LOSSES):
    assert not [item for item in tf.get_collection(name) if 'teacher' in item.name]
  own = {variable.op.name: variable for variable in tf.local_variables()
         if variable.op.name.startswith('teacher')}
  assert len(own) == clones * len(values)
  with tf.Session() as session:
    session.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
    for _ in range(3):
      session.run(built.train_op)
    for name, value in session.run(own).items():
      np.testing.assert_array_equal(value, values[name.partition('/')[2]])


@pytest.mark.parametrize('dtype', [tf.float16, tf.bfloat16])
def test_the_teacher_computes_in_the_type_of_the_network(checkpoint, dtype):
  """Its variables stay those of the checkpoint, float32."""
  path, values = checkpoint
  teacher = distillation.Teacher(
      TrainedNetwork(path, 'mobilenet_v1_025', 3), lambda images: images, dtype)
  logits, end_points = teacher.build(tf.zeros([2, SIZE, SIZE, 3]))
  assert (logits.dtype, end_points['Conv2d_0'].dtype) == (tf.float32, dtype)
  assert {variable.op.name for variable in tf.local_variables()} == {
      f'teacher/{name}' for name in values}
  assert {variable.dtype.base_dtype for variable in tf.local_variables()} == {
      tf.float32}
  assert not tf.global_variables()


def test_moving_averages_of_the_teacher_are_restored_if_wanted(checkpoint, tmp_path):
  path, values = checkpoint
  averages = {f'{name}/ExponentialMovingAverage': value + 1
              for name, value in values.items()}
  both = str(tmp_path / 'model.ckpt')
  writing.write(both, {**values, **averages})
  teacher = distillation.Teacher(
      TrainedNetwork(both, 'mobilenet_v1_025', 3, moving_averages=True),
      lambda images: images)
  teacher.build(tf.zeros([2, SIZE, SIZE, 3]))
  with tf.Session() as session:
    session.run(tf.local_variables_initializer())
    for variable in tf.local_variables():
      np.testing.assert_array_equal(
          session.run(variable), values[variable.op.name.partition('/')[2]] + 1)
  tf.reset_default_graph()
  missing = distillation.Teacher(
      TrainedNetwork(path, 'mobilenet_v1_025', 3, moving_averages=True),
      lambda images: images)
  with pytest.raises(diagnostics.UserError, match='lacks MobilenetV1/Conv2d_0'):
    missing.build(tf.zeros([2, SIZE, SIZE, 3]))


def test_the_loss_of_a_clone_is_the_weighted_sum(checkpoint):
  """The parts are those of the answers of the network in the checkpoint."""
  path, values = checkpoint
  built, batches = training_graph(path, 1, weight=0.25)
  parts = named_losses.of_clone(model_deploy.Clone(None, '', ''))
  assert set(parts) == {'softmax', 'distillation'}
  clean = nets_factory.get_network_fn('mobilenet_v1_025', 3)
  lenet = next(op for op in tf.get_default_graph().get_operations()
               if op.name.endswith('LeNet/fc4/BiasAdd')).outputs[0]
  with tf.Session() as session:
    session.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
    found, images, logits = session.run([parts, batches[0].images, lenet])
  with tf.Graph().as_default(), tf.Session() as session:
    teacher_logits, _ = clean(tf.constant(images))
    expected = 0.25 * distillation.soft_loss(
        tf.constant(logits), teacher_logits, 2.0)
    session.run(tf.global_variables_initializer())
    for variable in slim.get_model_variables():
      variable.load(values[variable.op.name], session)
    np.testing.assert_allclose(found['distillation'], session.run(expected), rtol=1e-4)
  assert 'losses/distillation' in built.curve_tags


def test_hints_compare_end_points_of_equal_size(checkpoint):
  path, _ = checkpoint
  training_graph(path, 1, hints=(('Logits', 'Logits', 0.1),))
  names = {variable.op.name for variable in tf.trainable_variables()}
  assert {'distillation/hint_1/weights', 'distillation/hint_1/biases'} <= names
  tf.reset_default_graph()
  with pytest.raises(diagnostics.UserError, match='same height and width'):
    training_graph(path, 1, hints=(('Logits', 'Conv2d_0', 0.1),))
  tf.reset_default_graph()
  with pytest.raises(diagnostics.UserError, match="no end point of the teacher 'Conv2'"
                     ' in --distillation_hints'):
    training_graph(path, 1, hints=(('Logits', 'Conv2', 0.1),))


def test_layers_of_hints_are_no_weights_of_the_network():
  shapes = {'net/conv/weights': (3, 3), 'net/conv/weights/Adam': (3, 3),
            'distillation/hint_1/weights': (4, 6),
            'distillation/hint_1/weights/Adam': (4, 6), 'global_step': ()}
  found = contents.sort(shapes)
  assert set(found.weights) == {'net/conv/weights'}
  assert found.slots == {'Adam': ['net/conv/weights']}
  assert found.others == [name for name in sorted(shapes)
                          if name.startswith(('dist', 'global'))]


# --- Options.

def config_of(digits_dir, tmp_path, teacher, **given):
  return TrainConfig.from_options({
      **on_digits(digits_dir), 'train_dir': str(tmp_path / 'run'),
      'teacher': str(teacher), **given})


@pytest.mark.parametrize(('given', 'words'), [
    ({'loss': 'sigmoid'}, '--loss=sigmoid has no softmax'),
    ({'distillation_weight': 0.0}, 'has no effect with --distillation_weight=0'),
    ({'distillation_hints': 'a:1'}, "'a:1' is not of the form END_POINT="),
    ({'distillation_hints': 'a=b:0'}, 'with a weight above 0'),
    ({'distillation_hints': 'a=b:1,a=b:2'}, 'twice'),
    ({'teacher': 'nowhere/model.ckpt-3'}, 'nowhere'),
    ({'distillation_weight': 1.5}, 'a number from 0 to 1'),
    ({'stochastic_depth': 0.1}, 'lenet has no residual blocks')])
def test_options_that_make_no_sense_are_refused(
    trained_dir, digits_dir, tmp_path, given, words):
  with pytest.raises(diagnostics.UserError, match=words):
    config_of(digits_dir, tmp_path, **{'teacher': trained_dir, **given}).check()


@pytest.mark.parametrize('name', [
    'distillation_temperature', 'distillation_weight', 'distillation_hints',
    'teacher_moving_averages'])
def test_options_without_a_teacher_are_refused(digits_dir, name):
  value = {'distillation_hints': 'a=b:1', 'teacher_moving_averages': True}.get(
      name, 1.0)
  with pytest.raises(diagnostics.UserError, match=f'--{name}=.* without --teacher'):
    TrainConfig.from_options({**on_digits(digits_dir), name: value}).check()


def found_teacher(config, num_classes=10, names=None, size=28):
  names = {} if names is None else names
  return teachers.find(config, num_classes, names, size, 'float32',
                       model_deploy.DeploymentConfig(clone_on_cpu=True))


DIGITS = ('zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight',
          'nine')


def test_the_teacher_is_compared_with_the_run(trained_dir, digits_dir, tmp_path):
  config = config_of(digits_dir, tmp_path, trained_dir)
  names = dict(enumerate(DIGITS))
  teacher = found_teacher(config, names=names)
  assert (teacher.network.model_name, teacher.input, teacher.notes) == (
      'lenet', 'gets the same images', ())
  assert 'are not known' in found_teacher(config).notes[0]
  assert teacher.facts(config)['temperature'] == 4.0
  for given, words in (
      ({'num_classes': 5}, 'has 10 classes, this run has 5'),
      ({'names': names | {3: 'drei'}}, "class 3 of the checkpoint is 'three', in the"
       " data set it is 'drei'")):
    with pytest.raises(diagnostics.UserError, match=words):
      found_teacher(config, **{'names': names, **given})


def test_other_images_are_converted_and_the_line_says_so(
    trained_dir, digits_dir, tmp_path):
  config = config_of(digits_dir, tmp_path, trained_dir, model_name='mobilenet_v1_025')
  assert found_teacher(config, size=48).input == (
      'gets the same images, resized from 48 x 48 to 28 x 28, with the values of lenet'
      ' preprocessing, in gray')
  config = config_of(digits_dir, tmp_path, trained_dir, model_name='cifarnet')
  with pytest.raises(diagnostics.UserError, match='cifarnet preprocessing cannot be'):
    found_teacher(config)


def test_the_labels_lose_the_weight_of_the_teacher_and_hints_are_always_trained(
    digits_dir, tmp_path):
  config = config_of(digits_dir, tmp_path, 'x', distillation_weight=0.75,
                     loss='softmax:1,softmax_focal:2', trainable_scopes='LeNet/fc4',
                     distillation_hints='a=b:1')
  recipe = training_updates.loss(config, 10, None)
  assert recipe.terms == (('softmax', 0.25), ('softmax_focal', 0.5))
  assert training_updates.update_options(config).trainable_scopes == (
      'LeNet/fc4', 'distillation')


def test_a_run_learns_from_a_teacher_and_is_evaluated_as_any_other(
    trained_dir, digits_dir, tmp_path, capsys):
  """The student is another network on larger images, in colour; with a hint."""
  run = tmp_path / 'run'
  options = {**on_digits(digits_dir), 'model_name': 'mobilenet_v1_025',
             'train_image_size': 32, 'train_dir': run, 'save_summaries_secs': 0,
             'log_every_n_steps': 1, 'batch_size': 8, 'teacher': trained_dir,
             'distillation_hints': 'Logits=fc3:0.1', 'mixup_alpha': 0.2,
             'layer_decay': 0.9}
  slim_zoo.train(max_number_of_steps=2, **options)
  printed = capsys.readouterr().out
  assert 'teacher' in printed
  assert 'resized from 32 x 32 to 28 x 28' in printed
  assert 'distillation ' in printed
  assert 'hint_1 ' in printed
  card = json.loads((run / 'run_card.json').read_text())
  facts = card['run']['distillation']
  assert (facts['network'], facts['weight'], facts['teacher']) == (
      'lenet', 0.9, str(trained_dir))
  shapes = restore.verify(str(run / 'model.ckpt-2'))
  beside = [name for name in shapes if not name.startswith('MobilenetV1/')]
  assert not [name for name in beside if 'teacher' in name or 'LeNet' in name]
  assert [name for name in beside if name.startswith('distillation/hint_1/weights')]
  network = identified_network.find(str(run))
  assert (network.model_name, network.num_classes) == ('mobilenet_v1_025', 10)
  slim_zoo.train(max_number_of_steps=3, **options)  # It resumes, hint included.
  assert 'resumes step 2' in capsys.readouterr().out
  result = slim_zoo.evaluate(
      checkpoint_path=run, dataset_name='digits', dataset_dir=digits_dir,
      eval_dir=run / 'eval', max_num_batches=1)
  assert (result.step, result.num_images) == (3, 100)
  assert 'distillation' not in capsys.readouterr().out
  assert os.path.exists(run / 'eval' / 'report')
