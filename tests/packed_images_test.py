"""convert-images --source: tar shards, Parquet, data sets of Hugging Face."""

import errno
import gzip
import io
import json
import os
import sys
import tarfile

import pytest

from slim_zoo import diagnostics
from slim_zoo.catalog import datasets as catalog
from slim_zoo.config.conversion import ConvertImagesConfig
from slim_zoo.dataset_building import (
  archives,
  arrow_tables,
  file_patterns,
  hugging_face,
  image_folder,
  image_list,
  packed_images,
  packed_source,
)
from slim_zoo.dataset_building.packed_images import PackedImages
from slim_zoo.datasets import labels
from slim_zoo.images import folder_names
from slim_zoo.images.image_check import Storing
from tests import scripts, small_archives, stored_images
from tests.stored_images import encoded, picture

IMAGES = [encoded(picture(number, 8, 8)) for number in range(12)]


def write_tar(path, files, mode='w'):
  """Writes {name: bytes, or a TarInfo of a link} as a tar file, and its folder."""
  path.parent.mkdir(parents=True, exist_ok=True)
  return str(small_archives.tar(path, files, mode))


def shard(first=0, suffix='cls', label=lambda number: str(number % 2)):
  """Returns the files of a shard of six images."""
  files = {}
  for number in range(first, first + 6):
    files[f'{number:05d}.png'] = IMAGES[number]
    files[f'{number:05d}.{suffix}'] = label(number).encode()
  return files


def convert(source, folder, storing=Storing(), validation_share=0.0, **options):
  return image_folder.convert(
      None, str(folder), 'pets', validation_share, num_workers=2, storing=storing,
      packed=PackedImages(str(source), **options))


def stored(folder):
  """Returns {encoded image: labels} of all records."""
  return {
      example['image/encoded'].bytes_list.value[0]:
      list(example['image/class/label'].int64_list.value)
      for example in stored_images.stored_examples(folder).values()}


def expected(label=lambda number: [number % 2], count=12):
  return {IMAGES[number]: label(number) for number in range(count)}


# --- Tar shards.


@pytest.mark.parametrize(('suffix', 'label', 'options', 'names'), [
    ('cls', lambda number: str(number % 2), {}, ['0', '1']),
    ('cls', lambda number: f'{number % 2}\n', {'class_names': ('cat', 'dog')},
     ['cat', 'dog']),
    ('txt', lambda number: ('cat', 'dog')[number % 2], {}, ['cat', 'dog']),
    ('json', lambda number: json.dumps({'label': ('cat', 'dog')[number % 2]}), {},
     ['cat', 'dog']),
    ('json', lambda number: json.dumps({'label': 7, 'kind': number % 2}),
     {'label_column': 'kind', 'class_names': ('cat', 'dog')}, ['cat', 'dog'])])
@pytest.mark.parametrize('ending', ['tar', 'tar.gz'])
def test_shards_of_every_kind_of_label(
    tmp_path, ending, suffix, label, options, names):
  mode = 'w:gz' if ending == 'tar.gz' else 'w'
  for place in (0, 1):
    write_tar(tmp_path / f'pets-{place:03d}.{ending}', {
        **shard(6 * place, suffix, label), 'README.md': b'none'}, mode)
  report = convert(tmp_path / f'pets-{{000..001}}.{ending}', tmp_path / 'data',
                   **options)
  assert stored(tmp_path / 'data') == expected()
  assert list(labels.read_label_file(tmp_path / 'data').values()) == names
  assert report.spec.splits == {'train': 12}
  # Nothing of the copy stays.
  assert sorted(path.name for path in (tmp_path / 'data').iterdir()) == [
      'dataset.json', 'labels.txt', 'pets_train_00000-of-00001.tfrecord']
  assert min(stored_images.stored_examples(tmp_path / 'data')) == (
      f'pets-000.{ending}/00000.png')


