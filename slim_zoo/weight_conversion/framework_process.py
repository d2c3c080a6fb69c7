"""A process that runs the network of Keras or PyTorch in a conversion.

Its request is a JSON object with

  model, options, classes, size, channels   what to build; classes may be null
  weights   a file to read, 'pretrained' for the published ones, or null
  arrays    an .npz of tensors to write into the network, or null; and
  optional  names of those that the network may lack
  save      a file to write, or null
  images    an .npz with float32 images [batch, height, width, channels]
  variant   what to change for a second run; '' for none

and writes to `result` an .npz with logits, variant_logits and, where it read weights,
every tensor under 'w:NAME'. For a user's mistake it exits with 3 and one line.
"""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

from slim_zoo import diagnostics
from slim_zoo.weight_conversion import engine, pairs

_RUNNERS = pathlib.Path(__file__).with_name('runners')
_MISTAKE = 3


@dataclasses.dataclass(frozen=True)
class Outcome:
  """The result of the other framework.

  Attributes:
    arrays: the network's tensors by name, where weights were read.
    logits: float64 [batch, classes].
    variant_logits: those of the network with slim's padding and strides, or None.
  """

  arrays: dict[str, np.ndarray]
  logits: np.ndarray
  variant_logits: np.ndarray | None


def run(pair: pairs.Pair, images: np.ndarray, *, classes: int | None = None,
        weights: str | None = None, tensors: engine.Foreign | None = None,
        save: str | None = None, python: str = '') -> Outcome:
  """Builds the framework's network, with weights of a file or arrays, and runs it.

  Args:
    pair: of the networks.
    images: float32 [batch, height, width, channels].
    classes: of the network; None: those of the weights.
    weights: a file, or 'pretrained'.
    tensors: to write into the network, in their place.
    save: a file to write.
    python: the interpreter that has the framework; '' for this one.

  Raises:
    UserError: the process failed; the message is its error.
  """
  with tempfile.TemporaryDirectory() as folder:
    place = lambda name: os.path.join(folder, name)
    np.savez(place('images.npz'), images=images)
    if tensors:
      np.savez(place('arrays.npz'), **tensors.arrays)
    request = {
        'model': pair.framework_model, 'options': pair.options, 'classes': classes,
        'size': images.shape[1], 'channels': images.shape[3],
        'weights': weights if weights in (None, 'pretrained') else (
            os.path.abspath(weights)),
        'arrays': place('arrays.npz') if tensors else None,
        'optional': tensors.optional if tensors else [],
        'save': os.path.abspath(save) if save else None,
        'images': place('images.npz'), 'variant': pair.variant,
        'result': place('result.npz')}
    pathlib.Path(place('request.json')).write_text(
        json.dumps(request), encoding='utf-8')
    _call(pair, python, place('request.json'))
    with np.load(place('result.npz')) as result:
      return Outcome(
          {name[2:]: result[name] for name in result.files if name.startswith('w:')},
          result['logits'], result['variant_logits'] if pair.variant else None)


def _call(pair, python, request):
  """Runs the framework's runner.

  Raises:
    UserError: it failed; the message is its error.
  """
  runner = str(_RUNNERS / pair.framework.runner)
  try:
    done = subprocess.run([python or sys.executable, runner, request], text=True,
                          capture_output=True, check=False, stdin=subprocess.DEVNULL)
  except OSError as error:
    raise diagnostics.UserError(
        f"--python='{python}' cannot be run: {error.strerror}") from error
  if done.returncode:
    lines = done.stderr.strip().splitlines() or [f'exit code {done.returncode}']
    if done.returncode == _MISTAKE:
      raise diagnostics.UserError(lines[-1])
    raise diagnostics.UserError(
        f'{pair.framework.title} failed on {pair.framework_model}: {lines[-1]}')
