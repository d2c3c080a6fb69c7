"""Builds and saves a Keras model, in a process of its own.

  python builder.py REQUEST.json

This program imports nothing of the project: Keras needs TensorFlow's eager mode, which
tf_compat turns off. The request is a JSON object with

  name      of the model
  layers    a list of {kind, name, inputs, config, weights}, see `plan.Layer`; weights
            is the number of arrays, which are in `arrays` under 'NAME:NUMBER'
  output    the name of the layer whose output is that of the model
  arrays    an .npz
  path      the .keras file to write
"""

import json
import os
import sys

import numpy as np


def main(request_path):
  """Runs the request."""
  with open(request_path, encoding='utf-8') as file:
    request = json.load(file)
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
  import keras
  with np.load(request['arrays']) as arrays:
    model = build(keras, request, arrays)
  model.save(request['path'])


def build(keras, request, arrays):
  """Returns the model of a request."""
  # The layers keep it in the file; the user's own setting does not matter then.
  keras.config.set_image_data_format('channels_last')
  values = {}
  for row in request['layers']:
    name, inputs = row['name'], [values[name] for name in row['inputs']]
    kind, config = row['kind'], row['config']
    if kind == 'Input':
      values[name] = keras.Input(name=name, **config)
    elif kind.startswith('ops.'):
      values[name] = getattr(keras.ops, kind.removeprefix('ops.'))(*inputs, **config)
    else:
      layer = getattr(keras.layers, kind)(name=name, **config)
      values[name] = layer(inputs if len(inputs) > 1 else inputs[0])
      if row['weights']:
        layer.set_weights([
            arrays[f'{name}:{number}'] for number in range(row['weights'])])
  images = next(values[row['name']] for row in request['layers']
                if row['kind'] == 'Input')
  return keras.Model(images, values[request['output']], name=request['name'])


if __name__ == '__main__':
  main(sys.argv[1])
