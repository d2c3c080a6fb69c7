"""Sends a run to trackers of experiments: numbers, files, and how it ends."""

import os
from collections.abc import Callable, Mapping, Sequence

from slim_zoo.checkpoints import run_card
from slim_zoo.tracking import sending, tracker
from slim_zoo.tracking.sending import Sender
from slim_zoo.training import stopping
from slim_zoo.training.callbacks import hparams, validation
from slim_zoo.training.callbacks.callback import Callback
from slim_zoo.training.callbacks.run_card import FLAGS_NAME, TEXT_NAME

_FILES = (run_card.JSON_NAME, TEXT_NAME, FLAGS_NAME, validation.FILE)


def status_of(error: BaseException | None) -> str:
  """Returns how a run ended, for `Tracker.end`.

  Args:
    error: that ended it; None: it came to its end.
  """
  if error is None:
    return tracker.FINISHED
  return tracker.STOPPED if stopping.is_stop(error) else tracker.FAILED


class TrackedRun(Callback):
  """Gives the numbers of progress lines and of validations to the trackers.

  They have the tags of TensorBoard. At the end the results and the files of the run
  card follow. Use it as a context manager around the run card, which writes them.

  Args:
    train_dir: folder of the run.
    senders: one of each tracker.
    results: returns those of the run card.
  """

  def __init__(self, train_dir: str, senders: Sequence[Sender],
               results: Callable[[], Mapping]):
    self._folder, self._senders, self._results = train_dir, senders, results

  def __enter__(self):
    for sender in self._senders:
      sender.start()
    return self

  def __exit__(self, kind, error, trace):
    results = self._results()
    paths = [os.path.join(self._folder, name) for name in _FILES]
    for sender in self._senders:
      sender.record(results.get('step', 0), 'results', {
          f'results/{name}': value
          for name, value in hparams.columns(results).items()})
    sending.finish(self._senders, status_of(error), [
        (path, '') for path in paths if os.path.exists(path)])

  def progress(self, step, numbers):
    """Sends the numbers of a progress line."""
    self._record(step, 'progress', numbers)

  def validated(self, step, numbers):
    """Sends the results of a validation."""
    self._record(step, 'validation', numbers)

  def report(self) -> dict:
    """Returns the ids of the runs, for the run card."""
    return {'tracking': {
        sender.name: sender.run for sender in self._senders if sender.run}}

  def _record(self, step, kind, numbers):
    for sender in self._senders:
      sender.record(step, kind, numbers)
