"""Hostile and damaged archives write nothing outside of their folder."""

import contextlib
import gzip
import io
import tarfile

import pytest

from slim_zoo.diagnostics import UserError
from slim_zoo.files import unpacking
from tests.archive_server import packed, special

GOOD = {'./a/model.ckpt.index': b'index', 'a/notes.txt': b'text'}


def unpack(tmp_path, data, is_wanted=lambda name: True):
  tmp_path.mkdir(exist_ok=True)
  (tmp_path / 'x.tgz').write_bytes(data)
  return unpacking.unpack(str(tmp_path / 'x.tgz'), str(tmp_path / 'new'), is_wanted)


@pytest.mark.parametrize('mode', ['w', 'w:gz'])
def test_wanted_files_are_unpacked(tmp_path, mode):
  data = packed(GOOD, [special('a', tarfile.DIRTYPE)], mode)
  assert unpack(tmp_path, data, lambda name: name.endswith('.index')) == [
      'a/model.ckpt.index']
  assert (tmp_path / 'new/a/model.ckpt.index').read_bytes() == b'index'
  assert not (tmp_path / 'new/a/notes.txt').exists()


@pytest.mark.parametrize(('files', 'members', 'words'), [
    ({'../out': b''}, (), r"'\.\./out', a path outside"),
    ({'/tmp/out': b''}, (), 'a path outside'),
    ({'a/../../out': b''}, (), 'a path outside'),
    ({'a\\..\\..\\out': b''}, (), 'a path outside'),
    ({'C:/out': b''}, (), 'a path outside'),
    ({}, [special('x', tarfile.SYMTYPE, '/etc')], "'x', a link, a device"),
    ({}, [special('x', tarfile.LNKTYPE, '../out')], "'x', a link, a device"),
    ({}, [special('x', tarfile.FIFOTYPE)], "'x', a link, a device"),
    ({}, [special('x', tarfile.CHRTYPE)], "'x', a link, a device"),
    ({}, [special('x', tarfile.GNUTYPE_SPARSE)], 'a sparse file|cannot be unpacked'),
    ({'a': b'', 'a/b': b''}, (), 'two members have the name'),
    ({'a/b': b'', './a/b': b''}, (), 'two members have the name'),
    ({'a' * 300 + '.ckpt.index': b''}, (), 'a member has a longer name'),
])
def test_hostile_members_are_refused(tmp_path, files, members, words):
  with pytest.raises(UserError, match=words):
    unpack(tmp_path, packed({**GOOD, **files}, members))
  assert {path.name for path in tmp_path.iterdir()} <= {'x.tgz', 'new'}


def test_a_bomb_is_not_unpacked(tmp_path, monkeypatch):
  monkeypatch.setattr(unpacking, '_ALWAYS_ALLOWED', 1 << 16)
  zeros = bytes(1 << 22)
  for wanted in (True, False):
    with pytest.raises(UserError, match='20 times its own size'):
      unpack(tmp_path / str(wanted), packed({'x': zeros}), lambda name, w=wanted: w)
  assert not list(tmp_path.glob('False/new/*'))


def test_a_bomb_in_a_header_is_not_read(tmp_path, monkeypatch):
  """Readers of tar hold the long names of members in memory."""
  monkeypatch.setattr(unpacking, '_ALWAYS_ALLOWED', 1 << 16)
  with pytest.raises(UserError, match='20 times its own size'):
    unpack(tmp_path, packed({'x' * (1 << 22): b''}))


def test_many_members_are_refused(tmp_path, monkeypatch):
  monkeypatch.setattr(unpacking, '_MOST_MEMBERS', 5)
  with pytest.raises(UserError, match='more than 5 files'):
    unpack(tmp_path, packed({str(number): b'' for number in range(6)}))


def without_end():
  plain = packed({'x': b'1' * 512}, mode='w')
  return gzip.compress(plain[:1024])


def wrong_checksum():
  data = bytearray(packed(GOOD))
  data[-8] ^= 1
  return bytes(data)


def damaged_header():
  data = bytearray(packed({'a': b'1', 'b': b'2'}, mode='w'))
  data[1024 + 100] ^= 1
  return bytes(data)


@pytest.mark.parametrize('data', [
    damaged_header(), gzip.compress(damaged_header()), 2 * packed(GOOD, mode='w'),
    gzip.compress(2 * packed(GOOD, mode='w')),
    b'', b'\x1f\x8b', b'text', packed(GOOD)[:-20], packed(GOOD)[:60], without_end(),
    wrong_checksum(), gzip.compress(b'no tar' * 200),
    packed({'x': b'1' * 5000}, mode='w')[:3000]],
    ids=lambda data: str(len(data)))
def test_damage_is_named(tmp_path, data):
  with pytest.raises(UserError, match=r'x\.tgz. cannot be unpacked'):
    unpack(tmp_path, data)


def test_any_bytes_give_files_or_a_user_error(tmp_path):
  """Each byte of the first headers is changed in turn."""
  plain = packed(GOOD, mode='w')
  for place in range(0, 600, 7):
    data = bytearray(plain)
    data[place] ^= 0x55
    folder = tmp_path / str(place)
    folder.mkdir()
    with contextlib.suppress(UserError):
      unpack(folder, gzip.compress(bytes(data), 1))
    assert {path.name for path in folder.iterdir()} <= {'x.tgz', 'new'}


def test_a_stream_that_lies_about_sizes(tmp_path):
  member = tarfile.TarInfo('x')
  member.size = 1 << 40
  data = gzip.compress(member.tobuf() + bytes(io.DEFAULT_BUFFER_SIZE))
  with pytest.raises(UserError, match='cannot be unpacked'):
    unpack(tmp_path, data)
