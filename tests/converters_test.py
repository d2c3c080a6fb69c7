"""The converters: what each makes of small archives in the published formats."""

import dataclasses
import io
import pickle

import numpy as np
import pytest
from PIL import Image

from slim_zoo.catalog import datasets as dataset_catalog
from slim_zoo.dataset_building import converters, parallel_conversion
from slim_zoo.dataset_building.converters import cifar10, flowers, photos
from slim_zoo.dataset_building.published_files import Source
from slim_zoo.datasets import dataset_factory, dataset_utils, labels
from slim_zoo.diagnostics import UserError
from slim_zoo.files import staging
from slim_zoo.input import plain_records
from slim_zoo.tf_compat import tf
from tests import small_archives
from tests.image_kinds import GRAY, KINDS
from tests.stored_images import contents, picture, read_split

VWW = {'small_object_area_threshold': 0.005, 'foreground_class_of_interest': 'person'}


def convert(name, source, target, workers=1, part_items=None, **options):
  """Converts as download_and_convert_data.py does; returns the report."""
  parallel_conversion.check_folder(dataset_catalog.DATASETS[name], str(target))
  with staging.resumable(str(target), name) as work:
    plan = converters.find(name).plan(Source(str(source)), work.scratch, **options)
    if part_items:
      plan = dataclasses.replace(plan, part_items=part_items)
    return parallel_conversion.convert(plan, str(target), work, workers)


def written(target):
  """Returns {file name: stored features} of the records in a folder."""
  found = {}
  for path in sorted(target.iterdir()):
    if 'tfrecord' in path.name or '-of-' in path.name:
      for record in tf.io.tf_record_iterator(str(path)):
        features = tf.train.Example.FromString(record).features.feature
        found[features['image/filename'].bytes_list.value[0].decode()] = features
  return found


# --- Records without TensorFlow.

@pytest.mark.parametrize('size', [0, 1, 63, 64, 1023, 1024, 1025, 1088, 70000])
def test_framed_record_is_what_tensorflow_writes(tmp_path, size):
  data = np.random.default_rng(size).bytes(size)
  with tf.io.TFRecordWriter(str(tmp_path / 'theirs')) as writer:
    writer.write(data)
  plain_records.write(str(tmp_path / 'ours'), [data])
  assert (tmp_path / 'ours').read_bytes() == (tmp_path / 'theirs').read_bytes()


def test_example_is_what_tensorflow_serializes():
  ours = plain_records.example({
      'z': plain_records.ints(3, -1, 2**63 - 1, 0, 300), 'a/b': plain_records.ints(),
      'f': plain_records.floats([.5, -1e9]), 'none': plain_records.floats([]),
      't': plain_records.texts(b'x' * 300, b''), 'é': plain_records.texts()})
  utils = dataset_utils
  theirs = tf.train.Example(features=tf.train.Features(feature={
      'z': utils.int64_feature([3, -1, 2**63 - 1, 0, 300]),
      'a/b': utils.int64_feature([]), 'f': utils.float_feature([.5, -1e9]),
      'none': utils.float_feature([]), 't': utils.bytes_list_feature([b'x' * 300, b'']),
      'é': utils.bytes_list_feature([])}))
  assert ours == theirs.SerializeToString(deterministic=True)


# --- MNIST and CIFAR-10: bare pixels.

@pytest.mark.parametrize('packed', [True, False])
def test_mnist_keeps_pixels_labels_and_order(tmp_path, packed):
  published = small_archives.mnist(tmp_path / 'source', packed=packed)
  convert('mnist', tmp_path / 'source', tmp_path / 'out')
  assert sorted(contents(tmp_path / 'out')) == [
      'dataset.json', 'labels.txt', 'mnist_test.tfrecord', 'mnist_train.tfrecord']
  for split, (images, digits) in published.items():
    values = read_split('mnist', split, tmp_path / 'out')
    np.testing.assert_array_equal(
        np.stack([value['image'][..., 0] for value in values]), images)
    assert [value['label'] for value in values] == digits.tolist()
  dataset = dataset_factory.get_dataset('mnist', 'train', str(tmp_path / 'out'))
  assert dataset.num_samples == 30
  assert dataset.labels_to_names[9] == 'nine'


