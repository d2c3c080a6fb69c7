"""Reads the weights in files of Keras by the names of layers, without their models.

A file of Keras 2 or 3 has a network, a network without its top layers, or a model that
contains the network. Imports nothing of the project; see keras_runner.

Keras 3, and .keras files of Keras 2, store arrays by the class of the layer and a
number, such as 'layers/conv2d_3/vars/0'. The names of the layers are in the
configuration, if there is one. Older files store arrays by names, such as
'block1_conv1/kernel:0'.
"""

import dataclasses
import io
import json
import os
import re
import zipfile

import h5py

# CONTAINER/LAYER/vars/NUMBER; the layer is its class and a number.
_BY_CLASS = re.compile(r'(?:(.*)/)?([^/]+)/vars/(\d+)$')
# Names that Keras gives and numbers as long as a program runs.
_AUTOMATIC = re.compile(r'(conv2d|batch_normalization|separable_conv2d)(?:_(\d+))?$')
_NOT_A_NETWORK = ('optimizer', 'optimizer_weights', 'top_level_model_weights')


@dataclasses.dataclass
class Stored:
  """The arrays of a file.

  Attributes:
    layers: by the name of the layer, or 'class:NUMBER' if names are unknown; then by
      the name of the array or its number. Automatic names are numbered from 0.
    heads: the layers outside the network, if it is a model in a model.
    config: of the whole model, as text; '' if the file has none.
  """

  layers: dict
  heads: dict
  config: str = ''


def read(path):
  """Returns the arrays of a file.

  Raises:
    OSError: it cannot be read.
    ValueError: it is not an HDF5 or zip file, or damaged, or it has no layers.
  """
  config = ''
  if zipfile.is_zipfile(path):
    with zipfile.ZipFile(path) as archive:
      config = archive.read('config.json').decode('utf-8', 'replace')
      content = io.BytesIO(archive.read('model.weights.h5'))
  else:
    content = path
  try:
    file = h5py.File(content)
  except OSError as error:
    if isinstance(content, str) and not os.access(content, os.R_OK):
      raise
    raise ValueError(
        'it is not a whole HDF5 file: copy or download it again') from error
  with file:
    config = config or _text(file.attrs.get('model_config', ''))
    arrays, names = _arrays_and_names(file)
  by_class = [match for match in map(_BY_CLASS.match, arrays) if match]
  stored = _by_class(by_class, arrays, names, config) if by_class else _by_name(
      arrays, config)
  if not stored.layers:
    raise ValueError('it has no layers')
  stored.layers = _renumbered(stored.layers)
  return stored


def _arrays_and_names(file):
  """Returns (arrays by path, names of layers by path) of an HDF5 file.

  The arrays of a layer are in the order of its weights, if the file has it.
  """
  arrays, names, order = {}, {}, {}

  def visit(path, item):
    # Keras 2 has backslashes in names.
    path = path.replace('\\', '/')
    if isinstance(item, h5py.Dataset):
      arrays[path] = item[()]
    elif 'name' in item.attrs:
      names[path] = _text(item.attrs['name'])
    elif 'weight_names' in item.attrs:
      order.update({f'{path}/{_text(name)}': number for number, name in enumerate(
          item.attrs['weight_names'])})

  file.visititems(visit)
  return dict(sorted(
      arrays.items(), key=lambda item: order.get(item[0], -1))), names


def _text(value):
  return value.decode('utf-8', 'replace') if isinstance(value, bytes) else str(value)


def _by_class(matches, arrays, names, config):
  """Returns the arrays of a file that numbers the layers of each class.

  Args:
    matches: of `_BY_CLASS`, with the paths of arrays.
    arrays: by path.
    names: of layers, by path.
    config: of the whole model, or ''.
  """
  # Arrays by container, layer and number. A model in a model is a container.
  containers = {}
  for match in matches:
    container, layer, number = match.groups()
    if container is None or container.split('/')[0] in _NOT_A_NETWORK:
      continue
    containers.setdefault(container, {}).setdefault(layer, {})[int(number)] = (
        arrays[match.string])
  if not containers:
    return Stored({}, {})
  network = max(containers, key=lambda container: len(containers[container]))
  by_config = _names_of_config(config, set(containers[network]))
  layers = {}
  for layer, own in containers[network].items():
    name = by_config.get(layer) or names.get(f'{network}/{layer}/vars')
    layers[name or f'class:{layer}'] = own
  heads = {layer: own for container, others in containers.items()
           if container != network for layer, own in others.items()}
  return Stored(layers, heads, config)


def _names_of_config(config, stored):
  """Returns the names of layers by their class and number, from a configuration.

  Args:
    config: of the whole model, or ''.
    stored: classes and numbers of the network's layers. A model in a model has a list
      of layers of its own: the longest list that has all of these is taken.
  """
  if not config:
    return {}
  best = {}
  waiting = [json.loads(config)]
  while waiting:
    value = waiting.pop()
    if isinstance(value, dict):
      layers = value.get('layers')
      if isinstance(layers, list) and all(
          isinstance(layer, dict) and 'class_name' in layer for layer in layers):
        names, counts = {}, {}
        for layer in layers:
          kind = snake_case(layer['class_name'])
          number = counts[kind] = counts.get(kind, -1) + 1
          names[f'{kind}_{number}' if number else kind] = (
              layer.get('name') or layer.get('config', {}).get('name'))
        if stored <= set(names) and len(names) > len(best):
          best = names
      waiting += value.values()
    elif isinstance(value, list):
      waiting += value
  return best


def snake_case(name):
  """Returns Keras's name of a class in a file."""
  name = re.sub('(.)([A-Z][a-z]+)', r'\1_\2', re.sub(r'\W+', '', name))
  return re.sub('([a-z])([A-Z])', r'\1_\2', name).lower()


