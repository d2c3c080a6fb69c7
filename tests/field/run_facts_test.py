"""What a run was trained with counts later: by flag, else run card, else default."""

import json
import shutil

import pytest
from PIL import Image

from slim_zoo.catalog import published
from slim_zoo.checkpoints import run_card, trained_network
from tests import scripts

FLAGS = {'model_name': 'mobilenet_v1_025', 'train_image_size': 64,
         'preprocessing_name': 'cifarnet', 'use_grayscale': True, 'labels_offset': 0,
         'moving_average_decay': 0.9, 'dataset_name': 'digits',
         'dataset_dir': '/data/digits'}
TAKEN = '--eval_image_size=64 --preprocessing_name=cifarnet --use_grayscale'


def card(step=6, stopped_by='done', run=(), sessions=(), **flags):
  values = {**FLAGS, **flags}
  return {
      'format': 1, 'run': {'image_size': values.get('train_image_size') or 224,
                           'classes': 10, **dict(run)},
      'flags': {name: {'value': value, 'given': True}
                for name, value in values.items()},
      'sessions': [{'first_step': 0, 'step': step, 'resumed': None, 'changed': {},
                    'stopped_by': stopped_by}, *sessions]}


def read(folder, values, name='model.ckpt-6'):
  text = values if isinstance(values, str) else json.dumps(values)
  (folder / 'run_card.json').write_text(text)
  return run_card.facts_of(str(folder / name))


def made(card, num_classes=10, name='mobilenet_v1_025', path='model.ckpt-6', **options):
  return trained_network.resolve(
      path, name, num_classes, card, trained_network.NetworkOptions(**options))


def note_of(network):
  """Returns the only note of a network, None without any."""
  assert len(network.notes) <= 1
  return next(iter(network.notes), None)


@pytest.mark.parametrize('name', [
    'model.ckpt-1', 'model.ckpt-6', 'model.ckpt-6-recalibrated', 'best/model.ckpt-3',
    'best/model.ckpt-again-3', 'best/model.ckpt-3-recalibrated'])
def test_every_checkpoint_of_a_run_has_its_facts(tmp_path, name):
  facts, note = read(tmp_path, card(), name)
  assert note is None
  assert (facts.model_name, facts.num_classes, facts.image_size) == (
      'mobilenet_v1_025', 10, 64)
  assert facts.moving_average_decay == 0.9
  assert note_of(made(facts)) == f'from the run card beside the checkpoint: {TAKEN}'


@pytest.mark.parametrize(('values', 'name', 'words'), [
    ('{"format": 1, "fla', 'model.ckpt-6', 'cannot be read'),
    ('[]', 'model.ckpt-6', 'cannot be read'),
    ('\xff', 'model.ckpt-6', 'cannot be read'),
    (card(train_image_size='64'), 'model.ckpt-6', 'cannot be read'),
    (card(model_name='no_network'), 'model.ckpt-6', 'cannot be read'),
    (card(preprocessing_name='none'), 'model.ckpt-6', 'cannot be read'),
    ({**card(), 'sessions': []}, 'model.ckpt-6', 'cannot be read'),
    ({**card(), 'format': 2}, 'model.ckpt-6', 'format 2'),
    # The folder is used again.
    (card(), 'mobilenet_v1_025.ckpt', 'expected a name such as model.ckpt-1000'),
    (card(), 'model.ckpt', 'expected a name such as model.ckpt-1000'),
    (card(), 'model.ckpt-7', 'later step'),
    (card(), 'best-before-1/model.ckpt-3', 'may be of an earlier run'),
])
def test_a_card_that_cannot_be_used_is_said(tmp_path, values, name, words):
  facts, note = read(tmp_path, values, name)
  assert facts is None
  assert words in note
  assert 'run_card.json' in note


def test_a_killed_run_may_have_saved_after_its_card(tmp_path):
  facts, note = read(tmp_path, card(5, run_card.UNDER_WAY))
  assert (facts.image_size, note) == (64, None)


def test_an_older_card_says_what_it_has(tmp_path):
  old = card()
  old['run'] = {}
  for name in ('labels_offset', 'moving_average_decay', 'dataset_dir'):
    del old['flags'][name]
  facts, note = read(tmp_path, old)
  assert note is None
  assert (facts.image_size, facts.num_classes, facts.labels_offset) == (64, None, 0)


@pytest.mark.parametrize(('name', 'size'), [
    ('model.ckpt-6', None), ('model.ckpt-7', 64), ('model.ckpt-9', 64)])