@pytest.mark.parametrize(('name', 'data', 'message'), [
    ('train-images-idx3-ubyte.gz', b'\0\0\10\3' + bytes(20), 'not a whole file of MNI'),
    ('train-images-idx3-ubyte.gz', b'\x1f\x8b\10', 'is damaged or cut short'),
    ('t10k-labels-idx1-ubyte.gz', b'\0\0\10\1\0\0\0\2\1\2', "' 2 labels: expected as"),
    ('t10k-labels-idx1-ubyte.gz', b'\0\0\10\1\0\0\0\14' + b'\14' * 12, 'a label 12'),
    ('t10k-labels-idx1-ubyte.gz', None, 'there is no t10k-labels-idx1-ubyte.gz or'),
])
def test_damaged_mnist_gets_one_line_and_leaves_nothing(tmp_path, name, data, message):
  small_archives.mnist(tmp_path / 'source')
  path = tmp_path / 'source' / name
  path.unlink() if data is None else path.write_bytes(data)
  with pytest.raises(UserError, match=message) as error:
    convert('mnist', tmp_path / 'source', tmp_path / 'out')
  assert '\n' not in str(error.value)
  assert not (tmp_path / 'out').exists()


class FromPython2:
  """An array that is pickled as the published batches are: its bytes are text."""

  def __init__(self, array):
    self.array = array

  def __reduce__(self):
    make, _, state = self.array.__reduce__()
    return make, (np.ndarray, (0,), 'b'), (*state[:-1], state[-1].decode('latin1'))


def test_every_version_of_cifar10_gives_the_same_bytes(tmp_path):
  batches = small_archives.cifar_batches()
  small_archives.cifar_binary(tmp_path / 'binary.tgz', batches)
  old = {name: (numbers, FromPython2(rows)) for name, (numbers, rows)
         in batches.items()}
  versions = {'python2': small_archives.cifar_pickled(tmp_path / '2.tgz', old)} | {
      f'protocol{number}': small_archives.cifar_pickled(
          tmp_path / f'p{number}.tgz', batches, number) for number in (2, 4, 5)}
  convert('cifar10', tmp_path / 'binary.tgz', tmp_path / 'binary')
  expected = contents(tmp_path / 'binary')
  for name, path in versions.items():
    convert('cifar10', path, tmp_path / name)
    assert contents(tmp_path / name) == expected
  values = read_split('cifar10', 'train', tmp_path / 'binary')
  published = [(label, row) for name in small_archives.CIFAR_BATCHES[:5]
               for label, row in zip(*batches[name], strict=True)]
  for value, (label, row) in zip(values, published, strict=True):
    assert value['label'] == label
    np.testing.assert_array_equal(value['image'].transpose(2, 0, 1).reshape(-1), row)


class Attack:
  def __init__(self, function, *arguments):
    self.call = function, arguments

  def __reduce__(self):
    return self.call


@pytest.mark.parametrize('protocol', [0, 2, 4, 5])
@pytest.mark.parametrize('function', [eval, exec])
def test_pickle_of_cifar10_runs_no_code(tmp_path, protocol, function):
  trace = tmp_path / 'trace'
  batches = small_archives.cifar_batches()
  data = pickle.dumps({b'labels': [1], b'data': Attack(
      function, f"open({str(trace)!r}, 'w')")}, protocol)
  pickle.loads(data)
  assert trace.exists()  # It is a real attack.
  trace.unlink()
  path = small_archives.cifar_pickled(tmp_path / 'a.tgz', batches)
  small_archives.tar(path, {'cifar-10-batches-py/data_batch_1': data}, 'w:gz')
  with pytest.raises(UserError, match=r'data_batch_1.* wants to run .*(eval|exec)'):
    convert('cifar10', path, tmp_path / 'out')
  assert not trace.exists()


@pytest.mark.parametrize('what', [np.load, io.BytesIO, bytearray, cifar10.plan])
def test_pickle_of_cifar10_may_name_nothing_but_arrays(what):
  with pytest.raises(UserError, match='not a batch of CIFAR-10'):
    cifar10._from_pickle(pickle.dumps({'labels': [1], 'data': what}), 'it')


