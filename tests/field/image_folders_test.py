"""Image folders of users: splits, levels of classes, links, system files."""

import os
import re
import subprocess
import sys
import unicodedata

import pytest

from slim_zoo import diagnostics
from slim_zoo.dataset_building import class_folders
from slim_zoo.datasets import labels
from slim_zoo.images import folder_names
from slim_zoo.prediction import sources
from tests.conftest import ROOT
from tests.image_kinds import PNG
from tests.stored_images import convert, encoded, fill, picture, plain_folder

PETS = {'cat': 3, 'dog': 3}


def folder(root, counts):
  """Writes so many different images to each folder; 0 makes an empty one."""
  number = 0
  for path, count in counts.items():
    (root / path).mkdir(parents=True, exist_ok=True)
    for index in range(count):
      number += 1
      (root / path / f'{index}.png').write_bytes(encoded(picture(number, 8, 8)))
  return root


def under(split, counts=None):
  return {f'{split}/{name}': count for name, count in (counts or PETS).items()}


def refusal(images, **arguments):
  with pytest.raises(diagnostics.UserError) as error:
    class_folders.survey(str(images), **arguments)
  assert '\n' not in str(error.value)
  return str(error.value)


def text_of(report):
  return '\n'.join(report.lines())


# --- Splits.

@pytest.mark.parametrize(('train', 'second', 'expected'), [
    ('Training', 'Testing', 'test'), ('TRAIN', 'VALIDATION', 'validation'),
    ('train', 'dev', 'validation'), ('train', 'eval', 'validation'),
    ('train', 'Val', 'validation'), ('train', 'VALID', 'validation'),
    ('training_set', 'test_set', 'test'), ('Training Set', 'Test Set', 'test'),
    ('trainset', 'testset', 'test'), ('train-images', 'eval-images', 'validation'),
    ('TrainData', 'ValData', 'validation'), ('train2017', 'val2017', 'validation'),
    ('01_train', '02_test', 'test'), ('seg_train', 'seg_test', 'test'),
    ('pets_training', 'pets_development', 'validation'),
    ('train', 'holdout', 'validation'), ('train', 'val', 'val'),
    ('train', 'test', 'test')])
def test_splits_in_any_spelling_are_splits(tmp_path, train, second, expected):
  images = folder(tmp_path / 'images', {**under(train), **under(second)})
  found = class_folders.survey(str(images))
  assert found.classes == ('cat', 'dog')
  assert found.splits == {'train': train, expected: second}
  for source in found.sources:
    assert found.splits[source.split] == source.path.split('/')[0]


@pytest.mark.parametrize(('names', 'splits'), [
    (('trian', 'tset'), {'train': 'trian', 'test': 'tset'}),
    (('train', 'vaild'), {'train': 'train', 'validation': 'vaild'}),
    (('train', 'test', 'Vaildation'),
     {'train': 'train', 'test': 'test', 'validation': 'Vaildation'}),
    (('tarin_set', 'tesst'), {'train': 'tarin_set', 'test': 'tesst'}),
    (('trainning', 'val'), {'train': 'trainning', 'val': 'val'})])
@pytest.mark.parametrize('options', [
    {}, {'split_folders': 'yes'}, {'class_folders': 'deepest'}])
def test_misspelt_splits_are_splits_with_a_note(tmp_path, names, splits, options):
  images = folder(tmp_path / 'images', {
      path: count for name in names for path, count in under(name).items()})
  found = class_folders.survey(str(images), **options)
  assert (found.classes, found.splits) == (('cat', 'dog'), splits)
  (note,) = [line for line in found.notes if 'misspelt' in line]
  for split, name in splits.items():
    kind = 'validation' if split == 'val' else split
    assert (f"'{name}' as {kind}" in note) == (
        name.lower() not in ('train', 'test', 'val'))
  assert class_folders.survey(str(images), split_folders='no').classes == tuple(
      sorted(names))


@pytest.mark.parametrize('layout', [
    {'rain/1': 3, 'rain/2': 3, 'text/3': 3, 'text/4': 3},
    {**under('train'), **under('best', {'x': 3, 'y': 3})},
    {**under('trian'), **under('train'), **under('test')},
    {**under('trian'), **under('tset'), **under('birds')}])
