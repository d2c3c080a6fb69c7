"""Runs a network of timm or torchvision in a separate process.

  python pytorch_runner.py REQUEST.json

PyTorch may be installed in another environment than TensorFlow, so this program imports
nothing of the project. `weight_conversion.framework_process` communicates with it by
files and documents the request.
"""

import json
import sys

import numpy as np

_USER_ERROR = 3  # The exit code for an error message of one line.
_COUNTER = 'num_batches_tracked'  # A counter of batch norm, used in training only.
_OF_TORCHVISION = 'torchvision.'
_AUXILIARY_OF_TORCHVISION = ('aux1.', 'aux2.')
# torchvision's names of the dense layers of VGG.
_TORCHVISION = {'classifier.0.': 'pre_logits.fc1.', 'classifier.3.': 'pre_logits.fc2.',
                'classifier.6.': 'head.fc.'}


def main(path):
  """Runs the request."""
  with open(path, encoding='utf-8') as file:
    request = json.load(file)
  try:
    import timm
    import torch
  except ImportError as error:
    return fail(f'PyTorch or timm is missing ({error}): python -m pip install'
                ' "torch>=2,<3" "timm>=1,<2", or give with --python another'
                ' interpreter that has them')
  if request['model'] is None:
    return write_shapes(torch, request)
  weights, state = request['weights'], None
  pretrained = weights == 'pretrained'
  classes = request['classes']
  try:
    if weights and not pretrained:
      state = read(torch, weights)
      head = 'fc' if of_torchvision(request) else (
          timm.get_pretrained_cfg(request['model']).classifier)
      classes = classes or len(state[f'{head}.bias'])
    model = create(timm, request, classes, pretrained)
    if state:
      model.load_state_dict(state)
  except Exception as error:
    return fail(f"cannot read '{weights}' as {request['model']}:"
                f' {" ".join(str(error).split())[:300]}')
  model.eval()
  result = {}
  if request['arrays']:
    problem = assign(torch, model, np.load(request['arrays']), request['optional'])
    if problem:
      return fail(problem)
  else:
    result = {f'w:{name}': value.numpy() for name, value in model.state_dict().items()
              if not name.endswith(_COUNTER)}
  if request['save']:
    save(torch, model, request['save'])
  images = np.load(request['images'])['images'].transpose(0, 3, 1, 2)
  images = torch.from_numpy(np.ascontiguousarray(images)).double()
  model.double()
  with torch.no_grad():
    result['logits'] = model(images).numpy()
    if request['slim_variant']:
      SLIM_VARIANTS[request['slim_variant']](torch, model)
      result['variant_logits'] = model(images).numpy()
  np.savez(request['result'], **result)
  return 0


def write_shapes(torch, request):
  """Writes the shapes of the tensors in a file of weights; returns the exit code."""
  try:
    state = read(torch, request['weights'])
    shapes = [list(value.shape) for name, value in state.items()
              if not name.endswith(_COUNTER)]
  except Exception as error:
    return fail(f"cannot read '{request['weights']}' as weights of PyTorch:"
                f' {" ".join(str(error).split())[:300]}')
  with open(request['result'], 'w', encoding='utf-8') as file:
    json.dump(shapes, file)
  return 0


def of_torchvision(request):
  """Returns whether the network is one of torchvision, not of timm."""
  return request['model'].startswith(_OF_TORCHVISION)


def create(timm, request, classes, pretrained):
  """Returns the network."""
  if not of_torchvision(request):
    return timm.create_model(request['model'], pretrained=pretrained,
                             in_chans=request['channels'],
                             **({'num_classes': classes} if classes else {}))
  import torchvision
  if request['channels'] != 3:
    raise ValueError('torchvision has it for images of 3 channels only')
  # Without transform_input it reads values from -1 to 1.
  return torchvision.models.get_model(
      request['model'].removeprefix(_OF_TORCHVISION),
      weights='DEFAULT' if pretrained else None, transform_input=False,
      **({} if pretrained else {
          'num_classes': classes or 1000, 'aux_logits': False, 'init_weights': False}))


