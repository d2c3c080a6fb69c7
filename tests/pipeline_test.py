"""The input pipeline: each image once, bad ones named, order by seed."""

import contextlib
import re
import time

import numpy as np
import pytest

from slim_zoo import diagnostics
from slim_zoo.input import chunks, held_out, pipeline, record_order
from slim_zoo.preprocessing import preprocessing_factory
from slim_zoo.tf_compat import tf
from tests import records_for_tests as records


@pytest.fixture
def folder(tmp_path):
  """Three files of 10, 7 and 13 records; pixel value and number agree."""
  start = 0
  for index, count in enumerate((10, 7, 13)):
    values = range(start, start + count)
    records.write(tmp_path / f'part-{index}', [records.png(value) for value in values],
                  [value % 10 for value in values])
    start += count
  return tmp_path


def read_all(images):
  """Returns (pixel values, labels, numbers) of all batches until the end."""
  batch = images.next_batch()
  values, labels, numbers, sizes = [], [], [], []
  with tf.Session() as session:
    session.run(images.initializer)
    while True:
      try:
        got = session.run(batch)
      except tf.errors.OutOfRangeError:
        break
      values += got.images[:, 0, 0, 0].astype(int).tolist()
      labels += got.labels.tolist()
      numbers += got.numbers.tolist()
      sizes.append(len(got.labels))
      images.log.deliver(got.numbers)
  images.log.finish()
  return values, labels, numbers, sizes


def read_some(images, count):
  """Returns the pixel values of `count` batches, one list each."""
  batch = images.next_batch()
  with tf.Session() as session:
    session.run(images.initializer)
    batches = []
    for _ in range(count):
      got = session.run(batch)
      images.log.deliver(got.numbers)
      batches.append(got.images[:, 0, 0, 0].astype(int).tolist())
  return batches


@pytest.mark.parametrize('batch_size', [1, 7, 30, 100])
def test_evaluation_reads_each_image_once_in_order(folder, batch_size):
  images = pipeline.evaluation_input(
      records.dataset(folder / 'part-*', 30), records.as_they_are, batch_size)
  values, labels, numbers, sizes = read_all(images)
  assert values == list(range(30))
  assert labels == [value % 10 for value in range(30)]
  assert numbers == list(range(30))
  assert sizes == [batch_size] * (30 // batch_size) + (
      [30 % batch_size] if 30 % batch_size else [])
  assert images.log.take_lost() == []


def test_evaluation_prepares_the_next_batches_while_one_is_used(folder):
  prepared = []

  def count(number, image):
    counted = tf.numpy_function(
        lambda number: prepared.append(number) or number, [number], tf.int64)
    with tf.control_dependencies([counted]):
      return records.as_they_are(number, image)

  images = pipeline.evaluation_input(
      records.dataset(folder / 'part-*', 30), count, 4)
  batch = images.next_batch()
  with tf.Session() as session:
    session.run(images.initializer)
    session.run(batch)
    deadline = time.monotonic() + 60
    while len(prepared) < 3 * 4 and time.monotonic() < deadline:
      time.sleep(0.01)
    # That one and the two that are kept ready, without another call.
    assert len(prepared) >= 3 * 4


def test_more_images_than_a_chunk_keep_their_order(tmp_path):
  count = 3 * chunks.SIZE + 5
  records.write(tmp_path / 'part', [records.png(i % 256) for i in range(count)],
                [0] * count)
  images = pipeline.evaluation_input(
      records.dataset(tmp_path / 'part', count), records.as_they_are, 50)
  values, _, numbers, _ = read_all(images)
  assert numbers == list(range(count))
  assert values == [i % 256 for i in range(count)]


def test_training_sees_every_image_once_an_epoch_shuffled(folder):
  images = pipeline.training_input(
      records.dataset(folder / 'part-*', 30), records.as_they_are, 10, seed=3)
  batches = read_some(images, 6)
  first, second = np.concatenate(batches[:3]), np.concatenate(batches[3:])
  assert sorted(first) == sorted(second) == list(range(30))
  assert first.tolist() != list(range(30))
  assert first.tolist() != second.tolist()