def test_a_checkpoint_has_the_facts_of_its_own_session(tmp_path, name, size):
  """The run was resumed at step 6 with another size."""
  facts, _ = read(tmp_path, card(sessions=[{
      'first_step': 6, 'step': 9, 'resumed': 'model.ckpt-6', 'stopped_by': 'done',
      'changed': {'flags.train_image_size': [None, 64]}}]), name)
  assert facts.image_size == size


@pytest.mark.parametrize(('given', 'value', 'flag'), [
    ({'image_size': 32}, 32, '--eval_image_size'),
    ({'preprocessing_name': 'vgg'}, 'vgg', '--preprocessing_name'),
    ({'use_grayscale': False}, False, '--nouse_grayscale'),
    ({'labels_offset': 1}, 1, '--labels_offset')])
def test_a_flag_counts_more_and_a_contradiction_is_said(tmp_path, given, value, flag):
  facts, _ = read(tmp_path, card())
  found = made(facts, **given)
  assert getattr(found, next(iter(given))) == value
  assert f'; using {flag}' in note_of(found)
  assert '; the run card says --' in note_of(found)
  assert '\n' not in note_of(found)


def test_without_a_card_nothing_is_said(tmp_path):
  assert run_card.facts_of(str(tmp_path / 'model.ckpt-6')) == (None, None)


def test_nothing_is_said_of_flags_and_cards_that_agree(tmp_path):
  facts, _ = read(tmp_path, card())
  assert note_of(made(facts, image_size=64, preprocessing_name='cifarnet',
                      use_grayscale=True)) is None
  plain, _ = read(tmp_path, card(train_image_size=None, use_grayscale=False,
                                 preprocessing_name='inception'))
  assert note_of(made(plain)) is None
  assert note_of(made(None)) is None


def test_a_run_of_resnet_v2_is_not_taken_as_published(tmp_path):
  facts, _ = read(tmp_path, card(
      model_name='resnet_v2_50', preprocessing_name=None, train_image_size=None,
      use_grayscale=False, run={'classes': 1001}))
  found = made(facts, 1001, 'resnet_v2_50')
  assert (found.image_size, found.preprocessing_name) == (224, 'resnet_v2_50')
  assert note_of(found) is None


@pytest.mark.parametrize(('name', 'classes', 'path', 'size', 'family'), [
    ('resnet_v2_50', 1001, 'resnet_v2_50.ckpt', 299, 'inception'),
    ('resnet_v2_152', 1001, 'x/model.ckpt', 299, 'inception'),
    ('resnet_v2_50', 1000, 'resnet_v2_50.ckpt', 224, 'vgg'),
    ('resnet_v2_50', 5, 'resnet_v2_50.ckpt', 224, 'vgg'),
    ('resnet_v1_50', 1000, 'resnet_v1_50.ckpt', 224, 'vgg'),
    ('mobilenet_v1_025', 1001, 'mobilenet_v1_0.25_128.ckpt', 128, 'inception'),
    ('mobilenet_v1', 1001, 'mobilenet_v1_1.0_160_quant/model.ckpt', 160, 'inception'),
    ('mobilenet_v2', 1001, 'mobilenet_v2_1.0_96/mobilenet_v2_1.0_96.ckpt', 96,
     'inception'),
    ('mobilenet_v3_large', 1001, 'v3-large_224_1.0_float/ema/model-540000', 224,
     'inception'),
    ('inception_v3', 1001, '128/inception_v3.ckpt', 299, 'inception')])
def test_published_checkpoints(name, classes, path, size, family):
  found = made(None, classes, name, path)
  assert (found.image_size, trained_network.family(found.preprocessing_name)) == (
      size, family)
  if found.differing_options:
    row = published.find(name, classes, path)
    assert f'no run card; assuming the published {row.name}: --' in note_of(found)


def test_published_facts_and_defaults_agree_but_for_resnet_v2():
  main = {row.network: published.main_of(row.network)
          for row in published.PUBLISHED.values()}
  differ = {name for name, row in main.items()
            if made(None, row.num_classes, name, name).differing_options}
  assert differ == {'resnet_v2_50', 'resnet_v2_101', 'resnet_v2_152'}


@pytest.fixture(scope='module')
def small_run(digits_dir, tmp_path_factory):
  """Returns a run on small gray images with another preprocessing."""
  folder = tmp_path_factory.mktemp('small') / 'run'
  done = scripts.run(
      'train_image_classifier', train_dir=folder, max_number_of_steps=1, batch_size=4,
      model_name='mobilenet_v1_025', train_image_size=32, use_grayscale=True,
      preprocessing_name='cifarnet', dataset_name='digits', dataset_dir=digits_dir,
      moving_average_decay=0.9, sample_predictions=0)
  assert done.returncode == 0, done.stderr
  return folder


