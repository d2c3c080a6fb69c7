"""OpenVINO IR says what the networks say."""

import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from slim_zoo import diagnostics
from slim_zoo.catalog import networks
from slim_zoo.exporting import (
  formats,
  parity,
  pixel_graph,
  runtime_process,
  to_openvino,
  to_torch,
)
from slim_zoo.inference import inference_graph
from slim_zoo.tf_compat import tf
from tests import evaluated_networks, onnx_models, quantized_networks
from tests.conftest import ROOT

PYTHON = os.environ.get('OPENVINO_PYTHON', '')
# The network families of `export_families_test` are not among them.
FAMILIES = {'mobilenet_v2_035': 32, 'resnet_v2_50': 33}
SMALLEST = {
    name: max(row.sizes.smallest, 32) for name, row in networks.NETWORKS.items()}
CHOSEN = [name for name, row in networks.NETWORKS.items() if not row.frames and (
    name in FAMILIES or evaluated_networks.EVERY_NETWORK in os.environ)]


@pytest.fixture(scope='module')
def installed():
  if subprocess.run([PYTHON or sys.executable, '-c', 'import openvino'],
                    capture_output=True, check=False).returncode:
    pytest.skip('needs openvino: pip install "openvino>=2024.0", or name another'
                ' interpreter in OPENVINO_PYTHON')


def softmax(logits):
  powers = np.exp(logits - logits.max(axis=1, keepdims=True))
  return powers / powers.sum(axis=1, keepdims=True)


@pytest.mark.parametrize('name', CHOSEN)
def test_a_network(name, installed, tmp_path):
  size = FAMILIES.get(name, SMALLEST[name])
  network, trained = onnx_models.network(name, size), onnx_models.trained(name, size)
  to_openvino.write(str(tmp_path / 'model'), trained, network.folded, PYTHON)
  pixels = onnx_models.photos([4, size, size, trained.channels])
  with tf.Graph().as_default(), tf.Session() as session:
    scaled = pixel_graph.scaled(tf.constant(pixels), trained)
    expected = softmax(session.run(network.frozen.attach(scaled)[0]))
  found = parity.run('openvino', str(tmp_path / 'model'), {'pixels': pixels}, PYTHON)
  one = parity.compare('input', found['input'].probabilities, expected,
                       formats.FORMATS['openvino'].tolerance)
  assert one.passed, one
  assert sorted(path.name for path in (tmp_path / 'model').iterdir()) == [
      'model.bin', 'model.xml']
  code = ('import openvino, sys\nmodel = openvino.Core().read_model(sys.argv[1])\n'
          'print(model.get_rt_info(["slim_zoo", "labels"]).astype(str))\n'
          'print(model.input("input:0").get_partial_shape())')
  done = subprocess.run(
      [PYTHON or sys.executable, '-c', code, str(tmp_path / 'model' / 'model.xml')],
      text=True, capture_output=True, check=True, cwd=ROOT)
  labels, shape = done.stdout.splitlines()
  assert json.loads(labels) == list(trained.class_names)
  assert shape.startswith('[?,')


def test_a_quantized_network(installed, tmp_path):
  trained, pixels = quantized_networks.make(tmp_path, 'lenet', 28)
  network = inference_graph.of_network(trained)
  to_openvino.write(str(tmp_path / 'model'), trained, network, PYTHON)
  with tf.Graph().as_default(), tf.Session() as session:
    expected = softmax(session.run(network.attach(
        pixel_graph.scaled(tf.constant(pixels), trained))[0]))
  found = parity.run('openvino', str(tmp_path / 'model'), {'pixels': pixels}, PYTHON)
  one = parity.compare('input', found['input'].probabilities, expected,
                       formats.tolerance_of('openvino', is_quantized=True))
  assert one.passed, one


def test_missing_packages_are_named(monkeypatch):
  monkeypatch.setattr(importlib.util, 'find_spec',
                      lambda name: None if name == 'openvino' else name)
  with pytest.raises(diagnostics.UserError) as raised:
    to_openvino.check_installed('')
  assert 'needs openvino, not installed here: python -m pip' in str(raised.value)
  assert '\n' not in str(raised.value)


@pytest.fixture
def bare_python(tmp_path):
  """An interpreter without packages."""
  path = tmp_path / 'bare_python'
  path.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
  path.chmod(0o755)
  return str(path)


def test_another_interpreter_is_asked_for_its_packages(bare_python):
  with pytest.raises(diagnostics.UserError) as raised:
    to_openvino.check_installed(bare_python)
  assert f"not installed for --python='{bare_python}': {bare_python} -m pip" in (
      str(raised.value))
  assert to_torch.why_not_run(bare_python).startswith(
      f"torch and safetensors and numpy not installed for --python='{bare_python}'")
  assert runtime_process.missing(['json', 'none'], bare_python) == ['none']


@pytest.mark.parametrize(('python', 'words'), [
    ('/no/python', 'cannot be run: No such file'),
    ('/bin/false', 'is not an interpreter of Python')])
def test_what_is_no_interpreter_is_said_before_any_work(python, words):
  for ask in (to_openvino.check_installed, to_torch.why_not_run):
    with pytest.raises(diagnostics.UserError, match=words):
      ask(python)