@pytest.mark.parametrize(('member', 'data', 'message'), [
    ('data_batch_2.bin', bytes(3072), 'not a whole batch of CIFAR-10: 3072 bytes'),
    ('data_batch_2.bin', bytes([11]) + bytes(3072), 'labels 11 to 11'),
    ('data_batch_2', b'nothing', "not a batch of CIFAR-10 and is not used"),
    ('data_batch_2', pickle.dumps({'labels': [1], 'data': np.zeros((2, 3072), 'u1')}),
     r'it has 1 labels and an array \[2, 3072\]'),
    ('data_batch_2', pickle.dumps({'labels': [1], 'data': np.zeros((1, 3072))}),
     "values are 'f8', expected u1"),
    ('else', b'', 'has no data_batch_1, data_batch_2'),
])
def test_damaged_cifar10_gets_one_line(tmp_path, member, data, message):
  good = bytes([1]) + bytes(3072)
  files = {f'b/{name}.bin': good for name in small_archives.CIFAR_BATCHES
           if member != 'else' and name not in member}
  path = small_archives.tar(tmp_path / 'c.tar.gz', {**files, f'b/{member}': data})
  with pytest.raises(UserError, match=message):
    convert('cifar10', path, tmp_path / 'out')


# --- Flowers: photos.

def test_flowers_are_stored_byte_for_byte_in_five_files(tmp_path):
  stored = small_archives.flowers(tmp_path / 'flower_photos.tgz', count=20)
  report = convert('flowers', tmp_path, tmp_path / 'out')
  assert sorted(contents(tmp_path / 'out')) == ['dataset.json', *(
      f'flowers_{split}_{shard:05d}-of-00005.tfrecord'
      for split in ('train', 'validation') for shard in range(5)), 'labels.txt']
  found = written(tmp_path / 'out')
  assert {name: features['image/encoded'].bytes_list.value[0]
          for name, features in found.items()} == stored
  for name, features in found.items():
    assert features['image/class/label'].int64_list.value == [
        small_archives.FLOWERS.index(name.split('/')[0])]
    assert features['image/format'].bytes_list.value == [b'jpg']
    assert features['image/height'].int64_list.value == [24]
    assert features['image/width'].int64_list.value == [32]
  assert report.spec.splits == {'train': 90, 'validation': 10}
  assert 'validation has 10 images, the published flowers has 350' in ' '.join(
      report.lines())
  dataset = dataset_factory.get_dataset('flowers', 'train', str(tmp_path / 'out'))
  assert dataset.num_samples == 90
  assert labels.read_label_file(tmp_path / 'out') == dict(
      enumerate(small_archives.FLOWERS))


def test_flowers_of_the_published_number_have_350_for_validation_always(tmp_path):
  path = small_archives.tar(tmp_path / 'f.tar', {
      f'flower_photos/{small_archives.FLOWERS[n % 5]}/{n}.jpg': b''
      for n in range(3670)})
  plans = [flowers.plan(Source(str(path)), str(tmp_path)) for _ in range(2)]
  assert plans[0] == plans[1]
  drawn = {name: {item.name for item in split.items}
           for name, split in plans[0].splits.items()}
  assert {name: len(names) for name, names in drawn.items()} == {
      'train': 3320, 'validation': 350}
  assert len(drawn['train'] | drawn['validation']) == 3670
  for name in small_archives.FLOWERS:
    assert 40 < sum(photo.startswith(name) for photo in drawn['validation']) < 100


def test_unpacked_flowers_give_the_same_records(tmp_path):
  stored = small_archives.flowers(tmp_path / 'flower_photos.tgz')
  convert('flowers', tmp_path / 'flower_photos.tgz', tmp_path / 'packed')
  for name, data in stored.items():
    path = tmp_path / 'unpacked/flower_photos' / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
  convert('flowers', tmp_path / 'unpacked', tmp_path / 'again')
  assert contents(tmp_path / 'again') == contents(tmp_path / 'packed')


