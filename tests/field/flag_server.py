"""Runs scripts in forks as `script_server.py` does, up to the import of TensorFlow.

A script checks its flags before it imports TensorFlow, which takes seconds. Here the
import ends the process with the exit code `REACHED`: the flags were accepted.
"""

import importlib.abc
import pathlib
import sys

REACHED = 77
# TensorFlow itself, what imports it, and what downloads or starts processes.
_HEAVY = {'tensorflow', 'tf_keras', 'tf_slim', 'tensorflow_datasets',
          'sklearn', 'torch', 'timm', 'onnxruntime', 'onnx', 'matplotlib',
          'benchmarks'}
_HEAVY_PARTS = {'urllib.request', 'slim_zoo.tf_compat', 'slim_zoo.files.downloads'}


class _EndAtHeavyImports(importlib.abc.MetaPathFinder):

  def find_spec(self, fullname, path, target=None):
    if fullname.partition('.')[0] in _HEAVY or fullname in _HEAVY_PARTS:
      raise SystemExit(REACHED)


if __name__ == '__main__':
  root = pathlib.Path(__file__).resolve().parents[2]
  sys.path.insert(0, str(root))
  import numpy  # noqa: F401
  import PIL.Image  # noqa: F401

  from slim_zoo import diagnostics  # noqa: F401
  from slim_zoo.commands import option_flags  # noqa: F401
  from tests import script_server
  sys.meta_path.insert(0, _EndAtHeavyImports())
  script_server.serve()