def fail(text):
  """Prints an error message; returns the exit code."""
  print(text, file=sys.stderr)
  return _USER_ERROR


def read(torch, path):
  """Returns the state dict of a file, with timm's names."""
  if path.endswith('.safetensors'):
    from safetensors.torch import load_file
    state = load_file(path)
  else:
    state = torch.load(path, map_location='cpu', weights_only=True)
  for name in ('state_dict', 'model'):
    state = state.get(name, state)
  renamed = {}
  for name, value in state.items():
    name = name.removeprefix('module.')
    for torchvision_prefix, timm_prefix in _TORCHVISION.items():
      if name.startswith(torchvision_prefix):
        name = timm_prefix + name[len(torchvision_prefix):]
    if name == 'pre_logits.fc1.weight' and value.ndim == 2:
      value = value.reshape(value.shape[0], -1, 7, 7)
    elif name == 'pre_logits.fc2.weight' and value.ndim == 2:
      value = value[:, :, None, None]
    if not name.startswith(_AUXILIARY_OF_TORCHVISION):
      renamed[name] = value
  return renamed


def save(torch, model, path):
  """Writes the state dict."""
  state = {name: value.contiguous() for name, value in model.state_dict().items()}
  if path.endswith('.safetensors'):
    from safetensors.torch import save_file
    save_file(state, path)
  else:
    torch.save(state, path)


def assign(torch, model, arrays, optional):
  """Sets all weights of the model; returns an error message, or None."""
  state = {name: value for name, value in model.state_dict().items()
           if not name.endswith(_COUNTER)}
  missing = [name for name in state if name not in arrays]
  unexpected = [name for name in arrays if name not in state and name not in optional]
  if missing or unexpected:
    return ('the table does not fit this version of timm: no values for'
            f' {missing[:3]}, no weights for {unexpected[:3]}')
  for name, value in state.items():
    if tuple(value.shape) != arrays[name].shape:
      return (f'{name} is {list(value.shape)} in PyTorch and'
              f' {list(arrays[name].shape)} in the checkpoint')
    value.copy_(torch.from_numpy(np.ascontiguousarray(arrays[name])))
  return None


def use_strides_of_slim(torch, model):
  """Sets slim's strides and padding of pool1 in a ResNet."""
  model.maxpool = torch.nn.Sequential(
      torch.nn.ConstantPad2d((0, 1, 0, 1), float('-inf')), torch.nn.MaxPool2d(3, 2))
  for layer in (model.layer2, model.layer3, model.layer4):
    layer[0].conv1.stride, layer[0].conv2.stride = (2, 2), (1, 1)


def leave_out_padding(torch, model):
  """Makes the strided average pools of a NASNet exclude the padding."""
  def pool(images):
    odd = images.shape[-1] % 2
    return torch.nn.functional.avg_pool2d(
        images, 3, 2, padding=odd, ceil_mode=not odd, count_include_pad=False)

  for module in model.modules():
    if type(module).__name__ == 'AvgPool2dSame':
      module.forward = pool


def pad_first_convolution(torch, model):
  """Pads the first convolution of a GoogLeNet as slim does for an even size."""
  model.conv1.conv.padding = (0, 0)
  model.conv1 = torch.nn.Sequential(torch.nn.ZeroPad2d((2, 3, 2, 3)), model.conv1)


def use_gates_of_slim(torch, model):
  """Multiplies the gates of squeeze-and-excitation by slim's number, not by 1/6."""
  class Gate(torch.nn.Module):
    def forward(self, values):
      return torch.nn.functional.relu6(values + 3) * 0.16667

  for module in model.modules():
    if type(module).__name__ == 'SqueezeExcite':
      module.gate = Gate()


# Changes with which a network computes the same as slim's, by name in the request.
SLIM_VARIANTS = {'strides': use_strides_of_slim, 'average pools': leave_out_padding,
                 'first convolution': pad_first_convolution,
                 'gates': use_gates_of_slim}


if __name__ == '__main__':
  sys.exit(main(sys.argv[1]))
