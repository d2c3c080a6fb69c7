"""Callbacks and progress lines for a program that calls `slim.learning.train` itself.

    steps = slim_steps.SlimSteps(callbacks, losses=parts, writer=writer,
                                 every_steps=100, number_of_steps=5000)
    with steps.saving_at_signals(train_dir):
      slim.learning.train(train_op, train_dir, train_step_fn=steps,
                          number_of_steps=5000, summary_writer=writer)
"""

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from slim_zoo import diagnostics
from slim_zoo.progress import clock
from slim_zoo.tf_compat import tf
from slim_zoo.training import intervals, named_losses, stopping
from slim_zoo.training.callbacks.callback import Callback, CallbackList


class SlimSteps:
  """A `train_step_fn` of `slim.learning.train`.

  It takes the steps, prints a progress line every few steps, and calls the callbacks
  between the steps. slim's own line is not printed.

  Args:
    callbacks: an error in one ends the run with this error.
    losses: the parts of the loss by name, such as of `named_losses.summarized`; float
      scalars, of which the progress lines show the means.
    writer: of summaries, for the callbacks; None: they write none.
    every_steps: steps between two progress lines; the last step has one too; 0: none.
    number_of_steps: the global step that the run ends at, as slim gets it; None: slim
      ends it otherwise.
  """

  def __init__(self, callbacks: Sequence[Callback] = (),
               losses: Mapping[str, tf.Tensor] | None = None,
               writer: tf.summary.FileWriter | None = None, every_steps: int = 100,
               number_of_steps: int | None = None):
    self._each_callback = tuple(callbacks)
    self._callbacks, self._losses = CallbackList(callbacks), dict(losses or {})
    self._writer, self._last = writer, number_of_steps
    self._due, self._prints = intervals.EverySteps(every_steps), every_steps > 0
    self._step, self._sums, self._begin = None, [], 0.0
    # The steps since `_begin`. The first step of a process is not timed, as it prepares
    # the graph and fills the input.
    self._timed, self._stop_request = 0, None

  @contextlib.contextmanager
  def saving_at_signals(self, train_dir: str) -> Iterator[None]:
    """Lets Ctrl-C and SIGTERM end the `slim.learning.train` in the block in order.

    The step that runs is finished, and slim saves a checkpoint. A second signal ends
    the program at once. Only the main thread of a program can take signals.

    Args:
      train_dir: the logdir of `slim.learning.train`.

    Raises:
      Stopped: a signal ended the run. It is a `UserError` with the exit code.
    """
    self._stop_request = stopping.StopRequest(train_dir)
    for callback in self._each_callback:
      callback.is_asked_to_stop = self._is_asked_to_stop
    with self._stop_request.listening():
      yield
    if self._is_asked_to_stop():
      raise self._stop_request.answer(self._step)

  def __call__(self, session, train_op, global_step, options):
    """Takes a step; returns the total loss and whether it was the last step."""
    is_first = self._step is None
    if is_first:
      self._step = int(session.run(global_step))
      self._due.start(self._step)
      self._callbacks.begin(session, self._step, self._writer)
      self._raise_failure(session)
      self._begin = time.monotonic()
    loss = self._take(session, train_op, global_step)
    if is_first:
      self._timed, self._begin = 0, time.monotonic()
    self._callbacks.measured(self._step, float(loss), 0.0)
    if self._due.take(self._step):
      self._print()
    reasons = self._callbacks.after_step(session, self._step)
    self._raise_failure(session)
    is_last = (bool(reasons) or self._is_asked_to_stop()
               or self._is_last(session, options))
    if is_last:
      if self._sums and self._prints:
        self._print()
      for reason in reasons:
        print(reason, flush=True)
      self._callbacks.end(session, self._step)
      self._raise_failure()
    return loss, is_last

  def _take(self, session, train_op, global_step):
    try:
      loss, losses = session.run([train_op, self._losses])
      self._step = int(session.run(global_step))
    except BaseException:
      self._callbacks.end(session, self._step)
      raise
    self._sums.append([loss, *losses.values()])
    self._timed += 1
    if self._stop_request is not None:
      self._stop_request.has_progress = True
    return loss

  def _is_asked_to_stop(self):
    return self._stop_request is not None and self._stop_request.signal is not None

  def _is_last(self, session, options):
    if self._last is not None:
      return self._step >= self._last
    return 'should_stop' in options and bool(session.run(options['should_stop']))

  def _raise_failure(self, session=None):
    """Raises the failure of a callback; given a session, calls every `end` before."""
    failure = self._callbacks.failure
    if failure is not None:
      if session is not None:
        self._callbacks.end(session, self._step)
      raise failure

  def _print(self):
    """Prints the progress since the last line; the time of callbacks counts."""
    means = np.mean(self._sums, axis=0).tolist()
    seconds, steps = time.monotonic() - self._begin, self._timed
    of_last = f'/{self._last}' if self._last else ''
    parts = named_losses.text_of(dict(zip(self._losses, means[1:], strict=True)))
    line = (f'step {self._step}{of_last}  loss {diagnostics.fixed(means[0], 4)}'
            + (f' ({parts})' if parts else '')
            + (f'  {steps / seconds:.3g} steps/s' if steps else ''))
    if self._last and self._last > self._step and steps:
      left = (self._last - self._step) * seconds / steps
      line += f'  {clock(left)} left'
    print(line, flush=True)
    self._callbacks.progress(self._step, {
        'progress/mean_loss': means[0], **{
            named_losses.TAGS + name: mean
            for name, mean in zip(self._losses, means[1:], strict=True)}})
    self._sums, self._timed, self._begin = [], 0, time.monotonic()
