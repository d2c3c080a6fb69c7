"""A folder of photographs as phones take them: 12 megapixels, JPEG, some on their side.

They are parts of the two photographs that scikit-learn carries inside its wheel,
enlarged, with noise as of a sensor: about 3 MB each.
"""

import os
import pathlib

import numpy as np
from PIL import Image

from benchmarks import photo_records

NAME = 'phone_photos'
WIDTH, HEIGHT = 4032, 3024
_QUALITY = 90
_NOISE = 5
_ORIENTATION, _ON_ITS_SIDE = 0x0112, 6
_SEED = 0


def make(folder: os.PathLike, num_photos: int) -> None:
  """Writes photographs in folders of two classes, unless they are there.

  Args:
    folder: for them; it holds as many photographs, or is new.
    num_photos: how many; every fourth lies on its side, with the EXIF note of it.
  """
  photographs = photo_records.bundled_photographs()
  random = np.random.default_rng(_SEED)
  noise = random.normal(0, _NOISE, (HEIGHT, WIDTH, 3))
  for number in range(num_photos):
    label = number % len(photographs)
    path = pathlib.Path(folder, f'photograph_{label}', f'{number:06d}.jpg')
    if path.exists():
      continue
    path.parent.mkdir(parents=True, exist_ok=True)
    photo = photo_records.part(
        Image.fromarray(photographs[label]), random, (WIDTH, HEIGHT))
    pixels = np.asarray(photo) + np.roll(noise, number * WIDTH // 3)
    exif = Image.Exif()
    if number % 4 == 3:
      exif[_ORIENTATION] = _ON_ITS_SIDE
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(
        path, 'JPEG', quality=_QUALITY, exif=exif)
