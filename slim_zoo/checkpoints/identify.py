"""Recognizes the network of a checkpoint by its variables.

No graph is built: the variables of all networks are in `catalog.variables`. Dimensions
that depend on the data (classes, channels of the images) match any number.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence

from slim_zoo.catalog import networks, variables
from slim_zoo.checkpoints import comparison, contents
from slim_zoo.checkpoints.comparison import Match


def identify(shapes: Mapping[str, Sequence[int]],
             limit: int | None = 3) -> list[Match]:
  """Returns the networks most similar to a checkpoint, the nearest first.

  Args:
    shapes: of all variables in the checkpoint, by name; slots, moving averages and
      others may be included.
    limit: the largest number of networks; None: all with anything in common.
  """
  weights = comparison.Weights(contents.sort(shapes).weights)
  matches = [match for known in _all_known()
             for match in comparison.matches(known, weights) if match.likeness]
  # The sort is stable, so equal matches keep the order of the catalog. ResNet v1 and
  # v1b have the same variables and differ in the scope, also below other scopes.
  matches.sort(key=lambda match: (
      not match.fits, -match.likeness, match.renamed,
      not f'/{match.scope}'.endswith(f'/{match.own_scope}'), len(match.beside)))
  first = {}
  for match in matches:
    first.setdefault(match.network, match)
  return list(first.values())[:limit]


def find_width(shapes: Mapping[str, Sequence[int]],
               build: Callable[..., variables.Variables]) -> Match | None:
  """Returns the network of a checkpoint whose width is not in the catalog.

  Args:
    shapes: of all variables in the checkpoint, by name.
    build: build(name, **arguments) returns the variables of a network built with
      arguments, like `nets.variables.measure`. It is called a few times, and only for a
      checkpoint that differs from a network in numbers of channels alone.

  Returns:
    A `Match` that fits, with `arguments`, or None.
  """
  match = next((match for match in identify(shapes, limit=None)
                if match.depth_multiplier == 1 and _differs_in_width(match)), None)
  if match is None:
    return None
  weights = comparison.Weights(contents.sort(shapes).weights)
  for width in _widths(match):
    for arguments in _arguments(match.network, width):
      known = comparison.known(match.network, build(match.network, **arguments))
      for candidate in comparison.matches(known, weights):
        if candidate.fits:
          return dataclasses.replace(candidate, arguments=arguments)
  return None


def advice(shapes: Mapping[str, Sequence[int]], model_name: str) -> str | None:
  """Returns advice about a checkpoint of another network than `model_name`.

  Returns:
    For example "this is a checkpoint of mobilenet_v2_140, of width 1.4: use
    --model_name=mobilenet_v2_140"; None for this network or an unknown one.
  """
  best = next(iter(identify(shapes, limit=1)), None)
  if best is None or not best.fits or best.network == model_name:
    return None
  width = ('' if best.depth_multiplier in (None, 1) else
           f', of width {best.depth_multiplier:g}')
  return (f'this is a checkpoint of {best.network}{width}: use'
          f' --model_name={best.network}')


@functools.cache
def _all_known():
  return [comparison.known(name, stored) for name, stored in variables.load().items()]


def _differs_in_width(match):
  """Returns whether only the numbers of channels differ."""
  return bool(match.mismatched) and not match.missing and not match.unexpected and all(
      len(shape) == len(expected) and shape[:-2] == expected[:-2]
      for _, shape, expected in match.mismatched)


def _widths(match):
  """Returns the widths that a checkpoint may have, the most probable first."""
  depths = [(shape[-1], expected[-1]) for _, shape, expected in match.mismatched
            if len(shape) == 1]
  ratio = (sum(depth for depth, _ in depths) / sum(expected for _, expected in depths)
           if depths else 0)
  # Depths are rounded, so the width is only nearly the ratio.
  likely = (round(ratio * 20) / 20, ratio, ratio - 0.01, ratio + 0.01)
  return [width for width in dict.fromkeys(round(width, 2) for width in likely)
          if width > 0]


def _arguments(name, width):
  """Yields arguments that may build a network of this width."""
  yield {'depth_multiplier': width}
  if width < 1 and networks.NETWORKS[name].builder.startswith('mobilenet.'):
    # The last layer may keep its full width.
    yield {'depth_multiplier': width, 'finegrain_classification_mode': True}
