"""Pictures are written completely or not at all."""

import errno

import pytest
from matplotlib.figure import Figure
from PIL import Image

from slim_zoo.drawing import animations, charts, sheets

PICTURE = Image.new('RGB', (4, 4))
WRITERS = {
    'sheet': (lambda path: sheets.save(PICTURE, path), Image.Image, 'save'),
    'animation': (lambda path: animations.write(path, [PICTURE]), Image.Image, 'save'),
    'chart': (lambda path: charts.save(Figure(), path), Figure, 'savefig')}


def no_space(_, path, *unused, **options):
  with open(path, 'wb') as file:
    file.write(b'half of')
  raise OSError(errno.ENOSPC, 'No space left on device')


@pytest.mark.parametrize('kind', WRITERS)
def test_a_failed_write_keeps_the_earlier_picture(kind, tmp_path, monkeypatch):
  write, owner, method = WRITERS[kind]
  path = tmp_path / 'picture.png'
  write(path)
  earlier = path.read_bytes()
  assert earlier.startswith(b'\x89PNG')
  monkeypatch.setattr(owner, method, no_space)
  with pytest.raises(OSError, match='No space left'):
    write(path)
  assert path.read_bytes() == earlier
  assert [file.name for file in tmp_path.iterdir()] == ['picture.png']
