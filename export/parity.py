"""What an export says of real images, beside what the checkpoint says of them."""

import dataclasses
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence

import numpy as np

import diagnostics
from checkpoints import restore
from export import freezing, pixels
from export.formats import Tolerance
from export.recipe import Recipe
from nets import nets_factory
from tf_compat import slim, tf

_RUNTIME = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                        'exported_runtime.py')


@dataclasses.dataclass(frozen=True)
class Reference:
  """What the checkpoint says, by a graph with variables and nothing folded.

  Attributes:
    inputs: what `exported_runtime.py` takes.
    of_files: probabilities, float32 [images, classes].
    of_pixels: the same of the images' rounded pixels.
  """

  inputs: dict[str, np.ndarray]
  of_files: np.ndarray
  of_pixels: np.ndarray

  def of(self, name: str) -> np.ndarray:
    """Returns the probabilities that those asked of `name` are compared with."""
    return (self.of_files if name in ('serving_default', 'preprocessed')
            else self.of_pixels)


@dataclasses.dataclass(frozen=True)
class Parity:
  """How an export compares.

  Attributes:
    name: what was asked: a signature, or the input.
    difference: the largest difference of two probabilities.
    agreement: the share of images with the same likeliest class.
    num_images: how many images were compared.
    tolerance: what was allowed.
    passed: whether it is within.
  """

  name: str
  difference: float
  agreement: float
  num_images: int
  tolerance: Tolerance
  passed: bool

  def __str__(self):
    return (f'{self.name}: largest difference {self.difference:.2g}'
            f' (at most {self.tolerance.difference:g}), top-1 agreement'
            f' {self.agreement:.1%} of {self.num_images} images'
            f' (at least {self.tolerance.agreement:.0%})')


def reference(recipe: Recipe, files: Sequence[bytes]) -> Reference:
  """Returns what the checkpoint says of images.

  Args:
    recipe: what is exported.
    files: JPEG or PNG files.

  Raises:
    UserError: one cannot be decoded, or the checkpoint cannot be read.
  """
  size, channels = recipe.image_size, recipe.channels
  images = read_pixels(recipe, files)
  with tf.Graph().as_default() as graph:
    data = tf.placeholder(tf.string, [None])
    prepared = pixels.prepared(data, recipe)
    given = tf.placeholder(tf.uint8, [None, size, size, channels])
    scaled = pixels.scaled(given, recipe)
    inputs = tf.placeholder(tf.float32, [None, size, size, channels])
    logits, _ = nets_factory.get_network_fn(
        recipe.model_name, len(recipe.labels))(inputs)
    probabilities = (tf.nn.sigmoid if recipe.multi_label else tf.nn.softmax)(logits)
    with tf.Session() as session:
      _restorer(graph, logits, recipe)(session)
      run = lambda images: session.run(probabilities, {inputs: images})
      preprocessed = session.run(prepared, {data: list(files)})
      return Reference(
          {'encoded': np.frombuffer(b''.join(files), np.uint8),
           'lengths': np.array([len(file) for file in files]), 'pixels': images,
           'preprocessed': preprocessed},
          run(preprocessed), run(session.run(scaled, {given: images})))


def read_pixels(recipe: Recipe, files: Sequence[bytes]) -> np.ndarray:
  """Returns the pixels of images, uint8 [images, height, width, channels].

  Raises:
    UserError: one cannot be decoded.
  """
  with tf.Graph().as_default(), tf.Session() as session:
    data = tf.placeholder(tf.string, [])
    fetch = session.make_callable(pixels.cropped(data, recipe), [data])
    found = []
    for number, file in enumerate(files):
      try:
        found.append(fetch(file))
      except tf.errors.OpError as error:
        raise diagnostics.UserError(
            f'image {number} of those to check with cannot be decoded:'
            f' {restore.first_line(error)}') from error
    return np.stack(found)


def _restorer(graph, logits, recipe):
  """Returns what restores, into a session, all that the logits need."""
  needed = set(freezing.needed_variables(graph, [logits.op.name]))
  variables = slim.get_model_variables()
  by_name = {variable.op.name: variable for variable in variables}
  if recipe.moving_averages:
    by_name = tf.train.ExponentialMovingAverage(0.999).variables_to_restore(variables)
  plan = restore.plan_restore(recipe.checkpoint, {
      name: variable for name, variable in by_name.items()
      if variable.op.name in needed})
  plan.check_complete()
  return restore.restore_fn(plan)


def run(kind: str, path: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
  """Returns the probabilities that an export gives in a fresh process of its runtime.

  Raises:
    UserError: it cannot be loaded or run.
  """
  with tempfile.TemporaryDirectory() as folder:
    given, wanted = (os.path.join(folder, name) for name in ('in.npz', 'out.npz'))
    np.savez(given, **inputs)
    done = subprocess.run(
        [sys.executable, _RUNTIME, kind, path, given, wanted], text=True, check=False,
        capture_output=True, env={**os.environ, 'TF_CPP_MIN_LOG_LEVEL': '3'})
    if done.returncode:
      lines = [line for line in done.stderr.splitlines() if line.strip()]
      raise diagnostics.UserError(
          f'the {kind} export cannot be run:'
          f" {lines[-1].strip() if lines else f'exit code {done.returncode}'}")
    with np.load(wanted) as archive:
      return dict(archive)


def compare(name: str, found: np.ndarray, expected: np.ndarray,
            tolerance: Tolerance) -> Parity:
  """Returns how probabilities compare.

  Args:
    name: what was asked.
    found: float32 [images, classes], of the export.
    expected: the same, of the checkpoint.
    tolerance: how far they may be off.
  """
  if found.shape != expected.shape:
    raise diagnostics.UserError(
        f'{name} gives probabilities of shape {list(found.shape)}, the checkpoint'
        f' {list(expected.shape)}')
  # NaN is no small difference.
  difference = float(np.nan_to_num(np.abs(found - expected), nan=np.inf).max())
  rows = np.arange(len(expected))
  chosen = expected[rows, found.argmax(axis=1)]
  near = expected.max(axis=1) - chosen <= tolerance.difference
  same = found.argmax(axis=1) == expected.argmax(axis=1)
  return Parity(name, difference, float(same.mean()), len(expected), tolerance,
                difference <= tolerance.difference
                and float((same | near).mean()) >= tolerance.agreement)
