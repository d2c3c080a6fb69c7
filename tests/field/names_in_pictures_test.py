"""Class names of all kinds: numbers are never lost, pictures show no boxes."""

import csv
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, ImageChops

from slim_zoo.drawing import fonts
from slim_zoo.evaluation import figures, learning_curves, report
from slim_zoo.prediction import contact_sheet, explanation
from slim_zoo.training.callbacks import sample_predictions
from tests.conftest import ROOT
from tests.evaluation_report_test import FILES, HEADER, gray_image, make_metrics

# No font that comes with matplotlib has it; this test takes away all others.
CJK = '\u732b'
# Our own font lacks the arc, its sister for code has it.
ARC = 'arc \u2312'
NOT_UTF8 = 'caf\udce9'
NAMES = [CJK, ARC, NOT_UTF8, 'two\nlines']
SHOWN = ['class 0', ARC, 'caf\\xe9', 'two\\nlines']


@pytest.fixture(autouse=True)
def fonts_of_matplotlib(monkeypatch):
  import matplotlib
  own = tuple((family, path) for family, path in fonts._installed_fonts()
              if path.startswith(matplotlib.get_data_path()))
  fonts._font_with.cache_clear()
  monkeypatch.setattr(fonts, '_installed_fonts', lambda: own)
  yield
  fonts._font_with.cache_clear()


def test_what_pictures_show():
  assert fonts.legible_classes(NAMES) == SHOWN
  assert fonts.legible(f'{CJK}.jpg') == '\ufffd.jpg'
  assert fonts.families(SHOWN) == ['DejaVu Sans', 'DejaVu Sans Mono']
  assert fonts.font(13, text=ARC).path.endswith('DejaVuSansMono.ttf')
  assert fonts.font(13, text='plain').path.endswith('DejaVuSans.ttf')


def test_fonts_of_every_family_are_searched(monkeypatch):
  """A font that is installed is taken, and one for bitmaps or boxes is not."""
  from matplotlib import font_manager
  monkeypatch.undo()
  names = [name for name, _ in fonts._installed_fonts()]
  assert len(names) == len(set(names))
  assert not any('Last Resort' in name for name in names)
  assert all(font_manager.findfont(name) for name in names[:3])
  assert fonts._letters_of(os.devnull) == frozenset()


def test_a_report_has_all_numbers_and_pictures(tmp_path, capfd):
  metrics = make_metrics(names=NAMES)
  assert report.write_report(
      tmp_path, metrics, dict(enumerate(NAMES)), {**HEADER, 'data set': NOT_UTF8},
      gray_image) == []
  assert set(os.listdir(tmp_path)) == FILES
  with open(tmp_path / 'per_class.csv', encoding='utf-8', errors='surrogateescape',
            newline='') as file:
    assert [row['name'] for row in csv.DictReader(file)] == NAMES
  values = json.loads((tmp_path / 'report.json').read_text())
  assert [row['name'] for row in values['classes']] == NAMES
  assert capfd.readouterr() == ('', '')


def test_a_failure_in_a_picture_loses_no_number(tmp_path, monkeypatch):
  def fail(*unused):
    raise RuntimeError('no such glyph\nand more')
  monkeypatch.setattr(figures, '_page', fail)
  problems = report.write_report(tmp_path, make_metrics(), None, HEADER, gray_image)
  assert problems == ['the pictures of the report are left out: no such glyph']
  assert set(os.listdir(tmp_path)) == {
      'report.json', 'per_class.csv', 'predictions.csv', 'report.html'}


def same(one, other):
  return one.size == other.size and ImageChops.difference(one, other).getbbox() is None


@pytest.mark.parametrize(('name', 'shown'), [*zip(NAMES, SHOWN, strict=True)], ids=[
    'cjk', 'another font', 'bytes', 'lines'])
def test_sheets_show_what_can_be_read(tmp_path, name, shown):
  """A picture of a name is that of what is shown of it."""
  label = NAMES.index(name)
  thumbnail = Image.new('RGB', (20, 20))
  picture = np.zeros([8, 8, 3], np.uint8)

  def drawn(names):
    sheet = contact_sheet.ContactSheet('', ['x.png'], names)
    folder = explanation.ExplanationFolder(str(tmp_path), ['x.png'], names, 'end')
    answer = sample_predictions.Answer(
        picture, frozenset({label}), np.eye(4)[label])
    return [
        contact_sheet.draw([contact_sheet.Entry(
            thumbnail, 'x.png', sheet._names[label], 0.5)], 'title'),
        explanation.draw_picture(
            picture, np.ones([2, 2], np.float32), folder._names[label], 'caption'),
        sample_predictions.draw_sheet([answer], dict(enumerate(names)), 'title')]

  others = [*NAMES]
  others[label] = shown
  assert all(map(same, drawn(NAMES), drawn(others)))
  others[label] = 'other'
  assert not any(map(same, drawn(NAMES), drawn(others)))


def test_learning_curves_of_a_run_with_any_name(tmp_path, capfd):
  curves = {'total_loss': (np.arange(1, 4), np.ones(3))}
  learning_curves.draw(tmp_path / 'curves.png', {f'runs/{CJK}': curves, ARC: curves})
  assert (tmp_path / 'curves.png').stat().st_size > 1000
  assert capfd.readouterr() == ('', '')


def test_matplotlib_is_quiet_about_its_caches(tmp_path):
  """It would tell of a folder that it cannot write to, and of looking for fonts."""
  (tmp_path / 'file').touch()
  code = ('import sys; sys.argv = ["x"]; from slim_zoo.commands import running;'
          ' running.run(lambda _: __import__("matplotlib.font_manager") and'
          ' None)')
  done = subprocess.run(
      [sys.executable, '-c', code], cwd=ROOT, text=True, capture_output=True,
      check=False, env={**os.environ, 'MPLCONFIGDIR': str(tmp_path / 'file')})
  assert (done.returncode, done.stdout, done.stderr) == (0, '', '')
