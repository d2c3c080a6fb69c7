"""Computes the answers of a model for several threads, in batches."""

import concurrent.futures
import contextlib
import dataclasses
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from slim_zoo import diagnostics
from slim_zoo.images import image_check, image_files
from slim_zoo.prediction import answers, classifier
from slim_zoo.serving.messages import RequestError
from slim_zoo.serving.signatures import Signature, Signatures
from slim_zoo.tf_compat import tf

# How the files begin that TensorFlow's decoder reads: JPEG, PNG, GIF, BMP.
_GIF = b'GIF8'
_BEGINNINGS = (b'\xff\xd8\xff', b'\x89PNG\r\n\x1a\n', _GIF, b'BM')
# The pixels of all images of a request, in multiples of the most of one.
_IMAGES_OF_MOST_PIXELS = 4
# Of a batch of files, which an export decodes at the same time.
_PIXELS_OF_A_BATCH = 100_000_000
_OUTPUTS = ('probabilities', 'classes', 'labels')
_UNREAD = "TensorFlow's decoder does not read"


@dataclasses.dataclass(frozen=True)
class Settings:
  """How images are answered.

  Attributes:
    batch_size: images that the model is given at a time.
    num_threads: files that are decoded and preprocessed at the same time.
    max_pixels: of an image.
  """

  batch_size: int = 32
  num_threads: int = 4
  max_pixels: int = image_check.MAX_PIXELS


class Predictor:
  """Answers images. Use it as a context manager.

  One batch is computed at a time: TensorFlow uses all cores for it.

  Args:
    model: classifies images.
    class_names: of the model.
    signatures: of the model, closed with the predictor; None: it has none, as
      segmentation networks here.
    settings: how images are answered.

  Attributes:
    class_names: as printable text.
    signatures: by name.
  """

  def __init__(self, model: classifier.Model, class_names: Sequence[str],
               signatures: Signatures | None, settings: Settings = Settings()):
    self.class_names = [answers.printable(name) for name in class_names]
    self.signatures: dict[str, Signature] = signatures.by_name if signatures else {}
    self._model, self._calls, self._settings = model, signatures, settings
    self._computing = threading.Lock()
    self._reader = image_files.Reader(settings.max_pixels)
    self._pool = concurrent.futures.ThreadPoolExecutor(settings.num_threads)

  def classify(self, data: bytes) -> classifier.Answer:
    """Returns the answer for an image file, read as `slim-zoo classify` reads it.

    Raises:
      RequestError: 400, it is no image, damaged, or too large; 503, for want of memory.
    """
    unread = f'{_UNREAD} the image'
    try:
      with _explained(unread), self._reader.of_bytes(data) as file:
        prepared, change = self._model.prepare(file.data), file.change
    except image_files.RefusedError as error:
      raise RequestError(400, str(error)) from error
    with _explained(unread), self._computing:
      predictions = self._model.predict([prepared])
    classifier.check_finite(predictions.probabilities)
    return classifier.answer_at(
        classifier.Answer('', change=change), predictions, 0)

  def answers(self, name: str, values: list[bytes] | np.ndarray
              ) -> dict[str, list[Any]]:
    """Returns the outputs of a signature by name, each with a value for each image.

    Args:
      name: of the signature.
      values: image files, which are read as they are; or numbers of its type.

    Raises:
      RequestError: 400, an image cannot be read, or the network gives no finite
        probabilities for the numbers; 503, for want of memory.
    """
    probabilities, signature = [], self.signatures[name]
    # Numbers have the shape of the signature: an error of the graph is the server's.
    unread = f'{_UNREAD} an image of the request' if signature.is_of_files else None
    for batch in self._batches(signature, values):
      with _explained(unread), self._computing:
        probabilities.append(self._calls.probabilities(name, batch))
    probabilities = np.concatenate(probabilities)
    if not np.isfinite(probabilities).all():
      if not signature.is_of_files:
        raise RequestError(
            400, 'the network gives no finite probabilities for these numbers')
      classifier.check_finite(probabilities)
    classes = probabilities.argmax(axis=1).tolist()
    return dict(zip(_OUTPUTS, (
        [[float(str(value)) for value in row] for row in probabilities], classes,
        [self.class_names[label] for label in classes]), strict=True))

  def _batches(self, signature, values) -> Iterator[list | np.ndarray]:
    if not signature.is_of_files:
      for start in range(0, len(values), self._settings.batch_size):
        yield values[start:start + self._settings.batch_size]
      return
    pixels = [image_files.pixels_of(data) for data in values]
    most = _IMAGES_OF_MOST_PIXELS * self._settings.max_pixels
    if len(pixels) > 1 and sum(pixels) > most:
      raise RequestError(
          400, f'the images have {sum(pixels):,} pixels together, and {most:,} is the'
          ' limit for a request: send fewer images')
    for places in _parts(pixels, self._settings.batch_size):
      yield list(self._pool.map(
          self._prepared, places, [values[place] for place in places]))

  def _prepared(self, place, data):
    """Returns an image file as the model takes it, unchanged."""
    instance = f'instance {place}'
    try:
      with (_explained(f'{instance}: {_UNREAD} it'),
            self._reader.checked(data) as facts):
        if not data.startswith(_BEGINNINGS):
          raise image_files.RefusedError(
              'only JPEG, PNG, GIF and BMP files are read here')
        if facts.several and data.startswith(_GIF):
          # The decoder needs memory for the pixels of all frames, before it drops them.
          raise image_files.RefusedError(
              'it is a GIF of several frames: send a file of one frame')
        return self._model.prepare(data)
    except image_files.RefusedError as error:
      raise RequestError(400, f'{instance}: {error}') from error

  def __enter__(self):
    return self

  def __exit__(self, *unused):
    self._pool.shutdown(wait=False, cancel_futures=True)
    if self._calls:
      self._calls.close()


def _parts(pixels, most):
  """Yields ranges of images: up to `most` of them, and not too many pixels."""
  start, together = 0, 0
  for place, count in enumerate(pixels):
    if place > start and (
        place - start == most or together + count > _PIXELS_OF_A_BATCH):
      yield range(start, place)
      start, together = place, 0
    together += count
  yield range(start, len(pixels))


@contextlib.contextmanager
def _explained(unread):
  """Turns errors of TensorFlow into refusals: of files, and for want of memory.

  Args:
    unread: the line on a file that is not decoded; None: no file is decoded here.
  """
  try:
    yield
  except Exception as error:
    if unread and isinstance(error, tf.errors.InvalidArgumentError):
      raise RequestError(400, unread) from error
    if diagnostics.explain_memory_error(error) is None:
      raise
    raise RequestError(
        503, 'the memory of the server is too small for the request: send fewer'
        ' or smaller images',
        {'Retry-After': '1'}) from error
