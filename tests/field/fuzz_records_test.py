"""Damaged and odd records are skipped and counted, or end a run in one line."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from slim_zoo import diagnostics
from slim_zoo.evaluation import over_split
from slim_zoo.input import pipeline, plain_records, records
from slim_zoo.tf_compat import tf
from tests import records_for_tests, stored_images
from tests.field.fuzzing import cases, check_reason, damaged

_CLASSES = 3
_PNG = records_for_tests.png(7)
_RECORD = stored_images.example(
    _PNG, label=1, filename=records_for_tests.feature(b'a.png')).SerializeToString()


def _floats(values):
  return tf.train.Feature(float_list=tf.train.FloatList(value=values))


def _integers(values):
  return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def _strings(values):
  return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))


# The values that a record may have wrongly: of another type, none, or several.
_VALUES = st.one_of(
    st.builds(_floats, st.lists(st.floats(width=32), max_size=4)),
    st.builds(_integers, st.lists(st.integers(-2**63, 2**63 - 1), max_size=4)),
    st.builds(_integers, st.lists(st.integers(-1, 3), max_size=4)),
    st.builds(_strings, st.lists(st.binary(max_size=9), max_size=3)),
    st.builds(_strings, damaged(_PNG).map(lambda data: [data])),
    st.builds(tf.train.Feature))
_NAMES = ('image/encoded', 'image/format', 'image/class/label', 'image/filename',
          'image/object/bbox/xmin', 'image', 'label')


def _changed(changes, left_out):
  record = tf.train.Example.FromString(_RECORD)
  features = record.features.feature
  for name, value in changes.items():
    features[name].CopyFrom(value)
  for name in left_out:
    features.pop(name, None)
  return record.SerializeToString()


_RECORDS = st.one_of(
    st.builds(_changed, st.dictionaries(st.sampled_from(_NAMES), _VALUES, max_size=2),
              st.sets(st.sampled_from(_NAMES), max_size=2)),
    damaged(_RECORD), st.binary(max_size=40))
_GOOD = st.just(_RECORD)


def _framed(rows):
  return b''.join(map(plain_records.framed, rows))


# Whole records of odd content, and files that are damaged themselves.
_FILES = st.one_of(
    st.lists(st.one_of(_GOOD, _RECORDS), min_size=1, max_size=6).map(_framed),
    st.tuples(_GOOD, _RECORDS).map(_framed),
    damaged(_framed([_RECORD] * 3)))


@pytest.fixture(scope='module')
def path(tmp_path_factory):
  return tmp_path_factory.mktemp('records') / 'odd.tfrecord'


def _read_all(path):
  """Reads what reports and messages read of records."""
  files = [str(path)]
  for position in range(records.count_records(files)):
    assert records.describe(files, 0, position)
    for read in (lambda *key: records.labels_of(records.read_features(*key)),
                 records.read_image):
      try:
        read(files, 0, position)
      except diagnostics.UserError as error:
        check_reason(error)


_ODD_NAME = {'image/filename': _integers([3]), 'image/encoded': _integers([1])}


@example(data=_framed([_changed(_ODD_NAME, ())]))
@example(data=_framed([_changed({'image/encoded': _strings([])}, ())]))
@cases(0.15)
@given(data=_FILES)
def test_single_records_are_read_or_named(data, path):
  path.write_bytes(data)
  try:
    _read_all(path)
  except diagnostics.UserError as error:
    check_reason(error)


def _resized(number, image):
  image = tf.image.resize_images(tf.cast(image, tf.float32), [8, 8])
  image.set_shape([8, 8, 1])
  return image


def _evaluate(path):
  """Evaluates a network that always gives class 1; returns the metrics."""
  dataset = records_for_tests.dataset(path, 3, _CLASSES)
  with tf.Graph().as_default() as graph:
    images = pipeline.evaluation_input(
        dataset, _resized, batch_size=2)
    batch = images.next_batch()
    probabilities = tf.one_hot(tf.ones_like(batch.numbers), _CLASSES)
  session = tf.Session(graph=graph)
  try:
    return over_split.evaluate(session, images, batch, probabilities, _CLASSES, 0,
                               shows_progress=False, is_to_stop=lambda: False,
                               reported=set(), multi_label=False)[0]
  finally:
    session.close()


@example(data=b'')
@cases(0.07)
@given(data=_FILES)
def test_an_evaluation_counts_every_record_or_ends_in_one_line(data, path):
  path.write_bytes(data)
  try:
    metrics = _evaluate(path)
  except diagnostics.UserError as error:
    check_reason(error)
    return
  assert metrics.num_images == records.count_records([str(path)])
  assert 0 <= metrics.top1.correct <= metrics.num_images - metrics.num_unreadable


def _train(path):
  """Takes batches as training does; returns their labels."""
  dataset = records_for_tests.dataset(path, 3, _CLASSES)
  with tf.Graph().as_default() as graph:
    images = pipeline.training_input(
        dataset, _resized, batch_size=2, num_readers=1)
    batch = images.next_batch()
  session = tf.Session(graph=graph)
  try:
    session.run(images.initializer)
    labels = []
    for _ in range(3):
      numbers, values = session.run([batch.numbers, batch.labels])
      images.log.deliver(numbers)
      labels += list(values)
    return labels
  except tf.errors.OpError as error:
    raise images.failure(error) or error from error
  finally:
    session.close()


@example(data=b'')
@cases(0.03)
@given(data=_FILES)
def test_training_input_gives_labels_of_classes_or_ends_in_one_line(data, path):
  path.write_bytes(data)
  try:
    labels = _train(path)
  except diagnostics.UserError as error:
    check_reason(error)
    return
  assert len(labels) == 6
  assert np.all((np.asarray(labels) >= 0) & (np.asarray(labels) < _CLASSES))
