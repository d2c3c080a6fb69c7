"""Rows of conversion tables, and the names and layouts of tensors in a framework."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

# Names of kernels in slim by kind of row, if not 'weights'.
_KERNELS = {'depthwise': 'depthwise_weights', 'spatial': 'depthwise_weights',
            'pointwise': 'pointwise_weights'}


class Row(NamedTuple):
  """A layer in slim and in another framework.

  Attributes:
    scope: the layer's variable scope in slim, below the network's scope.
    layer: its name in the other framework; '' for a batch norm without a convolution.
    norm: the name of its batch norm there; '' if it has none.
    kind: 'conv' (also grouped), 'depthwise', 'dense'; 'spatial' and 'pointwise', the
      parts of a separable convolution; or 'norm', a batch norm without a convolution,
      whose variables are in `scope`.
  """

  scope: str
  layer: str
  norm: str = ''
  kind: str = 'conv'

  @property
  def kernel(self) -> str:
    """The slim name of the kernel."""
    return f'{self.scope}/{_KERNELS.get(self.kind, "weights")}'

  @property
  def norm_scope(self) -> str:
    """The slim scope of the batch norm."""
    return self.scope if self.kind == 'norm' else f'{self.scope}/BatchNorm'


class Layout(NamedTuple):
  """The layout of a kernel: functions of (array, shape in slim) and of array."""

  to_slim: Callable[[np.ndarray, tuple], np.ndarray]
  from_slim: Callable[[np.ndarray], np.ndarray]


def _transposed(axes):
  return Layout(lambda array, shape: array.transpose(axes),
                lambda array: array.transpose(np.argsort(axes)))


_SAME_AS_SLIM = Layout(lambda array, shape: array, lambda array: array)


@dataclasses.dataclass(frozen=True)
class Framework:
  """Names and layouts of the tensors of a framework.

  Attributes:
    name: 'keras' or 'pytorch'.
    title: the name for messages.
    separator: between the name of a layer and that of its tensor.
    kernels: the names of kernels by kind of row; under '' for all other kinds.
    bias: the name of a bias.
    norm: the names of gamma, beta, moving_mean and moving_variance, by these.
    layouts: layouts of kernels by kind of row.
    suffixes: suffixes of its files.
    runner: the file below weight_conversion/runners that runs it.
  """

  name: str
  title: str
  separator: str
  kernels: dict[str, str]
  bias: str
  norm: dict[str, str]
  layouts: dict[str, Layout]
  suffixes: tuple[str, ...]
  runner: str

  def tensor(self, layer: str, name: str) -> str:
    """Returns the full name of a layer's tensor."""
    return f'{layer}{self.separator}{name}'

  def kernel(self, row: Row) -> str:
    """Returns the full name of the kernel of a row."""
    return self.tensor(row.layer, self.kernels.get(row.kind, self.kernels['']))


KERAS = Framework(
    'keras', 'Keras', '/',
    {'': 'kernel', 'spatial': 'depthwise_kernel', 'pointwise': 'pointwise_kernel'},
    'bias',
    {name: name for name in ('gamma', 'beta', 'moving_mean', 'moving_variance')},
    {**dict.fromkeys(('conv', 'depthwise', 'spatial', 'pointwise'), _SAME_AS_SLIM),
     # A dense layer in Keras is a convolution in slim, of 1 x 1 or the whole feature
     # map.
     'dense': Layout(lambda array, shape: array.reshape(shape),
                     lambda array: array.reshape(-1, array.shape[-1]))},
    ('.keras', '.h5', '.hdf5'), 'keras_runner.py')

PYTORCH = Framework(
    'pytorch', 'PyTorch', '.', {'': 'weight'}, 'bias',
    {'gamma': 'weight', 'beta': 'bias', 'moving_mean': 'running_mean',
     'moving_variance': 'running_var'},
    {**dict.fromkeys(('conv', 'pointwise'), _transposed((2, 3, 1, 0))),
     **dict.fromkeys(('depthwise', 'spatial'), _transposed((2, 3, 0, 1))),
     'dense': Layout(lambda array, shape: array.T.reshape(shape),
                     lambda array: array.reshape(-1, array.shape[-1]).T)},
    ('.pt', '.pth', '.bin', '.safetensors'), 'pytorch_runner.py')

FRAMEWORKS = {framework.name: framework for framework in (KERAS, PYTORCH)}


def framework_of(path: str) -> str | None:
  """Returns the name of the framework of a file, by its suffix, or None."""
  for framework in FRAMEWORKS.values():
    if path.endswith(framework.suffixes):
      return framework.name
  return None
