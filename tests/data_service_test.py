"""Training input through a tf.data service, whose processes are real."""

import collections
import contextlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from slim_zoo import diagnostics
from slim_zoo.config.training import TrainConfig
from slim_zoo.input import data_service, held_out, pipeline
from slim_zoo.tf_compat import tf
from tests import jobs, records_for_tests, scripts
from tests.conftest import ROOT, on_digits

SECONDS = 180
IMAGES, FILES = 240, 3
UNREADABLE = 7


@contextlib.contextmanager
def service_of(workers):
  """Starts a service in another process; yields it and its address."""
  address, = jobs.free_addresses(1)
  process = subprocess.Popen(
      [sys.executable, str(ROOT / 'tests' / 'data_service_program.py'),
       address.rpartition(':')[2], str(workers)],
      stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
  try:
    assert process.stdout.readline()
    yield process, address
  finally:
    process.kill()
    process.wait()


@pytest.fixture(scope='module')
def address():
  """Returns the address of a service of two workers."""
  with service_of(2) as (_, found):
    yield found


def write_files(folder):
  """Writes records whose pixels count on; one image cannot be decoded."""
  each = IMAGES // FILES
  for index in range(FILES):
    values = range(index * each, (index + 1) * each)
    records_for_tests.write(
        folder / f'{index}.tfrecord',
        [b'no image' if value == UNREADABLE else records_for_tests.png(value)
         for value in values], [value % 10 for value in values])
  return records_for_tests.dataset(folder / '*.tfrecord', IMAGES)


def with_epoch(number, image):
  """A `preprocess` whose images hold the epoch and the pixel, for two channels."""
  pixel = tf.cast(image[0, 0, 0], tf.float32)
  return tf.reshape(tf.stack([tf.cast(number // 2**48, tf.float32), pixel]), [1, 1, 2])


class Consumer:
  """A training input through the service, in a graph and a session of its own."""

  def __init__(self, dataset, service, batch_size, **options):
    self.graph = tf.Graph()
    with self.graph.as_default():
      self.input = pipeline.training_input(
          dataset, with_epoch, batch_size, service=service, **options)
      self.batch = self.input.next_batch()
    self.session = tf.Session(graph=self.graph)
    self.session.run(self.input.initializer)
    self.lost, self.found = 0, []

  def take(self):
    """Takes a batch; returns its (epoch, pixel) pairs."""
    images, labels, numbers = self.session.run(
        [self.batch.images, self.batch.labels, self.batch.numbers])
    pairs = images[:, 0, 0].astype(int)
    np.testing.assert_array_equal(pairs[:, 1] % 10, labels)
    self.input.log.deliver(numbers)
    lost = self.input.log.take_lost()
    assert all(key is None for _, key in lost)
    self.lost += len(lost)
    self.found += map(tuple, pairs.tolist())


def test_one_worker_gets_each_image_once_an_epoch(tmp_path, address):
  dataset, readable = write_files(tmp_path), IMAGES - 1
  orders = []
  for job in ('one', 'other'):
    consumer = Consumer(dataset, data_service.Service(address, job, 5), 10)
    while len(consumer.found) < 3 * readable:
      consumer.take()
    for epoch in range(2):
      pairs = consumer.found[epoch * readable:(epoch + 1) * readable]
      assert {found for found, _ in pairs} == {epoch}
      assert {pixel for _, pixel in pairs} == set(range(IMAGES)) - {UNREADABLE}
    # One an epoch, unless it is the last one of a process.
    assert 1 <= consumer.lost <= 3
    orders.append([pixel for _, pixel in consumer.found[:2 * readable]])
  assert orders[0][:readable] != orders[0][readable:]
  assert orders[0][:20] != sorted(orders[0][:20])


def test_workers_share_the_images_of_an_epoch(tmp_path, address):
  dataset = write_files(tmp_path)
  rest = held_out.Part(0.25, is_held_out=False)
  service = data_service.Service(address, 'shared', 5)
  consumers = [Consumer(dataset, service, 10, part=rest) for _ in range(2)]
  while min(pair[0] for consumer in consumers for pair in consumer.found[-1:] or [
      (0, 0)]) < 3:
    for consumer in consumers:
      consumer.take()
  counts = collections.Counter(
      pair for consumer in consumers for pair in consumer.found)
  assert set(counts.values()) == {1}
  keys = rest.keys(consumers[0].input.files)
  kept = set((keys[:, 0] * (IMAGES // FILES) + keys[:, 1]).tolist()) - {UNREADABLE}
  assert len(kept) < IMAGES - 1
  for epoch in range(3):
    assert {pixel for found, pixel in counts if found == epoch} == kept
  assert all(len(consumer.found) > len(kept) for consumer in consumers)


@pytest.mark.parametrize(('files', 'pieces', 'count'), [
    (1, 8, 8), (3, 9, 3), (8, 8, 1), (100, 100, 1)])
def test_few_files_are_divided(files, pieces, count):
  found, of_file = data_service.pieces_of(files)
  assert (len(found), of_file) == (pieces, count)
  assert len(np.unique(found, axis=0)) == pieces


def flags_of(digits_dir, folder, address, **flags):
  return {**on_digits(digits_dir), 'train_dir': folder, 'batch_size': 8,
          'log_every_n_steps': 1, 'save_summaries_secs': 0,
          'data_service': f'grpc://{address}', **flags}


def test_two_workers_and_then_one_train_through_the_service(
    digits_dir, tmp_path, address):
  flags = flags_of(digits_dir, tmp_path / 'run', address, validation_share=0.2)
  with jobs.Job(tmp_path, 'train_image_classifier', {'worker': 2},
                max_number_of_steps=20, **flags) as job:
    done = job.run(SECONDS)
  for process in done.values():
    assert (process.returncode, process.stderr) == (0, ''), process.stdout
    assert f'input service  grpc://{address}' in process.stdout
  assert 'validation at step 20' in done['worker', 0].stdout
  alone = scripts.run('train_image_classifier', max_number_of_steps=30, **flags)
  assert alone.returncode == 0, alone.stderr
  assert 'resumes step 20' in alone.stdout


@jobs.on_demand
def test_a_service_that_is_lost_is_named_and_a_signal_ends_the_run(
    digits_dir, tmp_path):
  with service_of(1) as (process, address):
    run = scripts.Started(tmp_path, scripts.command(
        'train_image_classifier', **flags_of(digits_dir, tmp_path / 'run', address)))
    assert run.wait_for('\nstep 3 ', SECONDS), run.stderr
    process.kill()
    process.wait()
    assert run.wait_for(f'waiting for the tf.data service ({address})', SECONDS)
    start = time.monotonic()
    run.signal(signal.SIGTERM)
    done = run.wait(SECONDS)
  assert time.monotonic() - start < 15
  scripts.answer(done, 'stopped by SIGTERM', code=128 + signal.SIGTERM)


def test_a_service_that_does_not_answer_is_one_line(digits_dir, tmp_path):
  address, = jobs.free_addresses(1)
  run = scripts.Started(tmp_path, scripts.command(
      'train_image_classifier', **flags_of(digits_dir, tmp_path / 'run', address)))
  assert run.wait_for(f'waiting for the tf.data service ({address})', SECONDS)
  run.signal(signal.SIGINT)
  scripts.answer(run.wait(SECONDS), 'stopped by SIGINT', code=128 + signal.SIGINT)


@pytest.mark.parametrize(('options', 'words'), [
    ({'data_service': 'localhost:1'}, 'expected the dispatcher of a tf.data service'),
    ({'data_service': ''}, 'grpc://HOST:PORT'),
    ({'data_service': 'grpc://localhost'}, "'localhost' is not of the form HOST:PORT"),
    ({'data_service': 'grpc://a:1,b:1'}, 'is not of the form HOST:PORT'),
    ({'deterministic': True}, '--deterministic: the order'),
    ({'cache_dir': '/tmp/copies'}, '--cache_dir=/tmp/copies: the service reads'),
    ({'master': 'grpc://b:1'}, '--master=grpc://b:1: the steps'),
    ({'num_ps_tasks': 1, 'master': 'grpc://b:1'}, '--master=grpc://b:1: the steps'),
])
def test_what_does_not_fit_a_service_is_one_line(digits_dir, options, words):
  config = TrainConfig.from_options({
      **on_digits(digits_dir), 'data_service': 'grpc://a:1', **options})
  with pytest.raises(diagnostics.UserError) as error:
    config.check()
  assert words in str(error.value)
  assert '\n' not in str(error.value)


def test_a_smoke_test_and_a_service_are_one_line():
  done = scripts.run('train', smoke=True, data_service='grpc://a:1')
  scripts.answer(done, '--smoke with --data_service=grpc://a:1', code=1)
