"""Runs many exports in one process, with the code that runs one in a check.

Reads from its input a JSON list of [kind, path, inputs, outputs], the arguments of
`slim_zoo/exporting/exported_runtime.py`.
"""

import importlib.util
import json
import pathlib
import sys

_RUNTIME = pathlib.Path(__file__).parents[1] / 'slim_zoo/exporting/exported_runtime.py'


def main():
  """Runs them."""
  spec = importlib.util.spec_from_file_location('exported_runtime', _RUNTIME)
  runtime = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(runtime)
  for request in json.load(sys.stdin):
    runtime.main(*request)


if __name__ == '__main__':
  main()
