"""Files of other kinds that are named as checkpoints, under their names and others."""

import bz2
import gzip
import json
import lzma
import pathlib
import pickle
import shutil
import struct
import tarfile
import zipfile

import h5py
import numpy as np
import pytest
from PIL import Image

from slim_zoo import diagnostics
from slim_zoo.checkpoints import checkpoint_names, restore
from slim_zoo.tf_compat import tf
from tests import checkpoint_files, records_for_tests, scripts


def hdf5(path):
  with h5py.File(path, 'w') as file:
    file['layer/kernel'] = np.zeros(3)


def keras(path):
  with zipfile.ZipFile(path, 'w') as archive:
    archive.writestr('config.json', '{}')
    archive.writestr('model.weights.h5', b'\x89HDF')


def pytorch(path):
  with zipfile.ZipFile(path, 'w') as archive:
    archive.writestr('archive/data.pkl', b'\x80\x02}q\x00.')


def pytorch_pickle(path):
  with open(path, 'wb') as file:
    for part in (0x1950a86a20f9469cfc6c, 1001, {}):
      pickle.dump(part, file, protocol=2)


def safetensors(path):
  header = json.dumps({'w': {'dtype': 'F32', 'shape': [1], 'data_offsets': [0, 4]}})
  path.write_bytes(struct.pack('<Q', len(header)) + header.encode() + bytes(4))


def onnx(path):
  path.write_bytes(b'\x08\x08\x12\x07pytorch\x1a\x032.1:\x05\n\x03abc')


def packed(path):
  checkpoint_files.write(path.with_name('inside.ckpt'), {'w': [1.0]})
  with tarfile.open(path, 'w:gz') as archive:
    archive.add(path.with_name('inside.ckpt.index'))


def plain_tar(path):
  with tarfile.open(path, 'w') as archive:
    archive.add(__file__)


def plain_zip(path):
  with zipfile.ZipFile(path, 'w') as archive:
    archive.writestr('inception_v3.ckpt', b'x')


def graph(path, as_text=False):
  with tf.Graph().as_default() as made:
    tf.get_variable('LeNet/conv1/weights', [3])
    tf.io.write_graph(made.as_graph_def(), str(path.parent), path.name, as_text)


def frozen_constant(path):
  with tf.Graph().as_default() as made:
    tf.constant(np.arange(10000, dtype=np.float32), name='a')
    path.write_bytes(made.as_graph_def().SerializeToString())


def meta(path):
  with tf.Graph().as_default():
    tf.get_variable('LeNet/conv1/weights', [3])
    tf.train.Saver().export_meta_graph(str(path))


def saved_model(path):
  folder = path.with_name('saved')
  with tf.Graph().as_default(), tf.Session() as session:
    inputs = tf.placeholder(tf.float32, [3])
    outputs = inputs * tf.get_variable('w', [3])
    session.run(tf.global_variables_initializer())
    tf.saved_model.simple_save(session, str(folder), {'x': inputs}, {'y': outputs})
  shutil.copy(folder / 'saved_model.pb', path)


def tflite(path):
  path.write_bytes(b'\x1c\x00\x00\x00TFL3' + bytes(100))


def records(path):
  records_for_tests.write(path, [records_for_tests.png(3, 8)] * 9, [0] * 9)


def one_record(path):
  records_for_tests.write(path, [records_for_tests.png(3, 8)], [0])


def events(path):
  with tf.io.TFRecordWriter(str(path)) as writer:
    writer.write(tf.Event(file_version='brain.Event:2').SerializeToString())


def cut_off(path):
  checkpoint_files.write(path, {'w': np.zeros(9000)}, tf.train.SaverDef.V1)
  checkpoint_files.cut(path, 5000)


def bytes_of(content):
  return lambda path: path.write_bytes(content)


