"""Photographs of scikit-learn and scikit-image, for training and for tests.

Only files that are in the packages are used. No test photograph is in training.
"""

import importlib.util
import pathlib
from collections.abc import Sequence

import numpy as np
from PIL import Image

from slim_zoo import diagnostics
from slim_zoo.images import image_files

# Files by package. Grey ones become RGB.
_FILES = {
    'sklearn': ('datasets/images', {
        'china': 'china.jpg', 'flower': 'flower.jpg'}),
    'skimage': ('data', {
        'astronaut': 'astronaut.png', 'brick': 'brick.png', 'camera': 'camera.png',
        'cat': 'chelsea.png', 'coffee': 'coffee.png', 'coins': 'coins.png',
        'grass': 'grass.png', 'gravel': 'gravel.png', 'moon': 'moon.png',
        'rocket': 'rocket.jpg'}),
}
NAMES = {
    'train': ('china', 'astronaut', 'brick', 'camera', 'coffee', 'coins', 'grass',
              'gravel', 'moon', 'rocket'),
    'test': ('flower', 'cat'),
}
_INSTALL = {'sklearn': 'scikit-learn', 'skimage': 'scikit-image'}


def load(name: str) -> Image.Image:
  """Returns a photograph as an RGB image.

  Raises:
    UserError: the name is unknown, or its package or file is not installed.
  """
  for package, (folder, files) in _FILES.items():
    if name in files:
      path = _package_folder(package) / folder / files[name]
      try:
        with Image.open(path) as image:
          return image.convert('RGB')
      except OSError as error:
        raise diagnostics.UserError(
            f"the photograph '{name}' cannot be read from '{path}': install"
            f" '{_INSTALL[package]}' again") from error
  raise diagnostics.unknown_name('photograph', name, sorted(
      name for _, files in _FILES.values() for name in files))


def load_split(split: str) -> list[Image.Image]:
  """Returns the photographs of 'train' or 'test'; raises UserError as `load` does."""
  return [load(name) for name in NAMES[split]]


def stereo_pair(reduction: int = 4) -> tuple[Image.Image, Image.Image, np.ndarray]:
  """Returns two real images of a motorcycle, and the measured flow between them.

  They are from the Middlebury stereo benchmark (Scharstein et al. 2014, High-resolution
  stereo datasets with subpixel-accurate ground truth), in scikit-image. The camera
  moved to the right, so all parts move to the left, near ones further.

  Args:
    reduction: of the height and width.

  Returns:
    (left, right, flow): RGB images, and float32 [height, width, 2], NaN where the flow
    was not measured.

  Raises:
    UserError: scikit-image or a file of it is not installed.
  """
  folder = _package_folder('skimage') / _FILES['skimage'][0]
  images = open_files(
      [str(folder / f'motorcycle_{side}.png') for side in ('left', 'right')])
  width, height = (length // reduction for length in images[0].size)
  left, right = (image.reduce(reduction).crop((0, 0, width, height))
                 for image in images)
  with np.load(folder / 'motorcycle_disp.npz') as arrays:
    # The pixel in the middle of each block.
    middle = np.s_[reduction // 2::reduction]
    moved = arrays['arr_0'][middle, middle][:height, :width] / reduction
  flow = np.stack([-moved, np.zeros_like(moved)], -1)
  flow[~np.isfinite(moved)] = np.nan
  return left, right, flow.astype(np.float32)


def open_files(paths: Sequence[str]) -> list[Image.Image]:
  """Returns image files as RGB images, with the pixels that `slim-zoo classify` reads.

  Raises:
    UserError: a file cannot be read.
  """
  return [image_files.open_image(path).convert('RGB') for path in paths]


def _package_folder(package):
  # The package itself is not imported: it takes seconds.
  spec = importlib.util.find_spec(package)
  if spec is None or not spec.submodule_search_locations:
    raise diagnostics.UserError(
        f"the package '{_INSTALL[package]}' with the photographs is not installed:"
        " python -m pip install --editable '.[examples]' in the checkout")
  return pathlib.Path(next(iter(spec.submodule_search_locations)))
