"""Records of other people: labels, images and features of the wrong form.

Each is named before the run where the first records show it; later it is skipped,
named with its reason and counted by its kind.
"""

import io
import json
import zlib

import numpy as np
import pytest
from PIL import Image

from slim_zoo import diagnostics
from slim_zoo.catalog import datasets as catalog
from slim_zoo.datasets import record_dataset
from slim_zoo.evaluation import over_split
from slim_zoo.input import (
  label_counts,
  pipeline,
  plain_records,
  record_faults,
  record_form,
)
from slim_zoo.tf_compat import tf
from tests import records_for_tests, stored_images

PIXELS = stored_images.picture(0, 8, 8)
PNG = records_for_tests.png(7)
GOOD = {'image/encoded': plain_records.texts(PNG),
        'image/class/label': plain_records.ints(1)}
# More than are checked before a run.
MANY = 20


def describe(folder, multi_label=False, num_classes=3, count=MANY, channels=1):
  (folder / catalog.DESCRIPTION_FILENAME).write_text(json.dumps({
      'format_version': 1, 'name': 'things', 'num_classes': num_classes,
      'channels': channels,
      'multi_label': multi_label,
      'splits': {'train': {'images': max(1, count), 'files': 'train.tfrecord'}}}))


def write(folder, features, **description):
  """Writes records, each a dict of features that replace those of a good one."""
  plain_records.write(str(folder / 'train.tfrecord'), [
      record if isinstance(record, bytes) else plain_records.example(
          {name: value for name, value in {**GOOD, **record}.items()
           if value is not None}) for record in features])
  describe(folder, count=len(features), **description)
  return record_dataset.read_dataset('things', 'train', str(folder))


def as_they_are(number, image):
  return tf.reshape(tf.cast(image, tf.float32), [-1, 1, 1])[:1]


def make_input(dataset, **options):
  return pipeline.evaluation_input(dataset, as_they_are, 4, **options)


def read(images):
  """Returns the labels that come out of an input, and the log of what did not."""
  batch, labels = images.next_batch(), []
  with tf.Session() as session:
    session.run(images.initializer)
    try:
      while True:
        values = session.run([batch.labels, batch.numbers])
        images.log.deliver(values[1])
        labels += values[0].tolist()
    except tf.errors.OutOfRangeError:
      images.log.finish()
  return labels, images.log.take_lost()


def label(feature):
  return {'image/class/label': feature}


WRONG_LABELS = {
    'float': (label(plain_records.floats([1.0])), r'class/label is float, \[1.0\]'),
    'text': (label(plain_records.texts(b'cat')), r"label is text or bytes, \[b'cat'\]"),
    'missing': (label(None), 'no image/class/label, but image/encoded'),
    'empty': (label(plain_records.ints()),
              r'its image/class/label is an empty list; expected one int64'),
    'empty feature': (label(b''), r'its image/class/label is an empty list; expected'),
    'two': (label(plain_records.ints(2, 1)), r'2 labels.*"multi_label": true'),
    'one-hot': (label(plain_records.ints(0, 0, 1)), r'N-hot.*"multi_label": "n_hot"'),
}


@pytest.mark.parametrize('form', WRONG_LABELS)
def test_a_label_of_the_wrong_form_ends_the_run_before_it_starts(tmp_path, form):
  change, words = WRONG_LABELS[form]
  dataset = write(tmp_path, [{}, change, {}])
  for make in (lambda: make_input(dataset),
               lambda: make_input(dataset, cache_dir=str(tmp_path / 'copies')),
               lambda: pipeline.training_input(dataset, as_they_are, 2)):
    with pytest.raises(diagnostics.UserError, match=f'record 1 of .*{words}') as raised:
      make()
    assert '\n' not in str(raised.value)
  assert not (tmp_path / 'copies').exists()


