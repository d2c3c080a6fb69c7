"""Segmentation: exact numbers, and one run through all commands."""

import csv
import json
import shlex
import shutil

import numpy as np
import pytest
from PIL import Image
from sklearn import metrics as reference

import slim_zoo
from slim_zoo import diagnostics
from slim_zoo.catalog import datasets as catalog
from slim_zoo.checkpoints import described, inspection, run_card, segmentation_network
from slim_zoo.checkpoints.trained_network import NetworkOptions
from slim_zoo.config.classification import ClassifyConfig
from slim_zoo.config.evaluation import EvaluateConfig
from slim_zoo.config.export import ExportConfig
from slim_zoo.config.training import TrainConfig
from slim_zoo.datasets import shapes
from slim_zoo.evaluation import predictions, segmentation
from slim_zoo.exporting import to_segmentation_model
from slim_zoo.images import mask_files
from slim_zoo.nets import fcn
from slim_zoo.prediction.classifier import Answer
from slim_zoo.tasks import inspect as inspect_task
from slim_zoo.tasks import smoke
from slim_zoo.tf_compat import tf
from slim_zoo.training import losses
from slim_zoo.training.callbacks import summaries
from tests import scripts

# --- Numbers.


def some_masks(images=7, classes=5, seed=1):
  """Returns masks with ignored pixels, and predictions; class 4 is nowhere."""
  random = np.random.default_rng(seed)
  masks = random.integers(0, classes - 1, [images, 6, 9]).astype(np.uint8)
  wrong = random.integers(0, classes - 1, masks.shape).astype(np.uint8)
  found = np.where(random.random(masks.shape) < 0.7, masks, wrong)
  masks[random.random(masks.shape) < 0.2] = catalog.IGNORED
  masks[3] = catalog.IGNORED
  return masks, found


def count(masks, found, places, classes=5):
  counter = segmentation.Counter(classes)
  for first in range(0, len(places), 2):
    batch = places[first:first + 2]
    counter.add([(0, place) for place in batch], masks[batch], found[batch], 1.5)
  return counter.counts()


def test_numbers_are_those_of_another_library_and_parts_add_up():
  masks, found = some_masks()
  whole = segmentation.add_up([count(masks, found, list(range(7)))], 7)
  parts = [count(masks, found, [4, 0, 6]), count(masks, found, [1, 2, 3, 5])]
  added = segmentation.add_up(
      [segmentation.Counts.of_bytes(part.to_bytes()) for part in parts], 7)
  np.testing.assert_array_equal(added.confusion, whole.confusion)
  assert added.confusion.dtype == np.int64
  assert added.rows[:3] == whole.rows[:3]
  has_class = masks != catalog.IGNORED
  true, predicted = masks[has_class], found[has_class]
  np.testing.assert_array_equal(
      whole.confusion, reference.confusion_matrix(true, predicted, labels=range(5)))
  metrics = segmentation.evaluate(whole, list('abcde'))
  wanted = reference.jaccard_score(true, predicted, average=None, labels=range(4))
  np.testing.assert_allclose(metrics.iou, [*wanted, np.nan])
  assert metrics.mean_iou == pytest.approx(wanted.mean())
  assert metrics.pixel_accuracy == reference.accuracy_score(true, predicted)
  assert (metrics.num_pixels, metrics.num_images) == (has_class.sum(), 7)
  assert metrics.cross_entropy == pytest.approx(4 * 1.5 / has_class.sum())
  assert np.isnan(whole.rows[3].mean_iou)
  assert [row.key[1] for row in metrics.worst(9)].count(3) == 0


def test_images_that_are_missing_or_counted_twice_are_refused():
  masks, found = some_masks()
  part = count(masks, found, [0, 1])
  for parts, images in (([part], 3), ([part, part], 4), ([part, part], None)):
    with pytest.raises(diagnostics.UserError, match=r'2 of .* images were evaluated'):
      segmentation.add_up(parts, images)
  with pytest.raises(predictions.NotFiniteError):
    segmentation.Counter(5).add([(0, 0)], masks[:1], found[:1], np.nan)
  with pytest.raises(ValueError, match='none of the 2 classes'):
    segmentation.confusion_matrix(masks, found, 2)


