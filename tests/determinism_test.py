"""Bit for bit: the input's place, the generators of dropout, and whole runs."""

import itertools
import json
import os
import re
import shlex

import pytest

from slim_zoo.input import pipeline, plain_records
from slim_zoo.tf_compat import slim, tf
from slim_zoo.training import determinism
from tests import records_for_tests as records
from tests import scripts
from tests.conftest import on_digits

# --- The input continues where it was.

@pytest.fixture
def folder(tmp_path):
  """Three files of 10, 7 and 13 records, of which one cannot be decoded."""
  start = 0
  for index, count in enumerate((10, 7, 13)):
    values = range(start, start + count)
    images = [records.png(value) for value in values]
    if index == 1:
      images[2] = b'no image'
    records.write(tmp_path / f'part-{index}', images, [0] * count)
    start += count
  return tmp_path


def batches_from(folder, first_record, count, seed=5):
  """Returns (pixel values, numbers) of each batch, and the next record then."""
  tf.reset_default_graph()
  images = pipeline.training_input(
      records.dataset(folder / 'part-*', 30), records.as_they_are, 4, seed=seed,
      first_record=first_record)
  batch, found = images.next_batch(), []
  with tf.Session() as session:
    session.run(images.initializer)
    for _ in range(count):
      got = session.run(batch)
      images.log.deliver(got.numbers)
      found.append((got.images[:, 0, 0, 0].tolist(), got.numbers.tolist()))
  return found, images.log


@pytest.mark.parametrize('taken', [1, 8, 23])
def test_the_input_goes_on_where_it_was(folder, taken):
  """Within the first epoch, at its end, and in later ones."""
  whole, _ = batches_from(folder, 0, 30)
  _, log = batches_from(folder, 0, taken)
  rest, later_log = batches_from(folder, log.records_read(), 30 - taken)
  assert rest == whole[taken:]
  # What was lost before is not told again.
  lost_before = len(log.take_lost())
  assert lost_before + len(later_log.take_lost()) == 4


def test_every_epoch_has_its_own_order_and_all_records(folder):
  found, _ = batches_from(folder, 0, 29)
  values = [value for batch, _ in found for value in batch]
  epochs = [values[29 * index:29 * index + 29] for index in range(4)]
  assert all(sorted(epoch) == [v for v in range(30) if v != 12] for epoch in epochs)
  assert len({tuple(epoch) for epoch in epochs}) == 4


# --- Generators.

def dropout_masks(session, mask, count):
  return [session.run(mask).tolist() for _ in range(count)]


def test_generators_are_wound_forward(capsys):
  tf.set_random_seed(3)
  net = slim.dropout(tf.ones([2, 20]), 0.5) + slim.dropout(tf.ones([2, 20]), 0.9)
  unused = slim.dropout(tf.ones([3]), 0.5)
  train_op = tf.identity(net)
  assert len(determinism.generators(train_op)) == 2
  del unused
  with tf.Session() as session:
    straight = dropout_masks(session, train_op, 12)
  ticks = iter(range(0, 1000, 3))
  with tf.Session() as session:
    determinism.RandomStateReplay(
        train_op, 2, clock=lambda: next(ticks)).begin(session, 4, None)
    assert dropout_masks(session, train_op, 4) == straight[8:]
  assert capsys.readouterr().out.count('forward to step 4') == 1
  with tf.Session() as session:
    determinism.RandomStateReplay(train_op).begin(session, 0, None)
    assert dropout_masks(session, train_op, 2) == straight[:2]


def test_a_generator_that_needs_the_images_cannot_be_wound():
  images = tf.placeholder(tf.float32, [None, 3])
  with pytest.raises(ValueError, match='Placeholder'):
    determinism.generators(tf.identity(slim.dropout(images, 0.5)))


def test_seeds_of_a_run_that_need_not_repeat_itself_differ_after_it_is_resumed():
  seeds = {determinism.seeds_of(7, 'given', step) for step in (0, 10, 20)}
  assert len({seed.graph for seed in seeds}) == len({s.input for s in seeds}) == 3
  exact = [determinism.seeds_of(7, 'given', step, 0, 8 * step) for step in (0, 10)]
  assert [(seed.graph, seed.input, seed.first_record) for seed in exact] == [
      (7, 7, 0), (7, 7, 80)]