def test_names_that_are_only_like_splits_are_not_taken_for_them(tmp_path, layout):
  images = folder(tmp_path / 'images', layout)
  assert refusal(images)
  found = folder(tmp_path / 'flat', {'rain': 3, 'test_tube': 3, 'trial': 3})
  assert class_folders.survey(str(found)).classes == ('rain', 'test_tube', 'trial')


def test_images_go_into_the_splits_they_are_in(tmp_path):
  images = folder(tmp_path / 'images', {
      **under('Train', {'cat': 5, 'dog': 4}), **under('Dev', {'cat': 2, 'dog': 1}),
      **under('Testing', {'cat': 3})})
  report = convert(images, tmp_path / 'records', validation_share=0.5)
  assert report.spec.splits == {'train': 9, 'validation': 3, 'test': 3}
  text = text_of(report)
  assert '  0 cat: train 5, validation 2, test 3' in text
  assert '  1 dog: train 4, validation 1, test 0' in text
  assert 'are the folders Train (train), Dev (validation), Testing (test)' in text
  assert "test has no images of class 'dog'" in text


@pytest.mark.parametrize('place', [
    'test', 'Testing', 'test/images', 'test/test', 'test/unknown', 'unlabeled',
    'prediction', 'validation'])
def test_images_without_labels_are_skipped_with_their_number(tmp_path, place):
  images = folder(tmp_path / 'images', {**under('train'), place: 4})
  report = convert(images, tmp_path / 'records')
  assert report.spec.splits == {'train': 6}
  assert report.spec.num_classes == 2
  top = place.split('/')[0]
  assert f"'{top}' has no class folders: its 4 images have no labels" in text_of(report)


@pytest.mark.parametrize('wrap', ['{0}/{0}', '{0}/images', '{0}/Images/data'])
def test_class_folders_of_a_split_may_be_in_another_folder(tmp_path, wrap):
  images = folder(tmp_path / 'images', {
      **under(wrap.format('training_set')), **under(wrap.format('test_set'))})
  report = convert(images, tmp_path / 'records')
  assert report.spec.splits == {'train': 6, 'test': 6}
  assert wrap.format('training_set') in text_of(report)


def test_folder_without_images_beside_splits_is_no_class(tmp_path):
  images = folder(tmp_path / 'images', {**under('train'), **under('test'), 'notes': 0})
  fill(images, {'annotations/1.xml': b'<a/>', 'README.md': b'free'})
  report = convert(images, tmp_path / 'records')
  assert report.spec.splits == {'train': 6, 'test': 6}
  assert "without images, skipped: 'annotations', 'notes'" in text_of(report)


@pytest.mark.parametrize(('counts', 'words'), [
    ({'train': 3, 'test': 3}, '--split_folders=no'),
    ({'Train': 3, 'Test': 3, 'Valid': 3}, '--split_folders=no'),
    ({'train': 3, **under('test')}, '--split_folders=no'),
    ({**under('train'), **under('test'), **under('extra')}, "'extra'.*=yes.*=no"),
    ({'bus': 3, 'train': 3, 'test': 3}, "'bus'.*=yes.*=no"),
    ({**under('train'), **under('dev'), **under('eval')}, 'would all be the split'),
    ({**under('train1'), **under('train2'), **under('test')}, 'would all be the split'),
    ({**under('val'), **under('test')}, 'but no training folder: give the folder'),
    ({**under('train'), **under('extra')}, '--class_folders=.*--split_folders=yes'),
    ({'cat/train': 3, 'cat/test': 3, 'dog/train': 3, 'dog/test': 3}, 'holds splits'),
    ({'animals/cat': 3, 'animals/dog': 3, 'plants/rose': 3},
     '--class_folders=top or --class_folders=deepest'),
    ({'a/cat': 3, 'a/dog': 3, 'b/cat': 3, 'b/dog': 3}, '--class_folders=deepest'),
    ({'a/cat': 3, 'a/dog': 3, 'b/cat': 3, 'b/dog': 3, 'a': 1, 'b': 1},
     '--class_folders=top'),
    ({'train/a/cat': 3, 'train/a/dog': 3, 'train/b/cat': 3, 'test/a/cat': 3},
     '--class_folders=top'),
    ({'images': 3, 'masks': 3}, 'masks or boxes'),
    ({'JPEGImages': 3, 'Annotations': 0, 'SegmentationClass': 3}, 'masks or boxes'),
    ({'images/train': 3, 'images/val': 2, 'labels/train': 0}, 'masks or boxes'),
    ({'train/images': 3, 'train/masks': 3, 'test/images': 3, 'test/masks': 3},
     'masks or boxes'),
    ({'images/cat': 3, 'images/dog': 3, 'annotations': 0}, "--image_dir='.*/images'"),
    ({'pets/cat': 3, 'pets/dog': 3}, "did you mean --image_dir='.*/pets'"),
    ({'pets/pets/cat': 3, 'pets/pets/dog': 3}, "--image_dir='.*/pets/pets'"),
    ({**under('data/train')}, "--image_dir='.*/data/train'"),
    ({**under('pets/train'), **under('pets/test')}, "--image_dir='.*/pets'")])