def test_the_loss_and_the_accuracy_leave_ignored_pixels_out():
  masks, _ = some_masks()
  logits = np.random.default_rng(0).normal(size=[*masks.shape, 5]).astype(np.float32)
  has_class = masks != catalog.IGNORED
  values = logits - np.log(np.exp(logits).sum(3, keepdims=True))
  wanted = -np.take_along_axis(
      values, np.where(has_class, masks, 0)[..., None], 3)[..., 0][has_class].mean()
  tensor, masks_tensor = tf.constant(logits), tf.constant(masks)
  recipe = losses.Recipe(5)
  recipe.add(tensor, {}, masks_tensor)
  accuracy = summaries.batch_accuracy(tensor, masks_tensor)
  nothing = tf.fill(masks.shape, tf.constant(catalog.IGNORED, tf.uint8))
  focal = losses.Recipe(5, [('softmax_focal', 1.0)])
  of_nothing = [recipe.cross_entropy(tensor, nothing),
                focal.cross_entropy(tensor, nothing),
                summaries.batch_accuracy(tensor, nothing)]
  gradient = tf.gradients(of_nothing[0], tensor)[0]
  with tf.Session() as session:
    (loss,) = session.run(tf.losses.get_losses())
    assert loss == pytest.approx(wanted, rel=1e-5)
    assert session.run(recipe.cross_entropy(tensor, masks_tensor)) == pytest.approx(
        wanted, rel=1e-5)
    assert session.run(accuracy) == pytest.approx(
        (logits.argmax(3) == masks)[has_class].mean())
    assert session.run(of_nothing) == [0, 0, 0]
    assert not np.any(session.run(gradient))


# --- Options.

TRAIN = {'task': 'segmentation', 'dataset_name': 'shapes', 'model_name': 'cifarnet',
         'segmentation_strides': '2,4'}


@pytest.fixture(scope='module')
def shapes_dir(tmp_path_factory):
  folder = tmp_path_factory.mktemp('shapes')
  shapes.convert(str(folder))
  return folder


@pytest.mark.parametrize(('options', 'message'), [
    ({'segmentation_strides': '3'}, 'cifarnet has feature maps at the strides 2, 4'),
    ({'segmentation_strides': '2,x'}, 'expected whole numbers above 0, each once'),
    ({'segmentation_strides': '1' * 5000}, 'expected whole numbers above 0, each once'),
    ({'segmentation_scales': '2,1'}, '--segmentation_scales=2,1: expected'),
    ({'task': 'classification'}, r"the data set 'shapes' has masks"),
    ({'dataset_name': 'digits'}, "the data set 'digits' has no masks"),
    ({'loss': 'sigmoid'}, 'a pixel has one class'),
    ({'train_image_size': 3}, 'expected 4 to 10000 for cifarnet with the strides 2,4'),
    ({'mixup_alpha': 0.2}, r'--mixup_alpha=0.2 does not fit .*: it changes images'),
    ({'labels_offset': 1}, '--labels_offset=1 does not fit'),
    ({'precision': 'bfloat16'}, '--precision=bfloat16 does not fit'),
    ({'quantize_delay': 5}, '--quantize_delay=5 does not fit'),
    ({'cache_dir': 'cache'}, '--cache_dir=cache does not fit'),
    ({'task': 'segmentaton'}, "--task='segmentaton': expected .*or segmentation"),
])
def test_what_does_not_fit_is_refused_before_tensorflow(
    shapes_dir, digits_dir, options, message):
  folder = digits_dir if options.get('dataset_name') == 'digits' else shapes_dir
  with pytest.raises(diagnostics.UserError, match=message) as error:
    TrainConfig.from_options({**TRAIN, 'dataset_dir': str(folder), **options}).check()
  assert '\n' not in str(error.value)


@pytest.mark.parametrize(('name', 'smallest'), [
    ('vgg_a', 32), ('mobilenet_v1_025', 32), ('inception_v3', 75)])
def test_crops_may_be_smaller_than_images_of_a_whole_network(
    shapes_dir, name, smallest):
  options = {**TRAIN, 'model_name': name, 'segmentation_strides': '16,32',
             'dataset_dir': str(shapes_dir)}
  TrainConfig.from_options({**options, 'train_image_size': smallest}).check()
  with pytest.raises(diagnostics.UserError, match=f'expected {smallest} to 10000'):
    TrainConfig.from_options({**options, 'train_image_size': smallest - 1}).check()