def test_shards_of_several_labels_and_splits(tmp_path):
  def label(number):
    return json.dumps({'labels': ['cat', 'dog'][:number % 3]})

  write_tar(tmp_path / 'in/train/0.tar', shard(0, 'json', label))
  write_tar(tmp_path / 'in/val/0.tar', shard(6, 'json', label))
  report = convert(tmp_path / 'in', tmp_path / 'data', multi_label=True)
  assert report.spec.splits == {'train': 6, 'validation': 6}
  assert report.spec.multi_label
  assert stored(tmp_path / 'data') == expected(
      lambda number: list(range(number % 3)))
  assert '12 labels of 12 images, 4 without a label' in '\n'.join(report.lines())


def test_a_bad_image_is_refused_and_named_as_in_folders(tmp_path, capsys):
  files = {**shard(), '00003.png': b'no image', 'a/b.cls': b'1', 'c.png': IMAGES[6],
           'd.png': IMAGES[7], 'd.json': b'{"x": 1}', 'e.png': IMAGES[8],
           'e.cls': b'9', 'f.png': IMAGES[9], 'f.cls': b'\xff'}
  path = write_tar(tmp_path / 'a.tar', files)
  report = convert(path, tmp_path / 'data', class_names=('cat', 'dog'))
  assert dict(report.refused) == {
      'a.tar/00003.png': 'it is text, not an image',
      'a.tar/a/b': 'it has a label, but no image', 'a.tar/c.png': 'it has no label',
      'a.tar/d.png': 'it has no label',
      'a.tar/e.png': 'its label 9 is none of the 2 classes',
      'a.tar/f.png': 'its label is not UTF-8 text'}
  assert len(stored(tmp_path / 'data')) == 5
  assert (tmp_path / 'data/refused.txt').read_text().count('\n') == 6
  # Images without a label are refused before, and are not checked.
  assert 'checking: 6/6 images' in capsys.readouterr().err


def test_max_side_and_a_class_without_images(tmp_path):
  path = write_tar(tmp_path / 'a.tar', {
      **shard(), 'big.jpg': encoded(picture(1, 40, 80), 'JPEG'), 'big.cls': b'1'})
  report = convert(path, tmp_path / 'data', Storing(max_side=32),
                   class_names=('cat', 'dog', 'cow'))
  assert report.spec.num_classes == 3
  assert '1 of 3 classes have no image in train' in '\n'.join(report.lines())
  example = stored_images.stored_examples(tmp_path / 'data')['a.tar/big.jpg']
  assert example['image/width'].int64_list.value[0] == 32


def test_numbers_stay_if_two_classes_have_the_same_name(tmp_path):
  path = write_tar(tmp_path / 'a.tar', shard(label=lambda number: str(number % 3)))
  convert(path, tmp_path / 'data', class_names=('crane', 'dog', 'crane'))
  assert stored(tmp_path / 'data') == expected(lambda number: [number % 3], 6)


def member(name, kind=tarfile.REGTYPE, target=''):
  found = tarfile.TarInfo(name)
  found.type, found.linkname = kind, target
  return found


@pytest.mark.parametrize(('name', 'entry', 'words'), [
    ('../x.png', IMAGES[0], 'a path outside of its folder'),
    ('/tmp/x.png', IMAGES[0], 'a path outside of its folder'),
    ('a/../../x.png', IMAGES[0], 'a path outside of its folder'),
    ('x.png', member('x.png', tarfile.SYMTYPE, '/etc/passwd'), 'a link, a device'),
    ('x.png', member('x.png', tarfile.LNKTYPE, '00000.png'), 'a link, a device'),
    ('x.png', member('x.png', tarfile.CHRTYPE), 'a link, a device'),
    ('x.png', member('x.png', tarfile.FIFOTYPE), 'a link, a device')])
@pytest.mark.parametrize('mode', ['w', 'w:gz'])
def test_hostile_members_are_refused(tmp_path, name, entry, words, mode):
  path = write_tar(tmp_path / 'a.tar', {**shard(), name: entry}, mode)
  before = {found.name for found in tmp_path.iterdir()}
  with pytest.raises(diagnostics.UserError, match=words) as caught:
    convert(path, tmp_path / 'data')
  assert '\n' not in str(caught.value)
  assert {found.name for found in tmp_path.iterdir()} == before


