"""Runs a network of keras.applications in a separate process.

  python keras_runner.py REQUEST.json

This is the only program that imports Keras. Keras needs TensorFlow's eager mode, which
tf_compat turns off, so this program imports nothing of the project.
`weight_conversion.framework_process` communicates with it by files and documents the
request.
"""

import json
import os
import sys

import numpy as np

_USER_ERROR = 3  # The exit code for an error message of one line.


def main(path):
  """Runs the request."""
  with open(path, encoding='utf-8') as file:
    request = json.load(file)
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
  try:
    import keras
  except ImportError as error:
    return fail(f'Keras is missing ({error}): python -m pip install "keras>=3,<4"')
  if int(keras.__version__.split('.')[0]) < 3:
    return fail(f'Keras {keras.__version__} is too old, 3 is needed: python -m pip'
                ' install "keras>=3,<4"')
  weights = request['weights']
  pretrained = 'imagenet' if weights == 'pretrained' else None
  try:
    if weights and not pretrained:
      model = load(keras, request)
    else:
      model = build(keras, request, request['classes'] or 1000, pretrained)
  except Exception as error:
    return fail(f"cannot read '{weights}' as {request['model']}:"
                f' {first_line(error)}')
  result = {}
  if request['arrays']:
    problem = assign(model, np.load(request['arrays']), request['optional'])
    if problem:
      return fail(problem)
  else:
    result = {f'w:{name}': weight.numpy() for name, weight in named(model).items()}
  if request['save']:
    save = model.save_weights if request['save'].endswith('.weights.h5') else model.save
    save(request['save'])
  images = np.load(request['images'])['images']
  result['logits'] = logits(keras, model, images)
  if request['slim_variant']:
    result['variant_logits'] = logits(keras, model, images, pools_of_slim=True)
  np.savez(request['result'], **result)
  return 0


def fail(text):
  """Prints an error message; returns the exit code."""
  print(text, file=sys.stderr)
  return _USER_ERROR


def first_line(error):
  """Returns the first line of an error's message."""
  return (str(error).strip().splitlines() or [type(error).__name__])[0]


def build(keras, request, classes, weights=None):
  """Returns the network, with a softmax as usual in Keras."""
  size = request['size']
  return getattr(keras.applications, request['model'])(
      weights=weights, classes=classes,
      input_shape=(size, size, request['channels']), **request['options'])


def load(keras, request):
  """Returns the network with the weights of a file."""
  path = request['weights']
  if path.endswith('.keras'):
    saved = keras.models.load_model(path, compile=False)
    model = build(keras, request, saved.output_shape[-1])
    # Numbers of layers may differ in the file; their order does not.
    model.set_weights(saved.get_weights())
    return model
  model = build(keras, request, request['classes'] or classes_in(path))
  model.load_weights(path)
  return model


def classes_in(path):
  """Returns the number of classes in a file of weights, from its last dense layer."""
  import h5py
  layers = {}

  def visit(name, item):
    if isinstance(item, h5py.Dataset) and len(item.shape) == 1:
      layers[name] = item.shape[0]

  with h5py.File(path) as file:
    file.visititems(visit)
  for ends in ('predictions', 'conv_preds'):
    sizes = [size for name, size in layers.items() if f'{ends}/' in name]
    if sizes:
      return sizes[0]

  def number(kind):
    sizes = {}
    for name, size in layers.items():
      layer = next((part for part in name.split('/')
                    if part == kind or part.startswith(f'{kind}_')), None)
      if layer:
        sizes[int(layer[len(kind) + 1:] or 0)] = size
    return sizes[max(sizes)] if sizes else None

  return number('dense') or number('conv2d')


def named(model):
  """Returns the weights by 'layer/name'."""
  return {f'{layer.name}/{weight.name}': weight
          for layer in model.layers for weight in layer.weights}


def assign(model, arrays, optional):
  """Sets all weights of the model; returns an error message, or None."""
  weights = named(model)
  missing = [name for name in weights if name not in arrays]
  unexpected = [name for name in arrays if name not in weights and name not in optional]
  if missing or unexpected:
    return ('the table does not fit this version of Keras: no values for'
            f' {missing[:3]}, no weights for {unexpected[:3]}')
  for name, weight in weights.items():
    if tuple(weight.shape) != arrays[name].shape:
      return (f'{name} is {list(weight.shape)} in Keras and'
              f' {list(arrays[name].shape)} in the checkpoint')
    weight.assign(arrays[name])
  return None


def logits(keras, model, images, pools_of_slim=False):
  """Returns the logits in float64.

  Args:
    keras: the module.
    model: the network.
    images: float32 [batch, height, width, channels].
    pools_of_slim: whether pools are padded as in slim, not with zeros before the pool.
  """
  pools = keras.layers.MaxPooling2D, keras.layers.AveragePooling2D

  def clone(layer):
    config = layer.get_config() | {'dtype': 'float64'}
    if layer is model.layers[-1]:
      config['activation'] = 'linear'
    if pools_of_slim and layer.name.startswith(('pool1_pad', 'reduction_pad')):
      config['padding'] = 0
    elif pools_of_slim and isinstance(layer, pools):
      config['padding'] = 'same'
    return layer.__class__.from_config(config)

  other = keras.models.clone_model(model, clone_function=clone)
  other.set_weights(model.get_weights())
  return np.asarray(other(images, training=False))


if __name__ == '__main__':
  sys.exit(main(sys.argv[1]))