@pytest.mark.parametrize('cached', [False, True])
def test_later_it_is_a_fault_of_the_label_not_of_the_image(tmp_path, cached):
  changes = [change for change, _ in WRONG_LABELS.values()]
  dataset = write(tmp_path, [{}] * MANY + changes + [{}])
  images = make_input(
      dataset, cache_dir=str(tmp_path / 'copies') if cached else None)
  labels, lost = read(images)
  assert labels == [1] * (MANY + 1)
  assert [number for number, _ in lost] == list(range(MANY, MANY + len(changes)))
  for _, key in lost:
    fault, is_printed = images.faults.add(key)
    assert is_printed
    assert fault.is_of_label
    assert 'decode' not in fault.reason


@pytest.mark.parametrize(('value', 'offset', 'words'), [
    (3, 0, r'label 3 .*none of the 3 classes.*another data set\? Labels that begin'
     ' with 1 need'),
    (7, 0, 'label 7 .*none of the 3'), (-1, 0, 'label -1 '),
    (0, 1, 'label 0 .*--labels_offset=1')])
def test_a_number_that_is_no_class_is_named_before_the_run(
    tmp_path, value, offset, words):
  dataset = write(tmp_path, [{}, label(plain_records.ints(value))])
  with pytest.raises(diagnostics.UserError, match=words):
    make_input(dataset, labels_offset=offset)


# N-hot vectors.

VECTORS = [[0, 0, 1], [1, 0, 1], [0, 0, 0], [1, 1, 1]]


def vectors(values):
  return [label(plain_records.ints(*vector)) for vector in values]


def test_n_hot_vectors_are_read_where_they_are_declared(tmp_path):
  dataset = write(tmp_path, vectors(VECTORS), multi_label='n_hot')
  images = make_input(dataset)
  labels, lost = read(images)
  assert (labels, lost) == (VECTORS, [])
  assert images.faults.labels_of((0, 1)) == [0, 2]
  spec = catalog.find_dataset('things', str(tmp_path))
  assert spec.multi_label
  assert json.loads(catalog.description(spec))['multi_label'] == 'n_hot'
  assert label_counts.count(images.files, spec).tolist() == [2, 1, 3]
  labels, _ = read(make_input(write(
      tmp_path, vectors([[0, 1, 1]]), multi_label='n_hot'), labels_offset=1))
  assert labels == [[1, 1]]


@pytest.mark.parametrize(('values', 'num_classes', 'words'), [
    ([[2], [0, 0, 1]], 3, r'record 1 .*is N-hot.*"multi_label": "n_hot"'),
    ([[0, 0, 1, 0]], 3, r'is N-hot, \[0, 0, 1, 0\]'),
    ([[0, 0]], 2, 'is N-hot'), ([[0], [1, 1]], 2, 'record 1 .*is N-hot'),
    ([[0, 1], [1, 0]], 2, 'they are N-hot or every image is of both'),
    ([[0, 1]] * 8, 2, 'they are N-hot or every image is of both')])
def test_n_hot_vectors_are_refused_as_lists(tmp_path, values, num_classes, words):
  dataset = write(tmp_path, vectors(values), multi_label=True, num_classes=num_classes)
  with pytest.raises(diagnostics.UserError, match=words):
    make_input(dataset)


@pytest.mark.parametrize(('values', 'num_classes'), [
    ([[0, 1], [1], []], 2), ([[1, 0]] * 8, 3), ([[0], [1], [1]], 2), ([[2, 2]], 3)])
def test_lists_are_read_as_lists(tmp_path, values, num_classes):
  dataset = write(tmp_path, vectors(values), multi_label=True, num_classes=num_classes)
  labels, lost = read(make_input(dataset))
  assert not lost
  assert [np.flatnonzero(row).tolist() for row in labels] == [
      sorted(set(of_image)) for of_image in values]


@pytest.mark.parametrize('values', [[2], [0, 2, 1], [0, 1], []])
def test_lists_are_refused_as_n_hot_vectors(tmp_path, values):
  good = vectors([[0, 0, 1]])
  dataset = write(tmp_path, good + vectors([values]), multi_label='n_hot')
  with pytest.raises(diagnostics.UserError, match='expected 3 int64 values of 0 and 1'):
    make_input(dataset)
  images = make_input(
      write(tmp_path, good * MANY + vectors([values]), multi_label='n_hot'))
  labels, lost = read(images)
  assert len(labels) == MANY
  assert images.faults.explain(lost[0][1]).is_of_label


