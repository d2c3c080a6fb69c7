"""What slim-zoo classify says of images: what an evaluation does; of odd files too."""

import csv
import io
import json
import os
import subprocess

import numpy as np
import pytest
from PIL import Image

from slim_zoo import diagnostics
from slim_zoo.checkpoints import identified_network, restore
from slim_zoo.checkpoints.trained_network import NetworkOptions, TrainedNetwork
from slim_zoo.datasets import dataset_factory, labels
from slim_zoo.drawing import sheets
from slim_zoo.evaluation import checkpoint_evaluation
from slim_zoo.exporting import to_saved_model
from slim_zoo.inference import inference_graph
from slim_zoo.input import pipeline, records
from slim_zoo.nets import nets_factory
from slim_zoo.prediction import checkpoint_model, sources
from slim_zoo.preprocessing import preprocessing_factory
from slim_zoo.tf_compat import tf
from tests import image_kinds, scripts
from tests.stored_images import encoded, files_in

DIGITS = 12


@pytest.fixture(scope='module')
def digit_files(digits_dir, tmp_path_factory):
  """Returns a folder with the first images of the test split as PNG files."""
  folder = tmp_path_factory.mktemp('digit_files')
  for position in range(DIGITS):
    image = records.read_image([str(digits_dir / 'digits_test.tfrecord')], 0, position)
    (folder / f'{position:02}.png').write_bytes(encoded(image))
  return folder


@pytest.fixture(scope='module')
def evaluated(digits_dir, trained_dir):
  """Returns (class, probability) of each image of the test split, as evaluated."""
  with tf.Graph().as_default():
    network_fn = nets_factory.get_network_fn('lenet', 10)
    images = pipeline.evaluation_input(
        dataset_factory.get_dataset('digits', 'test', str(digits_dir)),
        pipeline.preprocess_with(
            preprocessing_factory.get_preprocessing('lenet'), 28), 100)
    metrics, _ = checkpoint_evaluation.build(images, network_fn, 10).run(
        restore.find(str(trained_dir)))
  return metrics.records.predictions, metrics.records.confidences


def test_answers_are_those_of_the_evaluation(digit_files, trained_dir, evaluated,
                                             tmp_path):
  """One run with everything that it writes, over good files and bad."""
  odd = files_in(tmp_path / 'odd', {
      'empty.png': b'', 'half.jpg': image_kinds.REFUSED['half.jpg'][0],
      'cmyk.jpg': image_kinds.KINDS['cmyk.jpg'][0],
      'moving.gif': image_kinds.KINDS['moving.gif'][0], 'notes.txt': b'blurred'})
  paths = {name: tmp_path / 'out' / name
           for name in ('a.csv', 'sheet.png', 'explained', 'features.npz')}
  done = scripts.run(
      'classify', digit_files, odd, checkpoint_path=trained_dir, top_k=3,
      batch_size=5, output=paths['a.csv'], contact_sheet=paths['sheet.png'],
      explain=paths['explained'], features=paths['features.npz'])
  assert done.returncode == 3, done.stderr
  assert done.stdout == ''
  assert f"'{odd / 'empty.png'}' is skipped: the file is empty" in done.stderr
  assert "notes.txt'" in done.stderr
  assert '1 CMYK JPEG; 1 GIF, its first frame' in done.stderr
  assert f'{DIGITS + 4}/{DIGITS + 4} images' in done.stderr
  with open(paths['a.csv'], newline='') as file:
    rows = list(csv.DictReader(file))
  assert [os.path.basename(row['file']) for row in rows] == [
      *(f'{number:02}.png' for number in range(DIGITS)),
      'cmyk.jpg', 'empty.png', 'half.jpg', 'moving.gif']
  for row, label, confidence in zip(rows, *evaluated, strict=False):
    if row['refused'] or not row['file'].startswith(str(digit_files)):
      continue
    assert int(row['class_1']) == label
    assert float(row['probability_1']) == pytest.approx(confidence, abs=1e-6)
    assert float(row['probability_2']) >= float(row['probability_3'])
  assert [row['file'] for row in rows if not row['probability_1']] == [
      row['file'] for row in rows if row['refused']] == [
          str(odd / 'empty.png'), str(odd / 'half.jpg')]
  good = [row['file'] for row in rows if not row['refused']]
  with np.load(paths['features.npz']) as archive:
    assert archive['files'].tolist() == good
    assert archive['features'].shape == (DIGITS + 2, 1024)
    assert np.ptp(archive['features'], axis=0).max() > 0
  drawn = sorted(path.relative_to(paths['explained'])
                 for path in paths['explained'].rglob('*.png'))
  assert len(drawn) == DIGITS + 2
  assert Image.open(paths['sheet.png']).width > 4 * sheets.THUMBNAIL_SIDE


