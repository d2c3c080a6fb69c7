"""Writes files of Keras 2 and 3 with a MobileNet in them, and reads each of them again.

  python keras_files_program.py RUNNERS FOLDER

Prints a JSON object: for each file the layers that it lacks, the message about them,
the likely number of classes, and whether all other weights came back.
"""

import json
import os
import sys

os.environ['TF_CPP_MIN_LOG_LEVEL'] = '3'
import h5py
import keras
import numpy as np
import tf_keras

CLASSES, TOPS = 5, ('conv_preds',)
OPTIONS = {'alpha': 0.25, 'input_shape': (32, 32, 3), 'weights': None}


def nested(library, base):
  """Returns a model of transfer learning: the network is one of its layers."""
  inputs = library.Input((32, 32, 3))
  net = base(library.layers.Rescaling(1 / 127.5, -1)(inputs))
  net = library.layers.GlobalAveragePooling2D()(net)
  return library.Model(inputs, library.layers.Dense(CLASSES, name='pets')(
      library.layers.Dropout(0.5)(net)))


def flat(library, base, pool='GlobalAveragePooling2D', hidden=()):
  """Returns a model of the network's own layers, and some behind them."""
  net = getattr(library.layers, pool)()(base.output)
  for units in hidden:
    net = library.layers.Dense(units, activation='relu')(net)
  return library.Model(base.input, library.layers.Dense(CLASSES)(net))


def bases(library):
  """Returns the network without its head, with random statistics of batch norm."""
  base = library.applications.MobileNet(include_top=False, **OPTIONS)
  random = np.random.default_rng(1)
  base.set_weights([random.uniform(0.5, 1.5, value.shape) for value in (
      base.get_weights())])
  return base


def oldest(network):
  """Returns the function that saves a network as Keras 1 named its weights."""
  def save(path):
    with h5py.File(path, 'w') as file:
      for layer in network.layers:
        group, names = file.create_group(layer.name), []
        for number, value in enumerate(layer.get_weights()):
          # Not in the order of the alphabet.
          names.append(f'{layer.name}_{"ZYXW"[number]}:0'.encode())
          group[names[-1].decode()] = value
        group.attrs['weight_names'] = names
  return save


def main(runners, folder):
  """Writes and reads the files."""
  sys.path.insert(0, runners)
  import keras_files
  theirs, ours = bases(tf_keras), bases(keras)
  full = keras.applications.MobileNet(classes=CLASSES, **OPTIONS)
  files = {
      'oldest_no_top.h5': (oldest(theirs), theirs),
      'old_no_top.h5': (theirs.save_weights, theirs),
      'old_nested.h5': (nested(tf_keras, theirs).save, theirs),
      'old_nested.keras': (nested(tf_keras, theirs).save, theirs),
      'old_flat_weights.h5': (flat(tf_keras, theirs).save_weights, theirs),
      'no_top.weights.h5': (ours.save_weights, ours),
      'no_top.keras': (ours.save, ours),
      'full.keras': (full.save, full),
      'nested.keras': (nested(keras, ours).save, ours),
      'nested.h5': (nested(keras, ours).save, ours),
      'nested.weights.h5': (nested(keras, ours).save_weights, ours),
      'flat.keras': (flat(keras, ours).save, ours),
      'hidden.keras': (flat(keras, ours, hidden=[7]).save, ours),
      'largest.keras': (flat(keras, ours, 'GlobalMaxPooling2D').save, ours),
  }
  results = {}
  for name, (save, network) in files.items():
    path = os.path.join(folder, name)
    save(path)
    stored = keras_files.read(path)
    model = keras.applications.MobileNet(classes=CLASSES, **OPTIONS)
    absent, note = keras_files.fill(model, TOPS, stored)
    results[name] = {
        'absent': absent, 'note': note,
        'classes': keras_files.classes(stored, TOPS[-1], 10),
        'same': all(np.array_equal(one, other)
                    for layer in network.layers if layer.weights
                    for one, other in zip(
                        layer.get_weights(), model.get_layer(layer.name).get_weights(),
                        strict=True))}
  other = keras.applications.MobileNet(classes=CLASSES, **OPTIONS | {'alpha': 0.5})
  try:
    keras_files.fill(other, TOPS, keras_files.read(os.path.join(folder, 'nested.h5')))
  except ValueError as error:
    results['another width'] = str(error)
  half = os.path.join(folder, 'half.h5')
  with open(os.path.join(folder, 'nested.h5'), 'rb') as whole, open(half, 'wb') as file:
    file.write(whole.read(os.path.getsize(whole.name) // 2))
  try:
    keras_files.read(half)
  except ValueError as error:
    results['half a file'] = str(error)
  print(json.dumps(results))


if __name__ == '__main__':
  main(*sys.argv[1:])