@pytest.mark.parametrize('multi_label', [False, True, 'n_hot'])
@pytest.mark.parametrize('change', [
    label(None), {'image/class/label': None, 'label': plain_records.ints(1, 0, 1)}])
def test_labels_that_no_record_has_are_refused(tmp_path, change, multi_label):
  others = ', '.join(['image/encoded (text or bytes)', *(
      f'{name} (int64)' for name in change if change[name])])
  dataset = write(tmp_path, [change] * 3, multi_label=multi_label)
  for make in (lambda: make_input(dataset),
               lambda: pipeline.training_input(dataset, as_they_are, 2)):
    with pytest.raises(diagnostics.UserError) as raised:
      make()
    assert f'it has no image/class/label, but {others}; expected' in str(raised.value)
    assert '\n' not in str(raised.value)


@pytest.mark.parametrize(('changes', 'labels'), [
    ([label(None), {}], [[0, 0, 0], [0, 1, 0]]),
    ([{}, label(None)], [[0, 1, 0], [0, 0, 0]]),
    # The image at fault has the feature, so it is not missing everywhere.
    ([label(None), {'image/encoded': None}], [[0, 0, 0]]),
    ([label(plain_records.ints())] * 2, [[0, 0, 0]] * 2),
    ([label(b''), label(None)], [[0, 0, 0]] * 2)])
def test_images_of_no_class_may_lack_labels_that_others_have(
    tmp_path, changes, labels):
  dataset = write(tmp_path, changes, multi_label=True)
  assert read(make_input(dataset))[0] == labels


# Images.

def saved(image_format, pixels=PIXELS, **options):
  file = io.BytesIO()
  Image.fromarray(pixels).save(file, image_format, **options)
  return {'image/encoded': plain_records.texts(file.getvalue())}


def box(brand):
  return {'image/encoded': plain_records.texts(
      b'\0\0\0\x20ftyp' + brand + b'\0' * 40)}


def oversized():
  """Returns a PNG that claims 20,000 x 20,000 pixels."""
  data = bytearray(PNG)
  data[16:24] = (20_000).to_bytes(4, 'big') * 2
  data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, 'big')
  return {'image/encoded': plain_records.texts(bytes(data))}


RAW = {'image/encoded': plain_records.texts(PIXELS.tobytes()),
       'image/height': plain_records.ints(8), 'image/width': plain_records.ints(8)}
UNUSABLE = {
    'PPM': (saved('PPM'), 'PPM image', 'it is PPM, expected JPEG or PNG'),
    'TIFF': (saved('TIFF'), 'TIFF image', 'it is TIFF'),
    'JPEG2000': (saved('JPEG2000'), 'JPEG2000 image', 'it is JPEG2000'),
    'HEIC': (box(b'heic'), 'HEIC image', 'it is HEIC'),
    'AVIF': (box(b'avif'), 'AVIF image', 'it is AVIF'),
    'raw': (RAW, 'image of raw pixels', 'raw pixels of 8 x 8'),
    'raw by name': ({'image/encoded': plain_records.texts(b'1234'),
                     'image/format': plain_records.texts(b'raw')},
                    'image of raw pixels', 'raw pixels'),
    'missing': ({'image/encoded': None}, 'record without an image',
                'no image/encoded, but image/class/label'),
    'empty': ({'image/encoded': plain_records.texts()}, 'record without an image',
              'its image/encoded is an empty list; expected'),
    'ints': ({'image/encoded': plain_records.ints(1, 2, 3)}, 'image of another type',
             '3 values of int64'),
    'other names': ({'image/encoded': None, 'image/class/label': None,
                     'image_raw': plain_records.texts(PNG),
                     'label': plain_records.ints(1)}, 'record without an image',
                    r'but image_raw \(text or bytes\), label \(int64\); expected'
                    ' image/encoded'),
    'too many pixels': (oversized(), 'image that is too large', '100 million pixels'),
}