def test_ambiguous_layout_is_refused_with_the_remedy(
    tmp_path, counts, words):
  images = folder(tmp_path / 'images', counts)
  with pytest.raises(diagnostics.UserError, match=words) as error:
    convert(images, tmp_path / 'records')
  assert '\n' not in str(error.value)
  assert not (tmp_path / 'records').exists()


@pytest.mark.parametrize(('counts', 'classes'), [
    ({'car': 3, 'train': 3}, ('car', 'train')),
    ({'train_station': 3, 'test_tube': 3}, ('test_tube', 'train_station')),
    ({'cat': 3, 'cat/more': 3, 'dog': 3}, ('cat', 'dog')),
    ({'n01/images': 3, 'n02/images': 3}, ('n01', 'n02')),
    ({'boxes': 3, 'photos': 3, 'bottles': 3}, ('bottles', 'boxes', 'photos')),
    ({'pass': 3, 'test': 3}, ('pass', 'test')),
    ({'valley': 3, 'trainer': 3}, ('trainer', 'valley'))])
def test_classes_stay_classes(tmp_path, counts, classes):
  found = class_folders.survey(str(folder(tmp_path / 'images', counts)))
  assert (found.classes, found.splits) == (classes, {})


@pytest.mark.parametrize('name', [
    'test', 'Testing', 'test_set', 'val', 'VAL', 'train', 'Train Images', 'dev',
    'unlabeled', 'masks', 'Masks', 'mask_images', 'labels', 'annotations',
    'ground_truth', 'thumbs', 'Thumbnails'])
@pytest.mark.parametrize(('base', 'flag'), [
    ('', {'split_folders': 'no'}), ('train/', {'class_folders': 'top'})])
@pytest.mark.parametrize('classes', [('cat', 'dog'), ('001.Cat', '002.Dog')])
def test_folder_beside_classes_may_be_none(tmp_path, name, base, flag, classes):
  counts = {f'{base}{one}': 2 for one in (*classes, name)}
  if base:
    counts.update(dict.fromkeys((f'val/{one}' for one in classes), 1))
  images = folder(tmp_path / 'images', counts)
  message = refusal(images)
  assert f"'{base}{name}'" in message
  assert f"the class folders '{classes[0]}', '{classes[1]}'" in message
  [(key, value)] = flag.items()
  assert f'--{key}={value} ' in message
  found = class_folders.survey(str(images), **flag)
  assert sorted(found.classes) == sorted((*classes, name))
  assert set(found.splits) == ({'train', 'val'} if base else set())


@pytest.mark.parametrize(('counts', 'words'), [
    ({**PETS, 'test': 2}, "put the class folders into 'train'"),
    ({**PETS, 'Training': 2}, "put the class folders into 'Training'"),
    ({**PETS, 'val': 2, 'test': 2}, "'test', 'val' beside"),
    ({**PETS, **under('test')}, "put the class folders into 'train'"),
    ({**under('train'), **under('extra'), **under('more')}, '--split_folders=yes'),
    ({**under('train', {**PETS, 'test': 2}), **under('val', {**PETS, 'test': 2})},
     "'train/test' beside"),
    ({**PETS, 'masks': 2}, "'masks' beside .* move it out of")])
def test_refusal_of_a_folder_beside_classes_says_what_to_do(tmp_path, counts, words):
  assert re.search(words, refusal(folder(tmp_path / 'images', counts)))


def test_deepest_classes_do_not_take_in_a_split(tmp_path):
  images = folder(tmp_path / 'images', {**PETS, **under('test')})
  assert '--split_folders=no' in refusal(images, class_folders='deepest')


@pytest.mark.parametrize('name', [
    'training shoes', 'dev board', 'test tube', 'trainer', 'valley', 'unknown',
    'face mask', 'no_mask', 'labelled', 'boxes', 'thumbs up', 'train_station'])
