"""Each kind of network in each format says what its checkpoint says.

The networks have random weights. All exports are written first; then one process of
each interpreter runs all that it has a runtime for.
"""

import dataclasses
import functools
import io
import itertools
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from slim_zoo.checkpoints.trained_network import TrainedNetwork
from slim_zoo.exporting import exporting, formats, parity
from slim_zoo.inference import inference_graph
from tests import evaluated_networks, recipe
from tests.conftest import ROOT
from tests.field.freeze_graph_test import CLASSES, write_checkpoint

# Network, channels, image size, preprocessing: with and without batch norm, branches,
# depthwise and grouped convolutions, squeeze-and-excitation, flattened features.
FAMILIES = {
    'gray, without batch norm': ('lenet', 1, 28, 'lenet'),
    'RGB, each image scaled by itself': ('cifarnet', 3, 32, 'cifarnet'),
    'gray, depthwise': ('mobilenet_v1_025', 1, 33, 'inception'),
    'depthwise, vgg': ('mobilenet_v1_025', 3, 33, 'vgg'),
    'squeeze-and-excitation': ('mobilenet_v3_small', 3, 33, 'inception'),
    'branches': ('inception_v1', 3, 33, 'inception'),
    'grouped': ('se_resnext_50', 3, 33, 'vgg'),
}
# The others have their kinds of layers, too.
ON_DEMAND = ('depthwise, vgg', 'squeeze-and-excitation', 'branches')
if evaluated_networks.EVERY_NETWORK not in os.environ:
  FAMILIES = {name: row for name, row in FAMILIES.items() if name not in ON_DEMAND}
# A network of 50 layers takes most of the time; the checks of the formats
# (`onnx_export_test` and others) have grouped convolutions, too.
DEEP, FORMATS_OF_DEEP = 'grouped', ('tflite', 'onnx')
# 8 bits are off by more than allowed in a network that has learned nothing.
FORMATS = [name for name in formats.FORMATS
           if name not in ('tflite_dynamic_range', 'tflite_int8')]
# Formats whose package may be missing, and the interpreter that has the package.
INTERPRETERS = {'torch': ('PYTORCH_PYTHON', 'torch, safetensors'),
                'openvino': ('OPENVINO_PYTHON', 'openvino')}


def kinds_of(family):
  """Returns the formats that a family is written in, if they have a runtime."""
  chosen = FORMATS
  if family == DEEP and evaluated_networks.EVERY_NETWORK not in os.environ:
    chosen = FORMATS_OF_DEEP
  return list(filter(has_runtime, chosen))


def interpreter(name):
  """Returns the interpreter that runs a format."""
  return os.environ.get(INTERPRETERS.get(name, ('',))[0], sys.executable)


@functools.cache
def has_runtime(name):
  """Returns whether the runtime of a format is installed."""
  return name not in INTERPRETERS or not subprocess.run(
      [interpreter(name), '-c', f'import {INTERPRETERS[name][1]}'],
      capture_output=True, check=False).returncode


def picture(seed, channels):
  """Returns a PNG of 40 x 40."""
  data = io.BytesIO()
  Image.fromarray(recipe.photo(40, 40, channels, seed).squeeze()).save(data, 'PNG')
  return data.getvalue()


@pytest.fixture(scope='module')
def references(tmp_path_factory):
  """Returns the parity.Reference of each family, and writes all exports."""
  folder, found = tmp_path_factory.mktemp('families'), {}
  for number, (family, (name, channels, size, preprocessing)) in enumerate(
      FAMILIES.items()):
    place = folder / str(number)
    place.mkdir()
    trained = TrainedNetwork(
        write_checkpoint(place, name, channels), name, CLASSES, size, channels,
        preprocessing, class_names=tuple(map(str, range(CLASSES))))
    network = inference_graph.of_network(trained)
    for kind in kinds_of(family):
      exporting.export(kind, str(place), trained, network, python=interpreter(kind))
    found[family] = parity.reference(
        trained, [picture(seed, channels) for seed in range(4)])
    np.savez(place / 'inputs.npz', **found[family].inputs)
  return folder, found


@pytest.fixture(scope='module')
def answers(references):
  """Returns probabilities by (family, format, input)."""
  folder, _ = references
  kinds = sorted(filter(has_runtime, FORMATS), key=interpreter)
  written = [(kind, number, family) for kind in kinds for number, family in enumerate(
      FAMILIES) if kind in kinds_of(family)]
  found = {}
  for python, group in itertools.groupby(written, lambda row: interpreter(row[0])):
    requests = [(kind, str(folder / str(number) / formats.FORMATS[kind].file),
                 str(folder / str(number) / 'inputs.npz'),
                 str(folder / str(number) / f'{kind}.npz'))
                for kind, number, _ in group]
    done = subprocess.run(
        [python, str(ROOT / 'tests' / 'exports_runner.py')], text=True, check=False,
        input=json.dumps(requests), capture_output=True)
    assert done.returncode == 0, done.stderr
  for kind, number, family in written:
    with np.load(folder / str(number) / f'{kind}.npz') as outputs:
      found[family, kind] = dict(outputs)
  return found


def tolerance(kind):
  """Returns how far a network that has learned nothing may be off.

  It gives different images nearly the same scores, so rounding is a larger share.
  """
  allowed = formats.FORMATS[kind].tolerance
  return dataclasses.replace(
      allowed, difference=3 * allowed.difference) if kind == 'tflite_float16' else (
          allowed)


@pytest.mark.parametrize('kind', FORMATS)
@pytest.mark.parametrize('family', FAMILIES)
def test_an_export(family, kind, references, answers):
  if not has_runtime(kind):
    variable, packages = INTERPRETERS[kind]
    pytest.skip(f'needs {packages}; {variable} may name another interpreter')
  if kind not in kinds_of(family):
    evaluated_networks.skip_unless_every_network()
  outputs = answers[family, kind]
  assert len(outputs) == (3 if kind == 'saved_model' else 1)
  reference = references[1][family]
  for name, probabilities in outputs.items():
    found = parity.compare(
        name, probabilities, reference.of(name), tolerance(kind))
    assert found.passed, found