# Usual suffix, how it is written, what it is called, what is to be done.
KINDS = {
    'hdf5': ('.h5', hdf5, 'weights of Keras', 'slim-zoo convert-weights'),
    'keras': ('.keras', keras, 'a model of Keras', 'slim-zoo convert-weights'),
    'pytorch': ('.pth', pytorch, 'weights of PyTorch', 'slim-zoo convert-weights'),
    'pytorch 1.5': ('.pt', pytorch_pickle, 'weights of PyTorch',
                    'slim-zoo convert-weights'),
    'safetensors': ('.safetensors', safetensors, 'weights in the format safetensors',
                    'slim-zoo convert-weights'),
    'pickle': ('.pkl', bytes_of(pickle.dumps({'w': 1})), 'a pickle', 'Saver'),
    'npz': ('.npz', lambda path: np.savez(open(path, 'wb'), w=np.zeros(3)),  # noqa: SIM115
            'arrays of NumPy', 'Saver'),
    'npy': ('.npy', lambda path: np.save(open(path, 'wb'), np.zeros(3)),  # noqa: SIM115
            'a NumPy array', 'names'),
    'onnx': ('.onnx', onnx, 'ONNX', 'name the checkpoint that it was made from'),
    'tar.gz': ('.tar.gz', packed, 'a compressed tar archive', 'tar -xf'),
    'tgz': ('.tgz', packed, 'a compressed tar archive', 'tar -xf'),
    'tar': ('.tar', plain_tar, 'a tar archive', 'tar -xf'),
    'zip': ('.zip', plain_zip, 'a zip file', 'unzip'),
    'cut zip': ('.zip', bytes_of(b'PK\x03\x04abc'), 'a truncated zip file',
                'download it again'),
    'gz': ('.gz', bytes_of(gzip.compress(b'x' * 99)), 'a compressed file', 'gzip -dk'),
    'bz2': ('.bz2', bytes_of(bz2.compress(b'x' * 99)), 'a compressed file', 'bzip2'),
    'xz': ('.xz', bytes_of(lzma.compress(b'x' * 99)), 'a compressed file', 'xz -dk'),
    'graph': ('.pb', graph, 'a frozen graph or GraphDef',
              'slim-zoo convert-weights --from=graph_def --source='),
    'frozen': ('.pb', frozen_constant, 'a frozen graph or GraphDef',
               'slim-zoo convert-weights --from=graph_def'),
    'text graph': ('.pbtxt', lambda path: graph(path, as_text=True),
                   'a graph, as text', 'slim-zoo convert-weights --from=graph_def'),
    'meta': ('.pb', meta, "the graph of a checkpoint (.meta)", '.index and .data'),
    'saved_model': ('.pb', saved_model, 'the graph of a SavedModel',
                    'slim-zoo convert-weights --from=saved_model --source='),
    'tflite': ('.tflite', tflite, 'a model of TensorFlow Lite',
               'slim-zoo convert-weights --from=tflite --source='),
    'records': ('.tfrecord', records, 'a TFRecord file', '--dataset_dir'),
    'one record': ('-00000-of-00001', one_record, 'a TFRecord file', '--dataset_dir'),
    'events': ('.out', events, 'a file of summaries', 'the checkpoint beside it'),
    'jpeg': ('.jpg', lambda path: Image.new('RGB', (9, 9)).save(path, 'JPEG'),
             'a JPEG image', 'name the checkpoint'),
    'png': ('.png', lambda path: Image.new('RGB', (9, 9)).save(path, 'PNG'),
            'a PNG image', 'name the checkpoint'),
    'web page': ('.ckpt', bytes_of(b'<!DOCTYPE html><html>'), 'a web page',
                 'download it again'),
    'lfs': ('.ckpt', bytes_of(b'version https://git-lfs.github.com/spec/v1\noid'),
            'a pointer of Git LFS', 'git lfs pull'),
    'text': ('.txt', bytes_of('0:Löwe\n'.encode()), 'a text file', 'model.ckpt-1000'),
    'json': ('.json', bytes_of(b'{"flags": {}}'), 'a text file', 'model.ckpt-1000'),
    'empty': ('.ckpt', bytes_of(b''), 'an empty file', 'download it again'),
    'cut off': ('.ckpt', cut_off, 'a truncated checkpoint', 'download it again'),
    'noise': ('.bin', bytes_of(bytes(range(255, 100, -1))), 'a file of unknown kind',
              'download it again'),
    'state': ('', bytes_of(b'model_checkpoint_path: "model.ckpt-5"\n'),
              'the list of the checkpoints in', 'name one of these checkpoints'),
}


def refusal(path):
  """Returns the answer to a path, the same before TensorFlow is imported and after."""
  answers = set()
  for check in (checkpoint_names.check_there, restore.find):
    with pytest.raises(diagnostics.UserError) as raised:
      check(str(path))
    answers.add(str(raised.value))
  answer, = answers
  assert '\n' not in answer
  return answer


@pytest.mark.parametrize('named', ['as usual', 'model.ckpt-100'])
@pytest.mark.parametrize('kind', KINDS)
def test_a_file_of_another_kind_is_called_by_its_kind(kind, named, tmp_path):
  suffix, write, what, advice = KINDS[kind]
  path = tmp_path / (f'a file{suffix}' if named == 'as usual' else named)
  write(path)
  answer = refusal(path)
  assert answer.startswith(f"'{path}' is not a checkpoint but ")
  assert what in answer
  assert advice in answer


@pytest.mark.parametrize(('name', 'source', 'target'), [
    ('net.h5', 'net.h5', 'net.ckpt'), ('net.weights.h5', 'net.weights.h5', 'net.ckpt'),
    ('model.ckpt', 'model.h5', 'model.ckpt'), ('net', 'net.h5', 'net.ckpt')])
def test_the_command_that_converts_can_be_typed(name, source, target, tmp_path):
  path = tmp_path / name
  hdf5(path)
  answer = refusal(path)
  assert (f'slim-zoo convert-weights --source={tmp_path}/{source}'
          f' --target={tmp_path}/{target} makes') in answer
  assert ('rename it to' in answer) == (name != source)


def test_the_state_file_is_the_folder(tmp_path):
  checkpoint_files.write_run(tmp_path, [5])
  assert f'--checkpoint_path={tmp_path}, for the latest' in refusal(
      tmp_path / 'checkpoint')


