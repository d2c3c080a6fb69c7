'''The parts of the source that are the same for each network.'''

from slim_zoo.exporting.torch_source import windows
from slim_zoo.exporting.torch_source.classes import Source
from slim_zoo.exporting.torch_source.layers import (
  CONVOLUTION,
  SAME_CONVOLUTION,
  WITH_NORM,
)

_SAME_PADDING = '''def same_padding(net, kernel_size, stride, dilation=1):
  """Returns TensorFlow's padding 'SAME' for F.pad: (left, right, top, bottom).

  An odd padding has one more at the end.
  """
  sizes = []
  for axis in (3, 2):
    size, window, step, by = (
        value[axis - 2] if isinstance(value, (tuple, list)) else value
        for value in (net.shape[2:], kernel_size, stride, dilation))
    outputs = -(-size // step)
    total = max((outputs - 1) * step + (window - 1) * by + 1 - size, 0)
    sizes += [total // 2, total - total // 2]
  return tuple(sizes)'''

_PARTS = {
    SAME_CONVOLUTION: '''class Conv2dSame(nn.Conv2d):
  """A convolution with TensorFlow's padding 'SAME'."""

  def forward(self, net):
    return super().forward(F.pad(net, same_padding(
        net, self.kernel_size, self.stride, self.dilation)))''',
    WITH_NORM[CONVOLUTION]: '''class ConvNorm(nn.Conv2d):
  """A convolution, and its batch norm."""

  def __init__(self, inputs, outputs, *arguments, eps={epsilon}, **options):
    super().__init__(inputs, outputs, *arguments, bias=False, **options)
    self.BatchNorm = nn.BatchNorm2d(outputs, eps=eps)

  def forward(self, net):
    return self.BatchNorm(super().forward(net))''',
    WITH_NORM[SAME_CONVOLUTION]: '''class ConvNormSame(ConvNorm):
  """The same with TensorFlow's padding 'SAME'."""

  def forward(self, net):
    return super().forward(F.pad(net, same_padding(
        net, self.kernel_size, self.stride, self.dilation)))''',
    windows.MAX_POOL: '''def max_pool_same(net, kernel_size, stride):
  """Returns the largest value of each window, with TensorFlow's padding 'SAME'."""
  padding = same_padding(net, kernel_size, stride)
  return F.max_pool2d(F.pad(net, padding, value=-math.inf), kernel_size, stride)''',
    windows.AVERAGE_POOL: '''def average_pool_same(net, kernel_size, stride):
  """Returns the average of each window without its padding 'SAME'."""
  padding = same_padding(net, kernel_size, stride)
  inside = F.pad(torch.ones_like(net[:1, :1]), padding)
  return (F.avg_pool2d(F.pad(net, padding), kernel_size, stride)
          / F.avg_pool2d(inside, kernel_size, stride))''',
}

_SCALED = '''def scaled(images):
  """Returns the values that the network was trained with.

  Args:
    images: pixels{colours}, float32 [batch, {channels}, height, width], 0 to 255.
  """
{body}'''

_BODIES = {
    'cifarnet': '''  deviation, mean = torch.std_mean(
      images, (1, 2, 3), correction=0, keepdim=True)
  return (images - mean) / deviation.clamp(min=images[0].numel() ** -0.5)''',
    'inception': '  return images * (2 / 255) - 1',
    'lenet': '  return images / 128 - 1',
}

_HEAD = '''"""{title}, written by slim-zoo {version}.

Needs the packages torch and safetensors:

  import model                         # With its folder in sys.path.
  network = model.load()
  with torch.no_grad():
    probabilities = model.probabilities(network(images))

Images are pixels{colours}, float32 [batch, {channels}, {size}, {size}], 0 to 255.
`README.md` says how a photograph becomes such an image. The network scales the values
itself.
"""

import json
{imports}import pathlib
{more_imports}
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

WEIGHTS = str(pathlib.Path(__file__).with_name('{weights}'))'''

_TAIL = '''def load(path=WEIGHTS):
  """Returns the network with its weights, in evaluation mode."""
  network = {name}()
  network.load_state_dict(load_file(path))
  return network.eval()


def probabilities(logits):
  """Returns the probabilities of the classes, [batch, classes]."""
  return logits.{activation}


def labels(path=WEIGHTS):
  """Returns the names of the classes."""
  with safe_open(path, 'pt') as file:
    return json.loads(file.metadata()['labels'])
'''


def scaled(family: str, channels: int, means: list[float]) -> str:
  """Returns the function that scales pixels.

  Args:
    family: of the preprocessing.
    channels: of the images.
    means: of each channel, for the family vgg.
  """
  body = _BODIES.get(family) or (
      '  means = images.new_tensor('
      f'[{", ".join(f"{mean:.7g}" for mean in means)}])\n'
      '  return images - means.view(1, -1, 1, 1)')
  return _SCALED.format(
      channels=channels, colours=' in RGB' if channels == 3 else ' in gray', body=body)


def assembled(source: Source, **facts: object) -> str:
  """Returns the source of a file.

  Args:
    source: of the network's classes.
    **facts: title, version, activation, channels, colours, size, weights, and
      `scaled`, the source of the function that scales pixels.
  """
  kinds = {kind for kind in _PARTS if f'{kind}(' in source.text}
  if WITH_NORM[SAME_CONVOLUTION] in kinds:
    kinds.add(WITH_NORM[CONVOLUTION])
  parts = [part.replace('{epsilon}', str(source.epsilon))
           for kind, part in _PARTS.items() if kind in kinds]
  if any('same_padding(' in part for part in parts):
    parts.insert(0, _SAME_PADDING)
  body = [facts.pop('scaled'), *parts, source.text, _TAIL.format(
      name=source.name, activation=facts.pop('activation'))]
  uses = lambda text: any(text in part for part in body)
  head = _HEAD.format(
      imports='import math\n' if uses('math.inf') else '',
      more_imports='from collections import OrderedDict\n' if uses(
          'OrderedDict(') else '', **facts)
  return '\n\n\n'.join([head, *body])