@pytest.mark.parametrize('base', ['', 'train/'])
def test_ordinary_names_of_classes_need_no_flag(tmp_path, name, base):
  names = ('cat', 'dog', name)
  counts = {f'{base}{one}': 2 for one in names}
  if base:
    counts.update(dict.fromkeys((f'val/{one}' for one in names), 1))
  found = class_folders.survey(str(folder(tmp_path / 'images', counts)))
  assert sorted(found.classes) == sorted(names)


@pytest.mark.parametrize(('counts', 'subject'), [
    ({'good': 2, 'defect/scratch': 2, 'defect/hole': 2}, "'defect' holds folders"),
    ({'good/a': 2, 'good/b': 2, 'defect/c': 2, 'defect/d': 2},
     "'defect', 'good' hold folders")])
def test_message_about_levels_has_one_or_many(tmp_path, counts, subject):
  assert subject in refusal(folder(tmp_path / 'images', counts))


@pytest.mark.parametrize('name', ['thumbs', 'Thumbs', 'thumbnails', 'THUMBNAILS'])
@pytest.mark.parametrize('base', ['', 'train/'])
@pytest.mark.parametrize('levels', ['auto', 'deepest'])
def test_thumbnails_beside_their_images_are_skipped(tmp_path, name, base, levels):
  counts = {f'{base}cat': 3, f'{base}dog': 3, f'{base}cat/{name}': 2,
            f'{base}dog/{name}': 1}
  if base:
    counts.update(under('val'))
  images = str(folder(tmp_path / 'images', counts))
  found = class_folders.survey(images, class_folders=levels)
  assert found.classes == ('cat', 'dog')
  assert len(found.sources) == (12 if base else 6)
  assert (f"thumbnails, skipped: 3 images in '{base}cat/{name}', '{base}dog/{name}'"
          in found.notes)


def test_flags_decide(tmp_path):
  images = str(folder(tmp_path / 'images', {
      'animals/cat': 2, 'animals/dog': 3, 'plants/rose': 4, 'plants/cat': 1}))
  top = class_folders.survey(images, class_folders='top')
  assert top.classes == ('animals', 'plants')
  assert len(top.sources) == 10
  deepest = class_folders.survey(images, class_folders='deepest')
  assert deepest.classes == ('cat', 'dog', 'rose')
  assert [source.label for source in deepest.sources].count(0) == 3
  assert "class 'cat' has the images of 'animals/cat', 'plants/cat'" in deepest.notes
  images = str(folder(tmp_path / 'more', {**under('train'), **under('extra')}))
  assert class_folders.survey(images, split_folders='yes').splits == {
      'train': 'train', 'extra': 'extra'}
  assert class_folders.survey(images, split_folders='no').classes == ('extra', 'train')
  images = str(folder(tmp_path / 'masks', {'images': 2, 'masks': 2}))
  for choice in ({'split_folders': 'no'}, {'class_folders': 'top'}):
    assert class_folders.survey(images, **choice).classes == ('images', 'masks')


def test_levels_in_splits_follow_the_flag(tmp_path):
  images = str(folder(tmp_path / 'images', {
      'train/a/cat': 2, 'train/a/dog': 2, 'train/b/owl': 2, 'test/a/cat': 1}))
  found = class_folders.survey(images, class_folders='deepest')
  assert found.classes == ('cat', 'dog', 'owl')
  assert set(found.splits) == {'train', 'test'}


def test_images_to_predict_beside_splits_are_no_class(tmp_path):
  images = folder(tmp_path / 'images', {
      **under('training_set'), **under('test_set'), 'single_prediction': 2})
  report = convert(images, tmp_path / 'records')
  assert report.spec.splits == {'train': 6, 'test': 6}
  assert "'single_prediction' has no class folders: its 2 images" in text_of(report)


# --- Labels.

def test_numbers_are_sorted_as_numbers(tmp_path):
  images = folder(tmp_path / 'images', {str(number): 1 for number in range(12)})
  convert(images, tmp_path / 'records', validation_share=0)
  assert labels.read_label_file(tmp_path / 'records') == {
      number: str(number) for number in range(12)}


@pytest.mark.parametrize(('names', 'expected'), [
    (['10', '9', '1', '01'], ['01', '1', '9', '10']),
    (['10', '9', 'a'], ['10', '9', 'a']), (['²', '1', '10'], ['1', '10', '²'])])
