"""Features of any number of images in one .npz file, written without keeping them."""

import os
import shutil
import zipfile

import numpy as np

from slim_zoo.files import atomic
from slim_zoo.prediction.classifier import Answer


class FeatureFile:
  """Collects the features of images; use it as a context manager.

  The file then has the arrays 'features', float32 [images, ...], 'files', their paths,
  and 'end_point', its name. Until `finish` they are in PATH.PROCESS.part.

  Args:
    path: of the file, whatever its suffix.
    end_point: of the features.
  """

  def __init__(self, path: str, end_point: str):
    self._path, self._end_point = path, end_point
    self._part = f'{path}.{os.getpid()}.part'
    with atomic.naming(path, self._part):
      self._values = open(self._part, 'wb')  # noqa: SIM115 (closed in __exit__)
    self._files, self._shape = [], None

  def add(self, answer: Answer) -> None:
    """Adds the features of an image, unless its file was refused."""
    if not answer.refused:
      self._shape = answer.features.shape
      self._files.append(answer.path)
      self._values.write(np.ascontiguousarray(answer.features, '<f4').tobytes())

  def finish(self) -> None:
    """Writes the file; without any images there is none."""
    self._values.close()
    if not self._files:
      return
    with (atomic.replacing(self._path) as unfinished,
          zipfile.ZipFile(unfinished, 'w', allowZip64=True) as archive):
      with (archive.open('features.npy', 'w', force_zip64=True) as member,
            open(self._part, 'rb') as values):
        np.lib.format.write_array_header_1_0(member, {
            'descr': '<f4', 'fortran_order': False,
            'shape': (len(self._files), *self._shape)})
        shutil.copyfileobj(values, member, 1 << 20)
      for name, value in (('files', np.array(self._files)),
                          ('end_point', np.array(self._end_point))):
        with archive.open(f'{name}.npy', 'w', force_zip64=True) as member:
          np.lib.format.write_array(member, value, allow_pickle=False)

  def __enter__(self):
    return self

  def __exit__(self, *unused):
    self._values.close()
    if os.path.exists(self._part):
      os.remove(self._part)
