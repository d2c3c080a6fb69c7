"""convert-images of a list: CSV and JSON lines, one class and several."""

import json

import pytest

from slim_zoo import diagnostics
from slim_zoo.catalog import datasets as catalog
from slim_zoo.config.conversion import LIST_SUFFIXES, ConvertImagesConfig
from slim_zoo.dataset_building import image_folder, image_list
from slim_zoo.dataset_building.image_list import Columns, ImageList
from slim_zoo.datasets import labels
from tests import scripts, stored_images


def convert(folder, listed, dataset_dir, **arguments):
  return image_folder.convert(
      str(folder), str(dataset_dir), 'pets', num_workers=1, listed=listed, **arguments)


@pytest.fixture
def folder(tmp_path):
  return stored_images.plain_folder(tmp_path / 'photos', count=8)


def rows_of(folder):
  return [(f'{path.parent.name}/{path.name}', path.parent.name)
          for path in sorted(folder.rglob('*.png'))]


def written(tmp_path, name, lines):
  path = tmp_path / name
  path.write_text('\n'.join(lines) + '\n', encoding='utf-8')
  return str(path)


def test_a_list_gives_the_records_of_class_folders(folder, tmp_path):
  """Byte for byte, in every form of a list; only notes may differ."""
  image_folder.convert(str(folder), str(tmp_path / 'folders'), 'pets', num_workers=1)
  wanted, rows = stored_images.contents(tmp_path / 'folders'), rows_of(folder)
  for name, lines in {
      'comma.csv': ['path,label', *(f'{path},{label}' for path, label in rows)],
      'order.csv': ['no;class;file', *(
          f'{number};"{label}";{path}' for number, (path, label) in enumerate(
              reversed(rows)))],
      'tabs.tsv': ['Image\tLabels', *(f'./{path}\t{label} ' for path, label in rows)],
      'lines.jsonl': [json.dumps({'filename': path, 'category': label, 'x': [1]})
                      for path, label in rows]}.items():
    target = tmp_path / name.replace('.', '_')
    convert(folder, ImageList(written(tmp_path, name, lines)), target)
    assert stored_images.contents(target) == wanted, name


def test_splits_of_a_list_and_numbers_as_classes(folder, tmp_path):
  rows = rows_of(folder)
  lines = ['path,label,split', *(
      f'{path},{10 if label == "cat" else 9},{"Training" if number % 3 else "val"}'
      for number, (path, label) in enumerate(rows))]
  report = convert(folder, ImageList(written(tmp_path, 'a.csv', lines)),
                   tmp_path / 'data')
  assert report.spec.splits == {'train': 10, 'val': 6}
  assert labels.read_label_file(str(tmp_path / 'data')) == {0: '9', 1: '10'}
  assert 'val, train; --validation_share is not used' in '\n'.join(report.lines())
  features = stored_images.stored_examples(tmp_path / 'data')
  assert {name: list(example['image/class/label'].int64_list.value)
          for name, example in features.items()} == {
              path: [int(label == 'cat')] for path, label in rows}


def test_several_classes_and_none(folder, tmp_path):
  images = [path for path, _ in rows_of(folder)]
  csv_lines = ['path,labels', *(f'{path},cat|pet' for path in images[:8]),
               *(f'{path},dog' for path in images[8:15]),
               *(f'{path},pet' for path in images[8:12]), f'{images[15]},']
  json_lines = [
      *(json.dumps({'path': path, 'labels': ['pet', 'cat']}) for path in images[:8]),
      *(json.dumps({'path': path, 'labels': ['dog', 'pet'][:2 - (number > 3)]})
        for number, path in enumerate(images[8:15])),
      json.dumps({'path': images[15], 'labels': []})]
  stored = []
  for name, lines in (('a.csv', csv_lines), ('a.jsonl', json_lines)):
    report = convert(
        folder, ImageList(written(tmp_path, name, lines), multi_label=True),
        tmp_path / name.replace('.', '_'), validation_share=0)
    assert '27 labels of 16 images, 1 without a label' in '\n'.join(report.lines())
    assert catalog.read_description(str(tmp_path / name.replace('.', '_'))).multi_label
    stored.append(stored_images.contents(tmp_path / name.replace('.', '_')))
  assert stored[0] == stored[1]
  read = stored_images.read_split('pets', 'train', tmp_path / 'a_csv')
  assert sorted(values['label'].tolist() for values in read) == sorted(
      [[0, 2]] * 8 + [[1, 2]] * 4 + [[1]] * 3 + [[]])


