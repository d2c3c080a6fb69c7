"""Learning-rate schedules: as a tensor for the graph, as words for the user."""

import dataclasses
import math

from slim_zoo.tf_compat import tf

KINDS = ('fixed', 'exponential', 'polynomial', 'cosine', 'cosine_restarts',
         'piecewise')


@dataclasses.dataclass(frozen=True)
class Schedule:
  """A learning rate over steps.

  Attributes:
    kind: one of `KINDS`. 'exponential' multiplies by `decay_factor` after every
      `decay_steps`; 'polynomial' falls in a straight line, 'cosine' along half a
      cosine (Loshchilov and Hutter 2017, arXiv 1608.03983), to `end` at
      `decay_steps`, and both stay there; 'cosine_restarts' begins again after each
      cosine, as in that paper; 'piecewise' takes the rates of `changes`.
    start: the rate at step 0 (after the warm-up).
    decay_steps: steps between two decays, or to the end of a polynomial or of the
      first cosine.
    decay_factor: of an exponential schedule.
    end: of a polynomial or a cosine.
    warmup_steps: during these the rate rises in a straight line to `start`, and
      the first step already takes 1 / warmup_steps of it. 0 means none. The
      schedule itself counts from step 0 all the same; the lower of both is taken.
    changes: of a piecewise schedule, (step, rate) in the order of the steps: from
      `step` on the rate is `rate`.
    period_growth: with restarts, the length of each cosine relative to the one before,
      1 or more.
    restart_factor: with restarts, the highest rate of each cosine relative to the one
      before.
  """

  kind: str
  start: float
  decay_steps: int = 1
  decay_factor: float = 0.94
  end: float = 0.0001
  warmup_steps: int = 0
  changes: tuple[tuple[int, float], ...] = ()
  period_growth: float = 1.0
  restart_factor: float = 1.0

  def at(self, step) -> tf.Tensor:
    """Returns the rate at `step`, an int tensor, as a float32 scalar tensor."""
    # float32 cannot tell steps apart beyond 16.7 million.
    step = tf.cast(step, tf.float64)
    rate = {
        'fixed': lambda step: tf.constant(self.start, tf.float64),
        'exponential': self._exponential,
        'polynomial': lambda step: self._between(1 - self._progress(step)),
        'cosine': lambda step: self._between(
            (1 + tf.cos(math.pi * self._progress(step))) / 2),
        'cosine_restarts': self._restarting,
        'piecewise': self._piecewise,
    }[self.kind](step)
    if self.warmup_steps:
      # From the first step on something is learned: the rate never is 0.
      ramp = self.start * (step + 1) / self.warmup_steps
      rate = tf.where(step < self.warmup_steps, tf.minimum(ramp, rate), rate)
    return tf.cast(rate, tf.float32, name='learning_rate')

  def _progress(self, step):
    return tf.minimum(step / self.decay_steps, 1.0)

  def _between(self, share):
    """Returns `start` for a share of 1, `end` for 0."""
    return self.end + (self.start - self.end) * share

  def _restarting(self, step):
    period, growth = float(self.decay_steps), self.period_growth

    def begin(cycle):
      if growth == 1:
        return period * cycle
      return period * (tf.pow(tf.constant(growth, tf.float64), cycle) - 1) / (
          growth - 1)

    cycle = (tf.floor(step / period) if growth == 1 else tf.floor(
        tf.math.log1p(step * (growth - 1) / period) / math.log(growth)))
    # A logarithm may be rounded to the other side of a restart.
    cycle += tf.cast(step >= begin(cycle + 1), tf.float64)
    cycle -= tf.cast(step < begin(cycle), tf.float64)
    progress = (step - begin(cycle)) / (begin(cycle + 1) - begin(cycle))
    highest = self.start * tf.pow(tf.constant(self.restart_factor, tf.float64), cycle)
    return self.end + (highest - self.end) * (1 + tf.cos(math.pi * progress)) / 2

  def _exponential(self, step):
    decays = tf.floor(step / self.decay_steps)
    return self.start * tf.pow(tf.constant(self.decay_factor, tf.float64), decays)

  def _piecewise(self, step):
    steps, rates = zip(*self.changes, strict=True)
    passed = tf.reduce_sum(tf.cast(tf.constant(steps, tf.float64) <= step, tf.int32))
    return tf.gather(tf.constant((self.start, *rates), tf.float64), passed)

  def describe(self) -> str:
    """Returns one line, in steps."""
    line = {
        'fixed': f'{self.start:g} throughout',
        'exponential': f'{self.start:g}, times {self.decay_factor:g} every'
                       f' {self.decay_steps:,} steps',
        'polynomial': f'{self.start:g}, in a straight line to {self.end:g} at step'
                      f' {self.decay_steps:,}',
        'cosine': f'{self.start:g}, along a cosine to {self.end:g} at step'
                  f' {self.decay_steps:,}',
        'cosine_restarts': self._describe_restarts(),
        'piecewise': ', '.join([f'{self.start:g}', *(
            f'{rate:g} from step {step:,}' for step, rate in self.changes)]),
    }[self.kind]
    if self.warmup_steps:
      line += f', after a warm-up of {self.warmup_steps:,} steps'
    return line

  def _describe_restarts(self):
    lengths = (f', each {self.period_growth:g} times as long as the one before'
               if self.period_growth != 1 else '')
    heights = (f', each from {self.restart_factor:g} times the rate'
               if self.restart_factor != 1 else '')
    return (f'{self.start:g}, along cosines to {self.end:g} that begin again, the first'
            f' after {self.decay_steps:,} steps{lengths}{heights}')


def steps_of_epochs(epochs: float, num_images: int, batch_size: int) -> int:
  """Returns how many steps of `batch_size` images `epochs` are; at least 1."""
  return max(1, int(num_images * epochs / batch_size))
