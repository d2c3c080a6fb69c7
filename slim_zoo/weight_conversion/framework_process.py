"""Runs a network of Keras or PyTorch in a separate process.

The process reads a request, a JSON object with

  model, options, classes, size, channels   the network to build; classes may be null
  weights   a file, 'pretrained' for the published weights, or null
  arrays    an .npz of tensors to write into the network, or null
  optional  names of arrays that the network may lack
  save      a file to write, or null
  images    an .npz with float32 images [batch, height, width, channels]
  slim_variant  a change of the network for a second run; '' for none

and writes to `result` an .npz with logits, variant_logits and, if it reads weights,
each tensor under 'w:NAME'. For a file of weights it also has 'absent', the names of
tensors that the file lacks, and 'note', a message about them. Without a model the
process only reads `weights`, and writes a JSON list of the shapes of the tensors. On a
user error the process prints one line and exits with 3.
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
from slim_zoo.weight_conversion import engine, layers, pairs

_RUNNERS = pathlib.Path(__file__).with_name('runners')
_USER_ERROR = 3


@dataclasses.dataclass(frozen=True)
class Outcome:
  """The result of the framework's process.

  Attributes:
    arrays: the network's tensors by name, if weights are read.
    logits: float64 [batch, classes].
    variant_logits: logits of the network with slim's padding and strides, or None.
    absent: names of tensors that the file of weights lacks; their values are random.
    note: a message about them, or ''.
  """

  arrays: dict[str, np.ndarray]
  logits: np.ndarray
  variant_logits: np.ndarray | None
  absent: frozenset[str] = frozenset()
  note: str = ''


def run(pair: pairs.Pair, images: np.ndarray, *, classes: int | None = None,
        weights: str | None = None, tensors: engine.FrameworkTensors | None = None,
        save: str | None = None, python: str = '') -> Outcome:
  """Builds the network in its framework, with weights read or passed, and runs it.

  Args:
    pair: the pair of networks.
    images: float32 [batch, height, width, channels].
    classes: number of classes; None means that of the weights.
    weights: a file, or 'pretrained'.
    tensors: tensors to write into the network, in place of `weights`.
    save: a file to write.
    python: an interpreter that has the framework; '' for this one.

  Raises:
    UserError: the process failed; the message is its last line.
  """
  with tempfile.TemporaryDirectory() as folder:
    path_of = lambda name: os.path.join(folder, name)
    np.savez(path_of('images.npz'), images=images)
    if tensors:
      np.savez(path_of('arrays.npz'), **tensors.arrays)
    request = {
        'model': pair.framework_model, 'options': pair.options, 'classes': classes,
        'size': images.shape[1], 'channels': images.shape[3],
        'weights': weights if weights in (None, 'pretrained') else (
            os.path.abspath(weights)),
        'arrays': path_of('arrays.npz') if tensors else None,
        'optional': tensors.optional if tensors else [],
        'save': os.path.abspath(save) if save else None,
        'images': path_of('images.npz'), 'slim_variant': pair.slim_variant,
        'result': path_of('result.npz')}
    pathlib.Path(path_of('request.json')).write_text(
        json.dumps(request), encoding='utf-8')
    _call(pair.framework, pair.framework_model, python, path_of('request.json'))
    with np.load(path_of('result.npz')) as result:
      return Outcome(
          {name[2:]: result[name] for name in result.files if name.startswith('w:')},
          result['logits'], result['variant_logits'] if pair.slim_variant else None,
          frozenset(result['absent'].tolist()) if 'absent' in result else frozenset(),
          str(result['note']) if 'note' in result else '')


def shapes(framework: layers.Framework, weights: str,
           python: str = '') -> list[tuple[int, ...]]:
  """Returns the shapes of the tensors in a file of weights.

  Args:
    framework: of the file.
    weights: the file.
    python: an interpreter that has the framework; '' for this one.

  Raises:
    UserError: the file cannot be read.
  """
  with tempfile.TemporaryDirectory() as folder:
    request, result = (pathlib.Path(folder, name) for name in (
        'request.json', 'shapes.json'))
    request.write_text(json.dumps({
        'model': None, 'weights': os.path.abspath(weights), 'result': str(result)}),
        encoding='utf-8')
    _call(framework, weights, python, str(request))
    return [tuple(shape) for shape in json.loads(result.read_text(encoding='utf-8'))]


def _call(framework, what, python, request):
  """Runs the framework's runner.

  Args:
    framework: the framework.
    what: the network or the file, for a message.
    python: the interpreter; '' for this one.
    request: the file of the request.

  Raises:
    UserError: it failed; the message has the reason, see
      `diagnostics.why_a_process_failed`.
  """
  runner = str(_RUNNERS / framework.runner)
  try:
    process = subprocess.run([python or sys.executable, runner, request], text=True,
                             capture_output=True, check=False, stdin=subprocess.DEVNULL,
                             # It shares the GPU with this process.
                             env={'TF_FORCE_GPU_ALLOW_GROWTH': 'true', **os.environ})
  except OSError as error:
    raise diagnostics.UserError(
        f"--python='{python}' cannot be run: {error.strerror}") from error
  if process.returncode:
    reason = diagnostics.why_a_process_failed(process.returncode, process.stderr)
    if process.returncode == _USER_ERROR:
      raise diagnostics.UserError(reason)
    raise diagnostics.UserError(f"{framework.title} failed on '{what}': {reason}")