@pytest.mark.parametrize(('name', 'lines', 'words'), [
    ('a.csv', ['path,label', 'x.png,cat', ',dog'], "line 3 of .* has no path"),
    ('a.csv', ['path,label', 'x.png,cat', 'y.png,'], 'line 3 .* has no label'),
    ('a.csv', ['path,label', 'x.png,cat', 'y.png,dog,1'], 'line 3 .* has 3 cells'),
    ('a.csv', ['path,label', 'x.png,cat', './x.png,dog'], 'line 3 .* line 2'),
    ('a.csv', ['path,label', 'x.png,cat', 'y.png,cat'], '1 class: expected two'),
    ('a.csv', ['path,klass', 'x.png,cat'], 'columns path, klass: .*--label_column'),
    ('a.csv', ['path,label'], 'lists no image'), ('a.csv', [''], 'lists no image'),
    ('a.csv', ['path,label,split', 'x.png,cat,val', 'y.png,dog,test'], 'no train'),
    ('a.csv', ['path,label,split', 'x.png,cat,train', 'y.png,dog,a b'],
     'line 3 .* split'),
    ('a.csv', ['path,label,split', 'x.png,cat,train', 'x.png,cat,val', 'y.png,dog,val'],
     'line 3 .* into the split val, line 2 into train'),
    ('a.jsonl', ['{"path": "x.png", "label": "cat"}', '["y.png", "dog"]'],
     'line 2 .* not a JSON object'),
    ('a.jsonl', ['{"path": "x.png", "label": ["cat"]}'], 'add --multi_label'),
    ('a.jsonl', ['{"path": "x.png", "label": {"cat": 1}}'], 'line 1 .* the label'),
    ('a.jsonl', ['{"path": 3, "label": "cat"}'], 'has no path')])
def test_wrong_lists_are_told_in_one_line(tmp_path, name, lines, words):
  with pytest.raises(diagnostics.UserError, match=words) as caught:
    image_list.survey(ImageList(written(tmp_path, name, lines)))
  assert '\n' not in str(caught.value)


def test_columns_by_name(tmp_path):
  path = written(
      tmp_path, 'a.csv', ['path,url,y,label', 'no,a.png,cat,x', 'no,b.png,dog,x'])
  found = image_list.survey(ImageList(path, columns=Columns('url', 'y')))
  assert [source.path for source in found.sources] == ['a.png', 'b.png']
  with pytest.raises(diagnostics.UserError, match="no column 'ulr'") as caught:
    image_list.survey(ImageList(path, columns=Columns('ulr', 'y')))
  assert "did you mean 'url'" in str(caught.value)


def test_the_command_refuses_missing_files_and_reports(folder, tmp_path):
  lines = ['path,label', *(f'{path},{label}' for path, label in rows_of(folder)),
           'gone.png,cat']
  path = written(folder, 'list.csv', lines)
  done = scripts.run('convert-images', image_list=path, dataset_dir=tmp_path / 'data',
                     dataset_name='pets')
  assert done.returncode == 3
  assert 'gone.png: it cannot be read: No such file' in done.stdout
  assert (tmp_path / 'data' / 'refused.txt').read_text().startswith('gone.png')
  assert '2 classes, RGB' in done.stdout


@pytest.mark.parametrize(('given', 'words'), [
    ({'multi_label': True, 'image_dir': 'x'}, '--multi_label=True has no effect'),
    ({'image_list': 'a.txt'}, 'expected a name that ends in .csv'),
    ({'image_list': 'a.csv'}, 'no such file'),
    ({'image_list': 'a.csv', 'class_folders': 'top'}, 'only with folders of classes'),
    ({'image_list': 'a.csv', 'label_separator': ';'}, 'without --multi_label')])
def test_options_that_do_not_fit(given, words):
  config = ConvertImagesConfig.from_options(
      {'dataset_dir': 'data', 'dataset_name': 'pets', **given})
  with pytest.raises(diagnostics.UserError, match=words):
    config.check()
  assert LIST_SUFFIXES == image_list.SUFFIXES
