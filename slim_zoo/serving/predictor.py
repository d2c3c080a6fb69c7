"""Computes the predictions of a model in batches; several threads may use it."""

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

# The first bytes of the files that TensorFlow's decoder reads: JPEG, PNG, GIF, BMP.
_GIF = b'GIF8'
_FIRST_BYTES = (b'\xff\xd8\xff', b'\x89PNG\r\n\x1a\n', _GIF, b'BM')
# The pixels of all images of a request, in multiples of the limit for one image.
_REQUEST_TO_IMAGE_PIXELS = 4
# The pixels of a batch of files: an export decodes the whole batch at the same time.
_MAX_BATCH_PIXELS = 100_000_000
_OUTPUTS = ('probabilities', 'classes', 'labels')
_NOT_DECODED = "TensorFlow's decoder does not read"


@dataclasses.dataclass(frozen=True)
class Settings:
  """Settings of a predictor.

  Attributes:
    batch_size: largest number of images in a batch.
    num_threads: number of files that are decoded and preprocessed at the same time.
    max_pixels: largest number of pixels of an image.
  """

  batch_size: int = 32
  num_threads: int = 4
  max_pixels: int = image_check.MAX_PIXELS


class Predictor:
  """Predicts the classes of images. It is a context manager.

  One batch is computed at a time, because TensorFlow uses all cores for it.

  Args:
    model: the model.
    class_names: names of its classes.
    signatures: signatures of the model, closed with the predictor; None for
      segmentation networks, which have no signatures here.
    settings: settings of the predictor.

  Attributes:
    class_names: names of the classes as printable text.
    signatures: signatures by name.
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
      RequestError: 400, the file is not an image, damaged or too large; 503, there is
        too little memory.
    """
    not_decoded = f'{_NOT_DECODED} the image'
    try:
      with _explained(not_decoded), self._reader.of_bytes(data) as file:
        prepared, change = self._model.prepare(file.data), file.change
    except image_files.RefusedError as error:
      raise RequestError(400, str(error)) from error
    with _explained(not_decoded), self._computing:
      predictions = self._model.predict([prepared])
    classifier.check_finite(predictions.probabilities)
    return classifier.answer_at(
        classifier.Answer('', change=change), predictions, 0)

  def answers(self, name: str, values: list[bytes] | np.ndarray
              ) -> dict[str, list[Any]]:
    """Returns the outputs of a signature by name, a list for the images each.

    Args:
      name: name of the signature.
      values: image files, decoded without changes such as EXIF orientation; or numbers
        of the signature's type.

    Raises:
      RequestError: 400, an image cannot be read, or the network gives no finite
        probabilities for the numbers; 503, there is too little memory.
    """
    probabilities, signature = [], self.signatures[name]
    # Numbers have the shape of the signature, so an error is a fault of the server.
    not_decoded = (
        f'{_NOT_DECODED} an image of the request' if signature.is_of_files else None)
    for batch in self._batches(signature, values):
      with _explained(not_decoded), self._computing:
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
    limit = _REQUEST_TO_IMAGE_PIXELS * self._settings.max_pixels
    if len(pixels) > 1 and sum(pixels) > limit:
      raise RequestError(
          400, f'the images have {sum(pixels):,} pixels together, the limit for all'
          f' images of a request is {limit:,} pixels: send fewer images')
    for places in _parts(pixels, self._settings.batch_size):
      yield list(self._pool.map(
          self._prepared, places, [values[place] for place in places]))

  def _prepared(self, place, data):
    """Returns the input of the model for an image file."""
    instance = f'instance {place}'
    try:
      with (_explained(f'{instance}: {_NOT_DECODED} it'),
            self._reader.checked(data) as facts):
        if not data.startswith(_FIRST_BYTES):
          raise image_files.RefusedError(
              'expected a JPEG, PNG, GIF or BMP file')
        if facts.several and data.startswith(_GIF):
          # The decoder needs memory for the pixels of all frames.
          raise image_files.RefusedError(
              'it is a GIF with several frames: send a file with one frame')
        return self._model.prepare(data)
    except image_files.RefusedError as error:
      raise RequestError(400, f'{instance}: {error}') from error

  def __enter__(self):
    return self

  def __exit__(self, *unused):
    self._pool.shutdown(wait=False, cancel_futures=True)
    if self._calls:
      self._calls.close()


def _parts(pixels, max_images):
  """Yields ranges of images, with limits on their number and on their pixels."""
  start, together = 0, 0
  for place, count in enumerate(pixels):
    if place > start and (
        place - start == max_images or together + count > _MAX_BATCH_PIXELS):
      yield range(start, place)
      start, together = place, 0
    together += count
  yield range(start, len(pixels))


@contextlib.contextmanager
def _explained(not_decoded):
  """Converts errors of TensorFlow about files and memory to RequestError.

  Args:
    not_decoded: the message for a file that is not decoded; None: the block decodes no
      file.
  """
  try:
    yield
  except Exception as error:
    if not_decoded and isinstance(error, tf.errors.InvalidArgumentError):
      raise RequestError(400, not_decoded) from error
    if diagnostics.explain_memory_error(error) is None:
      raise
    raise RequestError(
        503, 'the server has too little memory for the request: send fewer or smaller'
        ' images',
        {'Retry-After': '1'}) from error