def test_options_of_segmentation_need_the_task_and_task_is_a_number_too(digits_dir):
  config = TrainConfig.from_options({
      'dataset_name': 'digits', 'dataset_dir': str(digits_dir), 'model_name': 'lenet',
      'segmentation_scales': '1,1'})
  with pytest.raises(diagnostics.UserError, match='no effect without --segmentation'):
    config.check()
  config = TrainConfig.from_options({'task': 2, 'segmentation': True})
  assert (config.distribution.task, config.segmentation.is_on) == (2, True)
  assert not TrainConfig.from_options({'task': 'classification'}).segmentation.is_on


@pytest.mark.parametrize(('config', 'options', 'message'), [
    (EvaluateConfig, {'eval_image_size': 64}, 'images are evaluated whole'),
    (EvaluateConfig, {'precision': 'bfloat16'}, '--precision=bfloat16 does not fit'),
    (EvaluateConfig, {'tta': 'flip'}, '--tta=flip does not fit'),
    (ClassifyConfig, {'explain': 'x'}, '--explain=.*x does not fit'),
    (ExportConfig, {'format': 'tflite'}, 'exported as saved_model only'),
    (ExportConfig, {'quantize': True}, '--quantize does not fit'),
])
def test_options_of_the_other_commands_are_refused(
    shapes_dir, tmp_path, config, options, message):
  made = config.from_options({
      'checkpoint_path': str(tmp_path), **options,
      **({'dataset_name': 'shapes', 'dataset_dir': str(shapes_dir)}
         if config is EvaluateConfig else {})})
  (tmp_path / 'model.ckpt-1.index').touch()
  with pytest.raises(diagnostics.UserError, match=message):
    (made.check if config is EvaluateConfig else made.check_segmentation)()


def test_a_smoke_test_makes_masks(digits_dir, tmp_path):
  options = {**TRAIN, 'smoke': True, 'train_image_size': 64}
  with pytest.raises(diagnostics.UserError, match="data set 'digits' has no masks"):
    smoke.smoke_config(TrainConfig.from_options(
        {**options, 'dataset_name': 'digits', 'dataset_dir': str(digits_dir)}),
        str(tmp_path))
  del options['dataset_name']
  config = smoke.smoke_config(TrainConfig.from_options(options), str(tmp_path))
  config.check()
  assert (config.data.spec().masks, config.data.spec().num_classes) == (True, 4)


@pytest.mark.parametrize(('agreement', 'text'), [
    (1.0, 'at all pixels of each image, 1 image'),
    (0.99996, 'at 99.99% or more of the pixels of each image, 1 image')])
def test_an_agreement_is_not_rounded_up(agreement, text):
  assert str(to_segmentation_model.Parity(agreement, 1)) == f'the same class {text}'


def test_only_classes_of_the_mask_are_likely():
  answer = Answer('a.png', probabilities=np.float32([0, 0.25, 0.75]),
                  mask=np.uint8([[2, 2, 2, 1]]))
  assert answer.most_probable(3) == [(2, 0.75), (1, 0.25)]


# --- One run.


@pytest.fixture(scope='module')
def run_dir(shapes_dir, tmp_path_factory):
  """Returns a folder in which a small network was trained, and what was printed."""
  folder = tmp_path_factory.mktemp('run')
  done = scripts.run(
      'train', **TRAIN, dataset_dir=shapes_dir, train_dir=folder, num_clones=2,
      train_image_size=32, batch_size=8, max_number_of_steps=30, optimizer='adam',
      opt_epsilon=1e-8, learning_rate=0.003, validation_split_name='test', seed=3,
      validate_every_steps=20, sample_predictions=2, class_weights='inverse_frequency')
  assert done.returncode == 0, done.stderr
  return folder, done.stdout


@pytest.fixture(scope='module')
def report(shapes_dir, run_dir, tmp_path_factory):
  """Returns report.json of the run, and its folder."""
  folder = tmp_path_factory.mktemp('eval')
  done = scripts.run(
      'eval', dataset_name='shapes', dataset_dir=shapes_dir, batch_size=7,
      checkpoint_path=run_dir[0], eval_dir=folder)
  assert done.returncode == 0, done.stderr
  assert 'mean IoU' in done.stdout
  return json.loads((folder / 'report/report.json').read_text()), folder / 'report'


@pytest.fixture(scope='module')
def images(tmp_path_factory):
  """Returns a folder with the images of the split test."""
  folder = tmp_path_factory.mktemp('images')
  for number in range(catalog.DATASETS['shapes'].splits['test']):
    image, _ = shapes.draw(1_000_000 + number)
    Image.fromarray(image).save(folder / f'{number:03d}.png')
  return folder


