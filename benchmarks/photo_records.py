"""Records of photographs for timing input: 500 x 375 JPEGs, the usual size in ImageNet.

They are parts of the two photographs in scikit-learn's wheel, at random positions and
scales and with several qualities, so all are different.
"""

import os
import pathlib
import tempfile

import numpy as np
from PIL import Image

from slim_zoo import diagnostics, start_up

NAME = 'photographs'
WIDTH, HEIGHT = 500, 375
_QUALITIES = range(80, 96)
_SEED = 0


def make(dataset_dir: os.PathLike, num_images: int) -> None:
  """Writes the records, unless they exist.

  Args:
    dataset_dir: their folder, new or with the same number of records.
    num_images: number of images.

  Raises:
    UserError: scikit-learn is missing, or the folder cannot be written.
  """
  marker = pathlib.Path(dataset_dir, f'{num_images}_photographs')
  if marker.exists():
    return
  start_up.load_without_notes()
  from slim_zoo.dataset_building import image_folder
  photographs = bundled_photographs()
  random = np.random.default_rng(_SEED)
  with tempfile.TemporaryDirectory() as folder:
    for number in range(num_images):
      label = number % len(photographs)
      path = pathlib.Path(folder, f'photograph_{label}', f'{number:06d}.jpg')
      path.parent.mkdir(exist_ok=True)
      part(Image.fromarray(photographs[label]), random).save(
          path, 'JPEG', quality=int(random.choice(_QUALITIES)))
    image_folder.convert(folder, os.fspath(dataset_dir), NAME, num_shards=8)
  marker.touch()


def dataset(dataset_dir: os.PathLike):
  """Returns the training split of the records in a folder."""
  from slim_zoo.datasets import dataset_factory
  return dataset_factory.get_dataset(NAME, 'train', os.fspath(dataset_dir))


def bundled_photographs() -> list[np.ndarray]:
  """Returns the photographs of scikit-learn, uint8 [height, width, 3].

  Raises:
    UserError: scikit-learn is missing.
  """
  try:
    from sklearn import datasets
  except ModuleNotFoundError:
    raise diagnostics.UserError(
        'the photographs are in scikit-learn, which is not installed: python -m pip'
        " install 'scikit-learn>=1.3,<2'") from None
  return datasets.load_sample_images().images


def part(photograph: Image.Image, random: np.random.Generator,
         size: tuple[int, int] = (WIDTH, HEIGHT)) -> Image.Image:
  """Returns a part of a photograph, at least half as wide.

  Args:
    photograph: the whole photograph.
    random: draws the position and the scale.
    size: width and height of the result.
  """
  width = int(random.integers(photograph.width // 2, photograph.width * 7 // 8))
  height = width * size[1] // size[0]
  left = int(random.integers(0, photograph.width - width + 1))
  top = int(random.integers(0, photograph.height - height + 1))
  return photograph.resize(
      size, Image.Resampling.LANCZOS, (left, top, left + width, top + height))
