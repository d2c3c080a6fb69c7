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

import keras_files
import numpy as np

_USER_ERROR = 3  # The exit code for an error message of one line.
_MOST_OF_A_MESSAGE = 300
_GATES = 'gates'  # The variant that is not another padding of pools.
# The layers with weights that include_top=False leaves out.
_TOP = ('predictions',)
_TOPS = {'VGG16': ('fc1', 'fc2', 'predictions'),
         'VGG19': ('fc1', 'fc2', 'predictions'),
         'MobileNet': ('conv_preds',), 'MobileNetV3Small': ('conv_2', 'logits'),
         'MobileNetV3Large': ('conv_2', 'logits')}
_CLASSES_WITHOUT_HEAD = 10


def main(path):
  """Runs the request."""
  with open(path, encoding='utf-8') as file:
    request = json.load(file)
  if request['model'] is None:
    return write_shapes(request)
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
  try:
    import keras
  except ImportError as error:
    return fail(f'Keras is missing ({error}): python -m pip install "keras>=3,<4"')
  if int(keras.__version__.split('.')[0]) < 3:
    return fail(f'Keras {keras.__version__} is too old, 3 is needed: python -m pip'
                ' install "keras>=3,<4"')
  weights, absent, note = request['weights'], [], ''
  pretrained = 'imagenet' if weights == 'pretrained' else None
  try:
    if weights and not pretrained:
      model, absent, note = load(keras, request)
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
    result |= {'absent': np.array([name for name in named(model)
                                   if name.split('/')[0] in absent], str),
               'note': np.array(note)}
  if request['save']:
    save = model.save_weights if request['save'].endswith('.weights.h5') else model.save
    save(request['save'])
  images = np.load(request['images'])['images']
  result['logits'] = logits(keras, model, images)
  if request['slim_variant']:
    result['variant_logits'] = logits(
        keras, model, images, pools_of_slim=request['slim_variant'] != _GATES,
        gates_of_slim=request['slim_variant'] == _GATES)
  np.savez(request['result'], **result)
  return 0


def write_shapes(request):
  """Writes the shapes of the tensors in a file of weights; returns the exit code."""
  try:
    stored = keras_files.read(request['weights'])
  except Exception as error:
    return fail(f"cannot read '{request['weights']}' as weights of Keras:"
                f' {first_line(error)}')
  with open(request['result'], 'w', encoding='utf-8') as file:
    json.dump([value.shape for arrays in (stored.layers | stored.heads).values()
               for value in arrays.values()], file)
  return 0


def fail(text):
  """Prints an error message; returns the exit code."""
  print(text, file=sys.stderr)
  return _USER_ERROR


def first_line(error):
  """Returns the first line of an error's message."""
  lines = str(error).strip().splitlines() or [type(error).__name__]
  return lines[0][:_MOST_OF_A_MESSAGE]


def build(keras, request, classes, weights=None):
  """Returns the network, with a softmax as usual in Keras."""
  size = request['size']
  return getattr(keras.applications, request['model'])(
      weights=weights, classes=classes,
      input_shape=(size, size, request['channels']), **request['options'])


def load(keras, request):
  """Returns (the network with the weights of a file, layers that it lacks, a note)."""
  tops = _TOPS.get(request['model'], _TOP)
  stored = keras_files.read(request['weights'])
  classes = request['classes'] or keras_files.classes(
      stored, tops[-1], _CLASSES_WITHOUT_HEAD)
  # The layers that the file lacks have values, so that there are logits to compare.
  keras.utils.set_random_seed(0)
  model = build(keras, request, classes)
  return model, *keras_files.fill(model, tops, stored)


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


def logits(keras, model, images, pools_of_slim=False, gates_of_slim=False):
  """Returns the logits in float64.

  Args:
    keras: the module.
    model: the network.
    images: float32 [batch, height, width, channels].
    pools_of_slim: whether pools are padded as in slim, not with zeros before the pool.
    gates_of_slim: whether the gates of squeeze-and-excitation are multiplied by 0.16667
      as in slim, not by 1/6.
  """
  pools = keras.layers.MaxPooling2D, keras.layers.AveragePooling2D

  def clone(layer):
    if not isinstance(layer, keras.layers.Layer):
      return layer  # A function of keras.ops, which has no type of its own.
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
  if gates_of_slim:
    names = {layer.name for layer in other.layers}
    for layer in other.layers:
      block = layer.name.removesuffix('_project')
      if block != layer.name and f'{block}_squeeze_excite_mul' in names:
        # What follows a gate is linear.
        layer.kernel.assign(layer.kernel * (6 * 0.16667))
  # Keras keeps all feature maps until the end: for nasnet_large, 11 GB of four images.
  return np.concatenate([np.asarray(other(images[[number]], training=False))
                         for number in range(len(images))])


if __name__ == '__main__':
  sys.exit(main(sys.argv[1]))
