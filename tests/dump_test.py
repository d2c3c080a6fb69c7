"""slim-zoo inspect --dump: the values of a checkpoint in one file."""

import json
import struct

import numpy as np
import pytest

import slim_zoo
from slim_zoo import diagnostics
from slim_zoo.checkpoints import dumping
from slim_zoo.config.inspection import DUMP_SUFFIXES
from slim_zoo.files import atomic
from slim_zoo.prediction import feature_file
from slim_zoo.tf_compat import tf
from tests import scripts

VALUES = {
    'conv/weights': np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    'conv/weights/Momentum': np.ones([2, 3, 4], np.float32),
    'global_step': np.int64(7),
    'empty': np.zeros([0, 3], np.float32),
    'flags': np.array([True, False, True]),
    'half': np.array([0.5, -2.0], np.float16),
    'double': np.array([1e300]),
    'bytes': np.array([[1, 255]], np.uint8),
    'größe': np.int32([3]),
}
# How the numbers of the safetensors header are read.
TYPES = {'F64': '<f8', 'F32': '<f4', 'F16': '<f2', 'I64': '<i8', 'I32': '<i4',
         'U8': 'u1', 'BOOL': '?', 'BF16': '<u2'}


def write(path, values, version=tf.train.SaverDef.V2):
  """Writes a checkpoint of arrays and tensors by name."""
  with tf.Graph().as_default(), tf.Session() as session:
    made = {name: tf.Variable(value() if callable(value) else value)
            for name, value in values.items()}
    session.run(tf.global_variables_initializer())
    return tf.train.Saver(made, write_version=version).save(
        session, str(path), write_meta_graph=False)


def read_safetensors(path):
  """Returns (values, metadata) of a file, by the description of the format."""
  content = path.read_bytes()
  length, = struct.unpack('<Q', content[:8])
  header, data = json.loads(content[8:8 + length]), content[8 + length:]
  metadata, values, end = header.pop('__metadata__'), {}, 0
  for name, row in header.items():
    begin, stop = row['data_offsets']
    assert begin == end, 'there are no holes'
    values[name] = np.frombuffer(
        data[begin:stop], TYPES[row['dtype']]).reshape(row['shape'])
    end = stop
  assert end == len(data)
  assert length % 8 == 0
  return values, metadata


def read(path):
  if path.suffix == '.npz':
    with np.load(path) as archive:
      return dict(archive)
  return read_safetensors(path)[0]


@pytest.mark.parametrize('version', [tf.train.SaverDef.V1, tf.train.SaverDef.V2])
@pytest.mark.parametrize('suffix', DUMP_SUFFIXES)
def test_values_are_read_back(tmp_path, suffix, version):
  # The first format has no unsigned and half values in every release.
  values = VALUES if version == tf.train.SaverDef.V2 else {
      name: VALUES[name] for name in ('conv/weights', 'global_step', 'double')}
  checkpoint = write(tmp_path / 'model.ckpt', values, version)
  target = tmp_path / f'values{suffix}'
  dump = dumping.write(checkpoint, str(target))
  found = read(target)
  assert set(found) == set(dump.names) == set(values)
  for name, value in values.items():
    np.testing.assert_array_equal(found[name], value, strict=True)
  assert (dump.left_out, dump.widened) == ({}, [])
  assert dump.num_bytes == target.stat().st_size


@pytest.mark.parametrize('suffix', DUMP_SUFFIXES)
def test_types_that_a_format_lacks_are_named(tmp_path, suffix):
  checkpoint = write(tmp_path / 'model.ckpt', {
      'words': lambda: tf.constant(['a', 'b']), 'waves': np.array([1j], np.complex64),
      'short': lambda: tf.constant([1.5, -3.0], tf.bfloat16), 'rest': np.float32(1)})
  target = tmp_path / f'values{suffix}'
  dump = dumping.write(checkpoint, str(target))
  is_npz = suffix == '.npz'
  left_out = {'words': 'string'} | ({} if is_npz else {'waves': 'complex64'})
  assert dump.left_out == left_out
  assert all(f'{name} ({kind})' in dump.lines[-1] for name, kind in left_out.items())
  found = read(target)
  assert set(found) == {'words', 'waves', 'short', 'rest'} - set(left_out)
  short = found['short'] if is_npz else (
      found['short'].astype(np.uint32) << 16).view(np.float32)
  assert short.tolist() == [1.5, -3.0]
  assert dump.widened == (['short'] if is_npz else [])
  assert any('bfloat16' in line for line in dump.lines) == is_npz


