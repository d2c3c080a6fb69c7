"""Messages: one mark between two sentences, and any name can be printed."""

import io
import os
import re
import subprocess
import sys

import pytest

from slim_zoo import diagnostics
from slim_zoo.dataset_building import converters
from slim_zoo.training import failures
from tests import scripts
from tests.conftest import ROOT

ODD_NAMES = {
    'not UTF-8': ('caf\udce9', r'caf\xe9'),
    'line break': ('two\nlines', r'two\nlines'),
    'carriage return': ('a\rb', r'a\rb'),
    'tab': ('a\tb', r'a\tb'),
    'terminal command': ('\x1b[31mred', r'\x1b[31mred'),
    'line separator': ('a\u2028b', r'a\u2028b'),
    'right-to-left override': ('\u202eltr', r'\u202eltr'),
    'embedding and its end': ('\u202ba\u202c', r'\u202ba\u202c'),
    'isolate and its end': ('\u2067a\u2069', r'\u2067a\u2069'),
    'marks of direction': ('\u200ea\u200f\u061c', r'\u200ea\u200f\u061c'),
    'Arabic and Hebrew': ('\u0642\u0637 \u05d7\u05ea', '\u0642\u0637 \u05d7\u05ea'),
    'colon and comma': ('a: b, c', 'a: b, c'),
    'spaces at both ends': (' a ', ' a '),
    'emoji of several': ('\U0001f469\u200d\U0001f52c', '\U0001f469\u200d\U0001f52c'),
    'CJK': ('\u732b\u3000\u72ac', '\u732b\u3000\u72ac'),
    'accents apart': ('cafe\u0301', 'cafe\u0301'),
}


@pytest.mark.parametrize('kind', ODD_NAMES)
def test_a_name_is_printable_on_one_line(kind):
  name, expected = ODD_NAMES[kind]
  assert diagnostics.printable(name) == expected
  expected.encode()


@pytest.mark.parametrize('encoding', ['ascii', 'latin-1', 'utf-8', 'cp1252'])
@pytest.mark.parametrize('kind', ODD_NAMES)
def test_every_stream_takes_every_name(monkeypatch, encoding, kind):
  streams = [io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2)]
  monkeypatch.setattr(sys, 'stdout', streams[0])
  monkeypatch.setattr(sys, 'stderr', streams[1])
  diagnostics.print_any_name()
  for stream in streams:
    print(ODD_NAMES[kind][0], file=stream, flush=True)
    assert stream.buffer.getvalue().endswith(b'\n')


@pytest.mark.parametrize(('encoding', 'expected'), [
    ('ascii', b'caf\xe9 \\xe9 \\u732b'), ('latin-1', b'caf\xe9 \xe9 \\u732b'),
    ('utf-8', b'caf\xe9 \xc3\xa9 \xe7\x8c\xab')])
def test_bytes_of_a_path_come_out_as_they_were(encoding, expected):
  text = 'caf\udce9 \xe9 \u732b'
  assert text.encode(encoding, diagnostics.BYTES_OR_ESCAPED) == expected


@pytest.mark.parametrize('script', [
    'slim-zoo networks --filter',
    'slim-zoo convert-images --dataset_dir=x --dataset_name=y --image_dir'])
def test_an_error_with_an_odd_value_is_one_line(script):
  _, name, *flags = script.split()
  done = subprocess.run(
      [*scripts.command(name), *flags[:-1],
       f'{flags[-1]}=two\nlines\x1b[31m{os.fsdecode(b"caf" + bytes([0xe9]))}'],
      capture_output=True, check=False, cwd=ROOT)
  assert done.returncode == 1
  assert len(done.stderr.splitlines()) == 1
  assert rb'two\nlines\x1b[31mcaf\xe9' in done.stderr


@pytest.mark.parametrize(('first', 'expected'), [
    ('is it another data set?', 'is it another data set? There is'),
    ('is it another data set', 'is it another data set. There is'),
    ('it is so. ', 'it is so. There is'), ('stop!', 'stop! There is')])
def test_reason_and_last_checkpoint_have_one_mark_between_them(
    tmp_path, first, expected):
  assert failures.with_last_checkpoint(
      ValueError(first), str(tmp_path)).startswith(expected)


def test_no_message_puts_a_full_stop_behind_an_error():
  # An error may end with a question: `diagnostics.sentences` joins the two.
  behind_an_error = re.compile(r'''\{(?:str\()?\w*(?:error|failure|reason)\)?\}\. ''')
  assert [path.name for path in ROOT.rglob('*.py')
          if not {'.venv', 'tests'} & set(path.relative_to(ROOT).parts)
          and behind_an_error.search(path.read_text())] == []


@pytest.mark.parametrize('arguments', [('help',), ('--help',), ('train', '--help')])
def test_help_ends_quietly_where_its_reader_has_enough(arguments):
  reader, writer = os.pipe()
  os.close(reader)
  done = subprocess.run([sys.executable, '-m', 'slim_zoo', *arguments], cwd=ROOT,
                        stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
  os.close(writer)
  assert (done.returncode, done.stderr) == (0, '')


@pytest.mark.parametrize(('flag', 'answer'), [
    ('--seed=99999999999999999999',
     '--seed=99999999999999999999: expected a number from -9223372036854775808 to'),
    (f'--flagfile={sys.executable}', '--flagfile: a file is not text')])
def test_wrong_values_of_any_size_are_one_line(flag, answer):
  done = subprocess.run([sys.executable, '-m', 'slim_zoo', 'train', flag], cwd=ROOT,
                        capture_output=True, text=True, check=False)
  assert done.returncode == 2
  assert answer in done.stderr
  assert done.stderr.count('\n') == 1


def test_a_data_set_without_converter_is_one_line():
  with pytest.raises(diagnostics.UserError, match='=hues: there is no con'):
    converters.find('hues')
