"""The features of every image of a split, computed once and cached on disk."""

import dataclasses
import hashlib
import os
import zipfile
from collections.abc import Callable

import numpy as np

from slim_zoo.deployment import session_configs, session_settings
from slim_zoo.evaluation import over_split
from slim_zoo.files import atomic, staging, user_cache
from slim_zoo.input import pipeline
from slim_zoo.progress import Progress
from slim_zoo.tf_compat import tf

# A change of the content of the files, or of what features are, gets another number.
_VERSION = 1
_FOLDER = 'probe'


@dataclasses.dataclass(frozen=True, eq=False)
class Features:
  """The features of the images of a split, in the order of the records.

  Attributes:
    values: float32 [images, features].
    labels: int64 [images].
  """

  values: np.ndarray
  labels: np.ndarray


def collect(images: pipeline.Input, features_of: Callable[[np.ndarray], np.ndarray],
            settings: session_settings.SessionSettings = session_settings.DEFAULTS
            ) -> Features:
  """Computes the features of all images of an input in the default graph.

  An image that cannot be decoded is named and left out.

  Args:
    images: of `pipeline.evaluation_input`.
    features_of: returns float32 [batch, features] or [batch, height, width, features],
      which is averaged over the places, of images float32 [batch, height, width,
      channels].
    settings: of the session of the input.

  Raises:
    UserError: the records cannot be read.
  """
  values, labels = [], []

  def keep(features, batch_labels, unused_keys):
    values.append(features)
    labels.append(batch_labels)

  for_each_batch(images, features_of, keep, settings)
  if not values:
    return Features(np.zeros([0, 0], np.float32), np.zeros([0], np.int64))
  return Features(np.concatenate(values), np.concatenate(labels))


def for_each_batch(images: pipeline.Input,
                   features_of: Callable[[np.ndarray], np.ndarray],
                   use: Callable[[np.ndarray, np.ndarray, np.ndarray], None],
                   settings: session_settings.SessionSettings =
                   session_settings.DEFAULTS,
                   label: str = 'features', max_num_batches: int | None = None
                   ) -> None:
  """Computes the features of each batch, without keeping them; see `collect`.

  Args:
    images: as for `collect`.
    features_of: as for `collect`.
    use: use(features, labels, keys) is called with float32 [batch, features], int64
      [batch] and the record keys, int64 [batch, 2].
    settings: as for `collect`.
    label: of the progress.
    max_num_batches: stop after so many batches; None: after the last.

  Raises:
    UserError: the records cannot be read.
  """
  batch, done = images.next_batch(), 0
  images.log.restart()
  with (tf.Session(config=session_configs.session_config(settings)) as session,
        Progress(label, images.count_records(), 'images') as progress):
    session.run(images.initializer)
    for labels, _, keys, pixels in over_split.batches(
        session, images, batch, batch.images, max_num_batches):
      features = features_of(pixels)
      use(features.mean(axis=tuple(range(1, features.ndim - 1))), labels, keys)
      done += len(labels)
      progress.update(done)
  if max_num_batches is None:
    images.log.finish()
  for _, key in images.log.take_lost():
    fault, is_printed = images.faults.add(key)
    if is_printed:
      print(f'note: {images.log.describe(key)} is left out: {fault.reason}', flush=True)


def cached(folder: str | None, key: str, compute: Callable[[], Features]) -> Features:
  """Returns the features of a key from a folder; computes and writes missing ones.

  Args:
    folder: of the cache; None: probe/ in the cache folder of the user.
    key: digest of all that the features depend on, see `key_of`.
    compute: returns the features.

  Raises:
    OSError: the folder cannot be written.
  """
  folder = folder or os.path.join(user_cache.folder(), _FOLDER)
  path = os.path.join(folder, f'features-{key}.npz')
  found = _read(path)
  if found is None:
    with staging.created(folder):
      found = compute()
      with atomic.replacing(path) as unfinished, open(unfinished, 'wb') as file:
        np.savez(file, values=found.values, labels=found.labels)
  return found


def _read(path):
  """Returns the features in a file; None if there are none, or it is damaged."""
  try:
    with np.load(path, allow_pickle=False) as archive:
      return Features(archive['values'], archive['labels'])
  except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
    return None


def key_of(checkpoint: str, *facts: object) -> str:
  """Returns a digest of the weights of a checkpoint and of other facts.

  Args:
    checkpoint: its prefix.
    *facts: on which the features depend too.
  """
  index = f'{checkpoint}.index'
  # The index has a checksum of each variable. Before TensorFlow 1.0 it was one file.
  with open(index if os.path.exists(index) else checkpoint, 'rb') as file:
    weights = hashlib.sha256(file.read()).hexdigest()
  return hashlib.sha256(repr((_VERSION, weights, *facts)).encode()).hexdigest()[:24]