def test_only_plain_numbers_are_sorted_as_numbers(names, expected):
  assert folder_names.in_label_order(names) == expected


def test_earlier_labels_stay_or_their_change_is_said(tmp_path):
  images = folder(tmp_path / 'images', {'1': 1, '2': 1, '10': 1})
  convert(images, tmp_path / 'records', validation_share=0)
  # As a release before wrote it.
  (tmp_path / 'records/labels.txt').write_text('0:1\n1:10\n2:2\n')
  report = convert(images, tmp_path / 'records', validation_share=0)
  assert labels.read_label_file(tmp_path / 'records') == {0: '1', 1: '10', 2: '2'}
  assert 'keep the labels of the earlier conversion' in text_of(report)
  assert '  1 10: train 1' in text_of(report)
  folder(images, {'0': 1})
  report = convert(images, tmp_path / 'records', validation_share=0)
  assert (
      'the labels of these classes are not those of the earlier conversion, and'
      " checkpoints trained on it do not fit: '1', '10'") in text_of(report)


def test_labels_of_records_are_those_of_the_file(tmp_path):
  from tests.stored_images import stored_examples
  images = folder(tmp_path / 'images', {'1': 1, '2': 1, '10': 1})
  convert(images, tmp_path / 'records', validation_share=0)
  for text in ('0:1\n1:10\n2:2\n', '0:1\n1:2\n2:10\n'):
    (tmp_path / 'records/labels.txt').write_text(text)
    convert(images, tmp_path / 'records', validation_share=0)
    names = labels.read_label_file(tmp_path / 'records')
    for path, features in stored_examples(tmp_path / 'records').items():
      assert names[features['image/class/label'].int64_list.value[0]] == (
          path.split('/')[0])


def test_each_class_is_listed_and_many_are_counted(tmp_path):
  images = folder(tmp_path / 'images', {f'c{number:02}': 1 for number in range(30)})
  text = text_of(convert(images, tmp_path / 'records', validation_share=0))
  assert '  19 c19: train 1' in text
  assert 'c20' not in text
  assert 'and 10 more classes, of 1 to 1 images' in text


@pytest.mark.parametrize('split', ['', 'train'])
def test_empty_class_folders_are_named(tmp_path, split):
  base = f'{split}/' if split else ''
  counts = {f'{base}{name}': count for name, count in {
      **PETS, 'cow': 0, 'pig': 0}.items()}
  images = folder(tmp_path / 'images', {**counts, **(under('test') if split else {})})
  with pytest.raises(diagnostics.UserError,
                     match=rf"class folder '{base}cow' .* holds no image.*'pig'"):
    convert(images, tmp_path / 'records')


def test_class_that_is_missing_in_training_is_refused(tmp_path):
  images = folder(tmp_path / 'images', {**under('train'), **under('val', {'cow': 2})})
  with pytest.raises(diagnostics.UserError, match=r"'train/cow' .* but val has"):
    convert(images, tmp_path / 'records')


# --- Names that look alike, links, copies.

@pytest.mark.parametrize('pair', [
    ('Cat', 'cat'), ('cat', 'cat '), ('two words', 'twowords'),
    tuple(unicodedata.normalize(form, 'caf\u00e9') for form in ('NFC', 'NFD'))])
def test_classes_that_look_alike_are_reported(tmp_path, pair):
  images = folder(tmp_path / 'images', {**dict.fromkeys(pair, 2), 'owl': 2})
  text = text_of(convert(images, tmp_path / 'records', validation_share=0))
  assert 'are different classes, but differ only by case' in text
  images = folder(tmp_path / 'splits', {
      f'train/{pair[0]}': 2, 'train/owl': 2, f'val/{pair[1]}': 2, 'val/owl': 2})
  assert 'differing by case, spaces or Unicode form they are two' in refusal(images)


@pytest.mark.parametrize('link', ['kitty', 'dog/more'])
def test_link_to_another_class_is_refused_with_both_names(tmp_path, link):
  images = folder(tmp_path / 'images', PETS)
  (images / link).symlink_to(images / 'cat')
  message = refusal(images)
  assert "'cat'" in message
  assert link in message
  assert 'is a link' in message