def test_photos_of_other_classes_are_not_taken_for_flowers(tmp_path):
  path = small_archives.tar(tmp_path / 'f.tar', {'flower_photos/cats/1.jpg': b''})
  with pytest.raises(UserError, match=r'classes cats, .* with slim-zoo convert-images'):
    convert('flowers', path, tmp_path / 'out')


# --- ImageNet.

@pytest.fixture(scope='module')
def imagenet_dir(tmp_path_factory):
  folder = tmp_path_factory.mktemp('imagenet') / 'source'
  small_archives.imagenet(folder)
  return folder


def test_imagenet_has_the_established_features(tmp_path, imagenet_dir):
  report = convert('imagenet', imagenet_dir, tmp_path)
  assert report.spec.splits == {'train': 12, 'validation': 6}
  assert {name for name in contents(tmp_path) if '-of-' in name} == {
      *(f'train-{shard:05d}-of-00012' for shard in range(12)),
      *(f'validation-{shard:05d}-of-00006' for shard in range(6))}
  found = written(tmp_path)
  one = found['n01440764_1.JPEG']
  assert set(one) == {
      'image/encoded', 'image/format', 'image/height', 'image/width', 'image/filename',
      'image/class/label', 'image/class/text', 'image/class/synset',
      'image/colorspace', 'image/channels', 'image/object/bbox/label',
      *(f'image/object/bbox/{side}' for side in ('xmin', 'ymin', 'xmax', 'ymax'))}
  assert one['image/class/synset'].bytes_list.value == [b'n01440764']
  assert one['image/class/text'].bytes_list.value == [b'thing 0, other name']
  assert one['image/format'].bytes_list.value == [b'JPEG']
  assert one['image/colorspace'].bytes_list.value == [b'RGB']
  assert one['image/channels'].int64_list.value == [3]
  # Of three boxes one is of another class, and one is cut at the border.
  assert one['image/object/bbox/label'].int64_list.value == [1, 1]
  for side, expected in (('xmin', [.25, 0]), ('ymin', [.25, 0]), ('xmax', [.5, 1]),
                         ('ymax', [.5, 1])):
    assert one[f'image/object/bbox/{side}'].float_list.value == expected
  assert labels.read_label_file(tmp_path) == {
      0: 'background', **{n + 1: f'thing {n}, other name' for n in range(3)}}
  for name, features in found.items():
    number = name.removesuffix('.JPEG').split('_')[-1]
    synset = (small_archives.SYNSETS[-1 - (int(number) - 1) % 3]
              if name.startswith('ILSVRC') else name.split('_')[0])
    assert features['image/class/label'].int64_list.value == [
        1 + small_archives.SYNSETS.index(synset)]
  assert '1 boxes of other classes' in ' '.join(report.lines())
  first = read_split('imagenet', 'validation', tmp_path)[0]
  assert first['object/bbox'].shape == (0, 4)


def test_imagenet_encodes_anew_only_what_no_decoder_takes_as_jpeg(
    tmp_path, imagenet_dir):
  report = convert('imagenet', imagenet_dir, tmp_path / 'out')
  assert report.changes == {'CMYK JPEG': 1, 'PNG stored as JPEG': 1}
  found = written(tmp_path / 'out')
  photos_stored = small_archives.imagenet(tmp_path / 'again')
  for name, data in photos_stored.items():
    stored = found[name]['image/encoded'].bytes_list.value[0]
    if name in ('n01440764_0.JPEG', 'n01443537_1.JPEG'):
      shown = Image.open(io.BytesIO(stored))
      assert (shown.format, shown.mode) == ('JPEG', 'RGB')
      seed = {'n01440764_0.JPEG': 7, 'n01443537_1.JPEG': 8}[name]
      assert np.abs(np.asarray(shown).astype(int) - picture(seed)).mean() < 12
    else:
      assert stored == data


