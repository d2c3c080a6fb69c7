"""The example that reads lines of digits: lines, maps, words, photographs, training."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from examples.read_text import (
    evaluation,
    lines,
    network,
    photographs,
    picture_files,
    reading,
    records,
    targets,
    training,
    word_formation,
)
from slim_zoo import diagnostics
from slim_zoo.datasets import digits
from slim_zoo.drawing import fonts
from slim_zoo.tf_compat import tf
from tests import scripts

ARCHITECTURE = network.Architecture('lenet', (2, 4), channels=8)


@pytest.fixture(scope='module')
def sources():
  return {split: records.digits_of(split) for split in records.SPLITS}


@pytest.fixture(scope='module')
def composed(sources):
  return records.compose(sources['test'], 40, 7)


@pytest.fixture(scope='module')
def maps(composed):
  """The true maps of the lines, as a perfect network would predict them."""
  labels = np.full([len(composed), lines.MOST_DIGITS], -1)
  boxes = np.zeros([len(composed), lines.MOST_DIGITS, 4], np.float32)
  for row, line in enumerate(composed):
    labels[row, :len(line.labels)], boxes[row, :len(line.labels)] = (
        line.labels, line.boxes)
  with tf.Graph().as_default(), tf.Session() as session:
    found = session.run(targets.of_batch(records.Batch(
        None, tf.constant(labels), tf.constant(boxes))))
  orders = np.eye(targets.ORDERS)[found.order][..., 1:] * found.localization[..., None]
  return network.Readings(
      np.eye(targets.CLASSES)[found.characters], orders, found.localization)


def test_a_line_is_the_same_for_the_same_seed(sources, composed):
  again = lines.compose(sources['test'], 7, 3)
  np.testing.assert_array_equal(again.image, composed[3].image)
  others = [lines.compose(sources['test'], 8, 3), composed[4]]
  assert all((other.image != again.image).any() for other in others)


def test_lines_are_what_they_say(composed):
  assert {len(line.text) for line in composed} == set(range(1, 7))
  for line in composed:
    assert line.image.shape == (lines.HEIGHT, lines.WIDTH)
    assert line.image.dtype == np.uint8
    top, left, bottom, right = line.boxes.T
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (bottom <= lines.HEIGHT).all()
    assert (right <= lines.WIDTH).all()
    assert (np.diff((left + right) / 2) > 2).all()
    # Ink is darker than the paper beside it.
    box = line.image[int(top[0]):int(bottom[0]), int(left[0]):int(right[0])]
    assert np.quantile(box, 0.05) < np.median(line.image)


def test_no_digit_for_test_is_in_a_line_for_training(sources):
  images, labels = digits.load_images()
  numbers = {split: sources[split].numbers for split in records.SPLITS}
  assert not set(numbers['train']) & set(numbers['test'])
  assert len(set(numbers['train']) | set(numbers['test'])) == len(images)
  for split, of_split in numbers.items():
    np.testing.assert_array_equal(labels[of_split], sources[split].labels)
    for line in records.compose(sources[split], 20, 1):
      assert set(line.sources) <= set(of_split)
      np.testing.assert_array_equal(labels[line.sources], line.labels)


def test_records_keep_the_lines(composed, tmp_path):
  path = str(tmp_path / 'lines.tfrecord')
  records.write(path, composed)
  read = list(records.read(path, 5))
  assert [line.text for line in read] == [line.text for line in composed[:5]]
  np.testing.assert_array_equal(read[4].boxes, composed[4].boxes)
  np.testing.assert_array_equal(read[4].sources, composed[4].sources)
  batches = tf.data.TFRecordDataset(path).map(records.parse).batch(5)
  with tf.Session() as session:
    batch = session.run(tf.data.make_one_shot_iterator(batches).get_next())
  for row, line in enumerate(read):
    count = len(line.labels)
    np.testing.assert_array_equal(batch.images[row], line.image)
    assert batch.labels[row].tolist() == [*line.labels, *[-1] * (6 - count)]
    np.testing.assert_array_equal(batch.boxes[row][:count], line.boxes)


def test_words_of_perfect_maps_are_the_lines(composed, maps):
  read = [word_formation.form(characters, orders)
          for characters, orders in zip(maps.characters, maps.orders, strict=True)]
  assert [entry.text for entry in read] == [line.text for line in composed]
  assert min(entry.confidence for entry in read) > 0.99
  assert [word_formation.count_centres(heat) for heat in maps.localization] == [
      len(line.text) for line in composed]


def test_a_word_ends_at_the_first_empty_order_map(maps, composed):
  row = next(row for row, line in enumerate(composed) if len(line.text) == 5)
  orders = maps.orders[row].copy()
  orders[..., 2] *= 0.1
  read = word_formation.form(maps.characters[row], orders)
  assert read.text == composed[row].text[:2]
  assert word_formation.form(maps.characters[row], 0 * orders).text == ''


@pytest.mark.parametrize(('first', 'second', 'distance'), [
    ('', '', 0), ('123', '', 3), ('', '12', 2), ('123', '123', 0), ('123', '13', 1),
    ('123', '1243', 1), ('123', '321', 2), ('kitten', 'sitting', 3)])
def test_edit_distances(first, second, distance):
  assert evaluation.edit_distance(first, second) == distance


def test_the_result_counts_lines_and_edits():
  result = evaluation.compare(['12', '345', '6'], ['12', '35', '67'])
  assert (result.lines, result.right, result.characters, result.edits) == (3, 1, 6, 2)
  assert str(result).startswith('exact lines 33.33% (1 of 3, 95% interval 6.15% to')
  assert 'character error rate 33.33% (2 of 6, 95% interval 9.68% to' in str(result)


@pytest.mark.parametrize(('labels', 'words'), [
    ([3.5], 'a label is 3.5'), ([float('nan')], 'a label is nan'),
    (['3'], 'expected whole numbers'), ([10], 'labels are 10 to 10')])
def test_labels_of_a_file_that_are_no_digits_are_refused(labels, words, tmp_path):
  np.savez(tmp_path / 'digits.npz', images=np.ones([1, 8, 8], np.uint8), labels=labels)
  with pytest.raises(diagnostics.UserError, match=words):
    records.digits_of_file(str(tmp_path / 'digits.npz'))


@pytest.mark.parametrize('dtype', ['uint8', 'int64', 'float32'])
def test_labels_of_a_file_have_any_dtype(dtype, tmp_path):
  np.savez(tmp_path / 'digits.npz', images=np.ones([1, 8, 8], np.uint8),
           labels=np.array([3], dtype))
  found = records.digits_of_file(str(tmp_path / 'digits.npz'))
  assert found.labels.tolist() == [3]
  assert found.labels.dtype == np.int64


def test_two_clones_learn_and_the_network_reads(sources, tmp_path, capsys):
  paths = [str(tmp_path / f'{split}.tfrecord') for split in records.SPLITS]
  for path, split in zip(paths, records.SPLITS, strict=True):
    records.write(path, records.compose(sources[split], 32, 1))
  options = training.Options(
      str(tmp_path / 'run'), *paths, architecture=ARCHITECTURE, steps=12, batch_size=4,
      num_clones=2, learning_rate=0.01, every_steps=4, picture_steps=12)
  training.train(options)
  printed = [line for line in capsys.readouterr().out.splitlines() if 'step' in line]
  losses = [float(line.split('loss ')[1].split()[0]) for line in printed]
  assert len(losses) == 3
  assert losses[-1] < 0.9 * losses[0]
  assert all(f'{row.name} ' in printed[0] for row in training.LOSSES)
  assert (tmp_path / 'run' / 'pictures' / 'examples-12.png').exists()
  reader = reading.Reader(options.train_dir)
  read = reader.read([line.image for line in records.read(paths[1])])
  assert len(read) == 32
  training.train(options)
  assert 'nothing is left to do' in capsys.readouterr().out
  with pytest.raises(diagnostics.UserError, match='another --train_dir'):
    network.save_architecture(network.Architecture('vgg_a'), options.train_dir)


def photograph(text, height, width, size, ink=40, paper=210, angle=0.0, noise=4.0):
  """Draws digits on unevenly lit paper, float32 [height, width] from 0 to 1."""
  image = Image.new('L', (width, height), 0)
  ImageDraw.Draw(image).text(
      (width / 2, height / 2), text, 255, fonts.font(size), anchor='mm')
  shape = np.asarray(image.rotate(angle), np.float32) / 255
  light = np.linspace(0.55, 1, width)[None] * np.linspace(1, 0.8, height)[:, None]
  random = np.random.default_rng(1)
  values = (paper + (ink - paper) * shape) * light
  values += random.normal(0, noise, shape.shape)
  return np.clip(values / 255, 0, 1).astype(np.float32)


@pytest.mark.parametrize('options', [
    {'height': 300, 'width': 900, 'size': 150},
    {'height': 900, 'width': 700, 'size': 60},
    {'height': 64, 'width': 160, 'size': 40},
    {'height': 300, 'width': 900, 'size': 120, 'ink': 230, 'paper': 30},
    {'height': 500, 'width': 900, 'size': 100, 'angle': 8},
], ids=['large', 'small', 'tiny', 'bright', 'turned'])
def test_writing_is_found_in_a_photograph(options):
  found = photographs.find_line(photograph('1024', **options), 'x.png')
  ink = found.line < 150
  rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
  assert 18 <= rows[-1] - rows[0] <= 28
  # The columns between the digits are empty.
  assert np.count_nonzero(np.diff(ink.any(0).astype(int)) == 1) == 4
  assert columns[0] > 2
  left, top, right, bottom = found.box
  assert left < 0.5 < right
  assert top < 0.5 < bottom
  assert found.line[0].min() > 200


@pytest.mark.parametrize(('picture', 'words'), [
    (np.full([200, 300], 0.8, np.float32), "no writing is found in 'x.png'"),
    (photograph('12345678901234567890', 200, 2000, 120), 'times as wide as high.*cut'),
    (photograph('1234\n567890\n4321', 500, 500, 90), 'lines of writing: cut out one'),
], ids=['empty', 'long', 'lines'])
def test_photographs_that_are_refused(picture, words):
  with pytest.raises(diagnostics.UserError, match=words):
    photographs.find_line(picture, 'x.png')


@pytest.mark.parametrize(('arguments', 'words'), [
    ([], "expected 'train', 'evaluate' or pictures"),
    (['train', 'x.png'], 'not both'),
    (['x.png', '--train_dir=nowhere'], "'nowhere' has no trained network"),
    (['train', '--strides=4,a'], "--strides has 'a'"),
    (['train', '--backbone=lennet'], "did you mean 'lenet'"),
    (['train', '--backbone=lenet', '--strides=8'], 'feature maps at strides 2, 4'),
    (['evaluate', '--train_lines=3'], 'read_text: --train_lines has no effect on'),
])
def test_commands_that_are_refused(arguments, words, tmp_path):
  if arguments[:1] == ['x.png']:
    arguments[0] = str(tmp_path / 'x.png')
    Image.fromarray(np.uint8(255 * photograph('12', 100, 200, 60))).save(arguments[0])
  elif arguments[:1] == ['train']:
    arguments = [*arguments, f'--train_dir={tmp_path}', '--train_lines=4']
  done = scripts.run_module('examples.read_text', *arguments)
  assert done.returncode == 1
  assert words in done.stderr
  assert done.stderr.count('\n') == 1


@pytest.mark.parametrize('bits', [8, 12, 16])
def test_a_gray_picture_has_its_range_of_values(bits, tmp_path):
  gray = photograph('1024', 120, 300, 80)
  values = np.round(gray * (2**bits - 1)).astype(np.uint8 if bits == 8 else np.uint16)
  Image.fromarray(values).save(tmp_path / 'x.png')
  np.testing.assert_allclose(
      photographs.load(str(tmp_path / 'x.png')), gray, atol=1 / 255)


def test_a_picture_that_is_not_read_does_not_end_the_rest(tmp_path):
  for name in ('a.png', 'c.png', 'long.png'):
    Image.fromarray(np.uint8(255 * photograph('12', 100, 200, 60))).save(
        tmp_path / name)
  (tmp_path / 'b.png').write_text('no image')
  Image.new('L', (200, 300), 200).save(tmp_path / 'empty.png')

  class Reader:

    def read_picture(self, image, name):
      if 'long' in name:
        raise diagnostics.UserError(f"'{name}' has about 9 digits")
      return word_formation.Reading(*(('', ()) if 'c.png' in name else ('12', (0.5,))))

  paths = [str(tmp_path / name) for name in (
      'a.png', 'b.png', 'empty.png', 'missing.png', 'long.png', 'c.png')]
  refused = []
  found = list(picture_files.read(Reader(), paths, refused.append))
  assert [str(picture) for picture in found] == [
      f'{paths[0]}: 12 (confidence 50%)', f'{paths[-1]}: no digits']
  assert [found[0].image.shape, found[0].path] == [
      (lines.HEIGHT, lines.WIDTH), paths[0]]
  assert len(refused) == 4
  for error, path, words in zip(refused, paths[1:], (
      'it is text', 'no writing is found', 'no such file', '9 digits'), strict=False):
    assert f"'{path}'" in str(error)
    assert words in str(error).lower()


def test_the_row_of_a_file_has_its_name_and_a_confidence(maps, composed):
  empty = network.Readings(*(np.zeros_like(values) for values in maps))
  texts = [[(line.text, line.value) for line in reading.example(
      composed[0].image, values, 0, None, 'a.png').lines] for values in (maps, empty)]
  assert texts[0][0] == ('a.png', '')
  assert texts[0][1][0] == composed[0].text
  assert texts[0][1][1].endswith('%')
  assert texts[1] == [('a.png', ''), ('nothing', '')]


def test_the_architectures_of_a_folder_are_named_by_their_flags(tmp_path):
  network.save_architecture(ARCHITECTURE, str(tmp_path))
  with pytest.raises(diagnostics.UserError) as refused:
    network.save_architecture(
        network.Architecture('vgg_a', (4, 8), 2, channels=8), str(tmp_path))
  assert '--backbone=lenet --strides=2,4 --enlarged=1' in str(refused.value)
  assert '--backbone=vgg_a --strides=4,8 --enlarged=2' in str(refused.value)