# --- Whole runs.

RECORDS = 180  # 22.5 batches of 8.


def weights(folder):
  reader = tf.train.load_checkpoint(tf.train.latest_checkpoint(str(folder)))
  return {name: reader.get_tensor(name).tobytes()
          for name in reader.get_variable_to_shape_map()}


def card_of(folder):
  return json.loads((folder / 'run_card.json').read_text())


def repeated(folder):
  """Returns the flags of the command on a card."""
  script, *arguments = shlex.split(card_of(folder)['command'])[1:]
  assert script == 'train_image_classifier.py'
  pairs = [argument.removeprefix('--').partition('=') for argument in arguments]
  return {name: value if equals else True for name, equals, value in pairs}


def train(flags, **more):
  done = scripts.run('train_image_classifier', **flags, **more)
  assert done.returncode == 0, done.stderr
  return re.findall(r'step (\d+)/\d+  loss (\S+)', done.stdout), done.stdout


def test_a_deterministic_run_repeats_itself_bit_for_bit_interrupted_or_not(
    digits_dir, tmp_path):
  """LeNet has dropout; the records are of the second epoch in the end.

  The first run draws its seed; the second one follows the command of its card.
  """
  data = tmp_path / 'data'
  data.mkdir()
  plain_records.write(str(data / 'digits_train.tfrecord'), itertools.islice(
      tf.io.tf_record_iterator(str(digits_dir / 'digits_train.tfrecord')), RECORDS))
  flags = dict(on_digits(data), batch_size=8, log_every_n_steps=1,
               deterministic=True, sample_predictions=4)
  del flags['seed']
  losses, _ = train(flags, train_dir=tmp_path / 'a', max_number_of_steps=26)
  seed, command = card_of(tmp_path / 'a')['seeds']['seed'], repeated(tmp_path / 'a')
  again, _ = train({**command, 'train_dir': tmp_path / 'b', 'max_number_of_steps': 11})
  more, said = train(flags, train_dir=tmp_path / 'b', max_number_of_steps=26)
  assert f'seed           {seed}, of the run card, bit for bit' in said
  assert 'changed        flags.max_number_of_steps: 11 before, now 26\n' in said
  assert len(losses) == 26
  assert again + more == losses
  assert weights(tmp_path / 'a') == weights(tmp_path / 'b')
  check_cards(card_of(tmp_path / 'a'), card_of(tmp_path / 'b'))


def check_cards(straight, interrupted):
  assert [(session['first_step'], session['step'], session['resumed'])
          for session in interrupted['sessions']] == [
              (0, 11, None), (11, 26, 'model.ckpt-11')]
  for name in ('step', 'loss', 'checkpoint', 'stopped_by'):
    assert straight['results'][name] == interrupted['results'][name]
  assert straight['results']['stopped_by'] == 'done'
  assert straight['data'] == interrupted['data']
  assert straight['data']['train']['records'] == RECORDS
  assert straight['run']['parameters'] == {
      'total': 3274634, 'trained': 3274634, 'statistics': 0,
      # Two slots of adam, its two powers and the global step.
      'in_a_checkpoint': 3 * 3274634 + 3}
  assert straight['run']['batch']['images_per_step'] == 8
  assert straight['run']['schedule']['decay_steps'] == 45
  assert straight['flags']['optimizer'] == {'value': 'adam', 'given': True}
  assert straight['flags']['momentum'] == {'value': 0.9, 'given': False}
  assert not [name for name in straight['flags'] if name.startswith('tt_')]


@pytest.mark.parametrize(('flags', 'words'), [
    ({'sync_replicas': True}, '--sync_replicas:'),
    ({'worker_hosts': 'a:1', 'ps_hosts': 'b:1'}, '--ps_hosts=b:1'),
    ({'cluster': 'a:1,b:1'}, '2 workers'),
    ({'master': 'grpc://localhost:1'}, '--master=')])
def test_what_cannot_be_deterministic_is_refused(digits_dir, tmp_path, flags, words):
  done = scripts.run('train_image_classifier', **on_digits(digits_dir),
                     train_dir=tmp_path, deterministic=True, **flags)
  scripts.answer(done, '--deterministic', words)
  assert os.listdir(tmp_path) == []