def test_unpacked_imagenet_and_boxes_of_a_table_give_the_same_records(
    tmp_path, imagenet_dir):
  convert('imagenet', imagenet_dir, tmp_path / 'expected')
  source = tmp_path / 'source'
  source.mkdir()
  for path in imagenet_dir.glob('*.txt'):
    (source / path.name).write_bytes(path.read_bytes())
  for name, data in small_archives.imagenet(tmp_path / 'copy').items():
    folder = source / ('validation' if name.startswith('ILSVRC') else
                       f"train/{name.split('_')[0]}")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)
  (source / 'imagenet_2012_bounding_boxes.csv').write_text(
      'n01440764_1.JPEG,0.25,0.25,0.5,0.5\nn01440764_1.JPEG,0,0,1,1\n')
  convert('imagenet', source, tmp_path / 'out')
  assert contents(tmp_path / 'out') == contents(tmp_path / 'expected')


def test_imagenet_classes_come_from_the_development_kit(tmp_path, imagenet_dir):
  scipy_io = pytest.importorskip('scipy.io')
  source = tmp_path / 'source'
  source.mkdir()
  numbers = {'n02105855': 1, 'n01440764': 2, 'n01443537': 3}
  rows = np.zeros([4], [('ILSVRC2012_ID', 'O'), ('WNID', 'O'), ('words', 'O')])
  for index, (synset, number) in enumerate(numbers.items()):
    rows[index] = (number, synset,
                   f'thing {small_archives.SYNSETS.index(synset)}, other name')
  rows[3] = (1001, 'n00001740', 'entity')  # Above the 1000 stand groups of them.
  meta = io.BytesIO()
  scipy_io.savemat(meta, {'synsets': rows})
  truth = ''.join(f'{numbers[small_archives.SYNSETS[-1 - n % 3]]}\n' for n in range(6))
  small_archives.tar(source / 'ILSVRC2012_devkit_t12.tar.gz', {
      'kit/data/meta.mat': meta.getvalue(),
      'kit/data/ILSVRC2012_validation_ground_truth.txt': truth.encode()}, 'w:gz')
  for name in ('ILSVRC2012_img_train.tar', 'ILSVRC2012_img_val.tar',
               'ILSVRC2012_bbox_train_v2.tar.gz'):
    (source / name).symlink_to(imagenet_dir / name)
  convert('imagenet', source, tmp_path / 'out')
  convert('imagenet', imagenet_dir, tmp_path / 'expected')
  assert contents(tmp_path / 'out') == contents(tmp_path / 'expected')


def test_imagenet_of_one_split_is_converted_and_says_so(tmp_path, imagenet_dir):
  source = tmp_path / 'source'
  source.mkdir()
  for path in imagenet_dir.iterdir():
    if 'train' not in path.name:
      (source / path.name).symlink_to(path)
  report = convert('imagenet', source, tmp_path / 'out')
  assert report.spec.splits == {'validation': 6}
  text = ' '.join(report.lines())
  assert 'the split train was not written' in text
  assert 'there are no boxes' in text


@pytest.mark.parametrize(('gone', 'message'), [
    (('imagenet_lsvrc_2015_synsets.txt',), 'lists all 1000 classes, .* put ILSVRC20'),
    (('imagenet_2012_validation_synset_labels.txt',), 'classes of the validation phot'),
    (('ILSVRC2012_img_train.tar', 'ILSVRC2012_img_val.tar'), 'neither ILSVRC2012_img'),
])
def test_what_imagenet_lacks_is_named(tmp_path, imagenet_dir, gone, message):
  for path in imagenet_dir.iterdir():
    if path.name not in gone:
      (tmp_path / path.name).symlink_to(path)
  with pytest.raises(UserError, match=message):
    convert('imagenet', tmp_path, tmp_path / 'out')


def test_xml_that_defines_entities_is_refused(tmp_path, imagenet_dir):
  for path in imagenet_dir.iterdir():
    if 'bbox' not in path.name:
      (tmp_path / path.name).symlink_to(path)
  bomb = b'<!DOCTYPE a [<!ENTITY b "bbbb">]><annotation>&b;</annotation>'
  small_archives.tar(tmp_path / 'ILSVRC2012_bbox_train_v2.tar.gz', {
      'n01440764/n01440764_1.xml': bomb}, 'w:gz')
  with pytest.raises(UserError, match=r'holds no boxes .it defines entities'):
    convert('imagenet', tmp_path, tmp_path / 'out')


