"""Combines the predictions of several processes, each for a part of a split (a shard).

Each image gets the number that it has in an evaluation by one process, so the results
are those of one process.
"""

import io
from collections.abc import Mapping, Sequence

import numpy as np

from slim_zoo import diagnostics
from slim_zoo.evaluation import multi_label as multi_label_lib
from slim_zoo.evaluation import predictions as predictions_lib


def packed(predictions: predictions_lib.Predictions | multi_label_lib.Predictions,
           keys: Mapping[int, tuple[int, int]], num_classes: int) -> bytes:
  """Returns the predictions for a shard as bytes, for `merged`.

  Args:
    predictions: of `over_split.collect`.
    keys: the record key of each image by its number.
    num_classes: of the network.
  """
  arrays = dict(predictions.arrays(num_classes))
  numbers = arrays.get('keys', np.zeros([0], np.int64))
  places = np.array([keys[int(number)] for number in numbers], np.int64)
  with io.BytesIO() as file:
    np.savez(file, places=places.reshape([-1, 2]), **arrays)
    return file.getvalue()


def merged(shards: Sequence[bytes], multi_label: bool, num_images: int) -> tuple:
  """Returns the predictions for a whole split.

  Args:
    shards: of all processes, see `packed`.
    multi_label: whether an image may have several classes, or none.
    num_images: of the split.

  Returns:
    (predictions, keys), see `over_split.collect`.

  Raises:
    UserError: an image is missing, or was evaluated twice.
  """
  loaded = [dict(np.load(io.BytesIO(shard))) for shard in shards]
  places = np.concatenate([arrays.pop('places') for arrays in loaded])
  # The order of one process: by file, then by the position in it.
  order = np.lexsort([places[:, 1], places[:, 0]])
  places = places[order]
  if len(places) != num_images or len(np.unique(places, axis=0)) != num_images:
    raise diagnostics.UserError(
        f'the processes evaluated {len(np.unique(places, axis=0))} of {num_images}'
        ' images: give all of them the same records')
  filled = [arrays for arrays in loaded if arrays]
  together = {name: np.concatenate([arrays[name] for arrays in filled])[order]
              for name in (filled[0] if filled else ())}
  if together:
    together['keys'] = np.arange(len(places))
  kind = multi_label_lib if multi_label else predictions_lib
  return kind.Predictions.of_arrays(together), {
      number: tuple(place) for number, place in enumerate(places.tolist())}
