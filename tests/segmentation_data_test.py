"""Segmentation: folders of images and masks, their records, and joint augmentation."""

import io

import numpy as np
import pytest
from PIL import Image

from slim_zoo import diagnostics
from slim_zoo.catalog import datasets as catalog
from slim_zoo.config.conversion import ConvertImagesConfig
from slim_zoo.dataset_building import mask_folder, mask_pairs
from slim_zoo.datasets import record_dataset, shapes
from slim_zoo.images import image_check, mask_files
from slim_zoo.input import label_counts, pipeline, record_faults, record_form
from slim_zoo.preprocessing import mask_preprocessing
from slim_zoo.tf_compat import tf


def png(pixels, mode=None, palette=None, **options) -> bytes:
  image = Image.fromarray(np.asarray(pixels, np.uint8))
  if palette:
    image.putpalette(palette)
  if mode:
    image = image.convert(mode)
  file = io.BytesIO()
  image.save(file, 'PNG', **options)
  return file.getvalue()


def fill(folder, files):
  for name, data in files.items():
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
  return folder


def scene(number, size=(8, 10)):
  """Returns an image and a mask in which everything depends on the number."""
  mask = np.zeros(size, np.uint8)
  mask[:number % 5 + 1, 2:] = number % 3
  return np.full([*size, 3], number * 9, np.uint8), mask


def scenes(count, first=0, prefix=('images/', 'masks/'), size=(8, 10)):
  files = {}
  for number in range(first, first + count):
    image, mask = scene(number, size)
    files |= {f'{prefix[0]}{number}.png': png(image),
              f'{prefix[1]}{number}.png': png(mask)}
  return files