def test_training_says_what_it_does_and_the_run_card_has_the_task(run_dir):
  folder, text = run_dir
  assert 'FCN on cifarnet, scores at the strides 2, 4' in text
  assert 'images and masks scaled by 0.5 to 2, random crops' in text
  assert 'validation at step 30: mean IoU ' in text
  card, _ = run_card.facts_of(str(folder / 'model.ckpt-30'))
  assert card.is_segmentation
  assert card.strides == (2, 4)
  assert card.class_names == ('background', 'circle', 'square', 'triangle')
  network = segmentation_network.find(str(folder))
  assert (network.model_name, network.num_classes, network.channels) == (
      'cifarnet', 4, 3)
  shown = [value.tag for event in tf.train.summary_iterator(
      str(next(folder.glob('events*')))) for value in event.summary.value]
  assert shown.count('predictions/fixed_images') >= 2


def test_inspect_gives_commands_that_fit(run_dir, tmp_path):
  found = inspection.inspect(str(run_dir[0]), None)
  facts = inspect_task.facts_of(found)
  assert (facts.network, facts.num_classes, facts.segmentation_strides) == (
      'cifarnet', 4, [2, 4])
  commands = {purpose: shlex.split(command.replace('\\\n', ' '))[1:]
              for purpose, command in facts.commands.items()}
  assert [words[0] for words in commands.values()] == [
      'train', 'eval', 'classify', 'export']
  tuned = {'--segmentation', '--segmentation_strides=2,4', '--train_image_size=32'}
  for words in commands.values():
    assert {'--model_name=cifarnet',
            f'--checkpoint_path={run_dir[0]}/model.ckpt-30'} <= set(words)
    assert tuned.intersection(words) == (tuned if words[0] == 'train' else set())
    assert not {word for word in words if 'exclude' in word or 'eval_image' in word}
  assert '--masks=masks' in commands['predict masks']
  assert '--dataset_split_name=test' in commands['evaluate']
  assert described.notes(found) == []
  for path in run_dir[0].glob('model.ckpt-30*'):
    shutil.copy(path, tmp_path)
  facts = inspect_task.facts_of(inspection.inspect(f'{tmp_path}/model.ckpt-30', None))
  assert (facts.network, facts.commands, facts.nearest) == (None, {}, [])
  assert 'not known without its run card' in facts.description[-1]


def test_the_format_is_refused_before_images_are_asked_for(run_dir, tmp_path):
  with pytest.raises(diagnostics.UserError, match='exported as saved_model only'):
    ExportConfig.from_options({
        'checkpoint_path': str(run_dir[0]), 'format': 'tflite',
        'export_dir': str(tmp_path)}).check()


def test_refused_masks_leave_no_folder(run_dir, tmp_path):
  (tmp_path / 'file').touch()
  for image, masks, message in (
      ('missing.png', 'new', "no file '.*missing.png'"),
      ('file', 'file', "--masks='.*file' is a file: name a folder")):
    with pytest.raises(diagnostics.UserError, match=message):
      slim_zoo.classify(str(tmp_path / image), checkpoint_path=str(run_dir[0]),
                        masks=str(tmp_path / masks))
  assert [path.name for path in tmp_path.iterdir()] == ['file']


def test_the_report_agrees_with_the_masks_that_classify_writes(
    run_dir, report, images, tmp_path):
  values, folder = report
  done = scripts.run('classify', images, checkpoint_path=run_dir[0],
                     masks=tmp_path / 'masks', output=tmp_path / 'shares.csv')
  assert done.returncode == 0, done.stderr
  assert f'note: wrote 100 masks to {tmp_path}/masks' in done.stderr
  confusion = np.zeros([4, 4], int)
  for number in range(100):
    _, mask = shapes.draw(1_000_000 + number)
    path = tmp_path / f'masks/{number:03d}.png.png'
    found = mask_files.decode(path.read_bytes())
    assert Image.open(path).mode == 'P'
    np.add.at(confusion, (mask, found), 1)
  np.testing.assert_array_equal(values['confusion_matrix'], confusion)
  assert confusion.sum() == values['num_pixels'] == 100 * 64 * 64
  iou = np.diag(confusion) / (confusion.sum(0) + confusion.sum(1) - np.diag(confusion))
  assert values['mean_iou'] == pytest.approx(np.nanmean(iou))
  assert {'report.json', 'per_class.csv', 'predictions.csv', 'images.png',
          'per_class.png'} <= {path.name for path in folder.iterdir()}
  with (folder / 'predictions.csv').open() as file:
    assert len(list(csv.DictReader(file))) == 100
  assert Image.open(tmp_path / 'masks/000.png_overlay.png').size == (64, 64)
  rows = [line.split(',') for line in (
      tmp_path / 'shares.csv').read_text().splitlines()]
  assert {len(row) for row in rows} == {1 + 3 * 4 + 2}
  first = rows[1]
  share = np.mean(mask_files.decode(
      (tmp_path / 'masks/000.png.png').read_bytes()) == int(first[1]))
  assert float(first[3]) == pytest.approx(share)


