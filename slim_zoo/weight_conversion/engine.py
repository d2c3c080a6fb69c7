"""The one engine of all conversions: rows of a table turn tensors both ways.

Two things are folded on the way to slim, where a layer has no place for them, and
are neutral on the way back, so that slim's values come back bit by bit:

  * a bias before a batch norm is taken off the moving mean; back it is 0;
  * a gamma of a batch norm that slim builds without scales the kernel and the moving
    mean; back it is 1.
"""

import dataclasses
from collections.abc import Iterable, Mapping

import numpy as np

from slim_zoo import diagnostics
from slim_zoo.weight_conversion import layers

Arrays = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Foreign:
  """The tensors of a network in another framework.

  Attributes:
    arrays: by name.
    optional: names of those that are neutral: a network without them is the same.
  """

  arrays: Arrays
  optional: list[str]


def to_slim(arrays: Mapping[str, np.ndarray], rows: Iterable[layers.Row],
            framework: layers.Framework, shapes: Mapping[str, tuple]) -> Arrays:
  """Turns the tensors of another framework into slim's variables.

  Args:
    arrays: all tensors of the network, by name.
    rows: the mapping table, with full scopes.
    framework: that the tensors are of.
    shapes: of slim's variables, by name, in numbers.

  Returns:
    float32 arrays by the names of slim's variables.

  Raises:
    UserError: a tensor is missing, of another shape, or has no place in the table.
  """
  left, values = dict(arrays), {}

  def take(full, optional=False):
    if full not in left and not optional:
      raise diagnostics.UserError(
          f'the {framework.title} weights have no {full}: are they of this network?')
    return left.pop(full, None)

  for row in rows:
    if row.kind != 'norm':
      kernel = framework.layouts[row.kind].to_slim(
          take(framework.kernel(row)), shapes[row.kernel])
      has_biases = f'{row.scope}/biases' in shapes
      # Only a batch norm can take in one that slim does not have.
      bias = take(framework.tensor(row.layer, framework.bias),
                  optional=not has_biases) if has_biases or row.norm else None
      if has_biases:
        values[f'{row.scope}/biases'] = bias
    else:
      kernel = bias = None
    if row.norm:
      norm = {ours: take(framework.tensor(row.norm, theirs), optional=ours == 'gamma')
              for ours, theirs in framework.norm.items()}
      kernel = _fold(row, norm, kernel, bias, shapes)
      values |= {f'{row.norm_scope}/{name}': value for name, value in norm.items()}
    if kernel is not None:
      values[row.kernel] = kernel
  _check(values, left, shapes, framework)
  return {name: np.ascontiguousarray(value, np.float32)
          for name, value in values.items()}


def _fold(row, norm, kernel, bias, shapes):
  """Merges bias and gamma into kernel and statistics, where slim lacks them."""
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
        f'the gamma of {row.norm} cannot be folded: no kernel stands before it')
  norm['moving_mean'] = norm['moving_mean'] * gamma
  # A depthwise kernel is [height, width, channels, 1].
  return kernel * (gamma[:, np.newaxis] if row.kind == 'depthwise' else gamma)


def _check(values, left, shapes, framework):
  """Raises UserError unless all tensors went to variables of their shapes."""
  if left:
    raise diagnostics.UserError(
        f'the {framework.title} weights have {len(left)} tensors that this network'
        f' does not ({", ".join(sorted(left)[:3])})')
  for name, value in values.items():
    if tuple(value.shape) != tuple(shapes[name]):
      raise diagnostics.UserError(
          f'{name} would get the shape {list(value.shape)}, not'
          f' {list(shapes[name])}: are the {framework.title} weights of this network?')


def to_framework(values: Mapping[str, np.ndarray], rows: Iterable[layers.Row],
               framework: layers.Framework) -> Foreign:
  """Turns slim's variables into the tensors of another framework.

  Args:
    values: by the names of slim's variables; those of no row are left out.
    rows: the mapping table, with full scopes.
    framework: that the tensors are for.

  Raises:
    UserError: a variable is missing.
  """
  arrays, optional = {}, []

  def need(name):
    if name not in values:
      raise diagnostics.UserError(
          f'the checkpoint has no {name}: check --model_name')
    return values[name]

  for row in rows:
    if row.kind != 'norm':
      kernel = need(row.kernel)
      arrays[framework.kernel(row)] = framework.layouts[row.kind].from_slim(kernel)
      bias = framework.tensor(row.layer, framework.bias)
      if f'{row.scope}/biases' in values:
        arrays[bias] = values[f'{row.scope}/biases']
      elif row.norm:
        depth = kernel.shape[2] if row.kind == 'depthwise' else kernel.shape[-1]
        arrays[bias] = np.zeros([depth], np.float32)
        optional.append(bias)
    if row.norm:
      beta = need(f'{row.norm_scope}/beta')
      for ours, theirs in framework.norm.items():
        name = framework.tensor(row.norm, theirs)
        if ours == 'gamma' and f'{row.norm_scope}/gamma' not in values:
          arrays[name] = np.ones_like(beta)
          optional.append(name)
        else:
          arrays[name] = need(f'{row.norm_scope}/{ours}')
  return Foreign(
      {name: np.ascontiguousarray(array) for name, array in arrays.items()}, optional)


def flip_channels(values: Arrays, kernel: str) -> Arrays:
  """Returns the values with the input channels of one kernel in reverse order.

  It turns a network that reads BGR images into the one that reads them as RGB.
  """
  return values | {kernel: np.ascontiguousarray(values[kernel][:, :, ::-1])}


def scale_channels(values: Arrays, kernel: str, divisors: Iterable[float]) -> Arrays:
  """Returns the values with each input channel of one kernel divided by a number."""
  divisors = np.asarray(list(divisors), np.float32)
  return values | {kernel: values[kernel] / divisors[:, np.newaxis]}


# Far below what other logits are: the class is never predicted.
_BACKGROUND_BIAS = -100.0


def drop_background(values: Arrays, heads: Iterable[str]) -> Arrays:
  """Returns the values without class 0; heads are scopes of logits."""
  dropped = {f'{head}/{name}': values[f'{head}/{name}'][..., 1:]
             for head in heads for name in ('weights', 'biases')}
  return values | dropped


def add_background(values: Arrays, heads: Iterable[str]) -> Arrays:
  """Returns the values with a class 0 before the others that is never predicted.

  Its weights are 0 and its bias is -100.
  """
  added = {}
  for head in heads:
    weights, biases = values[f'{head}/weights'], values[f'{head}/biases']
    added[f'{head}/weights'] = np.concatenate(
        [np.zeros_like(weights[..., :1]), weights], axis=-1)
    added[f'{head}/biases'] = np.concatenate(
        [np.full_like(biases[:1], _BACKGROUND_BIAS), biases])
  return values | added
