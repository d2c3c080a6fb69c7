"""published:NAME as --checkpoint_path, and the command slim-zoo weights."""

import io
import json
import os
import re
import signal
import tarfile
import time

import pytest
from PIL import Image

import slim_zoo
from slim_zoo.catalog import published, variables
from slim_zoo.checkpoints import (
    identified_network,
    published_weights,
    restore,
    trained_network,
)
from slim_zoo.checkpoints.trained_network import NetworkOptions
from slim_zoo.config.adopted import adopt_run_facts
from slim_zoo.config.training import TrainConfig
from slim_zoo.diagnostics import UserError
from slim_zoo.tasks import weights
from slim_zoo.weight_conversion import pairs
from tests import checkpoint_files, random_weights, scripts
from tests.archive_server import archive_server, packed

NAME = 'mobilenet_v1_0.25_128'
ROW = published.PUBLISHED[NAME]
PATH = f'published:{NAME}'


@pytest.fixture(scope='module')
def archive(tmp_path_factory):
  """Returns the bytes of the archive, with random weights."""
  folder = tmp_path_factory.mktemp('checkpoint')
  sizes = {'classes': 1001, 'channels': 3, '8*channels': 24}
  shapes = {name: tuple(sizes.get(size, size) for size in shape)
            for name, shape in variables.load()[ROW.network].shapes.items()}
  checkpoint_files.write_quickly(folder / f'{NAME}.ckpt', random_weights.values(shapes))
  return packed({f'./{path.name}': path.read_bytes() for path in folder.iterdir()})


@pytest.fixture(scope='module')
def server(archive):
  with archive_server() as running:
    running.files[f'/{ROW.file}'] = archive
    yield running


@pytest.fixture(scope='module')
def cache(tmp_path_factory, server):
  """Returns a cache that has the archive."""
  folder = tmp_path_factory.mktemp('cache')
  environment = {'SLIM_ZOO_CACHE': str(folder), 'SLIM_ZOO_MIRRORS': server.url}
  done = started(folder, environment, 'weights', get=NAME).wait()
  assert done.returncode == 0, done.stderr
  assert done.stdout.splitlines() == [
      f"'{folder}/{NAME}/{NAME}.ckpt': mobilenet_v1_025, 1001 classes, images of 128 x"
      ' 128, preprocessing inception; published with top-1 41.5, top-5 66.3',
      f'use it as --checkpoint_path={PATH}']
  return folder


@pytest.fixture
def from_cache(cache, monkeypatch):
  """Lets this process find the archive in the cache, and nowhere else."""
  monkeypatch.setenv('SLIM_ZOO_CACHE', str(cache))
  monkeypatch.setenv('SLIM_ZOO_MIRRORS', 'http://127.0.0.1:9')


def started(folder, environment, command, *arguments, **flags):
  return scripts.Started(folder, scripts.command(command, *arguments, **flags),
                         environment)


def test_functions_take_a_name(from_cache, cache, digits_dir, tmp_path, capsys):
  """The size of 128 is a fact of the archive: the network's own is 224."""
  facts = slim_zoo.inspect(checkpoint_path=PATH)
  assert (facts.network, facts.image_size, facts.checkpoint) == (
      'mobilenet_v1_025', 128, f'{cache}/{NAME}/{NAME}.ckpt')
  Image.effect_noise((200, 150), 90).convert('RGB').save(tmp_path / 'a.png')
  answer, = slim_zoo.classify(tmp_path / 'a.png', checkpoint_path=PATH, top_k=1)
  assert answer.classes[0].label < 1001
  assert f'assuming the published {NAME}: --eval_image_size=128' in (
      capsys.readouterr().err)
  slim_zoo.train(
      checkpoint_path=PATH, checkpoint_exclude_scopes='auto', batch_size=2,
      dataset_name='digits', dataset_dir=digits_dir, train_dir=tmp_path / 'run',
      max_number_of_steps=1, trainable_scopes='MobilenetV1/Logits',
      sample_predictions=0)
  told = capsys.readouterr().out
  assert (f'no run card; assuming the published {NAME}: --model_name=mobilenet_v1_025'
          ' --train_image_size=128') in told
  card = json.loads((tmp_path / 'run/run_card.json').read_text())
  assert card['flags']['checkpoint_path']['value'] == PATH
  assert slim_zoo.weights(get=NAME).facts == ROW


