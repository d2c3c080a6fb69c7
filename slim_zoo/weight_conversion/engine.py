"""Converts tensors by the rows of a table, in both directions.

Two values are folded into others if slim's layer has no variable for them. In the other
direction they are neutral, so a round trip returns slim's values exactly:

  * a bias before a batch norm is subtracted from the moving mean; back it is 0;
  * a gamma of a batch norm that has none in slim scales the kernel and the moving mean;
    back it is 1.
"""

import dataclasses
from collections.abc import Iterable, Mapping

import numpy as np

from slim_zoo import diagnostics
from slim_zoo.weight_conversion import layers

Arrays = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class FrameworkTensors:
  """The tensors of a network in Keras or PyTorch.

  Attributes:
    arrays: tensors by name.
    optional: names of neutral tensors, which the framework's network may lack.
  """

  arrays: Arrays
  optional: list[str]


def to_slim(arrays: Mapping[str, np.ndarray], rows: Iterable[layers.Row],
            framework: layers.Framework, shapes: Mapping[str, tuple]) -> Arrays:
  """Converts the tensors of a framework to slim's variables.

  Args:
    arrays: all tensors of the network, by name.
    rows: the table, with full scopes.
    framework: the framework of the tensors.
    shapes: shapes of slim's variables by name, in numbers.

  Returns:
    float32 arrays by the names of slim's variables.

  Raises:
    UserError: a tensor is missing, has another shape, or is not in the table.
  """
  unused, values = dict(arrays), {}

  def pop(name, optional=False):
    if name not in unused and not optional:
      raise diagnostics.UserError(
          f'the {framework.title} weights lack {name}: are they of this network?')
    return unused.pop(name, None)

  for row in rows:
    if row.kind != 'norm':
      kernel = framework.layouts[row.kind].to_slim(
          pop(framework.kernel(row)), shapes[row.kernel])
      has_biases = f'{row.scope}/biases' in shapes
      # A bias that slim does not have can only be folded into a batch norm.
      bias = pop(framework.tensor(row.layer, framework.bias),
                  optional=not has_biases) if has_biases or row.norm else None
      if has_biases:
        values[f'{row.scope}/biases'] = bias
    else:
      kernel = bias = None
    if row.norm:
      norm = {slim_name: pop(framework.tensor(row.norm, framework_name),
                             optional=slim_name == 'gamma')
              for slim_name, framework_name in framework.norm.items()}
      kernel = _fold(row, norm, kernel, bias, shapes)
      values |= {f'{row.norm_scope}/{name}': value for name, value in norm.items()}
    if kernel is not None:
      values[row.kernel] = kernel
  _check(values, unused, shapes, framework)
  return {name: np.ascontiguousarray(value, np.float32)
          for name, value in values.items()}


def _fold(row, norm, kernel, bias, shapes):
  """Folds bias and gamma into kernel and statistics, if slim lacks them."""
  if bias is not None and f'{row.scope}/biases' not in shapes:
    norm['moving_mean'] = norm['moving_mean'] - bias
  gamma = norm['gamma']
  if f'{row.norm_scope}/gamma' in shapes:
    if gamma is None:
      norm['gamma'] = np.ones_like(norm['beta'])
    return kernel
  del norm['gamma']
  if gamma is None or (kernel is None and (gamma == 1).all()):
    return kernel
  if kernel is None:
    raise diagnostics.UserError(
        f'the gamma of {row.norm} cannot be folded: there is no kernel before it')
  norm['moving_mean'] = norm['moving_mean'] * gamma
  # A depthwise kernel is [height, width, channels, 1].
  return kernel * (gamma[:, np.newaxis] if row.kind == 'depthwise' else gamma)


def _check(values, unused, shapes, framework):
  """Raises UserError unless all tensors became variables of the right shapes."""
  if unused:
    raise diagnostics.UserError(
        f'the {framework.title} weights have {len(unused)} tensors that this network'
        f' lacks ({", ".join(sorted(unused)[:3])})')
  for name, value in values.items():
    if tuple(value.shape) != tuple(shapes[name]):
      raise diagnostics.UserError(
          f'{name} would have the shape {list(value.shape)}, not {list(shapes[name])}:'
          f' are the {framework.title} weights of this network?')


def from_slim(values: Mapping[str, np.ndarray], rows: Iterable[layers.Row],
               framework: layers.Framework) -> FrameworkTensors:
  """Converts slim's variables to the tensors of a framework.

  Args:
    values: by the names of slim's variables; those without a row are left out.
    rows: the table, with full scopes.
    framework: the framework of the result.

  Raises:
    UserError: a variable is missing.
  """
  arrays, optional = {}, []

  def value_of(name):
    if name not in values:
      raise diagnostics.UserError(
          f'the checkpoint lacks {name}: check --model_name')
    return values[name]

  for row in rows:
    if row.kind != 'norm':
      kernel = value_of(row.kernel)
      arrays[framework.kernel(row)] = framework.layouts[row.kind].from_slim(kernel)
      bias = framework.tensor(row.layer, framework.bias)
      if f'{row.scope}/biases' in values:
        arrays[bias] = values[f'{row.scope}/biases']
      elif row.norm:
        depth = kernel.shape[2] if row.kind == 'depthwise' else kernel.shape[-1]
        arrays[bias] = np.zeros([depth], np.float32)
        optional.append(bias)
    if row.norm:
      beta = value_of(f'{row.norm_scope}/beta')
      for slim_name, framework_name in framework.norm.items():
        name = framework.tensor(row.norm, framework_name)
        if slim_name == 'gamma' and f'{row.norm_scope}/gamma' not in values:
          arrays[name] = np.ones_like(beta)
          optional.append(name)
        else:
          arrays[name] = value_of(f'{row.norm_scope}/{slim_name}')
  return FrameworkTensors(
      {name: np.ascontiguousarray(array) for name, array in arrays.items()}, optional)


def flip_channels(values: Arrays, kernel: str) -> Arrays:
  """Reverses the input channels of one kernel.

  A network that reads BGR images then reads RGB.
  """
  return values | {kernel: np.ascontiguousarray(values[kernel][:, :, ::-1])}


def scale_channels(values: Arrays, kernel: str, divisors: Iterable[float]) -> Arrays:
  """Divides each input channel of one kernel by a number."""
  divisors = np.asarray(list(divisors), np.float32)
  return values | {kernel: values[kernel] / divisors[:, np.newaxis]}


# Far below other logits: the class is never predicted.
_BACKGROUND_BIAS = -100.0


def drop_background(values: Arrays, heads: Iterable[str]) -> Arrays:
  """Removes class 0; `heads` are scopes of logits."""
  dropped = {f'{head}/{name}': values[f'{head}/{name}'][..., 1:]
             for head in heads for name in ('weights', 'biases')}
  return values | dropped


def add_background(values: Arrays, heads: Iterable[str]) -> Arrays:
  """Adds a class 0 that is never predicted: weights 0, bias -100."""
  added = {}
  for head in heads:
    weights, biases = values[f'{head}/weights'], values[f'{head}/biases']
    added[f'{head}/weights'] = np.concatenate(
        [np.zeros_like(weights[..., :1]), weights], axis=-1)
    added[f'{head}/biases'] = np.concatenate(
        [np.full_like(biases[:1], _BACKGROUND_BIAS), biases])
  return values | added
