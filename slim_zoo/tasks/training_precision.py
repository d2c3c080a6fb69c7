"""Chooses the number type of a training run.

For bfloat16 on a CPU, TensorFlow rewrites the graph: an option of the session. For
float16, and for both types on a GPU, the graph contains casts. With float16 the loss is
scaled.
"""

import contextlib
import dataclasses

from slim_zoo.config.precision import Precision
from slim_zoo.deployment import (
    computation,
    graph_rewrite,
    precision_hint,
    precision_trial,
    session_configs,
    session_settings,
)
from slim_zoo.deployment.session_settings import SessionSettings
from slim_zoo.files.user_cache import UserCache
from slim_zoo.input import pipeline
from slim_zoo.tf_compat import tf
from slim_zoo.training.graph import TrainingGraph


@dataclasses.dataclass(frozen=True)
class TrainingPrecision:
  """The types of a run.

  Attributes:
    dtype: of the products: 'float32', 'bfloat16' or 'float16'.
    casts: of the casts in the graph; 'float32': there are none.
    notes: lines for the user.
    choice: what auto decided, in words; None without auto.
  """

  dtype: str
  casts: str = graph_rewrite.FLOAT32
  notes: tuple[str, ...] = ()
  choice: str | None = None

  @property
  def rewrite(self) -> str:
    """The type that sessions rewrite the graph to; 'float32': they do not."""
    return self.dtype if self.casts == graph_rewrite.FLOAT32 else graph_rewrite.FLOAT32

  def facts(self) -> dict[str, str]:
    """Returns the entries of the run card."""
    return {'precision': self.dtype,
            **({'chosen_by': self.choice} if self.choice else {})}


def plan(precision: Precision, device: str = '', is_here: bool = True,
         refuses_slow: bool = True) -> TrainingPrecision:
  """Returns the types of a run, before its graph is built; for auto float32.

  Args:
    precision: the options.
    device: of the first clone; '' for TensorFlow's choice.
    is_here: whether this process computes; only then the device is tried.
    refuses_slow: whether a type that is far slower than float32 is refused.

  Raises:
    UserError: the device cannot compute in the type, or is far slower.
  """
  dtype = precision.dtype
  if dtype == graph_rewrite.FLOAT32:
    return TrainingPrecision(dtype)
  is_rewritten = dtype == graph_rewrite.BFLOAT16 and not graph_rewrite.is_on_gpu(device)
  notes = []
  if is_here:
    computation.check_dtype(tf.as_dtype(dtype), device)
    if is_rewritten:
      graph_rewrite.check(dtype, device)
    note = computation.check_speed(tf.as_dtype(dtype), device, refuses_slow)
    notes = [note] if note else []
  return TrainingPrecision(
      dtype, graph_rewrite.FLOAT32 if is_rewritten else dtype, tuple(notes))


def choose(planned: TrainingPrecision, precision: Precision, graph: TrainingGraph,
           images: pipeline.Input, device: str = '', num_cpus: int = 1,
           is_hinted: bool = False,
           settings: SessionSettings = session_settings.DEFAULTS,
           is_quantized: bool = False) -> TrainingPrecision:
  """Returns the types of a run whose graph is built; with auto, times it.

  Args:
    planned: of `plan`.
    precision: the options.
    graph: built in the default graph.
    images: its input.
    device: of the first clone; '' for TensorFlow's choice.
    num_cpus: logical devices that the CPU is divided into.
    is_hinted: whether to say that bfloat16 would be faster than float32.
    settings: of the sessions: memory of GPUs, threads.
    is_quantized: whether the network rounds its values to 8 bits.
  """
  if precision.wanted != precision_trial.AUTO:
    return _with_hint(planned, graph, device, settings) if is_hinted else planned
  cache = UserCache(precision_trial.FILE)
  choice = (precision_trial.OF_QUANTIZED if is_quantized
            else precision_trial.without_trial(device=device))
  if choice is None:
    key = key_of(graph, settings)
    choice = precision_trial.find(key, cache)
  if choice is None:
    print('timing steps in float32 and bfloat16', flush=True)
    start = images.make_noise()
    try:
      choice = precision_trial.choose(
          key, lambda dtype: _open_steps(graph, start, dtype, num_cpus, settings),
          cache)
    except tf.errors.OpError as error:
      choice = precision_trial.Choice(
          graph_rewrite.FLOAT32, reason='because a step on images of noise failed:'
          f' {error.message.strip().splitlines()[-1]}')
  return dataclasses.replace(
      planned, dtype=choice.dtype, choice=choice.line(),
      notes=(*planned.notes, *cache.take_notes(), choice.line()))


def _with_hint(planned, graph, device, settings):
  line = precision_hint.line(
      key_of(graph, settings), UserCache(precision_trial.FILE), device)
  return dataclasses.replace(planned, notes=(*planned.notes, *([line] if line else [])))


def key_of(graph: TrainingGraph,
           settings: SessionSettings = session_settings.DEFAULTS) -> str:
  """Returns the key of a step, see `precision_trial.key_of`."""
  images = graph.batches[0].images
  return precision_trial.key_of(
      images.graph, images.shape.as_list(), f'{len(graph.batches)} clones, step',
      settings)


@contextlib.contextmanager
def _open_steps(graph, start, dtype, num_cpus, settings):
  """Yields a function that trains a step, in a session with its own variables."""
  config = graph_rewrite.set_precision(
      session_configs.session_config(settings, num_cpus=num_cpus), dtype)
  with tf.Session(config=config) as session:
    session.run([variable.initializer for variable in (
        *tf.global_variables(), *tf.local_variables())])
    session.run([start, *tf.get_collection(tf.GraphKeys.TABLE_INITIALIZERS)])
    yield session.make_callable(graph.train_op)