def read(folder, split, name='scenes'):
  """Returns {image value: (image, mask)} of all records of a split."""
  with tf.Graph().as_default(), tf.Session() as session:
    source = pipeline.evaluation_input(
        record_dataset.read_dataset(name, split, str(folder)),
        lambda number, image, mask: (image, mask), 1)
    batch = source.next_batch()
    session.run(source.initializer)
    found = {}
    try:
      while True:
        image, mask = session.run((batch.images, batch.labels))
        found[int(image[0, 0, 0, 0]) // 9] = image[0], mask[0]
    except tf.errors.OutOfRangeError:
      return found


def convert(folder, out, **options):
  return mask_folder.convert(str(folder), str(out), 'scenes', num_workers=1, **options)


def test_every_pair_is_in_the_records_once_and_masks_are_exact(tmp_path):
  fill(tmp_path / 'in', scenes(12))
  report = convert(tmp_path / 'in', tmp_path / 'out', validation_share=0.3)
  spec = catalog.read_description(str(tmp_path / 'out'))
  assert (spec.masks, spec.num_classes, spec.image_size) == (True, 3, (8, 10))
  assert not report.refused
  assert sum(spec.splits.values()) == 12
  assert set(spec.splits) == {'train', 'validation'}
  found = [read(tmp_path / 'out', split) for split in spec.splits]
  assert not set(found[0]) & set(found[1])
  for number, (image, mask) in (found[0] | found[1]).items():
    np.testing.assert_array_equal(image, scene(number)[0])
    np.testing.assert_array_equal(mask, scene(number)[1])
  assert 'class 2' in '\n'.join(report.lines())
  # The same files give the same bytes.
  convert(tmp_path / 'in', tmp_path / 'again', validation_share=0.3, num_shards=None)
  for path in (tmp_path / 'out').iterdir():
    assert path.read_bytes() == (tmp_path / 'again' / path.name).read_bytes()


@pytest.mark.parametrize('folders', [
    'images/{}/ masks/{}/', '{}/images/ {}/masks/', '{}/JPEGImages/ {}/labels/'])
def test_folders_of_splits_stay_splits(tmp_path, folders):
  fill(tmp_path / 'in', {
      **scenes(4, 0, folders.format('train', 'train').split()),
      **scenes(3, 4, folders.format('test', 'test').split())})
  report = convert(tmp_path / 'in', tmp_path / 'out')
  assert report.spec.splits == {'train': 4, 'test': 3}
  assert set(read(tmp_path / 'out', 'test')) == {4, 5, 6}


def test_what_cannot_be_used_gets_one_line_each(tmp_path):
  mask = scene(2)[1]
  files = scenes(4)
  files |= {
      'images/lonely.png': png(scene(1)[0]), 'masks/alone.png': png(mask),
      'images/damaged.png': png(scene(1)[0])[:-20], 'masks/damaged.png': png(mask),
      'images/torn.png': png(scene(1)[0]), 'masks/torn.png': png(mask)[:-20],
      'images/other.png': png(scene(1)[0]), 'masks/other.png': png(mask[:4]),
      'images/high.png': png(scene(1)[0]), 'masks/high.png': png(mask + 3),
      'images/colour.png': png(scene(1)[0]), 'masks/colour.png': png(scene(1)[0]),
      'images/two.jpg': png(scene(1)[0]), 'images/two.png': png(scene(1)[0]),
      'masks/two.png': png(mask), 'images/lossy.png': png(scene(1)[0]),
      'masks/lossy.jpg': b'\xff\xd8\xff', 'images/notes.txt': b'x'}
  fill(tmp_path / 'in', files)
  report = convert(tmp_path / 'in', tmp_path / 'out', class_names=['a', 'b', 'c'])
  reasons = dict(report.refused)
  for path, text in {
      'images/lonely.png': 'it has no mask: expected masks/lonely.png',
      'masks/alone.png': 'it has no image', 'images/damaged.png': 'damaged',
      'masks/torn.png': 'damaged', 'masks/other.png': 'it has 10 x 4 pixels',
      'masks/high.png': 'the value 3 at', 'masks/colour.png': 'not class numbers',
      'images/two.png': 'images/two.jpg has the same mask',
      'masks/lossy.jpg': 'not a PNG'}.items():
    assert text in reasons.pop(path)
  assert not reasons
  assert sum(report.spec.splits.values()) == 5
  assert report.ignored == ('images/notes.txt',)
  assert len((tmp_path / 'out/refused.txt').read_text().splitlines()) == 9


@pytest.mark.parametrize(('files', 'options', 'message'), [
    ({'images/a.png': b''}, {}, 'expected the folders images and masks'),
    ({'images/a.png': b'', 'masks/a.png': b''}, {}, 'refused: 1; the first is'),
    ({'images/test/1.png': png(scene(1)[0]), 'masks/test/1.png': png(scene(1)[1])}, {},
     'none to train on'),
    ({'images/1.png': png(scene(1)[0]),
      'masks/1.png': png(np.full([8, 10], 255))}, {}, 'only the values 255'),
    (scenes(3), {'validation_share': 1.0}, 'validation_share 1.0'),
    ({'images/a.txt': b'', 'masks/a.txt': b''}, {},
     "holds 'images', 'masks' without images: expected"),
    ({'images/a.png': b'', 'masks/a.png': b''}, {},
     r'no image with a mask \(.*add some$'),
    ({'images/1.png': png(scene(1)[0]),
      'masks/1.png': png([[0, 1] * 5] * 7 + [[9] + [0] * 9])},
     {'class_names': ['a', 'b']}, 'the value 9 at 1 pixel:'),
    ({**scenes(3, 0, ('images/train/', 'masks/train/')),
      **scenes(3, 3, ('images/extra/', 'masks/extra/'))}, {},
     r"'images/extra' beside 'images/train' is not a split \(known: train, validation"),
    ({**scenes(3, 0, ('train/images/', 'train/masks/')),
      **scenes(3, 3, ('tset/images/', 'tset/masks/'))}, {},
     "'tset' beside 'train' is not a split; did you mean 'test'"),
    ({**scenes(3, 0, ('images/train/', 'masks/train/')),
      **scenes(3, 3, ('images/vall/', 'masks/vall/'))}, {},
     "'images/vall' beside 'images/train' is not a split; did you mean 'validation'"),
    ({**scenes(3, 0, ('images/trian/', 'masks/trian/')),
      **scenes(3, 3, ('images/vall/', 'masks/vall/'))}, {},
     "'images/trian', 'images/vall' are not splits; did you mean 'train' and"
     " 'validation'"),
    ({**scenes(3, 0, ('trian/images/', 'trian/masks/')),
      **scenes(3, 3, ('tset/images/', 'tset/masks/'))}, {},
     "holds 'trian', 'tset'; did you mean 'train' and 'test'"),
    ({**scenes(3), 'depth/1.png': b'x'}, {}, "beside them: move 'depth' away"),
    ({'images/1.png': b'x', 'SegmentationObject/1.png': b'x'}, {},
     'expected the folders images and masks'),
])
def test_a_folder_that_gives_no_data_set_is_named_in_one_line(
    tmp_path, files, options, message):
  fill(tmp_path / 'in', files)
  with pytest.raises(diagnostics.UserError, match=message) as error:
    convert(tmp_path / 'in', tmp_path / 'out', **options)
  assert '\n' not in str(error.value)
  assert not (tmp_path / 'out').exists()


def test_folders_below_images_that_are_like_no_split_are_read_together(tmp_path):
  """Such as those of cities; two words that are like the same split are no splits."""
  for names in (('rain', 'snow'), ('rain', 'brain'), ('aachen', 'bonn')):
    files = {}
    for number, name in enumerate(names):
      files |= scenes(3, 3 * number, (f'images/{name}/', f'masks/{name}/'))
    fill(tmp_path / names[1], files)
    found = mask_pairs.find(str(tmp_path / names[1]))
    assert (len(found.pairs), found.splits, found.refused) == (6, {}, ())


def test_folders_of_pascal_voc_have_the_masks_of_classes(tmp_path):
  fill(tmp_path, {
      **scenes(3, 0, ('JPEGImages/', 'SegmentationClass/')), 'Annotations/0.xml': b'x',
      'ImageSets/Main/train.txt': b'0', 'SegmentationObject/0.png': b'x'})
  assert [pair.mask for pair in mask_pairs.find(str(tmp_path)).pairs] == [
      f'SegmentationClass/{number}.png' for number in range(3)]


@pytest.mark.parametrize(('options', 'message'), [
    ({'labels_file': 'x'}, '--labels_file=x has no effect with folders'),
    ({'task': 'segmentation', 'class_folders': 'top'}, '--class_folders=top'),
    ({'segmentation': True, 'class_folders': 'deepest'}, 'only with folders'),
    ({'task': 'segmentation', 'labels_file': 'names.txt'}, 'expected two or more'),
])
def test_options_of_the_other_task_are_refused(tmp_path, monkeypatch, options, message):
  monkeypatch.chdir(tmp_path)
  (tmp_path / 'names.txt').write_text('0:sky\n2:sea\n')
  config = ConvertImagesConfig.from_options({
      'image_dir': 'a', 'dataset_dir': 'b', 'dataset_name': 'c', **options})
  with pytest.raises(diagnostics.UserError, match=message):
    config.check()


def test_masks_of_every_kind_of_png_have_their_numbers():
  values = np.array([[0, 1, 1], [0, 0, 1]], np.uint8)
  palette = [9, 9, 9, 200, 10, 10]
  deep = io.BytesIO()
  Image.fromarray(values.astype(np.uint16)).save(deep, 'PNG')
  for data in (png(values), png(values, palette=palette), png(values * 255, mode='1'),
               deep.getvalue(), png(values, palette=palette, bits=2)):
    np.testing.assert_array_equal(mask_files.decode(data), values)
  # Pillow scales these to 0 to 255 when it reads them.
  four = np.array([[0, 3, 15], [1, 2, 7]], np.uint8)
  packed = four_bit_gray_png(four)
  np.testing.assert_array_equal(mask_files.decode(packed), four)
  deep = io.BytesIO()
  Image.fromarray(np.full([2, 2], 300, np.uint16)).save(deep, 'PNG')
  with pytest.raises(image_check.RefusedError, match='value 300'):
    mask_files.decode(deep.getvalue())
  written = mask_files.encode(values, has_palette=True)
  assert Image.open(io.BytesIO(written)).mode == 'P'
  np.testing.assert_array_equal(mask_files.decode(written), values)
  assert mask_files.palette()[:3].tolist() == [[0, 0, 0], [128, 0, 0], [0, 128, 0]]


def four_bit_gray_png(values) -> bytes:
  """Returns a gray PNG of 4 bits, which Pillow does not write."""
  import struct
  import zlib

  def chunk(kind, data):
    body = kind + data
    return struct.pack('>I', len(data)) + body + struct.pack('>I', zlib.crc32(body))

  height, width = values.shape
  rows = b''
  for row in values:
    padded = np.append(row, [0] * (width % 2)).astype(np.uint8)
    rows += b'\0' + bytes(padded[::2] << 4 | padded[1::2])
  return (b'\x89PNG\r\n\x1a\n'
          + chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, 4, 0, 0, 0, 0))
          + chunk(b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b''))