def test_the_order_of_a_seed_stays_what_it_was_in_earlier_versions(folder):
  images = pipeline.training_input(
      records.dataset(folder / 'part-*', 30), records.as_they_are, 30, seed=5)
  assert read_some(images, 2) == [
      [23, 7, 25, 12, 15, 5, 20, 24, 21, 13, 10, 22, 8, 3, 0, 18, 26, 2, 14, 17, 1, 27,
       9, 29, 4, 28, 19, 16, 6, 11],
      [6, 17, 28, 18, 16, 21, 20, 15, 4, 24, 26, 19, 25, 8, 3, 29, 1, 5, 23, 22, 12, 11,
       10, 2, 0, 14, 7, 13, 9, 27]]


class CountingPart:
  """A part that keeps every record and counts the records that were read."""

  def __init__(self):
    self._positions = []

  @property
  def records_read(self):
    return len(self._positions)

  def keeps(self, file_index, position):
    def count(position):
      # Two threads call this: an addition to a number could be lost.
      self._positions.append(position)
      return True
    return tf.ensure_shape(tf.numpy_function(count, [position], tf.bool), [])


def test_the_shuffle_buffer_of_one_next_epoch_is_filled_ahead(folder):
  part = CountingPart()
  keyed = record_order.shuffled(  # Behind it, whole chunks of records are waited for.
      sorted(map(str, folder.iterdir())), 1, 30, seed=5, part=part)
  following = tf.data.make_one_shot_iterator(keyed).get_next()
  with tf.Session() as session:
    session.run(following)
    deadline = time.monotonic() + 60
    while part.records_read < 60 and time.monotonic() < deadline:
      time.sleep(0.01)
    # All of the first epoch and of the second, and none of the third.
    assert part.records_read == 60
    for _ in range(28):
      session.run(following)
    assert part.records_read == 60


def test_training_batches_are_always_full(folder):
  images = pipeline.training_input(
      records.dataset(folder / 'part-*', 30), records.as_they_are, 32, seed=3)
  assert [len(batch) for batch in read_some(images, 3)] == [32, 32, 32]
  assert images.next_batch().images.shape.as_list() == [32, 8, 8, 1]


def test_the_seed_decides_the_order(folder):
  def batches(seed):
    tf.reset_default_graph()
    return read_some(pipeline.training_input(
        records.dataset(folder / 'part-*', 30), records.as_they_are, 8, seed=seed), 5)
  assert batches(1) == batches(1)
  assert batches(1) != batches(2)


def test_augmentation_repeats_with_the_seed(folder):
  preprocessing_fn = preprocessing_factory.get_preprocessing(
      'cifarnet', is_training=True)
  def pixels(seed):
    tf.reset_default_graph()
    images = pipeline.training_input(
        records.dataset(folder / 'part-*', 30),
        pipeline.preprocess_with(preprocessing_fn, 6, seed), 8, seed=1)
    batch = images.next_batch()
    with tf.Session() as session:
      session.run(images.initializer)
      return session.run(batch.images)
  np.testing.assert_array_equal(pixels(5), pixels(5))
  assert np.abs(pixels(5) - pixels(6)).max() > 0


def test_clones_get_different_batches_in_order(folder):
  images = pipeline.training_input(
      records.dataset(folder / 'part-*', 30), records.as_they_are, 5, num_clones=3,
      seed=1)
  batches = [images.next_batch() for _ in range(3)]
  with tf.Session() as session:
    session.run(images.initializer)
    for step in range(4):
      numbers = np.concatenate(session.run([batch.numbers for batch in batches]))
      assert numbers.tolist() == list(range(15 * step, 15 * step + 15))