@pytest.mark.parametrize('corners', [(5, 5, 5, 9), (9, 5, 5, 9), (40, 0, 50, 9)])
def test_box_without_area_is_none(corners):
  assert photos.box_in_pixels(*corners, 32, 24) is None


# --- Visual Wake Words.

@pytest.mark.parametrize(('options', 'positive'), [
    ({}, range(6, 12)),  # More than 0.5%: photo n has n thousandths.
    ({'small_object_area_threshold': 0.0}, range(1, 12)),
    ({'foreground_class_of_interest': 'dog', 'small_object_area_threshold': 0.4},
     range(12)),
    ({'foreground_class_of_interest': 'dog', 'small_object_area_threshold': 0.5},
     range(0)),
])
def test_visualwakewords_labels_by_class_and_area(tmp_path, options, positive):
  stored = small_archives.coco(tmp_path / 'source')
  report = convert('visualwakewords', tmp_path / 'source', tmp_path / 'out',
                   **{**VWW, **options})
  assert report.spec.splits == {'train': 12, 'val': 12}
  found = written(tmp_path / 'out')
  assert {name: features['image/encoded'].bytes_list.value[0]
          for name, features in found.items()} == stored
  for name, features in found.items():
    number = int(name[-16:-4]) % 500
    label = int(number in positive)
    assert features['image/class/label'].int64_list.value == [label]
    assert list(features['image/object/bbox/xmax'].float_list.value) == (
        [np.float32(15 / 50)] if label else [])
  assert labels.read_label_file(tmp_path / 'out') == {
      0: 'background', 1: options.get('foreground_class_of_interest', 'person')}


def test_photo_that_coco_names_but_lacks_is_refused_and_the_rest_is_there(tmp_path):
  photos_stored = small_archives.coco(tmp_path / 'source')
  small_archives.zipped(tmp_path / 'source/val2014.zip', {
      f'val2014/{name}': data for name, data in list(photos_stored.items())[13:]})
  report = convert('visualwakewords', tmp_path / 'source', tmp_path / 'out', **VWW)
  assert report.refused == [(
      'COCO_val2014_000000000500.jpg', 'the annotations name it, but it is missing')]
  assert report.spec.splits == {'train': 12, 'val': 11}


@pytest.mark.parametrize(('options', 'message'), [
    ({'foreground_class_of_interest': 'persn'}, "'persn'.*; did you mean 'person'"),
    ({'small_object_area_threshold': 1.5}, '1.5 is not a part of a photo'),
])
def test_option_of_visualwakewords_that_does_not_fit_is_named(
    tmp_path, options, message):
  small_archives.coco(tmp_path / 'source')
  with pytest.raises(UserError, match=message):
    convert('visualwakewords', tmp_path / 'source', tmp_path / 'out',
            **{**VWW, **options})


# --- All of them.

@pytest.mark.parametrize('kind', sorted(KINDS))
def test_photo_of_any_kind_is_stored_as_an_image_that_lies_as_its_file_does(
    tmp_path, kind):
  data, expected, tolerance = KINDS[kind]
  small_archives.flowers(tmp_path / 'f.tgz', 1, {f'flower_photos/daisy/{kind}': data})
  convert('flowers', tmp_path / 'f.tgz', tmp_path / 'out')
  stored = written(tmp_path / 'out')[f'daisy/{kind}']
  shown = Image.open(io.BytesIO(stored['image/encoded'].bytes_list.value[0]))
  assert shown.mode in ('L', 'RGB')
  assert (shown.mode == 'L') == (kind in GRAY)
  if kind.startswith('upside_down'):
    expected = expected[::-1, ::-1]
  elif kind == 'turned.png':  # Pillow itself turns TIFF.
    expected = np.rot90(expected)
  difference = np.asarray(shown.convert('RGB')).astype(int) - expected
  assert np.abs(difference).mean() <= tolerance
  assert stored['image/height'].int64_list.value == [shown.height]


def test_table_has_a_converter_for_each_data_set():
  with_converter = set(dataset_catalog.DATASETS) & set(converters.NAMES)
  # The other two are made on this machine.
  assert with_converter == set(dataset_catalog.DATASETS) - {'digits', 'shapes'}