@pytest.mark.parametrize('kind', UNUSABLE)
def test_images_none_of_which_can_be_decoded_end_the_run(tmp_path, kind):
  change, _, words = UNUSABLE[kind]
  with pytest.raises(diagnostics.UserError, match=f'record 0 of .*{words}'):
    make_input(write(tmp_path, [change] * 3))


def test_one_such_image_is_passed_over_and_its_kind_is_counted(tmp_path):
  changes = [change for change, *_ in UNUSABLE.values()]
  dataset = write(tmp_path, [{}, *changes[:3], {}, *changes[3:]])
  images = make_input(dataset)
  labels, lost = read(images)
  assert labels == [1, 1]
  faults = [images.faults.explain(key) for _, key in lost]
  assert [fault.kind for fault in faults] == [kind for _, kind, _ in UNUSABLE.values()]


def test_many_of_a_kind_are_not_all_printed(tmp_path):
  dataset = write(tmp_path, [{}] + [UNUSABLE['TIFF'][0]] * 40)
  images = make_input(dataset)
  _, lost = read(images)
  printed = [images.faults.add(key)[1] for _, key in lost]
  assert [place for place, is_printed in enumerate(printed, 1) if is_printed] == [
      1, 2, 3, 4, 5, 6, 7, 8, 16, 32]
  assert images.faults.summary() == 'TIFF image: 40'


@pytest.mark.parametrize('channels', [1, 3])
def test_what_tensorflow_decodes_is_used(tmp_path, channels):
  gray = stored_images.picture(0, 8, 8, 1)
  dataset = write(tmp_path, [
      saved('GIF'), saved('BMP'), saved('JPEG'), saved('PNG'),
      saved('GIF', save_all=True, append_images=[Image.fromarray(255 - PIXELS)]),
      saved('BMP', np.dstack([PIXELS, gray])), saved('PNG', gray),
      saved('PNG', np.dstack([gray, gray])), saved('PNG', gray.astype(np.uint16) * 257),
  ], channels=channels)
  assert read(make_input(dataset)) == ([1] * 9, [])


# Files.

@pytest.mark.parametrize('cache', [False, True])
def test_no_record_at_all_is_one_line(tmp_path, cache):
  dataset = write(tmp_path, [])
  with pytest.raises(diagnostics.UserError, match=r'there is no record in .*train'):
    make_input(dataset, cache_dir=str(tmp_path / 'copies') if cache else None)


def test_evaluation_names_the_record_whose_class_is_not_known(tmp_path, capsys):
  dataset = write(
      tmp_path, [{}] * MANY + [UNUSABLE['TIFF'][0], WRONG_LABELS['float'][0]])
  images = make_input(dataset)
  batch = images.next_batch()
  probabilities = tf.one_hot(batch.labels, 3)
  with tf.Session() as session, pytest.raises(
      diagnostics.UserError, match=f'record {MANY + 1} of .*float'):
    over_split.evaluate(session, images, batch, probabilities, 3)
  assert f'cannot decode record {MANY} of' in capsys.readouterr().out


def test_the_checks_know_the_features_of_other_records():
  expected = record_form.Expected(10, 'image', 'label')
  record = plain_records.example({'image': plain_records.texts(PNG),
                                  'label': plain_records.floats([1.0])})
  assert record_faults.find(record, expected).reason.startswith('its label is float')


@pytest.mark.parametrize('count', [1, 3, 20])
def test_batches_of_damaged_images_and_few_records_end_nothing(tmp_path, count):
  damaged = {'image/encoded': plain_records.texts(PNG[:-20])}
  dataset = write(tmp_path, [{}] * count + [damaged] * 8 + [{}] * count)
  labels, lost = read(make_input(dataset))
  assert len(labels) == 2 * count
  assert [number for number, _ in lost] == list(range(count, count + 8))
  source = pipeline.training_input(dataset, as_they_are, 16, seed=3)
  batch = source.next_batch()
  with tf.Session() as session:
    session.run(source.initializer)
    for _ in range(4):
      assert session.run(batch.labels).tolist() == [1] * 16
