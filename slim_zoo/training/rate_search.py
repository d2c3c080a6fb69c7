"""The search for a learning rate: the loss of steps whose rate rises, and a picture.

Smith 2015, Cyclical learning rates for training neural networks, arXiv 1506.01186,
section 3.3: the rate rises until the loss grows; a good rate is below that.
"""

import dataclasses
import math
import os

import numpy as np

from slim_zoo.drawing import charts
from slim_zoo.drawing.colours import FAINT, INK, SERIES
from slim_zoo.training.callbacks.callback import Callback

# Share of the past in the smoothed loss, as of an exponential moving average.
_SMOOTHING = 0.9
# The search ends where the smoothed loss is this many times the smallest one.
_GROWTH = 4.0
# The suggested rate is so many times below that of the smallest loss.
_BELOW = 10
# Losses of so few steps say nothing.
_FEWEST = 10


@dataclasses.dataclass(frozen=True)
class RisingRate:
  """Learning rates that rise by the same factor in each step.

  Attributes:
    lowest: of the first step.
    highest: of the last step.
    steps: how many there are, 2 or more.
  """

  lowest: float
  highest: float
  steps: int

  @property
  def factor(self) -> float:
    """By how much the rate of a step is higher than that of the step before."""
    return (self.highest / self.lowest) ** (1 / (self.steps - 1))

  def at(self, steps: np.ndarray) -> np.ndarray:
    """Returns the rates of steps; int [n], from 0."""
    return self.lowest * self.factor ** np.asarray(steps, float)


class LossRecorder(Callback):
  """Keeps the loss of each step, and stops a run whose loss has grown.

  Attributes:
    losses: the total loss of each step, from the first on.
  """

  def __init__(self):
    self.losses = []
    self._mean, self._smoothed, self._least = 0.0, math.inf, math.inf

  def measured(self, step, loss, waited):
    """Notes the loss of a step."""
    self.losses.append(loss)
    self._mean, self._smoothed = _smooth_step(self._mean, loss, len(self.losses))
    self._least = min(self._least, self._smoothed)

  def after_step(self, session, step):
    """Returns a reason to stop if the smoothed loss is far above the smallest one."""
    if len(self.losses) > _FEWEST and self._smoothed > _GROWTH * self._least:
      return 'the loss has grown'
    return None


def _smooth_step(mean, loss, number):
  """Returns (the next moving average, the same without a bias at the start)."""
  mean = _SMOOTHING * mean + (1 - _SMOOTHING) * loss
  return mean, mean / (1 - _SMOOTHING ** number)


def smooth(losses: np.ndarray) -> np.ndarray:
  """Returns the exponential moving averages of losses, without a bias at the start."""
  means, mean = [], 0.0
  for number, loss in enumerate(losses, 1):
    mean, smoothed = _smooth_step(mean, loss, number)
    means.append(smoothed)
  return np.array(means)


@dataclasses.dataclass(frozen=True, eq=False)
class Search:
  """The losses of a search.

  Attributes:
    rates: float64 [steps], rising.
    losses: float64 [steps], the finite ones.
  """

  rates: np.ndarray
  losses: np.ndarray

  @property
  def smoothed(self) -> np.ndarray:
    """The smoothed losses."""
    return smooth(self.losses)

  @property
  def least(self) -> float:
    """The rate of the smallest smoothed loss."""
    return float(self.rates[self._least])

  @property
  def _least(self):
    # The first steps are noise.
    return int(self.smoothed[_FEWEST:].argmin()) + _FEWEST

  @property
  def suggested(self) -> float | None:
    """A tenth of the rate of the smallest smoothed loss; None if it never falls.

    At the rate of the smallest loss, steps are already too large to continue with.
    """
    losses, least = self.smoothed, self._least
    if least - _FEWEST < 2 or losses[least] >= losses[_FEWEST]:
      return None
    return self.least / _BELOW


def search_of(losses, rising: RisingRate) -> Search | None:
  """Returns the search of the losses of the first steps; None if there are too few."""
  losses = np.array(losses, float)
  finite = np.isfinite(losses)
  # What follows a loss that is not finite is not the same network.
  count = len(losses) if finite.all() else int(finite.argmin())
  if count <= _FEWEST:
    return None
  return Search(rising.at(np.arange(count)), losses[:count])


def draw(path: str | os.PathLike, found: Search, title: str) -> None:
  """Writes the picture of a search as a PNG file; raises OSError."""
  with charts.in_style([title]):
    figure = charts.new(8, 4)
    axes = figure.add_subplot()
    axes.plot(found.rates, found.losses, color=SERIES[0], alpha=0.3, linewidth=1)
    axes.plot(found.rates, found.smoothed, color=SERIES[0], linewidth=1.8,
              label='total loss, smoothed')
    for rate, style, words in ((found.suggested, '-', 'suggested'),
                               (found.least, '--', 'the loss is smallest')):
      if rate is not None:
        axes.axvline(rate, color=INK, linestyle=style, linewidth=1,
                     label=f'{rate:.2g}: {words}')
    axes.set_xscale('log')
    # Its own labels are formulas, which are not read as such here.
    axes.xaxis.set_major_formatter('{x:g}')
    smoothed = found.smoothed
    margin = 0.1 * (smoothed[0] - smoothed.min()) or 0.1
    # The first smoothed loss is never below the smallest.
    axes.set_ylim(smoothed.min() - margin, smoothed[0] + 4 * margin)
    axes.set_xlabel('learning rate')
    axes.set_title(title)
    axes.grid(color=FAINT)
    axes.spines[['top', 'right']].set_visible(False)
    axes.legend(frameon=False, fontsize=9)
    charts.save(figure, path)