@pytest.mark.parametrize('name', ['model.ckpt-5', 'model.ckpt-5.index',
                                  'model.ckpt-5.meta',
                                  'model.ckpt-5.data-00000-of-00001'])
def test_every_file_of_a_checkpoint_names_it(name, tmp_path):
  checkpoint_files.write_run(tmp_path, [5])
  checkpoint_names.check_there(str(tmp_path / name))
  assert restore.find(str(tmp_path / name)) == str(tmp_path / 'model.ckpt-5')


@pytest.mark.parametrize('left', ['.meta', '.data-00000-of-00001'])
def test_a_part_of_a_checkpoint_is_no_checkpoint(left, tmp_path):
  checkpoint_files.write_run(tmp_path, [5])
  (tmp_path / 'model.ckpt-5.index').unlink()
  assert "has lost its file 'model.ckpt-5.index'" in refusal(
      tmp_path / f'model.ckpt-5{left}')


def test_a_checkpoint_of_one_file_is_one_under_any_name(tmp_path):
  for name in ('a.ckpt', 'weights.h5', 'weights'):
    checkpoint_files.write(tmp_path / name, {'w': [1.0]}, tf.train.SaverDef.V1)
    assert restore.find(str(tmp_path / name)) == str(tmp_path / name)


def test_an_index_of_another_kind_is_called_by_its_kind(tmp_path):
  path = checkpoint_files.write(tmp_path / 'a.ckpt', {'w': [1.0]})
  pathlib.Path(f'{path}.index').write_text('<html>not found</html>')
  with pytest.raises(diagnostics.UserError, match=r"'a.ckpt.index' is a web page"):
    restore.open_reader(path)


def test_a_folder_says_what_it_holds(tmp_path):
  assert 'this one is empty' in refusal(tmp_path)
  for name in ('b.txt', 'a.tar.gz', 'c', 'd', 'e'):
    (tmp_path / name).touch()
  assert 'this one holds a.tar.gz, b.txt, c, and 2 more' in refusal(tmp_path)
  (tmp_path / 'runs' / 'pets').mkdir(parents=True)
  checkpoint_files.write_run(tmp_path / 'runs' / 'pets', [5])
  assert f'there are some in {tmp_path}/runs/pets: name one' in refusal(tmp_path)


def test_a_folder_of_a_saved_model_names_its_variables(tmp_path):
  saved_model(tmp_path / 'copy.pb')
  (tmp_path / 'exports' / 'saved_model').mkdir(parents=True)
  shutil.move(tmp_path / 'saved', tmp_path / 'exports' / 'saved_model' / '1')
  for folder in ('exports/saved_model/1', 'exports/saved_model', 'exports'):
    answer = refusal(tmp_path / folder)
    assert ("/exports/saved_model/1' is a SavedModel: slim-zoo convert-weights"
            f' --from=saved_model --source={tmp_path}/exports/saved_model/1'
            f' --target={tmp_path}/exports/saved_model/1.ckpt makes') in answer
  path = answer.partition('--checkpoint_path=')[2].partition(',')[0]
  assert restore.read_values(restore.find(path), ['w'])['w'].shape == (3,)


def test_scripts_answer_in_one_line(digits_dir, tmp_path):
  path = tmp_path / 'net.h5'
  hdf5(path)
  answer = ('is not a checkpoint but weights of Keras', 'convert-weights --source=')
  data = {'dataset_name': 'digits', 'dataset_dir': digits_dir, 'model_name': 'lenet'}
  for script, arguments, flags in (
      ('train_image_classifier', (), {**data, 'train_dir': tmp_path / 'run'}),
      ('eval_image_classifier', (), {**data, 'eval_dir': tmp_path / 'eval'}),
      ('classify', ('a.png',), {}), ('inspect', (), {}),
      ('export', (), {'export_dir': tmp_path / 'out', 'nocheck': True})):
    scripts.answer(scripts.run(script, *arguments, **flags, checkpoint_path=path),
                   *answer)


@pytest.mark.parametrize(('source', 'write', 'target', 'words'), [
    ('net.ckpt', hdf5, 'net.pth',
     ['net.ckpt', 'not a checkpoint but weights of Keras']),
    ('net.ckpt', hdf5, 'other.ckpt', ['not a checkpoint but weights of Keras']),
    ('graph.pb', meta, 'net.h5', ['not a checkpoint but the graph of a checkpoint']),
    ('page.h5', KINDS['web page'][1], 'net.ckpt', ['it is a web page', 'download it']),
    ('net.pth', hdf5, 'net.ckpt', ['weights of Keras', 'rename it to', 'net.h5, then']),
    ('net.keras', pytorch, 'net.ckpt', ['weights of PyTorch', 'net.pth, then'])])
def test_sources_of_conversions_are_looked_into(source, write, target, words, tmp_path):
  write(tmp_path / source)
  scripts.answer(scripts.run(
      'convert-weights', model_name='resnet_v1_50', source=tmp_path / source,
      target=tmp_path / target), *words, code=1)
