"""Reports the steps of a run: progress lines, curves, and skipped images."""

from collections.abc import Sequence

import numpy as np

from slim_zoo import diagnostics
from slim_zoo.input import pipeline
from slim_zoo.progress import clock
from slim_zoo.tf_compat import tf
from slim_zoo.training import intervals, named_losses
from slim_zoo.training.callbacks import summaries
from slim_zoo.training.loop_options import LoopOptions


class StepReport:
  """Prints progress lines and skipped images, and writes curves and summaries.

  Args:
    options: of the loop.
    images: the input pipeline.
    curve_tags: the names of the curves, in the order of `write_curves`.

  Attributes:
    interval: sums over the steps since the last progress line.
    unreadable: the records that were skipped.
  """

  def __init__(self, options: LoopOptions, images: pipeline.Input,
               curve_tags: Sequence[str]):
    self._options, self._images, self._curve_tags = options, images, curve_tags
    self.interval, self.unreadable = intervals.Interval(), set()
    self._progress_due = intervals.EverySteps(options.log_every_n_steps)
    self._writer = self._summarized = None
    self._parts = [place for place, tag in enumerate(self._curve_tags)
                   if tag.startswith(named_losses.TAGS)]
    self._sums_of_parts = np.zeros(len(self._parts))

  def begin(self, step: int, writer: tf.summary.FileWriter | None) -> None:
    """Begins in a session, at a global step.

    Args:
      step: it may be an earlier one again.
      writer: of the summaries; None: none are written.
    """
    self._writer = writer if self._options.save_summaries_secs else None
    self.interval.start(step)
    self._sums_of_parts[:] = 0
    self._progress_due.start(step)

  def add(self, step: int, loss: float, waited: float, curves: np.ndarray) -> None:
    """Adds a step to the interval; the arguments are those of `Interval.add`.

    Args:
      step: the global step after it.
      loss: the total loss.
      waited: seconds of waiting for input.
      curves: as in `write_curves`, of which progress lines show the named losses.
    """
    self.interval.add(step, loss, waited)
    self._sums_of_parts += np.asarray(curves)[self._parts]

  def is_due(self, step: int) -> bool:
    """Tells whether it is time for a progress line, and if so waits for the next."""
    return self._progress_due.take(step)

  def print_progress(self, step: int, learning_rate: float) -> dict[str, float]:
    """Prints the progress line of a step, and begins the next interval.

    Asynchronous workers take a few steps more than the run has: the line does not
    count them.

    Returns:
      The numbers of the line by the tags of TensorBoard: means over the interval.
    """
    means = self._mean_parts()
    parts = named_losses.text_of(means)
    interval = self.interval.restart()
    last = self._options.max_number_of_steps
    of_last = f'/{last}' if last else ''
    images = interval.steps * self._options.images_per_step / interval.seconds
    loss = diagnostics.fixed(interval.mean_loss, 4)
    line = (f'step {min(step, last or step)}{of_last}  loss {loss}'
            + (f' ({parts})' if parts else '') +
            f'  learning rate {learning_rate:.3g}  {images:,.0f} images/s'
            f'  input wait {interval.wait_share:.0%}')
    if last and last > step:
      line += f'  {clock((last - step) * interval.step_seconds)} left'
    print(line, flush=True)
    return {'progress/mean_loss': interval.mean_loss,
            'progress/images_per_second': images,
            'progress/input_wait_share': interval.wait_share,
            summaries.LEARNING_RATE: float(learning_rate),
            **{named_losses.TAGS + name: float(mean) for name, mean in means.items()}}

  def _mean_parts(self):
    """Returns the means of the named losses in the interval, and begins the next."""
    means = self._sums_of_parts / max(self.interval.count, 1)
    self._sums_of_parts = np.zeros(len(self._parts))
    names = [self._curve_tags[place].removeprefix(named_losses.TAGS)
             for place in self._parts]
    return dict(zip(names, means, strict=True))

  def write_curves(self, step: int, curves: Sequence[float]) -> None:
    """Writes the curves of a step, unless it has summaries already."""
    if self._writer is None or self._summarized == step:
      return
    self._summarized = step
    summaries.write_scalars(
        self._writer, dict(zip(self._curve_tags, curves, strict=True)), step)

  def write_summary(self, step: int, summary: bytes) -> None:
    """Writes the summaries of a step, if any are written."""
    if self._writer is not None:
      self._writer.add_summary(summary, step)
      self._summarized = step

  def print_skipped(self) -> None:
    """Prints a line for each image that cannot be decoded, and why."""
    for number, key in self._images.log.take_lost():
      if key is None or key not in self.unreadable:
        self.unreadable.add(key or number)
        reason, is_printed = 'its image cannot be decoded', True
        if key is not None:
          fault, is_printed = self._images.faults.add(key)
          reason = fault.reason
        if is_printed:
          print(f'skipped {self._images.log.describe(key)}: {reason}'
                f' ({len(self.unreadable)} so far)', flush=True)
