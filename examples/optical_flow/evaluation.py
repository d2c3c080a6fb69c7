"""Endpoint errors and PSNR, with intervals."""

import dataclasses
from collections.abc import Iterable

import numpy as np

_RESAMPLES, _SEED = 2000, 0


@dataclasses.dataclass(frozen=True)
class Result:
  """Values of clips, of a network and without one.

  Attributes:
    mode: 'flow': mean endpoint errors in pixels, those of no flow for comparison;
      'middle': PSNR in dB, that of the mean of both frames for comparison.
    found: float64 [clips], of the network.
    simple: float64 [clips], without a network.
  """

  mode: str
  found: np.ndarray
  simple: np.ndarray

  @property
  def advantage(self) -> float:
    """'flow': the error divided by that of no flow; 'middle': the gain in dB."""
    return self._advantage(self.found.mean(), self.simple.mean())

  @property
  def interval(self) -> tuple[float, float]:
    """The 95% interval of `advantage`: percentiles of resampled clips.

    Efron 1979, Bootstrap methods: another look at the jackknife.
    """
    random = np.random.default_rng(_SEED)
    chosen = random.integers(len(self.found), size=(_RESAMPLES, len(self.found)))
    low, high = np.percentile(self._advantage(
        self.found[chosen].mean(1), self.simple[chosen].mean(1)), [2.5, 97.5])
    return float(low), float(high)

  def _advantage(self, found, simple):
    return found / simple if self.mode == 'flow' else found - simple

  def __str__(self):
    low, high = self.interval
    found, simple = self.found.mean(), self.simple.mean()
    if self.mode == 'flow':
      return (f'endpoint error {found:.2f} pixels, of no flow {simple:.2f}: ratio'
              f' {self.advantage:.3f} (95% interval {low:.3f} to {high:.3f},'
              f' {len(self.found)} clips)')
    return (f'middle frame {found:.2f} dB PSNR, mean of both frames {simple:.2f} dB:'
            f' gain {self.advantage:.2f} dB (95% interval {low:.2f} to {high:.2f},'
            f' {len(self.found)} clips)')


def endpoint_errors(flow: np.ndarray, true_flow: np.ndarray) -> np.ndarray:
  """Returns the mean distance of the ends of both flows in each image.

  Args:
    flow: float [batch, height, width, 2].
    true_flow: the same shape, or one that fits it, such as 0. Pixels with NaN do not
      count.

  Returns:
    float64 [batch].
  """
  difference = np.asarray(flow, np.float64) - true_flow
  return np.nanmean(np.linalg.norm(difference, axis=-1), (1, 2))


def psnr(images: np.ndarray, true_images: np.ndarray) -> np.ndarray:
  """Returns the peak signal-to-noise ratio in dB, of 8-bit images.

  Args:
    images: float [batch, height, width, channels]; clipped to 0 to 1 and rounded.
    true_images: the same shape.

  Returns:
    float64 [batch]; 99 for equal images.
  """
  rounded = np.rint(255 * np.clip(np.asarray(images, np.float64), 0, 1)) / 255
  squares = ((rounded - true_images) ** 2).mean((1, 2, 3))
  return np.minimum(-10 * np.log10(np.maximum(squares, 1e-12)), 99.0)


def compare(mode: str, pairs: Iterable[tuple]) -> Result:
  """Returns the values of all clips.

  Args:
    mode: 'flow' or 'middle'.
    pairs: of a batch of `records.read` and its `network.Motion`; at least one.
  """
  found, simple = [], []
  for clip, motion in pairs:
    if mode == 'flow':
      found.append(endpoint_errors(motion.flow, clip['flow']))
      simple.append(endpoint_errors(clip['flow'], 0))
    else:
      found.append(psnr(motion.image, clip['middle']))
      simple.append(psnr((clip['first'] + clip['second']) / 2, clip['middle']))
  return Result(mode, np.concatenate(found), np.concatenate(simple))