def test_safetensors_name_the_checkpoint(tmp_path):
  checkpoint = write(tmp_path / 'model.ckpt-5', {'a': np.float32(1)})
  dumping.write(checkpoint, str(tmp_path / 'a.safetensors'))
  assert read_safetensors(tmp_path / 'a.safetensors')[1] == {'source': 'model.ckpt-5'}


@pytest.mark.parametrize('suffix', DUMP_SUFFIXES)
def test_a_damaged_checkpoint_leaves_the_old_file(tmp_path, suffix):
  checkpoint = write(tmp_path / 'model.ckpt', VALUES)
  data = tmp_path / 'model.ckpt.data-00000-of-00001'
  content = bytearray(data.read_bytes())
  content[-40] ^= 255
  data.write_bytes(content)
  target = tmp_path / f'values{suffix}'
  target.write_text('old')
  with pytest.raises(slim_zoo.UserError, match='is damaged'):
    dumping.write(checkpoint, str(target))
  assert target.read_text() == 'old'
  assert not list(tmp_path.glob('.values*'))


def test_nothing_to_write_is_an_error(tmp_path):
  checkpoint = write(tmp_path / 'model.ckpt', {'words': lambda: tf.constant(['a'])})
  with pytest.raises(slim_zoo.UserError, match='no values of a type'):
    dumping.write(checkpoint, str(tmp_path / 'a.npz'))
  assert not (tmp_path / 'a.npz').exists()


def test_command_dumps_a_network_that_it_does_not_know(tmp_path):
  checkpoint = write(tmp_path / 'model.ckpt', VALUES)
  target = tmp_path / 'made' / 'values.npz'
  done = scripts.run('inspect', checkpoint_path=checkpoint, dump=target, json=True)
  assert done.returncode == 0, done.stderr
  assert json.loads(done.stdout)['network'] is None
  assert f'{target}: 9 variables' in done.stderr
  assert 'writing values.npz: 9/9 variables' in done.stderr
  assert set(read(target)) == set(VALUES)


@pytest.mark.parametrize(('target', 'words'), [
    ('values.txt', ('--dump=', "ends in .npz or .safetensors")),
    ('folder.npz', ('is a folder',)),
])
def test_wrong_targets_are_refused_at_once(tmp_path, target, words):
  (tmp_path / 'folder.npz').mkdir()
  checkpoint = write(tmp_path / 'model.ckpt', {'a': np.float32(1)})
  with pytest.raises(slim_zoo.UserError) as caught:
    slim_zoo.inspect(checkpoint_path=checkpoint, dump=str(tmp_path / target))
  assert all(word in str(caught.value) for word in words)


def write_features(path):
  with feature_file.FeatureFile(path, 'conv1') as file:
    file.finish()


@pytest.mark.parametrize('write_to', [
    lambda path: atomic.write_text(path, 'text'), write_features])
@pytest.mark.parametrize(('folder', 'words'), [
    ('/proc', 'the system permits no files there: name another place'),
    ('{}/missing', 'there is no such file or folder: check the path'),
    ('{}/a_file', 'a part of this path is a file, not a folder')])
def test_a_fault_names_the_file_that_the_user_asked_for(
    tmp_path, write_to, folder, words):
  (tmp_path / 'a_file').write_text('')
  path = f'{folder.format(tmp_path)}/values.npz'
  with pytest.raises(OSError, match='values') as caught:
    write_to(path)
  assert diagnostics.explain_os_error(caught.value).startswith(
      f"cannot use '{path}': {words}")