@pytest.mark.parametrize('mode', ['w', 'w:gz'])
@pytest.mark.parametrize('share', [0.2, 0.4, 0.55])
def test_a_truncated_shard_is_named_with_what_was_read(tmp_path, mode, share):
  whole = write_tar(tmp_path / 'whole.tar', shard(), mode)
  data = (tmp_path / 'whole.tar').read_bytes()
  (tmp_path / 'a.tar').write_bytes(data[:int(len(data) * share)])
  with pytest.raises(diagnostics.UserError, match=(
      r"a\.tar' is damaged or cut short after \d+ files")) as caught:
    convert(tmp_path / 'a.tar', tmp_path / 'data')
  assert '\n' not in str(caught.value)
  assert convert(whole, tmp_path / 'data').spec.splits == {'train': 6}


def test_archives_that_are_none_or_too_much(tmp_path):
  (tmp_path / 'a.tar').write_bytes(b'no tar file at all, but long enough' * 100)
  (tmp_path / 'empty.tar').write_bytes(b'')
  write_tar(tmp_path / 'bomb.tar.gz', {'0.cls': b'1', '0.png': bytes(100 << 20)},
            'w:gz')
  twice = (tmp_path / 'twice.tar')
  write_tar(twice, shard())
  twice.write_bytes(2 * twice.read_bytes())
  for name, words in (('a', 'damaged'), ('empty', 'damaged'),
                      ('bomb', 'more than 100 times'), ('twice', 'after its end mark')):
    with pytest.raises(diagnostics.UserError, match=words):
      convert(next(tmp_path.glob(f'{name}.tar*')), tmp_path / 'data')
  assert not (tmp_path / 'data').exists()


def test_samples_with_two_images_or_two_files_of_a_name(tmp_path):
  path = write_tar(tmp_path / 'a.tar', {
      **shard(), '00001.seg.png': IMAGES[7]})
  with pytest.raises(diagnostics.UserError, match='--image_column=png'):
    convert(path, tmp_path / 'data')
  assert convert(path, tmp_path / 'data', image_column='png').spec.splits == {
      'train': 6}
  with tarfile.open(tmp_path / 'b.tar', 'w') as archive:
    for _ in range(2):
      found = tarfile.TarInfo('0.png')
      found.size = len(IMAGES[0])
      archive.addfile(found, io.BytesIO(IMAGES[0]))
  with pytest.raises(diagnostics.UserError, match=r"two files '0\.png'"):
    convert(tmp_path / 'b.tar', tmp_path / 'data')


@pytest.mark.parametrize('mode', ['w', 'w:gz'])
def test_an_image_of_any_suffix_that_is_named(tmp_path, mode):
  files = {name.replace('.png', '.Img'): data for name, data in shard().items()}
  path = write_tar(tmp_path / 'a.tar', files, mode)
  for column in ('img', '.IMG'):
    convert(path, tmp_path / column, image_column=column)
    assert stored(tmp_path / column) == expected(count=6)
  path = write_tar(tmp_path / 'b.tar', {
      '8.json': b'{}', '8.cls': b'0', '9.json': b'{}', '9.cls': b'1'}, mode)
  with pytest.raises(diagnostics.UserError, match=r'json: it is text, not an image'):
    convert(path, tmp_path / 'new', image_column='json', label_column='cls')


@pytest.mark.parametrize('mode', ['w', 'w:gz'])
def test_hidden_files_and_other_texts_are_skipped(tmp_path, mode):
  path = write_tar(tmp_path / 'a.tar', {
      '._00000.png': b'x', '._00001.png': b'x', '.DS_Store': b'x', 'a/.DS_Store': b'x',
      '__MACOSX/00000.png': b'x', **shard(), 'README.txt': b'Pets.',
      'meta.json': b'{"label": "pets"}'}, mode)
  report = convert(path, tmp_path / 'data')
  assert not report.refused
  assert stored(tmp_path / 'data') == expected(count=6)
  assert ('files without an image are skipped: a.tar/README, a.tar/meta'
          in report.lines())