def test_masks_are_scaled_with_their_images(tmp_path):
  image = np.zeros([40, 80, 3], np.uint8)
  image[:, 40:] = 255
  mask = (image[..., 0] > 0).astype(np.uint8)
  fill(tmp_path / 'in', {'images/9.png': png(image), 'masks/9.png': png(mask)})
  report = convert(
      tmp_path / 'in', tmp_path / 'out', storing=image_check.Storing(max_side=40))
  assert '%) saved' in '\n'.join(report.lines())
  ((small, of_small),) = read(tmp_path / 'out', 'train').values()
  assert small.shape == (20, 40, 3)
  np.testing.assert_array_equal(of_small, np.repeat([[0] * 20 + [1] * 20], 20, 0))
  report = convert(
      tmp_path / 'in', tmp_path / 'out', storing=image_check.Storing(max_side=80))
  assert 'saved' not in '\n'.join(report.lines())


def test_pixels_are_counted_and_wrong_masks_are_named(tmp_path):
  fill(tmp_path / 'in', scenes(5))
  convert(tmp_path / 'in', tmp_path / 'out', validation_share=0)
  spec = catalog.read_description(str(tmp_path / 'out'))
  files = catalog.split_files(spec, 'train', str(tmp_path / 'out'))
  pixels = np.bincount(np.concatenate(
      [scene(number)[1].ravel() for number in range(5)]), minlength=3)
  np.testing.assert_array_equal(label_counts.count(files, spec), pixels)
  text = (tmp_path / 'out/dataset.json').read_text()
  (tmp_path / 'out/dataset.json').write_text(
      text.replace('"num_classes": 3', '"num_classes": 2'))
  (tmp_path / 'out/labels.txt').write_text('0:a\n1:b\n')
  with pytest.raises(tf.errors.OpError, match=(
      r'mask of record \d of .*images/\d.png.* has the value 2: the classes are 0 to'
      ' 1')):
    read(tmp_path / 'out', 'train')
  expected = record_form.Expected(2, masks=True)
  fault = record_faults.find(b'', expected)
  assert fault is not None


