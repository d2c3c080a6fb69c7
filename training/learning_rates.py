"""Learning-rate schedules: as a tensor for the graph, as words for the user."""

import dataclasses

from tf_compat import tf

KINDS = ('fixed', 'exponential', 'polynomial')


@dataclasses.dataclass(frozen=True)
class Schedule:
  """A learning rate over steps.

  Attributes:
    kind: one of `KINDS`. 'exponential' multiplies by `decay_factor` after every
      `decay_steps`; 'polynomial' falls in a straight line to `end` at
      `decay_steps` and stays there.
    start: the rate at step 0 (after the warm-up).
    decay_steps: steps between two decays, or to the end of a polynomial.
    decay_factor: of an exponential schedule.
    end: of a polynomial schedule.
    warmup_steps: during these the rate rises in a straight line to `start`, and
      the first step already takes 1 / warmup_steps of it. 0 means none.
  """

  kind: str
  start: float
  decay_steps: int = 1
  decay_factor: float = 0.94
  end: float = 0.0001
  warmup_steps: int = 0

  def at(self, step):
    """Returns the rate at `step`, an int tensor, as a float32 scalar tensor."""
    step = tf.cast(step, tf.float32)
    rate = {
        'fixed': lambda: tf.constant(self.start),
        'exponential': lambda: self.start * tf.pow(
            self.decay_factor, tf.floor(step / self.decay_steps)),
        'polynomial': lambda: self.end + (self.start - self.end) * (
            1 - tf.minimum(step / self.decay_steps, 1.0)),
    }[self.kind]()
    if self.warmup_steps:
      # From the first step on something is learned: the rate never is 0.
      rate = tf.minimum(self.start * (step + 1) / self.warmup_steps, rate)
    return tf.identity(rate, name='learning_rate')

  def describe(self) -> str:
    """Returns one line, in steps."""
    line = {
        'fixed': f'{self.start:g} throughout',
        'exponential': f'{self.start:g}, times {self.decay_factor:g} every'
                       f' {self.decay_steps:,} steps',
        'polynomial': f'{self.start:g}, in a straight line to {self.end:g} at step'
                      f' {self.decay_steps:,}',
    }[self.kind]
    if self.warmup_steps:
      line += f', after a warm-up of {self.warmup_steps:,} steps'
    return line


def steps_of_epochs(epochs: float, num_images: int, batch_size: int) -> int:
  """Returns how many steps of `batch_size` images `epochs` are; at least 1."""
  return max(1, int(num_images * epochs / batch_size))