def test_a_command_downloads_what_is_not_in_the_cache(server, tmp_path):
  asked = len(server.asked)
  environment = {'SLIM_ZOO_CACHE': str(tmp_path / 'cache'),
                 'SLIM_ZOO_MIRRORS': server.url}
  for _ in range(2):
    done = started(tmp_path, environment, 'inspect', checkpoint_path=PATH,
                   json=True).wait()
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)['image_size'] == 128
  assert len(server.asked) == asked + 1


def test_an_archive_without_values_is_not_taken(archive, tmp_path):
  with tarfile.open(fileobj=io.BytesIO(archive)) as whole:
    files = {member.name: whole.extractfile(member).read() for member in whole}
  with archive_server() as damaged:
    for path, suffix in (('/a', '.index'), ('/b', '')):
      damaged.files[f'{path}/{ROW.file}'] = packed({
          name: data if name.endswith('.index') else data[:1000]
          for name, data in files.items() if name.endswith(suffix)})
    where = published_weights.Places(
        str(tmp_path), (f'{damaged.url}/a', f'{damaged.url}/b', damaged.url))
    damaged.files[f'/{ROW.file}'] = archive
    assert published_weights.get(ROW, where, restore.verify)
    assert len(damaged.asked) == 3


def test_the_list_shows_what_is_cached(cache, tmp_path):
  done = started(tmp_path, {'SLIM_ZOO_CACHE': str(cache)}, 'weights', list=True,
                 filter='mobilenet_v1_025').wait()
  heading, *lines = done.stdout.splitlines()
  assert heading.split()[-1] == 'cached'
  assert len(lines) == 8
  assert [line.split()[0] for line in lines if line.endswith('yes')] == [NAME]
  assert re.sub(' +', ' ', lines[0]) == (
      'mobilenet_v1_0.25_224 mobilenet_v1_025 float 224 1001 inception 49.8 74.2 -')


@pytest.mark.parametrize(('flags', 'words'), [
    ({}, ['--list and --get=NAME: expected one of them, got none']),
    ({'list': True, 'get': NAME}, ['got both']),
    ({'get': 'mobilnet_v1_0.25_128'}, [f"did you mean '{NAME}'"]),
    ({'get': NAME, 'filter': 'x'}, ['--filter has no effect without --list']),
    ({'list': True, 'mirrors': 'http://a'}, ['--mirrors has no effect without --get']),
    ({'list': True, 'filter': 'resnet_v9'}, ["--filter='resnet_v9' fits no"]),
    ({'get': f'{NAME}_quant', 'from': 'keras'}, ['is quantized', 'leave out --from']),
    ({'get': NAME, 'from': 'caffe'}, ['keras', 'timm'])])
def test_wrong_flags_of_weights(flags, words):
  scripts.answer(scripts.run('weights', **flags), *words)


@pytest.mark.parametrize(('script', 'flags'), [
    ('inspect', {}), ('eval', {'dataset_dir': 'x'}), ('export', {'export_dir': 'x'}),
    ('train', {'train_dir': 'x'})])
def test_a_misspelt_name_is_answered_by_every_command(
    script, flags, digits_dir, tmp_path):
  if 'dataset_dir' in flags or script == 'train':
    flags = {'dataset_name': 'digits', 'dataset_dir': digits_dir, 'eval_dir': tmp_path,
             'dataset_split_name': 'train', 'train_dir': tmp_path / 'run'}
    flags.pop('eval_dir' if script == 'train' else 'train_dir')
  done = scripts.run(script, checkpoint_path='published:mobilnet_v1_0.25_128', **flags)
  scripts.answer(done, f"did you mean '{NAME}'")