AVERAGES = 'moving averages of the weights, which are not used: --moving_average_decay'
OF_THE_RUN = '--eval_image_size=32 --preprocessing_name=cifarnet --use_grayscale'


def test_eval_follows_the_run(small_run, digits_dir, tmp_path):
  done = scripts.run_for_numbers('eval_image_classifier', checkpoint_path=small_run,
                     dataset_name='digits', dataset_dir=digits_dir,
                     eval_dir=tmp_path, max_num_batches=1, train_dir=small_run)
  assert done.returncode == 0, done.stderr
  said = [line for line in done.stdout.splitlines() if line.startswith('note: ')]
  assert said[0] == (f'note: --train_dir={small_run} is not used: --checkpoint_path='
                     f'{small_run} names what is evaluated')
  assert said[1] == ('note: from the run card beside the checkpoint:'
                     f' --model_name=mobilenet_v1_025 {OF_THE_RUN}')
  assert AVERAGES in said[2]
  run = json.loads((tmp_path / 'report/report.json').read_text())['run']
  assert (run['network'], run['image size'], run['preprocessing'], run['step']) == (
      'mobilenet_v1_025', 32, 'cifarnet', 1)


def test_classify_and_export_follow_the_run(small_run, tmp_path):
  Image.new('RGB', (40, 40), 'red').save(tmp_path / 'red.png')
  done = scripts.run('classify', tmp_path / 'red.png', checkpoint_path=small_run)
  assert done.returncode == 0, done.stderr
  assert f'from the run card beside the checkpoint: {OF_THE_RUN}\n' in done.stderr
  assert AVERAGES in done.stderr
  done = scripts.run('export', checkpoint_path=small_run, images=tmp_path,
                     format='frozen_graph', export_dir=tmp_path / 'out', check=False)
  assert '32 x 32 x 1' in done.stdout, done.stderr


def test_inspect_prints_commands_of_the_run(small_run):
  done = scripts.run('inspect', '--json', checkpoint_path=small_run)
  found = json.loads(done.stdout)
  assert (found['image_size'], found['preprocessing']) == (32, 'cifarnet')
  assert found['run_card'] == str(small_run / 'run_card.json')
  for what, words in (
      ('fine-tune', ['--train_image_size=32', '--preprocessing_name=cifarnet']),
      ('evaluate', ['--eval_image_size=32', '--use_grayscale', '--dataset_name=digits',
                    '--moving_average_decay=0.9']),
      ('export', ['--eval_image_size=32', '--preprocessing_name=cifarnet']),
      ('write its graph', ['--image_size=32', '--use_grayscale'])):
    assert all(word in found['commands'][what] for word in words), found['commands']


def test_training_goes_on_as_the_run(small_run, digits_dir, tmp_path):
  """As fine-tuning from it, and as the same run."""
  flags = {'dataset_name': 'digits', 'dataset_dir': digits_dir, 'batch_size': 4,
           'sample_predictions': 0}
  done = scripts.run('train_image_classifier', train_dir=tmp_path / 'tuned',
                     checkpoint_path=small_run, max_number_of_steps=1, **flags)
  assert done.returncode == 0, done.stderr
  taken = '--train_image_size=32 --preprocessing_name=cifarnet --use_grayscale'
  assert done.stdout.startswith(
      'note: from the run card beside the checkpoint: --model_name=mobilenet_v1_025'
      f' {taken}\n')
  again = scripts.run('train_image_classifier', train_dir=tmp_path / 'tuned',
                      max_number_of_steps=2, **flags)
  assert again.returncode == 0, again.stderr
  assert '32 x 32, cifarnet preprocessing, gray' in again.stdout
  assert 'resumes step 1' in again.stdout


def test_the_card_of_another_network_is_said(small_run, trained_dir, digits_dir,
                                             tmp_path):
  for path in trained_dir.glob('model.ckpt-60.*'):
    shutil.copy(path, tmp_path / path.name.replace('-60', '-1'))
  shutil.copy(small_run / 'run_card.json', tmp_path)
  done = scripts.run('eval_image_classifier', model_name='lenet', max_num_batches=1,
                     checkpoint_path=tmp_path / 'model.ckpt-1', dataset_name='digits',
                     dataset_dir=digits_dir, eval_dir=tmp_path / 'eval')
  assert done.returncode == 0, done.stderr
  assert ('is not used: it is of mobilenet_v1_025 with 10 classes, the checkpoint is'
          ' not') in done.stdout
  assert json.loads((tmp_path / 'eval/report/report.json').read_text())['run'][
      'image size'] == 28