def test_a_label_column_is_found_in_any_case(tmp_path):
  path = write_tar(tmp_path / 'a.tar', shard(suffix='Kind'))
  convert(path, tmp_path / 'data', label_column='.KIND')
  assert stored(tmp_path / 'data') == expected(count=6)


def test_labels_of_thousands_of_digits(tmp_path):
  path = write_tar(tmp_path / 'a.tar', {
      **shard(), '7.png': IMAGES[7], '7.cls': b'1' * 5000})
  report = convert(path, tmp_path / 'data', class_names=('cat', 'dog'))
  (name, reason), = report.refused
  assert name == 'a.tar/7.png'
  assert 'is none of the 2 classes' in reason
  assert len(reason) < 150
  # As a name of a class.
  assert folder_names.in_label_order(['9', '10', '1' * 5000]) == ['10', '1' * 5000, '9']


@pytest.mark.parametrize('mode', ['w', 'w:gz'])
def test_what_tarfile_leaves_out_is_an_error(tmp_path, mode):
  one = write_tar(tmp_path / 'one.tar', shard())
  data = (tmp_path / 'one.tar').read_bytes()
  broken = bytearray(data)
  broken[5 * 1024 + 100] ^= 1  # In a header.
  for content in (2 * data, bytes(broken)):
    (tmp_path / 'a.tar').write_bytes(
        gzip.compress(content) if mode == 'w:gz' else content)
    with pytest.raises(diagnostics.UserError, match='damaged or cut short'):
      convert(tmp_path / 'a.tar', tmp_path / 'data')
  assert convert(one, tmp_path / 'data').spec.splits == {'train': 6}


def test_a_shard_that_is_written_again_is_not_read(tmp_path):
  packed = PackedImages(write_tar(tmp_path / 'a.tar', shard()))
  places = packed_source.survey(packed, str(tmp_path)).places
  place = places['a.tar/00003.png']
  assert archives.read_slice(place) == IMAGES[3]
  os.utime(place.path, ns=(0, place.version + 1))
  with pytest.raises(archives.DamagedMemberError, match='was written again'):
    archives.read_slice(place)
  os.truncate(place.path, place.offset)
  with pytest.raises(archives.DamagedMemberError, match='ends within it'):
    archives.read_slice(place._replace(version=None))


# --- Names of files.


def test_braces_and_patterns(tmp_path):
  for name in ('a-08.tar', 'a-09.tar', 'a-10.tar', 'b[1].tar'):
    (tmp_path / name).touch()

  def expand(pattern):
    return [path.removeprefix(f'{tmp_path}/')
            for path in file_patterns.expand(f'{tmp_path}/{pattern}')]

  assert expand('a-{08..10}.tar') == ['a-08.tar', 'a-09.tar', 'a-10.tar']
  assert expand('a-{10,0?}.tar') == ['a-10.tar', 'a-08.tar', 'a-09.tar']
  assert expand('b[1].tar') == ['b[1].tar']
  for pattern, words in (('a-{08..11}.tar', "'.*a-11.tar', which"),
                         ('c.tar', 'there is no file'), ('x/*.tar', 'no folder'),
                         ('{1..999999}', '999,999 files'), ('{3..1}', 'smaller'),
                         ('{1..9000}{1..9000}', 'files'),
                         (f'{{1..{"9" * 5000}}}', 'there is no file')):
    with pytest.raises(diagnostics.UserError, match=words):
      expand(pattern)