def test_links_that_lead_round_end_nothing(tmp_path):
  images = folder(tmp_path / 'images', PETS)
  (images / 'dog/up').symlink_to(images)
  (images / 'dog/itself').symlink_to('itself')
  (images / 'cat/nowhere.png').symlink_to(images / 'none.png')
  report = convert(images, tmp_path / 'records', validation_share=0)
  assert report.spec.splits == {'train': 6}
  assert {path for path, _ in report.refused} == {'cat/nowhere.png', 'dog/itself'}


def test_same_picture_in_two_classes_is_reported(tmp_path):
  images = folder(tmp_path / 'images', PETS)
  fill(images, {'cat/copy.png': PNG, 'dog/copy of it.png': PNG, 'dog/again.png': PNG})
  text = text_of(convert(images, tmp_path / 'records', validation_share=0))
  assert ('warning: 1 picture is, byte for byte, in two classes or more:'
          ' cat/copy.png = dog/again.png = dog/copy of it.png') in text


# --- System files.

SYSTEM_FOLDERS = ('@eaDir', '$RECYCLE.BIN', 'lost+found', '__MACOSX', '.git',
        '.ipynb_checkpoints', 'System Volume Information', '#recycle', '@Recycle',
        '@EADIR', '__pycache__')


@pytest.mark.parametrize('name', SYSTEM_FOLDERS)
def test_folder_of_a_system_is_no_class_and_holds_no_images(tmp_path, name):
  images = folder(tmp_path / 'images', {
      **PETS, name: 1, f'{name}/cat': 1, f'cat/{name}': 2})
  report = convert(images, tmp_path / 'records', validation_share=0)
  assert report.spec.num_classes == 2
  assert report.spec.splits == {'train': 6}
  assert report.refused == []
  assert ('system files, skipped' in text_of(report)) != name.startswith('.')
  for place in (str(images), f'{images}/**/*.png'):
    assert len(sources.find([place], None).files) == 6


@pytest.mark.parametrize('name', [
    'Thumbs.db', 'thumbs.db', '._1.jpg', '.DS_Store', 'desktop.ini', 'ehthumbs.db',
    'SYNOPHOTO_THUMB_M.jpg', 'SYNOPHOTO_THUMB_XL.JPG'])
def test_file_of_a_system_is_no_image(tmp_path, name):
  images = fill(folder(tmp_path / 'images', PETS), {f'cat/{name}': PNG, name: PNG})
  report = convert(images, tmp_path / 'records', validation_share=0)
  assert report.spec.splits == {'train': 6}
  assert (report.refused, report.ignored) == ([], ())
  assert len(sources.find([str(images)], None).files) == 6


# --- Names.

NAMES = ('a: b', 'c, d', 'tab\there', ' lead', 'trail ', '\U0001f431', '\u732b',
         'x' * 255, os.fsdecode(b'caf\xe9'), '0:0', '%s', '{}', "it's", '"', '\x1b[31m')


def test_names_of_classes_are_kept_and_printed(tmp_path):
  images = folder(tmp_path / 'images', dict.fromkeys(NAMES, 1))
  report = convert(images, tmp_path / 'records', validation_share=0)
  assert sorted(labels.read_label_file(tmp_path / 'records').values()) == sorted(NAMES)
  for line in report.lines():
    line.encode()
    assert diagnostics.printable(line) == line
  assert (tmp_path / 'records/dataset.json').read_text().isascii()


def test_script_prints_every_name_on_an_ascii_terminal(tmp_path):
  images = folder(tmp_path / 'images', dict.fromkeys(NAMES, 1))
  done = subprocess.run(
      [sys.executable, '-m', 'slim_zoo', 'convert-images', f'--image_dir={images}',
       f'--dataset_dir={tmp_path}/records', '--dataset_name=pets'],
      env={**os.environ, 'PYTHONIOENCODING': 'ascii', 'LC_ALL': 'C'}, check=False,
      capture_output=True, cwd=ROOT)
  assert done.returncode == 0, done.stderr
  assert rb'caf\xe9: train 1' in done.stdout
  assert done.stdout.isascii()


@pytest.mark.parametrize('name', ['a\nb', 'a\rb'])
def test_line_break_in_a_name_is_refused_before_the_work(tmp_path, capsys, name):
  images = plain_folder(tmp_path / 'images', 1, (name, 'c'))
  with pytest.raises(diagnostics.UserError, match='has a line break in it: rename it'):
    convert(images, tmp_path / 'records')
  assert 'checking' not in capsys.readouterr().err