# --- Augmentation.


def run(image, mask, size, seed, **options):
  with tf.Graph().as_default(), tf.Session() as session:
    return session.run(mask_preprocessing.preprocess_for_train(
        tf.constant(image), tf.constant(mask), *size, 'lenet', seed=tf.constant(seed),
        **options))


@pytest.mark.parametrize('seed', range(6))
def test_image_and_mask_have_the_same_geometry(seed):
  # The mask is the image: where no two values are mixed, they must be equal.
  mask = np.kron(np.arange(30).reshape(5, 6), np.ones([9, 9])).astype(np.uint8)
  image, of_image = run(np.repeat(mask[..., None], 3, 2), mask, (40, 64),
                        seed=[seed, 3])
  values = image[..., 0] * 128 + 128
  inside = of_image != catalog.IGNORED
  assert 0.1 < inside.mean() <= 1
  np.testing.assert_array_equal(image[~inside], 0)
  plain = inside & (np.abs(values - np.round(values)) < 1e-4)
  assert plain.sum() > 0.5 * inside.sum()
  wrong = plain & (np.round(values) != of_image)
  # Only at borders a mixed value may be whole by chance.
  assert wrong.sum() <= 0.02 * plain.sum()


def test_without_scale_the_crop_is_a_part_of_the_image_and_mask():
  random = np.random.default_rng(0)
  image = random.integers(0, 256, [20, 24, 3], np.uint8)
  mask = random.integers(0, 5, [20, 24]).astype(np.uint8)
  for flip in (False, True):
    found = set()
    for number in range(8):
      crop, of_crop = run(image, mask, (8, 8), scales=(1, 1), flip=flip,
                          seed=[number, 1])
      values = np.round(crop * 128 + 128).astype(np.uint8)
      places = [(row, column, mirrored) for mirrored in {False, flip}
                for row in range(13) for column in range(17)
                if (values == image[row:row + 8, column:column + 8][
                    :, ::-1 if mirrored else 1]).all()]
      ((row, column, mirrored),) = places
      np.testing.assert_array_equal(of_crop, mask[row:row + 8, column:column + 8][
          :, ::-1 if mirrored else 1])
      found.add(places[0])
    assert len(found) > 4
    assert {mirrored for *_, mirrored in found} == {False, flip}


def test_evaluation_pads_whole_images_to_the_stride():
  mask = np.ones([33, 64], np.uint8)
  with tf.Graph().as_default(), tf.Session() as session:
    image, padded = session.run(mask_preprocessing.preprocess_for_eval(
        tf.fill([33, 64, 3], tf.constant(200, tf.uint8)), tf.constant(mask),
        'inception', 32))
  assert image.shape == (64, 64, 3)
  np.testing.assert_array_equal(image[33:], 0)
  np.testing.assert_allclose(image[:33], 200 * 2 / 255 - 1, atol=1e-6)
  np.testing.assert_array_equal(padded[:33], 1)
  np.testing.assert_array_equal(padded[33:], catalog.IGNORED)


def test_shapes_have_all_classes_and_no_image_of_test_is_in_train():
  drawn = {split: [shapes.draw(first + number) for number in range(20)]
           for split, first in (('train', 0), ('test', 1_000_000))}
  images = [image.tobytes() for pairs in drawn.values() for image, _ in pairs]
  assert len(set(images)) == 40
  assert set(np.unique([mask for _, mask in drawn['train']])) == {0, 1, 2, 3}
