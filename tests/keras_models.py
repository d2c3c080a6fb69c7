"""Keras models in tests: built and run in one process that has no project in it.

  python keras_models.py BUILDER FOLDER...

Each folder has the request of a model and 'inputs.npy'; the program writes the model,
loads it again, and writes 'outputs.npy': of an image alone and of the others together.
"""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import numpy as np


def outputs_of(plans, inputs, folder):
  """Returns the outputs of Keras models, by name, in a new process.

  Args:
    plans: a `plan.Plan` of each, by name.
    inputs: an array [images, ...] for each.
    folder: for the files; NAME/model.keras are the models.
  """
  from slim_zoo.exporting import to_keras
  from slim_zoo.exporting.keras_model import builder

  folders = {}
  for number, (name, plan) in enumerate(plans.items()):
    folders[name] = pathlib.Path(folder, str(number))
    folders[name].mkdir()
    to_keras.request_of(plan, 'model', str(folders[name]))
    np.save(folders[name] / 'inputs.npy', inputs[name])
  done = subprocess.run(
      [sys.executable, __file__, builder.__file__, *map(str, folders.values())],
      capture_output=True, text=True, check=False, cwd=folder)
  assert done.returncode == 0, done.stderr
  return {name: np.load(path / 'outputs.npy') for name, path in folders.items()}


def _run(builder_path, folders):
  os.environ['TF_CPP_MIN_LOG_LEVEL'] = '3'
  import keras
  spec = importlib.util.spec_from_file_location('builder', builder_path)
  builder = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(builder)
  for folder in folders:
    path = os.path.join(folder, 'model.keras')
    with open(os.path.join(folder, 'request.json'), encoding='utf-8') as file:
      request = json.load(file)
    with np.load(request['arrays']) as arrays:
      builder.build(keras, request, arrays).save(path)
    os.remove(request['arrays'])
    model = keras.models.load_model(path)
    images = np.load(os.path.join(folder, 'inputs.npy')).astype(np.float32)
    np.save(os.path.join(folder, 'outputs.npy'), np.concatenate([
        np.asarray(model(batch, training=False))
        for batch in np.split(images, [1]) if len(batch)]))
  assert not [name for name in sys.modules if name.startswith('slim_zoo')]


if __name__ == '__main__':
  _run(sys.argv[1], sys.argv[2:])