def test_an_unreadable_image_is_passed_over_and_named(tmp_path):
  images = [records.png(value) for value in range(150)]
  images[3], images[149] = b'no image', images[149][:40]
  records.write(tmp_path / 'part', images, [value % 10 for value in range(150)])
  source = pipeline.evaluation_input(
      records.dataset(tmp_path / 'part', 150), records.as_they_are, 20)
  values, _, _, _ = read_all(source)
  assert values == [value for value in range(150) if value not in (3, 149)]
  lost = source.log.take_lost()
  assert lost == [(3, (0, 3)), (149, (0, 149))]
  assert 'record 3' in source.log.describe(lost[0][1])
  assert 'part' in source.log.describe(lost[0][1])


def failure_of(source, batches=50):
  """Returns the user's view of what a pipeline ends with."""
  batch = source.next_batch()
  with tf.Session() as session:
    session.run(source.initializer)
    try:
      for _ in range(batches):
        source.log.deliver(session.run(batch.numbers))
    except tf.errors.OpError as error:
      return source.failure(error)
  return None


@pytest.mark.parametrize(('label', 'offset', 'words'), [
    (12, 0, 'label 12'), (-1, 0, 'label -1'), (0, 1, 'label 0 .*--labels_offset=1')])
def test_a_label_outside_the_classes_is_named(tmp_path, label, offset, words):
  # Behind the records that are checked before a run.
  records.write(tmp_path / 'part', [records.png(1)] * 21, [5] * 20 + [label])
  source = pipeline.evaluation_input(
      records.dataset(tmp_path / 'part', 21), records.as_they_are, 2, offset)
  error = failure_of(source)
  assert isinstance(error, diagnostics.UserError)
  assert '\n' not in str(error)
  assert re.search(words, str(error))
  assert 'record 20 ' in str(error)


def test_the_offset_is_taken_off(folder):
  source = pipeline.evaluation_input(
      records.dataset(folder / 'part-1', 7, num_classes=20), records.as_they_are, 7,
      labels_offset=0)
  _, labels, _, _ = read_all(source)
  tf.reset_default_graph()
  records.write(folder / 'shifted', [records.png(1)] * 3, [1, 2, 10])
  source = pipeline.evaluation_input(
      records.dataset(folder / 'shifted', 3, num_classes=11), records.as_they_are, 7,
      labels_offset=1)
  _, shifted, _, _ = read_all(source)
  assert labels == [0, 1, 2, 3, 4, 5, 6]
  assert shifted == [0, 1, 9]


def test_a_damaged_file_is_named(folder):
  path = folder / 'part-1'
  data = bytearray(path.read_bytes())
  data[-20] ^= 0xff
  path.write_bytes(bytes(data))
  error = failure_of(pipeline.evaluation_input(
      records.dataset(folder / 'part-*', 30), records.as_they_are, 4))
  assert 'part-1' in str(error)
  assert 'record 6' in str(error)


def test_nothing_but_unreadable_images_ends_training(tmp_path):
  records.write(tmp_path / 'part', [b'no image'] * 20, [0] * 20)
  error = failure_of(pipeline.training_input(
      records.dataset(tmp_path / 'part', 20), records.as_they_are, 4, seed=1))
  assert 'can be decoded' in str(error)
  assert 'part' in str(error)


def test_records_of_another_kind_are_refused(tmp_path):
  records.write(tmp_path / 'part', [records.png(1)], [None])
  with pytest.raises(diagnostics.UserError, match='no image/class/label'):
    pipeline.evaluation_input(
        records.dataset(tmp_path / 'part', 1), records.as_they_are, 1)


def test_no_file_is_one_line(tmp_path):
  with pytest.raises(diagnostics.UserError, match='no record file matches'):
    pipeline.evaluation_input(
        records.dataset(tmp_path / 'none-*', 1), records.as_they_are, 1)