def test_an_export_gives_the_same_masks_of_any_size(run_dir, images, tmp_path):
  done = scripts.run('export', checkpoint_path=run_dir[0], export_dir=tmp_path / 'out',
                     images=images, num_images=3)
  assert done.returncode == 0, done.stderr
  assert 'parity  right  the same class at all pixels of each image, 3' in done.stdout
  odd = tmp_path / 'odd'
  odd.mkdir()
  for number, size in enumerate([(61, 37), (1, 5), (130, 64)]):
    Image.open(images / '003.png').resize(size).save(odd / f'{number}.png')
  Image.open(images / '003.png').convert('L').save(odd / 'gray.jpg')
  (odd / 'bad.jpg').write_bytes(b'x')
  for name, flags in (('checkpoint', {'checkpoint_path': run_dir[0]}),
                      ('export', {'export': tmp_path / 'out'})):
    done = scripts.run('classify', odd, masks=tmp_path / name, **flags)
    assert done.returncode == 3, done.stderr
    assert "bad.jpg' is skipped" in done.stderr
    assert 'background' in done.stdout
    assert ' 0.00%' not in done.stdout
    assert 'wrote 4 masks' in done.stderr
  for number, size in enumerate([(61, 37), (1, 5), (130, 64)]):
    masks = [mask_files.decode((tmp_path / name / f'{number}.png.png').read_bytes())
             for name in ('checkpoint', 'export')]
    assert masks[0].shape == size[::-1]
    assert np.mean(masks[0] == masks[1]) > 0.999


def test_the_backbone_of_a_checkpoint_is_restored_and_classes_may_differ(
    shapes_dir, run_dir, digits_dir, tmp_path):
  done = scripts.run(
      'train', **TRAIN, dataset_dir=shapes_dir, train_dir=tmp_path / 'run',
      checkpoint_path=run_dir[0], train_image_size=16, batch_size=2,
      max_number_of_steps=1, frozen_scopes='CifarNet', sample_predictions=0)
  assert done.returncode == 0, done.stderr
  assert '200 steps; 1 step is 0.0 epochs' in done.stdout
  before, after = (tf.train.load_checkpoint(str(path)) for path in (
      run_dir[0] / 'model.ckpt-30', tmp_path / 'run/model.ckpt-1'))
  name = 'CifarNet/conv1/weights'
  np.testing.assert_array_equal(before.get_tensor(name), after.get_tensor(name))
  # A network that classifies images is not evaluated as one of masks, nor for masks.
  done = scripts.run('eval', dataset_name='digits', dataset_dir=digits_dir,
                     checkpoint_path=run_dir[0], eval_dir=tmp_path / 'eval')
  assert done.returncode == 1
  assert len(done.stderr.strip().splitlines()) == 1
  assert 'is a segmentation network: expected a network that classifies' in done.stderr


def test_channels_are_those_of_the_first_convolution(tmp_path):
  for name, shape in {
      'CifarNet/conv1/weights': [5, 5, 1, 3], 'CifarNet/conv2/weights': [5, 5, 3, 4],
      'FCN/score_2/weights': [1, 1, 3, 2], 'FCN/score_4/weights': [1, 1, 4, 2]}.items():
    tf.get_variable(name, shape)
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    path = tf.train.Saver().save(session, str(tmp_path / 'model.ckpt'))
  network = segmentation_network.find(path, NetworkOptions(model_name='cifarnet'))
  assert network.channels == 1


@pytest.mark.parametrize('name', ['mobilenet_v1_025', 'vgg_a'])
def test_networks_take_images_of_any_size(name):
  strides = sorted(fcn.nets_factory.feature_map_names(name))[-2:]
  images = tf.placeholder(tf.float32, [None, None, None, 3])
  logits, _ = fcn.get_network_fn(name, 4, strides)(images)
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    for height, width in ((64, 32), (32, 96)):
      assert session.run(logits, {images: np.zeros([1, height, width, 3])}).shape == (
          1, height, width, 4)