def test_answers_are_printed_with_names(digit_files, trained_dir, digits_dir, evaluated,
                                        tmp_path):
  names = tmp_path / 'names.txt'
  words = [f'the-{number}' for number in range(10)]
  names.write_text('\n'.join(words))
  image = digit_files / '00.png'
  done = scripts.run('classify', image, '--top_k=2', checkpoint_path=trained_dir,
                     model_name='lenet', num_classes=10, labels_file=names)
  assert (done.returncode, done.stderr) == (
      0, f'note: checkpoint {trained_dir}/model.ckpt-60\n')
  first, second, third = done.stdout.splitlines()
  assert first == str(image)
  probability, name = second.split()
  assert name == words[evaluated[0][0]]
  assert float(probability.rstrip('%')) == pytest.approx(
      100 * evaluated[1][0], abs=0.006)
  assert second.index(name) == third.index(third.split()[1])
  done = scripts.run('classify', image, checkpoint_path=trained_dir,
                     format='jsonl', eval_image_size=28)
  told = json.loads(done.stdout)
  assert told['file'] == str(image)
  assert [len(told['predictions']), told['predictions'][0]['class']] == [
      5, evaluated[0][0]]
  # The run card names the folder of the data set, and that its labels.
  assert told['predictions'][0]['name'] == labels.read_label_file(digits_dir)[
      evaluated[0][0]]


def test_an_export_answers_alike(digit_files, trained_dir, evaluated, tmp_path):
  names = tuple(f'the-{number}' for number in range(10))
  trained = TrainedNetwork(
      restore.find(str(trained_dir)), 'lenet', 10, 28, 1, 'lenet', class_names=names)
  (tmp_path / 'saved_model').mkdir()
  to_saved_model.write(
      str(tmp_path / 'saved_model' / '1'), trained, inference_graph.of_network(trained))
  done = scripts.run('classify', digit_files, export=tmp_path, format='csv',
                     contact_sheet=tmp_path / 'sheet.png')
  assert done.returncode == 0, done.stderr
  rows = list(csv.DictReader(io.StringIO(done.stdout)))
  assert len(rows) == DIGITS
  for row, label, confidence in zip(rows, *evaluated, strict=False):
    assert row['name_1'] == names[label]
    assert float(row['probability_1']) == pytest.approx(confidence, abs=1e-5)
  assert Image.open(tmp_path / 'sheet.png').width > 4 * sheets.THUMBNAIL_SIDE
  (tmp_path / 'saved_model' / '1' / 'saved_model.pb').write_bytes(b'damage')
  done = scripts.run('classify', digit_files, export=tmp_path)
  scripts.answer(done, 'saved_model/1', 'it is damaged', code=1)
  done = scripts.run('classify', digit_files, export=digit_files)
  scripts.answer(done, 'no SavedModel in', code=1)


