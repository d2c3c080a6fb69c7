"""Runs a frozen graph in one number type, or in the type that auto chooses."""

import contextlib
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from slim_zoo.deployment import (
    graph_rewrite,
    precision_hint,
    precision_trial,
    session_settings,
)
from slim_zoo.deployment.session_settings import SessionSettings
from slim_zoo.files.user_cache import UserCache
from slim_zoo.inference.precision_check import IMAGES, PrecisionCheck
from slim_zoo.prediction import answers
from slim_zoo.tf_compat import tf

_PROBABILITIES = 'probabilities'


class PreciseModel:
  """Runs tensors of a frozen graph for batches of images.

  With auto, the first batch decides which type is faster. If it is bfloat16, the first
  images are computed in both types, and have the answers of float32.

  Args:
    images: float32 [batch, height, width, channels], a placeholder.
    fetches: tensors by name; 'probabilities' are float32 [batch, classes].
    precision: 'float32', 'bfloat16', 'float16', or 'auto'.
    multi_label: whether an image may have several classes, or none.
    is_hinted: whether to say that bfloat16 would be faster than float32.
    settings: of the sessions: memory of GPUs, threads.

  Raises:
    UserError: this machine does not compute finished networks in the type.
  """

  def __init__(self, images: tf.Tensor, fetches: Mapping[str, tf.Tensor],
               precision: str = graph_rewrite.FLOAT32, multi_label: bool = False,
               is_hinted: bool = False,
               settings: SessionSettings = session_settings.DEFAULTS):
    self._images, self._fetches, self._settings = images, dict(fetches), settings
    self._sessions, self._check = {}, PrecisionCheck(multi_label)
    self._dtype, self._is_hinted = None, is_hinted
    if precision != precision_trial.AUTO:
      graph_rewrite.check(precision)
      self._use(precision)

  def run(self, images: np.ndarray, names: Collection[str] | None = None,
          others: Mapping[tf.Tensor, Any] | None = None) -> dict[str, Any]:
    """Returns the values of the tensors for a batch, by name.

    Args:
      images: float32 [batch, height, width, channels].
      names: of the tensors, with 'probabilities'; None: all.
      others: values of other placeholders.
    """
    if self._dtype is None:
      self._choose(images)
    if self._is_hinted:
      self._hint(images)
    if self._dtype == graph_rewrite.FLOAT32 or self._check is None:
      return self._values(self._dtype, images, names, others)
    usual = self._values(graph_rewrite.FLOAT32, images, names, others)
    reduced = self._values(self._dtype, images, names, others)
    self._check.add(usual[_PROBABILITIES], reduced[_PROBABILITIES])
    if self._check.is_done:
      fault = self._check.fault()
      if fault:
        answers.note(f'--precision=auto: float32, {fault}')
      self._use(graph_rewrite.FLOAT32 if fault else self._dtype)
    return usual

  def close(self) -> None:
    """Frees the memory."""
    while self._sessions:
      self._sessions.popitem()[1].close()

  def _use(self, dtype):
    """Computes in a type from now on, without a comparison."""
    self._dtype, self._check = dtype, None
    for other in set(self._sessions) - {dtype}:
      self._sessions.pop(other).close()

  def _values(self, dtype, images, names=None, others=None):
    if dtype not in self._sessions:
      self._sessions[dtype] = tf.Session(
          graph=self._images.graph,
          config=graph_rewrite.frozen_config(self._settings, dtype))
    fetches = {name: self._fetches[name] for name in names or self._fetches}
    return self._sessions[dtype].run(fetches, {self._images: images, **(others or {})})

  def _key(self, images):
    return precision_trial.key_of(
        self._images.graph, images.shape, 'frozen', self._settings)

  def _hint(self, images):
    self._is_hinted = False
    line = precision_hint.line(self._key(images), UserCache(precision_trial.FILE))
    if line:
      answers.note(line)

  def _choose(self, images):
    choice = precision_trial.without_trial()
    if choice is None:
      cache = UserCache(precision_trial.FILE)

      @contextlib.contextmanager
      def open_run(dtype):
        yield lambda: self._values(dtype, images)

      choice = precision_trial.choose(self._key(images), open_run, cache)
      for note in cache.take_notes():
        answers.note(note)
    self._dtype = choice.dtype
    if choice.dtype == graph_rewrite.FLOAT32:
      answers.note(choice.line())
      self._use(choice.dtype)
    else:
      answers.note(f'{choice.line()}; the first {IMAGES} images, in whole batches, are'
                   ' computed in both types and have the answers of float32')
