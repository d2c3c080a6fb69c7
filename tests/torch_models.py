"""Exports to PyTorch in tests: run by PyTorch, and looked at without it."""

import functools
import os
import subprocess
import sys
import types

import numpy as np

from slim_zoo.exporting import to_torch
from slim_zoo.exporting.torch_source import helpers
from tests.conftest import ROOT

PYTHON = os.environ.get('PYTORCH_PYTHON', sys.executable)
NO_TORCH = ('needs torch and safetensors: pip install "torch>=2,<3" safetensors, or'
            ' name another interpreter in PYTORCH_PYTHON')


@functools.cache
def has_torch() -> bool:
  """Returns whether there is an interpreter with PyTorch."""
  return not subprocess.run(
      [PYTHON, '-c', 'import safetensors, torch'], capture_output=True,
      check=False).returncode


def write(folder, images, logits):
  """Writes the source and the weights of a graph whose images are not scaled."""
  source = to_torch.translated(images, logits, 'layers')
  folder.mkdir(parents=True)
  channels = images.shape[-1]
  (folder / to_torch.SOURCE).write_text(helpers.assembled(
      source, title='layers', version='', activation='softmax(1)',
      channels=channels, size=9, weights=to_torch.WEIGHTS, colours='',
      scaled=helpers.scaled('vgg', channels, [0] * channels)))
  with open(folder / to_torch.WEIGHTS, 'wb') as file:
    to_torch.write_weights(file, source, {'labels': '[]'})


def run(folder):
  """Runs the model in each folder of `folder` on its images.npy, in one process.

  Returns:
    The logits by the names of the folders.
  """
  done = subprocess.run([PYTHON, str(ROOT / 'tests' / 'torch_runner.py'), str(folder)],
                        capture_output=True, text=True, check=False)
  assert done.returncode == 0, done.stderr
  with np.load(folder / 'logits.npz') as logits:
    return dict(logits)


# --- Without PyTorch: the names and shapes of a network's tensors.


class _Module:
  """Knows its tensors, like nn.Module."""

  def named(self, prefix=''):
    found = dict(self.__dict__.get('tensors', {}))
    for name, value in self.__dict__.items():
      if isinstance(value, _Module):
        found.update({f'{name}.{inner}'.removesuffix('.'): shape
                      for inner, shape in value.named().items()})
    return {prefix + name: shape for name, shape in found.items()}


class _Convolution(_Module):
  def __init__(self, inputs, outputs, kernel_size, stride=1, padding=0, dilation=1,
               groups=1, bias=True):
    window = kernel_size if isinstance(kernel_size, tuple) else (kernel_size,) * 2
    self.tensors = {'weight': (outputs, inputs // groups, *window)}
    if bias:
      self.tensors['bias'] = (outputs,)


class _Product(_Module):
  def __init__(self, inputs, outputs, bias=True):
    self.tensors = {'weight': (outputs, inputs)}
    if bias:
      self.tensors['bias'] = (outputs,)


class _BatchNorm(_Module):
  def __init__(self, inputs, eps=1e-5):
    self.tensors = {**dict.fromkeys(
        ['weight', 'bias', 'running_mean', 'running_var'], (inputs,)),
        'num_batches_tracked': ()}


class _Sequential(_Module):
  def __init__(self, parts):
    self.__dict__.update(parts)


class _Parameter(_Module):
  def __init__(self, shape):
    self.tensors = {'': shape}


def names(folder):
  """Returns the shapes of the tensors that the source in a folder has, by name."""
  torch = types.ModuleType('torch')
  torch.nn = types.ModuleType('torch.nn')
  torch.nn.functional = types.ModuleType('torch.nn.functional')
  for name, kind in {
      'Module': _Module, 'Conv2d': _Convolution, 'Linear': _Product,
      'BatchNorm2d': _BatchNorm, 'Sequential': _Sequential,
      'Parameter': _Parameter}.items():
    setattr(torch.nn, name, kind)
  torch.zeros = lambda shape: shape
  safetensors = types.ModuleType('safetensors')
  safetensors.safe_open = None
  safetensors.torch = types.ModuleType('safetensors.torch')
  safetensors.torch.load_file = None
  modules = {'torch': torch, 'torch.nn': torch.nn, 'safetensors': safetensors,
             'torch.nn.functional': torch.nn.functional,
             'safetensors.torch': safetensors.torch}
  before = {name: sys.modules.get(name) for name in modules}
  sys.modules.update(modules)
  path = folder / to_torch.SOURCE
  space = {'__file__': str(path)}
  try:
    exec(compile(path.read_text(), str(path), 'exec'), space)
  finally:
    for name, module in before.items():
      if module is None:
        del sys.modules[name]
      else:
        sys.modules[name] = module
  network = next(kind for kind in space.values() if isinstance(kind, type)
                 and kind.__doc__ == 'The network.')
  return network().named()