@pytest.mark.parametrize(('arguments', 'flags', 'code', 'words'), [
    ([], {}, 1, ['no images']),
    (['{good}'], {'checkpoint_path': ''}, 1, ['no --checkpoint_path']),
    (['model_name=lenet', '{good}'], {}, 1, ["did you mean '--model_name=lenet'"]),
    (['{folder}/00.pgn'], {}, 1, ['00.pgn', "did you mean '00.png'"]),
    (['{folder}/*.jpg'], {}, 1, ['no file fits the pattern', '*.jpg']),
    (['{empty}'], {}, 1, ['the folder', 'holds no images']),
    (['{good}'], {'top_l': 3}, 2, ['no flag --top_l', 'top_k']),
    (['{good}'], {'model_name': 'i3d'}, 1, ['video network']),
    (['{good}'], {'model_name': 'lennet'}, 1, ["did you mean 'lenet'"]),
    (['{good}'], {'output': '{empty}/a.xls'}, 1, ['a.xls', '--format=csv']),
    (['{good}'], {'explain_end_point': 'conv1'}, 1, ['without --explain']),
    (['{good}'], {'export': 'x'}, 1, ['--checkpoint_path', 'leave out --export'])])
def test_mistakes_are_told_in_one_line(arguments, flags, code, words, digit_files,
                                       trained_dir, tmp_path):
  places = {'good': digit_files / '00.png', 'folder': digit_files, 'empty': tmp_path}
  flags = {'checkpoint_path': trained_dir} | {
      name: str(value).format(**places) for name, value in flags.items()}
  done = scripts.run('classify', *(
      argument.format(**places) for argument in arguments), **flags)
  scripts.answer(done, *words, code=code)


def test_one_bad_file_and_only_bad_files_end_with_1(trained_dir, tmp_path):
  folder = files_in(tmp_path / 'bad', {'a.png': b'', 'b.jpg': b'text'})
  done = scripts.run('classify', folder / 'a.png', checkpoint_path=trained_dir)
  note, answer = done.stderr.splitlines()
  assert note == f'note: checkpoint {trained_dir}/model.ckpt-60'
  assert (done.returncode, answer) == (
      1, f"slim-zoo classify: '{folder}/a.png' is skipped: the file is empty")
  done = scripts.run('classify', folder, checkpoint_path=trained_dir)
  assert done.returncode == 1
  assert 'none of the 2 files' in done.stderr


def test_wrong_checkpoints_are_told_in_one_line(digit_files, trained_dir, tmp_path):
  image, step = digit_files / '00.png', 'model.ckpt-60'
  data = trained_dir / f'{step}.data-00000-of-00001'
  files_in(tmp_path / 'run', {data.name: data.read_bytes()})
  done = scripts.run('classify', image, checkpoint_path=tmp_path / 'run' / step)
  scripts.answer(done, f"has lost its file '{step}.index'", code=1)
  for arguments, words in [
      ({'model_name': 'cifarnet'}, ['is not of cifarnet', '--model_name=lenet']),
      ({'num_classes': 5}, ['--num_classes=5', '10 classes']),
      ({'image_size': 64}, ['images of 28 x 28', '--eval_image_size=28'])]:
    with pytest.raises(diagnostics.UserError) as caught:
      checkpoint_model.CheckpointModel(
          identified_network.find(str(trained_dir), NetworkOptions(**arguments)))
    assert all(word in str(caught.value) for word in words), caught.value
  path = tmp_path / 'odd' / 'model.ckpt-1'
  path.parent.mkdir()
  with tf.Session() as session:
    variable = tf.Variable([1.0], name='lonely')
    session.run(variable.initializer)
    tf.train.Saver([variable]).save(session, str(path))
  with pytest.raises(diagnostics.UserError, match='is unknown: slim-zoo inspect'):
    identified_network.find(str(path))


def test_standard_input_gives_names_not_images(trained_dir, digit_files):
  line = scripts.command('classify', '-', checkpoint_path=trained_dir)
  done = subprocess.run(
      line, input=(digit_files / '00.png').read_bytes(), capture_output=True,
      check=False, timeout=scripts.TIMEOUT_SECS)
  assert done.returncode == 1
  assert b'write it to a file' in done.stderr
  listed = ['a b.png', 'caf\u00e9.jpg', 'a b.png']
  for separator in ('\n', '\r\n', '\0'):
    data = ''.join(name + separator for name in listed).encode()
    assert sources.find(['-'], io.BytesIO(data)).files == ('a b.png', 'caf\u00e9.jpg')
  with pytest.raises(diagnostics.UserError, match='it is empty'):
    sources.find(['-'], io.BytesIO(b'\n\n'))
