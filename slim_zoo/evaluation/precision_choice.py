"""Chooses float32 or bfloat16 for an evaluation, by times and by compared answers."""

import contextlib
import dataclasses

from slim_zoo.deployment import (
    graph_rewrite,
    precision_hint,
    precision_trial,
    session_configs,
    session_settings,
)
from slim_zoo.deployment.precision_trial import Choice
from slim_zoo.deployment.session_settings import SessionSettings
from slim_zoo.files.user_cache import UserCache
from slim_zoo.inference.precision_check import IMAGES, PrecisionCheck
from slim_zoo.input import pipeline
from slim_zoo.tf_compat import tf


@dataclasses.dataclass
class PrecisionChooser:
  """Chooses the type of the sessions of an evaluation.

  Attributes:
    wanted: 'float32', 'bfloat16', 'float16', or 'auto'.
    batch_size: images in a batch.
    multi_label: whether an image may have several classes, or none.
    is_hinted: whether to say, once, that bfloat16 would be faster than float32.
    settings: of the sessions: memory of GPUs, threads.
    cache: of earlier choices.
  """

  wanted: str
  batch_size: int
  multi_label: bool = False
  is_hinted: bool = False
  settings: SessionSettings = session_settings.DEFAULTS
  cache: UserCache = dataclasses.field(
      default_factory=lambda: UserCache(precision_trial.FILE))

  def choose(self, images: pipeline.Input, batch: pipeline.Batch,
             probabilities: tf.Tensor) -> str:
    """Returns the type for a graph; with auto prints what was chosen, and why.

    Args:
      images: the input.
      batch: its batch.
      probabilities: float32 [batch, classes], of the images of the batch.

    Raises:
      UserError: the records cannot be read.
    """
    if self.wanted != precision_trial.AUTO:
      self._hint(batch)
      return self.wanted
    choice = precision_trial.without_trial() or self._measured(
        images, batch, probabilities)
    for note in self.cache.take_notes():
      print(f'note: {note}', flush=True)
    print(choice.line(), flush=True)
    return choice.dtype

  def _hint(self, batch):
    if self.is_hinted:
      self.is_hinted = False
      line = precision_hint.line(self._key(batch), self.cache)
      if line:
        print(f'note: {line}', flush=True)

  def _key(self, batch):
    shape = batch.images.shape.as_list()
    return precision_trial.key_of(
        batch.images.graph, [self.batch_size, *shape[1:]], 'evaluation',
        self.settings)

  def _measured(self, images, batch, probabilities):
    key = self._key(batch)
    stored = precision_trial.find(key, self.cache)
    if stored and stored.dtype == graph_rewrite.FLOAT32:
      return stored
    arrays = _first_batches(images, batch, self.settings)
    if not arrays:
      return Choice(graph_rewrite.FLOAT32, reason='because there is no image to try')
    with contextlib.ExitStack() as stack:
      networks = {}

      @contextlib.contextmanager
      def open_run(dtype):
        networks[dtype] = stack.enter_context(
            _network(batch, probabilities, dtype, self.settings))
        yield lambda: networks[dtype](arrays[0][0])

      choice = precision_trial.choose(key, open_run, self.cache)
      if choice.dtype == graph_rewrite.FLOAT32:
        return choice
      usual, reduced = [
          networks.get(dtype) or stack.enter_context(
              _network(batch, probabilities, dtype, self.settings))
          for dtype in (graph_rewrite.FLOAT32, graph_rewrite.BFLOAT16)]
      check = PrecisionCheck(self.multi_label)
      for values, labels in arrays:
        if not check.is_done:
          check.add(usual(values), reduced(values), labels)
    fault = check.fault()
    return dataclasses.replace(
        choice, dtype=graph_rewrite.FLOAT32, reason=fault) if fault else choice


@contextlib.contextmanager
def _network(batch, probabilities, dtype, settings):
  """Yields a function of images that gives their probabilities."""
  config = graph_rewrite.frozen_config(settings, dtype)
  with tf.Session(graph=probabilities.graph, config=config) as session:
    yield session.make_callable(probabilities, feed_list=[batch.images])


def _first_batches(images, batch, settings):
  """Returns (images, labels) of the first batches; the input starts again later."""
  batches, count = [], 0
  images.log.restart()
  config = session_configs.session_config(settings)
  with tf.Session(graph=batch.images.graph, config=config) as session:
    session.run(images.initializer)
    fetch = session.make_callable([batch.images, batch.labels, batch.numbers])
    while count < IMAGES:
      try:
        values, labels, numbers = fetch()
      except tf.errors.OutOfRangeError:
        break
      except tf.errors.OpError as error:
        raise images.failure(error) or error from error
      images.log.deliver(numbers)
      batches.append((values, labels))
      count += len(values)
  return batches