@pytest.mark.parametrize(('names', 'choice', 'splits'), [
    (['train-00000-of-00001.parquet', 'test-00000-of-00001.parquet'], 'auto',
     ['train', 'test']),
    (['imagenet-train-000.tar', 'imagenet-val-000.tar'], 'auto',
     ['train', 'validation']),
    (['train/0.tar.gz', 'dev/0.tar.gz'], 'auto', ['train', 'validation']),
    (['a-train-0.tar', 'a-train-1.tar'], 'auto', [None, None]),
    (['a-train-0.tar', 'a-train-1.tar'], 'yes', ['train', 'train']),
    (['a.tar', 'b.tar'], 'auto', [None, None]),
    (['train.tar', 'test_tube.tar'], 'no', [None, None])])
def test_splits_of_names(names, choice, splits):
  assert file_patterns.splits_of(names, choice)[0] == splits


@pytest.mark.parametrize(('names', 'choice', 'words'), [
    (['train.tar', 'more.tar'], 'auto', "'more.tar' is not named after a split, as"),
    (['a.tar'], 'yes', 'not named after a split'),
    (['val.tar', 'test.tar'], 'auto', 'none after train')])
def test_unclear_splits_are_refused(names, choice, words):
  with pytest.raises(diagnostics.UserError, match=words):
    file_patterns.splits_of(names, choice)


# --- Parquet, and folders of save_to_disk.


CLASS_LABEL = {'names': ['cat', 'dog'], '_type': 'ClassLabel'}


def table(label, features=True, feature=None, image=None):
  """Returns a table of Hugging Face's layout of 12 images."""
  pyarrow = pytest.importorskip('pyarrow')
  image = image or (lambda number: {'bytes': IMAGES[number], 'path': f'{number}.png'})
  found = pyarrow.table({
      'image': [image(number) for number in range(12)],
      'label': [label(number) for number in range(12)]})
  if not features:
    return found
  info = {'info': {'features': {
      'image': {'_type': 'Image'}, 'label': feature or CLASS_LABEL}}}
  return found.replace_schema_metadata({'huggingface': json.dumps(info)})


def write_parquet(path, *arguments, **options):
  rows = table(*arguments, **options)
  from pyarrow import parquet
  path.parent.mkdir(parents=True, exist_ok=True)
  parquet.write_table(rows, path, row_group_size=5)
  return path


def write_saved(folder, rows, split=None):
  """Writes a folder as save_to_disk does."""
  import pyarrow
  folder.mkdir(parents=True)
  with pyarrow.OSFile(str(folder / 'data-00000-of-00001.arrow'), 'wb') as file, (
      pyarrow.ipc.new_stream(file, rows.schema)) as writer:
    writer.write_table(rows)
  (folder / 'state.json').write_text(json.dumps({
      '_data_files': [{'filename': 'data-00000-of-00001.arrow'}], '_split': split}))


def test_parquet_with_names_of_classes_and_with_texts(tmp_path):
  for name, options in {
      'named': {'label': lambda number: number % 2},
      'texts': {'label': lambda number: ('cat', 'dog')[number % 2], 'features': False},
      'bytes': {'label': lambda number: number % 2,
                'image': lambda number: IMAGES[number]}}.items():
    path = write_parquet(tmp_path / f'{name}.parquet', **options)
    convert(path, tmp_path / name)
    assert stored(tmp_path / name) == expected(), name
    assert labels.read_label_file(tmp_path / name) == {0: 'cat', 1: 'dog'}
  assert 'texts.parquet/3' in stored_images.stored_examples(tmp_path / 'texts')


def test_parquet_of_several_labels_splits_and_hidden_labels(tmp_path):
  feature = {'feature': CLASS_LABEL, '_type': 'Sequence'}
  write_parquet(tmp_path / 'in/train-0.parquet',
                lambda number: list(range(number % 3)), feature=feature)
  report = convert(tmp_path / 'in/*.parquet', tmp_path / 'several', multi_label=True)
  assert stored(tmp_path / 'several') == expected(
      lambda number: list(range(number % 3)))
  assert report.spec.multi_label
  with pytest.raises(diagnostics.UserError, match='add --multi_label'):
    convert(tmp_path / 'in/*.parquet', tmp_path / 'data')
  write_parquet(tmp_path / 'in/train-0.parquet', lambda number: number % 2)
  write_parquet(tmp_path / 'in/test-0.parquet', lambda number: -1)
  report = convert(tmp_path / 'in', tmp_path / 'data')
  assert report.spec.splits == {'train': 12}
  assert 'the 12 images of test have no labels and are skipped' in report.lines()