def test_a_watched_folder_is_no_name():
  done = scripts.run('eval', checkpoint_path=PATH, watch=True)
  scripts.answer(done, '--watch needs a folder of checkpoints')


def test_without_an_answer_each_address_is_a_line(tmp_path):
  with archive_server() as nothing:
    done = started(tmp_path, {
        'SLIM_ZOO_CACHE': str(tmp_path / 'cache'), 'http_proxy': nothing.url,
        'https_proxy': nothing.url, 'no_proxy': '127.0.0.1'},
        'weights', get=NAME, mirrors=f'{nothing.url}/a,{nothing.url}/b').wait()
  assert done.returncode == 1
  first, *lines, last = done.stderr.splitlines()
  assert first.startswith(f'downloading {NAME} to ')
  assert [line.split("'")[1] for line in lines] == ROW.addresses(
      [f'{nothing.url}/a', f'{nothing.url}/b'])
  assert last.startswith(f'slim-zoo weights: no address has {NAME}: ')
  assert f'--get={NAME} --from=keras' in last
  assert not (tmp_path / 'cache' / NAME).exists()


def wait_until(is_true, process):
  """Waits until a function returns true; fails if the process ends before."""
  while not is_true():
    assert process.poll() is None, process.stderr
    time.sleep(0.01)


def test_a_stopped_download_is_continued_and_others_wait(archive, tmp_path):
  environment = {'SLIM_ZOO_CACHE': str(tmp_path / 'cache')}
  half = len(archive) // 2
  with archive_server() as slow:
    slow.files[f'/{ROW.file}'], slow.piece = archive, half
    slow.goes_on.clear()
    environment['SLIM_ZOO_MIRRORS'] = slow.url
    first = started(tmp_path, environment, 'weights', get=NAME)
    part = tmp_path / f'cache/{NAME}/.unfinished-{NAME}/fetched/{ROW.file}.part'
    wait_until(lambda: part.exists() and part.stat().st_size, first)
    second = started(tmp_path, environment, 'inspect', checkpoint_path=PATH)
    wait_until(lambda: 'waiting for it' in second.stderr, second)
    second.signal(signal.SIGTERM)
    assert second.wait().returncode == 128 + signal.SIGTERM
    wait_until(lambda: part.stat().st_size == half, first)
    first.signal(signal.SIGINT)
    done = first.wait()
    assert done.returncode == 128 + signal.SIGINT
    assert done.stderr.endswith(
        'stopped by SIGINT: the same command continues the download\n')
    assert 'Traceback' not in done.stderr
    assert part.stat().st_size == half
    slow.piece = 1 << 40
    slow.goes_on.set()
    done = started(tmp_path, environment, 'weights', get=NAME).wait()
    assert done.returncode == 0, done.stderr
    assert [asked for _, asked in slow.asked] == [None, f'bytes={half}-']
  assert sorted(os.listdir(tmp_path / f'cache/{NAME}')) == [
      f'{NAME}.ckpt.data-00000-of-00001', f'{NAME}.ckpt.index', 'published.json']


# --- Facts.


def adopted(tmp_path, name, **options):
  return adopt_run_facts(TrainConfig.from_options({
      'checkpoint_path': f'published:{name}', 'train_dir': tmp_path / 'run',
      **options}))


def test_training_adopts_the_facts(tmp_path):
  config, note = adopted(tmp_path, 'resnet_v2_50_2017_04_14')
  network = config.network
  assert (network.model_name, network.train_image_size, network.preprocessing_name,
          config.data.labels_offset) == ('resnet_v2_50', 299, 'inception', 0)
  assert note == (
      'no run card; assuming the published resnet_v2_50_2017_04_14:'
      ' --model_name=resnet_v2_50 --train_image_size=299'
      ' --preprocessing_name=inception')
  config, _ = adopted(tmp_path, 'resnet_v2_50_2017_04_14', train_image_size=64,
                      preprocessing_name='vgg', model_name='resnet_v2_50')
  assert (config.network.train_image_size, config.network.preprocessing_name) == (
      64, 'vgg')
  config, note = adopted(tmp_path, 'resnet_v2_50_2017_04_14', model_name='lenet')
  assert (config.network.model_name, note) == ('lenet', None)