def _by_name(arrays, config):
  """Returns the arrays of a file that has the names of layers and arrays."""
  layers = {}
  for path, values in arrays.items():
    parts = path.removeprefix('model_weights/').split('/')
    if parts[0] in _NOT_A_NETWORK or len(parts) == 1:
      continue
    layer, array = parts[-2], parts[-1].split(':')[0]
    if 'separable' not in layer:
      # Keras 3 calls the weights of a depthwise layer 'kernel'.
      array = array.replace('depthwise_kernel', 'kernel')
    layers.setdefault(layer, {})[array] = values
  return Stored(layers, {}, config)


def _renumbered(layers):
  """Returns the layers with automatic names numbered from 0, in their order."""
  numbers = {}
  for name in layers:
    if match := _AUTOMATIC.match(name):
      numbers.setdefault(match[1], []).append(int(match[2] or 0))
  ranks = {kind: sorted(found) for kind, found in numbers.items()}

  def renamed(name):
    match = _AUTOMATIC.match(name)
    if not match:
      return name
    rank = ranks[match[1]].index(int(match[2] or 0))
    return f'{match[1]}_{rank}' if rank else match[1]

  return {renamed(name): arrays for name, arrays in layers.items()}


def classes(stored, head, default):
  """Returns the likely number of classes.

  Args:
    stored: the arrays of a file.
    head: the name of the network's last layer.
    default: for a file that has no last layer.
  """
  def size(arrays):
    return next((len(value) for value in arrays.values() if value.ndim == 1), None)

  both = stored.layers | stored.heads
  found = size(both.get(head, {}))
  dense = [arrays for arrays in both.values()
           if any(value.ndim == 2 for value in arrays.values())]
  if not found and len(dense) == 1:
    found = size(dense[0])
  for kind in ('dense', 'conv2d'):
    numbered = {}
    for name, arrays in both.items():
      if match := re.match(rf'(?:class:)?{kind}(?:_(\d+))?$', name):
        numbered[int(match[1] or 0)] = arrays
    if not found and numbered:
      found = size(numbered[max(numbered)])
  return found or default


def fill(model, tops, stored):
  """Sets the weights of a network of keras.applications from a file.

  Args:
    model: the network with its top layers.
    tops: the names of its top layers that have weights.
    stored: the arrays of the file.

  Returns:
    (names of layers that the file lacks, a message about them; '' if there are none).

  Raises:
    ValueError: the file is of another network.
  """
  # Values by layer; names that were used; layers of each class so far; top layers with
  # their values, or None.
  assigned, used, counts, waiting = {}, set(), {}, []
  ranks = _renumbered({layer.name: layer for layer in model.layers})
  for name, layer in ranks.items():
    kind = snake_case(type(layer).__name__)
    number = counts[kind] = counts.get(kind, -1) + 1
    if not layer.weights:
      continue
    by_class = f'class:{kind}_{number}' if number else f'class:{kind}'
    key = name if name in stored.layers else by_class
    values = _values(layer, stored.layers.get(key))
    fits = values is not None and _shapes(values) == _shapes(layer.weights)
    if layer.name in tops:
      waiting.append((layer, key, values if fits else None))
      continue
    if values is None:
      raise ValueError(f'it has no layer {layer.name}: leave out --model_name to find'
                       ' its network, or name another one')
    if not fits:
      raise ValueError(
          f'the weights of its layer {layer.name} have the shapes {_text_of(values)},'
          f' expected {_text_of(layer.weights)}: leave out --model_name to find its'
          ' network, or name another one')
    assigned[layer], _ = values, used.add(key)
  rest = {name: arrays for name, arrays in (
      stored.layers | stored.heads).items() if name not in used}
  absent, note = [], ''
  if all(values is not None for _, _, values in waiting):
    assigned |= {layer: values for layer, _, values in waiting}
  elif values := _only_head(waiting, rest, stored.config):
    assigned[waiting[0][0]] = values
  else:
    absent = [layer.name for layer, _, _ in waiting]
    own = ', '.join(f'{name.removeprefix("class:")} {_shapes(arrays.values())}'
                    for name, arrays in list(rest.items())[:4])
    note = f'its own layers behind the network are left out: {own}' if own else (
        'the file has no top layers')
  for layer, values in assigned.items():
    layer.set_weights(values)
  return absent, note


def _values(layer, arrays):
  """Returns stored arrays in the order of a layer's weights, or None."""
  if arrays is None or len(arrays) != len(layer.weights):
    return None
  keys = range(len(layer.weights)) if 0 in arrays else [
      weight.name for weight in layer.weights]
  # The oldest files have other names, such as 'block1_conv1_W_1', in the same order.
  return [arrays[key] for key in keys] if all(key in arrays for key in keys) else (
      list(arrays.values()))


def _shapes(arrays):
  return [list(array.shape) for array in arrays]


def _text_of(arrays):
  return ' and '.join(map(str, _shapes(arrays)))


def _only_head(waiting, rest, config):
  """Returns the values of the one top layer from the file's own one, or None.

  The network averages its features before that layer; a file that shows another pool
  does not have the same function.
  """
  if len(waiting) != 1 or len(rest) != 1 or 'GlobalMaxPooling2D' in config:
    return None
  (layer, _, _), (arrays,) = waiting[0], rest.values()
  values = list(arrays.values())
  kernel, bias = layer.weights
  sizes = sorted((value for value in values), key=lambda value: -value.ndim)
  if len(sizes) != 2 or sizes[0].shape[-2:] != tuple(kernel.shape)[-2:] or (
      sizes[1].shape != tuple(bias.shape)):
    return None
  return [sizes[0].reshape(kernel.shape), sizes[1]]