def test_waiting_for_input_is_measured(folder):
  def slow(number, image):
    with tf.control_dependencies([tf.py_func(
        lambda: time.sleep(0.05), [], [])]):
      return tf.identity(records.as_they_are(number, image))
  source = pipeline.training_input(
      records.dataset(folder / 'part-*', 30), slow, 8, num_threads=1, seed=1)
  batch = source.next_batch()
  with tf.Session() as session:
    session.run(source.initializer)
    session.run(batch.numbers)
    waited = [session.run([batch.numbers, batch.waited])[1] for _ in range(8)]
  assert np.median(waited) > 0.2


def test_another_process_reads_without_python(tmp_path):
  """With a server in place of this process: bad images by number, labels refused."""
  images = [records.png(value) for value in range(100)]
  images[9] = b'no image'
  records.write(tmp_path / 'part', images, [0] * 100)
  source = pipeline.evaluation_input(
      records.dataset(tmp_path / 'part', 100), records.as_they_are, 10,
      runs_here=False)
  values, _, _, _ = read_all(source)
  assert values == [value for value in range(100) if value != 9]
  assert source.log.take_lost() == [(9, None)]
  functions = tf.get_default_graph().as_graph_def().library.function
  assert not [node for function in functions for node in function.node_def
              if node.op in ('PyFunc', 'EagerPyFunc')]

  tf.reset_default_graph()
  records.write(tmp_path / 'part', [records.png(1)] * 21, [5] * 20 + [11])
  source = pipeline.evaluation_input(
      records.dataset(tmp_path / 'part', 21), records.as_they_are, 10, runs_here=False)
  assert 'none of the 10 classes' in str(failure_of(source))


# --- Shards of several workers.

@pytest.mark.parametrize('share', [None, 0.3], ids=['all', 'held out'])
@pytest.mark.parametrize('workers', [2, 3, 5])
def test_workers_together_read_each_image_once_an_epoch(folder, workers, share):
  part = share and held_out.Part(share, is_held_out=False)
  expected = None
  epochs = [[], []]
  for index in range(workers):
    shard = held_out.Shard(index, workers)
    images = pipeline.training_input(
        records.dataset(folder / 'part-*', 30), records.as_they_are, 1, seed=index,
        part=part, shard=shard)
    expected = images.count_records()
    size = images.count_records(shard)
    values = [value for value, in read_some(images, 2 * size)]
    for epoch, read in zip(epochs, (values[:size], values[size:]), strict=True):
      epoch += read
  assert [len(epoch) for epoch in epochs] == [expected, expected]
  assert set(epochs[0]) == set(epochs[1])
  assert len(set(epochs[0])) == expected


def test_workers_of_many_files_read_files_of_their_own(tmp_path):
  for index in range(16):
    records.write(tmp_path / f'part-{index:02}', [records.png(index)] * 2, [0] * 2)
  for worker in range(2):
    images = pipeline.training_input(
        records.dataset(tmp_path / 'part-*', 32), records.as_they_are, 16, seed=1,
        shard=held_out.Shard(worker, 2))
    assert sorted(read_some(images, 1)[0]) == sorted([*range(worker, 16, 2)] * 2)


@pytest.mark.parametrize('workers', [2, 4])
def test_shards_of_an_evaluation_are_fed(folder, workers):
  shard = held_out.Shard(*[tf.placeholder_with_default(
      tf.constant(value, tf.int64), []) for value in (0, 1)])
  images = pipeline.evaluation_input(
      records.dataset(folder / 'part-*', 30), records.as_they_are, 4, shard=shard)
  batch = images.next_batch()
  values = []
  with tf.Session() as session:
    for index in range(workers):
      session.run(images.initializer, {shard.index: index, shard.count: workers})
      with contextlib.suppress(tf.errors.OutOfRangeError):
        while True:
          values += session.run(batch).images[:, 0, 0, 0].astype(int).tolist()
    assert sorted(values) == list(range(30))
    session.run(images.initializer)
    assert session.run(batch).images[:, 0, 0, 0].astype(int).tolist() == [0, 1, 2, 3]