def test_classes_of_imagenet_without_background(tmp_path, digits_dir):
  """The labels of ImageNet count it."""
  config, note = adopted(tmp_path, 'resnet_v1_50_2016_08_28', dataset_name='imagenet')
  assert config.data.labels_offset == 1
  assert note.endswith('--model_name=resnet_v1_50 --labels_offset=1')
  config, _ = adopted(tmp_path, 'resnet_v1_50_2016_08_28', dataset_name='digits',
                      dataset_dir=digits_dir)
  assert config.data.labels_offset == 0
  found = trained_network.resolve(
      'x/vgg_16_2016_08_28/vgg_16.ckpt', 'vgg_16', 1000, num_labels=1001)
  assert found.labels_offset == 1


@pytest.mark.parametrize(('options', 'expected'), [
    ({}, ('mobilenet_v1_025', 128, 'inception')),
    ({'image_size': 64, 'preprocessing_name': 'vgg'}, ('mobilenet_v1_025', 64, 'vgg'))])
def test_evaluation_adopts_the_facts(cache, options, expected):
  found = identified_network.for_labels(
      str(cache / NAME / f'{NAME}.ckpt'), 1001, NetworkOptions(**options),
      'inception_v3')
  assert (found.model_name, found.image_size,
          trained_network.family(found.preprocessing_name)) == expected


# --- Weights of other frameworks.


@pytest.mark.parametrize(('name', 'framework', 'background', 'folds'), [
    (NAME, 'keras', 'add', False), ('resnet_v1_50_2016_08_28', 'keras', 'keep', False),
    ('vgg_16_2016_08_28', 'timm', 'keep', True)])
def test_other_weights_are_said_to_be_other(
    tmp_path, name, framework, background, folds):
  calls = []

  def to_slim(pair, source, target, options):
    calls.append((pair.model_name, source, options))
    checkpoint_files.write_quickly(target, {'x': [1.0]})
    return [f"'{target}': converted"]

  row = published.PUBLISHED[name]
  for _ in range(2):
    found = weights.convert(row, framework, str(tmp_path), to_slim=to_slim)
  (network, source, options), = calls
  assert (network, source, options.background, options.fold_normalization,
          options.image_size) == (row.network, 'pretrained', background, folds,
                                  row.image_size)
  assert found.checkpoint == f'{tmp_path}/{name}-from-{framework}/{name}.ckpt'
  assert os.path.exists(f'{found.checkpoint}.index')
  assert not found.is_published
  assert 'not the published ones' in ' '.join(found.description)


@pytest.mark.parametrize(('name', 'framework', 'words'), [
    ('inception_v1_2016_08_28', 'keras', 'has no table for Keras'),
    ('resnet_v1_50_2016_08_28', 'timm', r'resnet50 there is not resnet_v1_50'),
    ('mobilenet_edgetpu_224_1.0', 'timm', 'cannot be converted')])
def test_a_network_that_the_framework_lacks(tmp_path, name, framework, words):
  with pytest.raises(UserError, match=words):
    weights.convert(published.PUBLISHED[name], framework, str(tmp_path))
  assert not list(tmp_path.iterdir())


def test_each_row_that_keras_has_can_be_converted():
  pairs_of_keras = {pair.model_name for pair in pairs.PAIRS
                    if pair.framework.name == 'keras'}
  rows = [row for row in published.PUBLISHED.values()
          if row.network in pairs_of_keras and not row.is_quantized]
  assert len(rows) == 56
  assert all(pairs.find(row.network, 'keras').model_name == row.network
             for row in rows)
