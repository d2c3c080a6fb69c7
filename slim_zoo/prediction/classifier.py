"""Image files to answers, in a stream: read, prepared, predicted a batch at a time."""

import collections
import concurrent.futures
import dataclasses
import io
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from PIL import Image

from slim_zoo import diagnostics
from slim_zoo.drawing import sheets
from slim_zoo.images import image_files


@dataclasses.dataclass(frozen=True)
class Predictions:
  """The predictions of a model for a batch of images.

  Attributes:
    probabilities: float32 [batch, classes].
    features: float32 [batch, ...], if requested.
    heat: float32 [batch, height, width], if requested; see `explanation.heat`.
    pictures: uint8 [batch, height, width, 1 or 3], the network's input; with heat. With
      masks, a list of images.
    masks: of segmentation, a list of uint8 [height, width], the class of each pixel.
  """

  probabilities: np.ndarray
  features: np.ndarray | None = None
  heat: np.ndarray | None = None
  pictures: np.ndarray | list[np.ndarray] | None = None
  masks: list[np.ndarray] | None = None


class Model(Protocol):
  """A classifier: of a checkpoint or of an export."""

  num_classes: int

  def prepare(self, data: bytes) -> Any:
    """Returns the bytes of an image as `predict` takes them; in any thread."""

  def predict(self, images: list) -> Predictions:
    """Returns the predictions for prepared images."""


@dataclasses.dataclass(frozen=True)
class Answer:
  """The answer for one file.

  Attributes:
    path: of the file.
    refused: why it was skipped; None if it was classified, and only then there
      are the others.
    change: why it was not read as it is, see `image_files.ImageFile`.
    thumbnail: if requested.
    probabilities: float32 [classes].
    features: float32, see `Predictions`; so are heat and picture.
    heat: float32 [height, width].
    picture: uint8 [height, width, 1 or 3].
    mask: uint8 [height, width], of segmentation.
  """

  path: str
  refused: str | None = None
  change: str | None = None
  thumbnail: Image.Image | None = None
  probabilities: np.ndarray | None = None
  features: np.ndarray | None = None
  heat: np.ndarray | None = None
  picture: np.ndarray | None = None
  mask: np.ndarray | None = None

  def most_probable(self, count: int) -> list[tuple[int, float]]:
    """Returns (class, probability) of the `count` most probable classes, in order.

    Of a mask, only classes that some pixel has.
    """
    # Of equal ones the first stands before the others.
    order = np.argsort(-self.probabilities, kind='stable')[:count]
    if self.mask is not None:
      order = order[self.probabilities[order] > 0]
    return [(int(label), float(self.probabilities[label])) for label in order]


def classify(paths: Sequence[str], model: Model, batch_size: int, num_threads: int,
             shown: Collection[str] = ()) -> Iterator[Answer]:
  """Yields an answer for each file, in order; holds a few batches at a time.

  Args:
    paths: of the files.
    model: classifies them.
    batch_size: how many images the model is given at a time.
    num_threads: how many files are read and prepared at a time.
    shown: the paths of which thumbnails are wanted.

  Raises:
    UserError: the model gives no finite probabilities.
  """
  reader = image_files.Reader()

  def read(path):
    try:
      with reader.open(path) as file:
        thumbnail = sheets.thumbnail(
            Image.open(io.BytesIO(file.data))) if path in shown else None
        return Answer(path, change=file.change, thumbnail=thumbnail), model.prepare(
            file.data)
    except image_files.RefusedError as error:
      return Answer(path, refused=str(error)), None

  waiting = []
  for answer, image in _in_order(read, paths, num_threads, 2 * batch_size):
    waiting.append((answer, image))
    if sum(not answer.refused for answer, _ in waiting) == batch_size:
      yield from _answered(waiting, model)
      waiting = []
  yield from _answered(waiting, model)


def _in_order(function: Callable, items: Iterable, num_threads: int,
              ahead: int) -> Iterator:
  """Yields function(item) of each, computed by threads, at most `ahead` too early."""
  with concurrent.futures.ThreadPoolExecutor(num_threads) as pool:
    running = collections.deque()
    try:
      for item in items:
        running.append(pool.submit(function, item))
        if len(running) > ahead:
          yield running.popleft().result()
      while running:
        yield running.popleft().result()
    finally:
      for future in running:
        future.cancel()


def _answered(waiting, model):
  """Yields the answers of the waiting files."""
  images = [image for answer, image in waiting if not answer.refused]
  predictions = model.predict(images) if images else None
  if predictions:
    check_finite(predictions.probabilities)
  place = 0
  for answer, _ in waiting:
    if not answer.refused:
      answer = answer_at(answer, predictions, place)
      place += 1
    yield answer


def check_finite(probabilities: np.ndarray) -> None:
  """Raises UserError for probabilities of a network with damaged weights."""
  if not np.isfinite(probabilities).all():
    raise diagnostics.UserError(
        'the network gives probabilities that are not finite: its checkpoint holds NaN'
        ' or infinite values (slim-zoo inspect shows where)')


def answer_at(answer: Answer, predictions: Predictions, place: int) -> Answer:
  """Returns an answer with the predictions for one image of a batch."""
  return dataclasses.replace(
      answer, probabilities=predictions.probabilities[place],
      features=_at(predictions.features, place), heat=_at(predictions.heat, place),
      picture=_at(predictions.pictures, place), mask=_at(predictions.masks, place))


def _at(batch, place):
  return None if batch is None else batch[place]
