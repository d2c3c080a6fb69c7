"""Calls the watchers of a run so that none is left out.

A validation may fail, a disk may be full: what one watcher raises neither keeps the
others from being called nor the loop from saving its weights. The loop asks for the
first failure, and ends the run by it.
"""

from collections.abc import Sequence

from slim_zoo.training import watching


class Callbacks:
  """The watchers of a run, called in their order.

  Args:
    watchers: what is called.

  Attributes:
    failure: what was raised first, by a watcher or as the loop noted; None if nothing
      was.
  """

  def __init__(self, watchers: Sequence[watching.Watcher] = ()):
    self._watchers = tuple(watchers)
    self.failure = None

  def note(self, error: BaseException, where: str) -> None:
    """Keeps a failure, or prints it if there was one before.

    Args:
      error: what was raised.
      where: what failed, for the printed line.
    """
    if self.failure is None:
      self.failure = error
    elif error is not self.failure:
      text = str(error).strip().split('\n')[0]
      print(f'{where} failed after that: {text or type(error).__name__}', flush=True)

  def begin(self, session, step: int, writer) -> None:
    """Calls every `begin`; see `watching.Watcher`."""
    self._call('begin', session, step, writer)

  def measured(self, step: int, loss: float, waited: float) -> None:
    """Calls every `measured`."""
    self._call('measured', step, loss, waited)

  def after_step(self, session, step: int) -> list[str]:
    """Calls every `after_step`; returns the reasons to stop the run."""
    return [reason for reason in self._call('after_step', session, step) if reason]

  def before_save(self, session, step: int) -> None:
    """Calls `before_save` up to the first that raises, and raises that."""
    for watcher in self._watchers:
      watcher.before_save(session, step)

  def after_save(self, session, step: int, path: str) -> None:
    """Calls every `after_save`."""
    self._call('after_save', session, step, path)

  def end(self, session, step: int) -> None:
    """Calls every `end`."""
    self._call('end', session, step)

  def _call(self, method, *arguments):
    results = []
    for watcher in self._watchers:
      try:
        results.append(getattr(watcher, method)(*arguments))
      # Ctrl-C too: the weights are saved before it ends the run.
      except BaseException as error:
        self.note(error, f'{type(watcher).__name__}.{method}')
    return results
