"""Identifies the network of a checkpoint by its variables.

No graph is built: the variables of all networks are in `catalog.variables`. What
depends on the data fits any number: the classes and the channels of the images.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence

from slim_zoo.catalog import networks, variables
from slim_zoo.checkpoints import comparison, contents
from slim_zoo.checkpoints.comparison import Match


def identify(shapes: Mapping[str, Sequence[int]],
             limit: int | None = 3) -> list[Match]:
  """Returns the networks that a checkpoint is most like, the nearest first.

  Args:
    shapes: of all variables in the checkpoint, by name. Slots, moving averages and
      the like may be among them.
    limit: the most networks to return; None: all that have anything in common.
  """
  weights = comparison.Weights(contents.sort(shapes).weights)
  matches = [match for known in _all_known()
             for match in comparison.matches(known, weights) if match.likeness]
  # Equals stay in the order of the registry. ResNet v1 and v1b have the same variables:
  # the scope, also below others, tells them apart.
  matches.sort(key=lambda match: (
      not match.fits, -match.likeness, match.renamed,
      not f'/{match.scope}'.endswith(f'/{match.own_scope}'), len(match.beside)))
  first = {}
  for match in matches:
    first.setdefault(match.network, match)
  return list(first.values())[:limit]


def find_width(shapes: Mapping[str, Sequence[int]],
               build: Callable[..., variables.Variables]) -> Match | None:
  """Returns the network of a checkpoint whose width is no row of the registry.

  Args:
    shapes: of all variables in the checkpoint, by name.
    build: build(name, **arguments) returns the variables of a network built with
      arguments, as `nets.variables.measure` does. Called a few times at most, and
      only for a checkpoint that differs from a network in numbers of channels alone.

  Returns:
    A `Match` that fits, with `arguments`; None if there is none.
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
  """Returns one line on a checkpoint that is not of the network `model_name`.

  Returns:
    Such as "this is a checkpoint of mobilenet_v2_140, of width 1.4: use
    --model_name=mobilenet_v2_140"; None if it is of `model_name`, or of no
    known network.
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
  """Returns whether numbers of channels are all that differs."""
  return bool(match.mismatched) and not match.missing and not match.unexpected and all(
      len(shape) == len(expected) and shape[:-2] == expected[:-2]
      for _, shape, expected in match.mismatched)


def _widths(match):
  """Returns the widths that a checkpoint may have, the likeliest first."""
  depths = [(shape[-1], expected[-1]) for _, shape, expected in match.mismatched
            if len(shape) == 1]
  ratio = (sum(shape for shape, _ in depths) / sum(expected for _, expected in depths)
           if depths else 0)
  # Depths are rounded, so the width is only nearly the ratio.
  likely = (round(ratio * 20) / 20, ratio, ratio - 0.01, ratio + 0.01)
  return [width for width in dict.fromkeys(round(width, 2) for width in likely)
          if width > 0]


def _arguments(name, width):
  """Yields the arguments that may give a network its width."""
  yield {'depth_multiplier': width}
  if width < 1 and networks.NETWORKS[name].builder.startswith('mobilenet.'):
    # The last layer may have been left as wide as it is.
    yield {'depth_multiplier': width, 'finegrain_classification_mode': True}