def test_bad_rows_and_truncated_parquet(tmp_path):
  def image(number):
    return {'bytes': {3: b'text', 4: None, 5: None}.get(number, IMAGES[number]),
            'path': 'a/4.png' if number == 4 else None}

  path = write_parquet(tmp_path / 'a.parquet', lambda number: number % 2, image=image)
  report = convert(path, tmp_path / 'data')
  assert dict(report.refused) == {
      'a.parquet/3': 'it is text, not an image',
      'a.parquet/4': "its image is not in the file, but in 'a/4.png'",
      'a.parquet/5': 'it has no image'}
  whole = path.read_bytes()
  for data, words in (
      (whole[:len(whole) // 2], r'cut short after 0 rows'), (b'', 'after 0 rows'),
      (whole[:400] + bytes(1500) + whole[1900:], r'cut short after \d+ of 12 rows'),
      (b'PAR1' + whole[4:-8] + b'\xff\xff\xff\x7fPAR1', 'cut short after 0')):
    path.write_bytes(data)
    with pytest.raises(diagnostics.UserError, match=words) as caught:
      convert(path, tmp_path / 'new')
    assert '\n' not in str(caught.value)
  assert not (tmp_path / 'new').exists()


def test_columns_that_are_not_found(tmp_path):
  path = write_parquet(tmp_path / 'a.parquet', lambda number: number % 2,
                       features=False)
  with pytest.raises(diagnostics.UserError, match="did you mean 'label'"):
    convert(path, tmp_path / 'data', label_column='labell')
  from pyarrow import parquet
  rows = parquet.read_table(path)
  parquet.write_table(rows.rename_columns(['x', 'y']), path)
  with pytest.raises(diagnostics.UserError, match=r'columns x, y: .*--image_column'):
    convert(path, tmp_path / 'data')
  convert(path, tmp_path / 'data', image_column='x', label_column='y')
  assert stored(tmp_path / 'data') == expected()


def test_folders_of_save_to_disk(tmp_path):
  rows = table(lambda number: number % 2)
  write_saved(tmp_path / 'one', rows)
  convert(tmp_path / 'one', tmp_path / 'data')
  assert stored(tmp_path / 'data') == expected()
  for split in ('train', 'test'):
    write_saved(tmp_path / 'two' / split, rows, split)
  (tmp_path / 'two/dataset_dict.json').write_text('{"splits": ["train", "test"]}')
  assert convert(tmp_path / 'two', tmp_path / 'both').spec.splits == {
      'train': 12, 'test': 12}
  for name, text, words in (
      *(('two/dataset_dict.json', f'{{"splits": ["{split}"]}}', 'the name of a folder')
        for split in ('../one', '..', '.', '')),
      ('two/dataset_dict.json', '[]', 'is damaged'),
      *(('one/state.json', f'{{"_data_files": [{{"filename": "{file}"}}]}}',
         'in its folder') for file in ('../x', '..', '')),
      ('one/state.json', '{"_data_files": [], "_indices_data_files": [1]}',
       'flatten_indices'), ('one/state.json', 'x', 'is damaged')):
    (tmp_path / name).write_text(text)
    with pytest.raises(diagnostics.UserError, match=words):
      convert(tmp_path / name.split('/')[0], tmp_path / 'new')


def open_files():
  return len(os.listdir('/proc/self/fd'))


@pytest.mark.skipif(not os.path.isdir('/proc/self/fd'), reason='needs /proc')
@pytest.mark.parametrize('kind', ['parquet', 'arrow'])
def test_files_are_open_only_while_they_are_read(tmp_path, kind):
  rows, parts = table(lambda number: number % 2), []
  for number in range(4):
    if kind == 'parquet':
      path = write_parquet(tmp_path / f'{number}.parquet', lambda number: number % 2)
    else:
      write_saved(tmp_path / str(number), rows)
      path = next((tmp_path / str(number)).glob('*.arrow'))
    parts.append(arrow_tables.Part(str(path), path.name, None))
  with open(tmp_path / 'copies', 'wb') as file:
    before = open_files()
    found = arrow_tables.contents(
        parts, PackedImages('x'), packed_images.ImageCopies(file.name, file))
    assert open_files() == before
    counts = {open_files() for _ in found.samples}
    # pyarrow opens a memory map twice.
    assert max(counts) <= before + 2
    assert open_files() == before


@pytest.mark.parametrize('name', ['a.parquet', 'a.arrow'])
def test_faults_of_the_system_are_no_damage(tmp_path, monkeypatch, name):
  pyarrow = pytest.importorskip('pyarrow')
  from pyarrow import parquet

  def fail(*unused):
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

  monkeypatch.setattr(parquet, 'ParquetFile', fail)
  monkeypatch.setattr(pyarrow, 'memory_map', fail)
  (tmp_path / name).touch()
  with pytest.raises(OSError, match='Too many open files') as caught:
    convert(tmp_path / name, tmp_path / 'data')
  assert not isinstance(caught.value, diagnostics.UserError)


@pytest.mark.parametrize('data', [b'', b'text', b'ARROW1' + bytes(500)])
def test_damaged_arrow_files(tmp_path, data):
  pytest.importorskip('pyarrow')
  (tmp_path / 'a.arrow').write_bytes(data)
  with pytest.raises(diagnostics.UserError, match='cut short after 0 rows'):
    convert(tmp_path / 'a.arrow', tmp_path / 'data')


def test_without_pyarrow(tmp_path, monkeypatch):
  (tmp_path / 'a.parquet').touch()
  monkeypatch.setitem(sys.modules, 'pyarrow', None)
  with pytest.raises(diagnostics.UserError, match='python -m pip install "pyarrow'):
    convert(tmp_path / 'a.parquet', tmp_path / 'data')


# --- Names on the Hub: the package is another program's, so a small one stands for it.


PACKAGE = '''
class Split(list):
  cache_files = [{'filename': %r}]

def load_dataset(name, configuration):
  print('Downloading', flush=True)
  if name == 'gone':
    raise ConnectionError('no network\\nat all')
  return {'train': Split([1]), 'validation': Split([1])}
'''


def test_a_data_set_by_name(tmp_path, monkeypatch):
  rows = table(lambda number: number % 2)
  write_saved(tmp_path / 'cache', rows)
  package = tmp_path / 'packages/datasets.py'
  package.parent.mkdir()
  file = str(tmp_path / 'cache/data-00000-of-00001.arrow')
  package.write_text(PACKAGE % file)
  # The checkout has a package of the same name.
  monkeypatch.setenv('PYTHONPATH', f'{stored_images.__file__.rsplit("/", 2)[0]}:'
                     f'{package.parent}')
  report = convert('hf:user/pets', tmp_path / 'data')
  assert report.spec.splits == {'train': 12, 'validation': 12}
  with pytest.raises(diagnostics.UserError, match=(
      r"hf:gone cannot be loaded: ConnectionError: no network$")):
    hugging_face.named_parts('hf:gone')
  package.write_text('raise ImportError("broken")')
  with pytest.raises(diagnostics.UserError, match=r'not installed .*pip install'):
    hugging_face.named_parts('hf:user/pets')
  package.write_text('import os; os._exit(7)')
  with pytest.raises(diagnostics.UserError, match='exit code 7'):
    hugging_face.named_parts('hf:user/pets')


# --- The command.


def test_the_command_and_a_pattern_that_the_shell_expanded(tmp_path):
  for place in (0, 1):
    write_tar(tmp_path / f'{place}.tar', shard(6 * place))
  names = tmp_path / 'names.txt'
  names.write_text('cat\ndog\n')
  done = scripts.run(
      'convert-images', source=tmp_path / '{0..1}.tar', dataset_dir=tmp_path / 'data',
      dataset_name='pets', labels_file=names)
  assert done.returncode == 0, done.stderr
  assert catalog.read_description(str(tmp_path / 'data')).num_classes == 2
  assert 'cat' in done.stdout
  done = scripts.run(
      'convert-images', f'--source={tmp_path}/0.tar', f'--source={tmp_path}/1.tar',
      dataset_dir=tmp_path / 'new', dataset_name='pets')
  assert 'given 2 times: put the pattern in quotes' in scripts.answer(done, code=1)


@pytest.mark.parametrize(('given', 'words'), [
    ({'source': 'a.tar', 'image_list': 'a.csv'}, 'both name images'),
    ({'source': 'a.tar', 'image_dir': 'x'}, '--image_dir=x has no effect with'),
    ({'source': 'a.tar', 'class_folders': 'top'}, 'only with folders of classes'),
    ({'source': 'a.tar', 'path_column': 'x'}, 'only with --image_list: leave'),
    ({'source': 'a.tar', 'segmentation': True}, '--segmentation is for masks'),
    ({'source': 'a.tar', 'classes_of': 'imagenet'}, 'only with folders of classes'),
    ({'source': 'a.tar', 'label_separator': ';'}, 'without --multi_label'),
    ({'image_dir': 'x', 'image_column': 'x'}, 'with folders of classes, only with --s'),
    ({'image_dir': 'x', 'label_column': 'x'}, 'only with --image_list or --source'),
    ({'image_dir': 'x', 'labels_file': 'x'}, 'only with --segmentation or --source'),
    ({'image_dir': 'x', 'classes_of': 'imagenet', 'validation_share': 0.2},
     '--validation_share=0.2 has no effect with --classes_of'),
    ({'image_dir': 'x', 'classes_of': 'imagenet', 'class_folders': 'top'},
     '--class_folders=top has no effect with --classes_of')])
def test_options_that_do_not_fit(given, words):
  config = ConvertImagesConfig.from_options(
      {'dataset_dir': 'data', 'dataset_name': 'pets', **given})
  with pytest.raises(diagnostics.UserError, match=words):
    config.check()


@pytest.mark.parametrize(('files', 'words'), [
    ({}, 'has no such files'), ({'a.zip': b''}, 'has no such files'),
    ({'a.tar': b'', 'b.parquet': b''}, 'tar shards and Parquet files')])
def test_sources_of_no_kind(tmp_path, files, words):
  stored_images.fill(tmp_path / 'in', files)
  (tmp_path / 'in').mkdir(exist_ok=True)
  with pytest.raises(diagnostics.UserError, match=words):
    convert(tmp_path / 'in', tmp_path / 'data')
  (tmp_path / 'a.zip').touch()
  with pytest.raises(diagnostics.UserError, match='expected files that end'):
    convert(tmp_path / 'a.zip', tmp_path / 'data')


def test_a_folder_that_cannot_be_read_stops_the_command(tmp_path, monkeypatch):
  write_tar(tmp_path / 'in/a/0.tar', shard())
  write_tar(tmp_path / 'in/b/1.tar', shard(6))
  scandir = os.scandir

  def refuse(path='.'):
    if str(path).endswith('/b'):
      raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    return scandir(path)

  monkeypatch.setattr(os, 'scandir', refuse)
  with pytest.raises(PermissionError, match='/in/b'):
    convert(tmp_path / 'in', tmp_path / 'data')


def test_folders_behind_links_are_read(tmp_path):
  write_tar(tmp_path / 'in/a/0.tar', shard())
  write_tar(tmp_path / 'other/1.tar', shard(6))
  (tmp_path / 'in/b').symlink_to(tmp_path / 'other')
  convert(tmp_path / 'in', tmp_path / 'data')
  assert stored(tmp_path / 'data') == expected()


def test_a_split_is_named_in_one_place():
  assert image_list.split_name('x', 'Training') == 'train'
