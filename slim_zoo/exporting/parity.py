"""Comparison of an export with its checkpoint on real images."""

import dataclasses
import os
import tempfile
from collections.abc import Sequence

import numpy as np

from slim_zoo import diagnostics
from slim_zoo.checkpoints import quantization, restore
from slim_zoo.checkpoints.trained_network import TrainedNetwork
from slim_zoo.exporting import exported_runtime, pixel_graph, runtime_process
from slim_zoo.exporting.formats import Tolerance
from slim_zoo.inference import freezing
from slim_zoo.nets import nets_factory
from slim_zoo.tf_compat import slim, tf

_RUNTIME = os.path.abspath(exported_runtime.__file__)
# Smaller probabilities are all the same to the comparison.
_LEAST_OF_SOFTMAX, _LEAST_OF_SIGMOID = 1e-30, 1e-5
# Of the spread over the classes, and at all.
_LEAST_SPREAD, _TINY = 0.05, 1e-6


@dataclasses.dataclass(frozen=True)
class Reference:
  """The answers of the checkpoint, from a graph with variables and nothing folded.

  Attributes:
    inputs: what `exported_runtime.py` takes.
    of_files: probabilities, float32 [images, classes].
    of_pixels: the same of the images' rounded pixels.
    classes: the right class of each image, int64 [images], -1 where it is not known;
      None where no image's is.
    multi_label: whether each class has a probability of its own.
  """

  inputs: dict[str, np.ndarray]
  of_files: np.ndarray
  of_pixels: np.ndarray
  classes: np.ndarray | None = None
  multi_label: bool = False

  def of(self, name: str) -> np.ndarray:
    """Returns the probabilities that those asked of `name` are compared with."""
    return (self.of_files if name in ('serving_default', 'preprocessed')
            else self.of_pixels)


@dataclasses.dataclass(frozen=True)
class Answers:
  """The answers of an export.

  Attributes:
    probabilities: float32 [images, classes].
    unrounded: the same before they are rounded to 8 bits; None for other exports.
  """

  probabilities: np.ndarray
  unrounded: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Parity:
  """How an export compares; see `compare`.

  Attributes:
    name: a signature, or the input.
    difference: of the scores of the class that is farthest off, as a share of the
      spread of all scores.
    agreement: the share of images with the same most probable class.
    agreement_but_for_ties: the same, with near ties counted as the same class.
    num_images: how many images were compared.
    tolerance: of the comparison.
    top_1: the shares of images whose most probable class is right, of the checkpoint
      and of the export; None where the right classes are not known.
    num_known: how many images `top_1` counts.
  """

  name: str
  difference: float
  agreement: float
  agreement_but_for_ties: float
  num_images: int
  tolerance: Tolerance
  top_1: tuple[float, float] | None = None
  num_known: int = 0

  @property
  def passed(self) -> bool:
    """Whether the export is within the tolerance."""
    return (self.difference <= self.tolerance.difference
            and self.agreement_but_for_ties >= self.tolerance.agreement)

  def __str__(self):
    return (f'{self.name}: scores differ by {self.difference:.2g} of their spread'
            f' (at most {self.tolerance.difference:g}), top-1 agreement'
            f' {self.agreement_but_for_ties:.1%} of {self.num_images} images'
            f' (at least {self.tolerance.agreement:.0%})'
            + self._ties() + self._top_1())

  def _ties(self):
    if self.agreement == self.agreement_but_for_ties:
      return ''
    return f', {self.agreement:.1%} without near ties'

  def _top_1(self):
    if self.top_1 is None:
      return ''
    before, after = self.top_1
    lost = 100 * (before - after)
    change = 'equal' if not lost else (
        f'{abs(lost):.1f} points {"lost" if lost > 0 else "more"}')
    return f', top-1 {before:.1%} to {after:.1%} of {self.num_known}: {change}'


def reference(trained: TrainedNetwork, files: Sequence[bytes],
              classes: Sequence[int] | None = None) -> Reference:
  """Returns the answers of the checkpoint for images.

  Args:
    trained: the network to export.
    files: JPEG or PNG files.
    classes: the right class of each, -1 where it is not known.

  Raises:
    UserError: one cannot be decoded, or the checkpoint cannot be read.
  """
  size, channels = trained.image_size, trained.channels
  images = read_pixels(trained, files)
  with tf.Graph().as_default() as graph:
    data = tf.placeholder(tf.string, [None])
    prepared = pixel_graph.prepared(data, trained)
    pixels = tf.placeholder(tf.uint8, [None, size, size, channels])
    scaled = pixel_graph.scaled(pixels, trained)
    inputs = tf.placeholder(tf.float32, [None, size, size, channels])
    logits, _ = nets_factory.get_network_fn(
        trained.model_name, len(trained.class_names),
        **quantization.network_options(trained.quantized))(inputs)
    probabilities = (tf.nn.sigmoid if trained.multi_label else tf.nn.softmax)(logits)
    with tf.Session() as session:
      _restorer(graph, logits, trained)(session)
      run = lambda images: session.run(probabilities, {inputs: images})
      preprocessed = session.run(prepared, {data: list(files)})
      return Reference(
          {'encoded': np.frombuffer(b''.join(files), np.uint8),
           'lengths': np.array([len(file) for file in files]), 'pixels': images,
           'preprocessed': preprocessed},
          run(preprocessed), run(session.run(scaled, {pixels: images})),
          None if classes is None else np.asarray(classes), trained.multi_label)


def read_pixels(trained: TrainedNetwork, files: Sequence[bytes]) -> np.ndarray:
  """Returns the pixels of images, uint8 [images, height, width, channels].

  Raises:
    UserError: one cannot be decoded.
  """
  with tf.Graph().as_default(), tf.Session() as session:
    data = tf.placeholder(tf.string, [])
    fetch = session.make_callable(pixel_graph.cropped(data, trained), [data])
    images = []
    for number, file in enumerate(files):
      try:
        images.append(fetch(file))
      except tf.errors.OpError as error:
        raise diagnostics.UserError(
            f'image {number} of those to check with cannot be decoded:'
            f' {restore.first_line(error)}') from error
    return np.stack(images)


def _restorer(graph, logits, trained):
  """Returns the function that restores the variables of the logits in a session."""
  needed = set(freezing.needed_variables(graph, [logits.op.name]))
  variables = slim.get_model_variables()
  by_name = {variable.op.name: variable for variable in variables}
  if trained.moving_averages:
    by_name = restore.averages_by_name(variables)
  plan = restore.plan_restore(trained.checkpoint, {
      name: variable for name, variable in by_name.items()
      if variable.op.name in needed})
  plan.check_complete()
  return restore.restore_fn(plan)


def run(kind: str, path: str, inputs: dict[str, np.ndarray], python: str = ''
        ) -> dict[str, Answers]:
  """Returns the answers of an export, by signature, in a new process of its runtime.

  Args:
    kind: of `formats.FORMATS`.
    path: of the export.
    inputs: what `exported_runtime.py` takes.
    python: the interpreter that has the runtime; '' is this one.

  Raises:
    UserError: it cannot be loaded or run.
  """
  with tempfile.TemporaryDirectory() as folder:
    inputs_path, outputs_path = (
        os.path.join(folder, name) for name in ('in.npz', 'out.npz'))
    np.savez(inputs_path, **inputs)
    runtime_process.run(f'the {kind} export cannot be run', python,
                        [_RUNTIME, kind, path, inputs_path, outputs_path])
    with np.load(outputs_path) as archive:
      outputs = dict(archive)
  return {name: Answers(probabilities, outputs.get(name + exported_runtime.UNROUNDED))
          for name, probabilities in outputs.items()
          if not name.endswith(exported_runtime.UNROUNDED)}


def compare(name: str, probabilities: np.ndarray, expected: np.ndarray,
            tolerance: Tolerance,
            unrounded: np.ndarray | None = None, classes: np.ndarray | None = None,
            multi_label: bool = False) -> Parity:
  """Returns how probabilities compare.

  Each probability stands for a score: the logit, but for a number that all classes of
  an image share. The difference is that of the class that is farthest off, as the root
  of the mean square over the images. It is divided by the spread of the expected
  scores. So what is allowed does not depend on how sure the network is, nor on how
  many classes share the probability.

  Args:
    name: of the signature.
    probabilities: float32 [images, classes], of the export.
    expected: the same, of the checkpoint.
    tolerance: how far they may be off.
    unrounded: the values for the scores, if `probabilities` have 8 bits only.
    classes: the right class of each image, -1 where it is not known.
    multi_label: whether each class has a probability of its own.

  Raises:
    UserError: the shapes differ.
  """
  if probabilities.shape != expected.shape:
    raise diagnostics.UserError(
        f'{name} gives probabilities of shape {list(probabilities.shape)}, the'
        f' checkpoint {list(expected.shape)}')
  scores = _scores(expected, multi_label)
  errors = _scores(
      probabilities if unrounded is None else unrounded, multi_label) - scores
  spread = _spread(scores)
  farthest = np.sqrt(np.square(errors).mean(axis=0)).max()
  # NaN is not a small difference.
  difference = float(np.nan_to_num(farthest / spread, nan=np.inf))
  chosen = scores[np.arange(len(scores)), probabilities.argmax(axis=1)]
  near = scores.max(axis=1) - chosen <= tolerance.difference / 4 * spread
  same = probabilities.argmax(axis=1) == expected.argmax(axis=1)
  top_1, num_known = _top_1(probabilities, expected, classes)
  return Parity(name, difference, float(same.mean()), float((same | near).mean()),
                len(expected), tolerance, top_1, num_known)


def _scores(probabilities, multi_label):
  """Returns logits, float64 [images, classes]; their mean over the classes is 0."""
  probabilities = probabilities.astype(np.float64)
  if multi_label:
    # Past that, float32 knows too little of how near to 1 they are.
    probabilities = np.clip(probabilities, _LEAST_OF_SIGMOID, 1 - _LEAST_OF_SIGMOID)
    return np.log(probabilities) - np.log1p(-probabilities)
  scores = np.log(np.maximum(probabilities, _LEAST_OF_SOFTMAX))
  return scores - scores.mean(axis=1, keepdims=True)


def _spread(scores):
  """Returns how far scores spread over the images, or over the classes if that is far.

  An export that says the same of every image is to be seen, so the spread over the
  images counts. Where that is hardly any, rounding would be as large.
  """
  over_classes = scores.std()
  over_images = over_classes
  if len(scores) > 1:
    over_images = (scores - scores.mean(axis=0)).std()
  return max(over_images, _LEAST_SPREAD * over_classes, _TINY)


def _top_1(probabilities, expected, classes):
  """Returns ((share of the checkpoint, share of the export) or None, images)."""
  known = np.zeros(len(expected), bool) if classes is None else classes >= 0
  if not known.any():
    return None, 0
  right = classes[known]
  return tuple(float((answers[known].argmax(axis=1) == right).mean())
               for answers in (expected, probabilities)), int(known.sum())
