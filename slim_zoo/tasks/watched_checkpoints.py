"""Yields the new checkpoints of a run while it writes them."""

import contextlib
from collections.abc import Callable, Iterator

from slim_zoo import diagnostics
from slim_zoo.checkpoints import checkpoint_names, restore, run_checkpoints


def of(folder: str, timeout: int | None, has_ended: Callable[[], bool] | None
       ) -> Iterator[str]:
  """Yields each new checkpoint of a folder.

  Args:
    folder: the folder of the run.
    timeout: end after so many seconds without a new checkpoint; None: never.
    has_ended: returns whether the run has ended; None: unknown.

  Raises:
    UserError: no checkpoint came, and `has_ended` is None.
  """
  print(f'waiting for checkpoints in {folder}', flush=True)
  checkpoint = None
  for checkpoint in run_checkpoints.new_ones(
      folder, timeout, has_ended or (lambda: False)):
    print(f'checkpoint {checkpoint}', flush=True)
    yield checkpoint
  if checkpoint is None and has_ended is None:
    raise diagnostics.UserError(
        f'no checkpoint came to {folder} in {timeout} seconds')


@contextlib.contextmanager
def skipping_damaged(checkpoint: str) -> Iterator[None]:
  """If a checkpoint is damaged, prints a line in place of the error of the block."""
  try:
    yield
  except diagnostics.UserError:
    reason = restore.damage_of(checkpoint)
    if reason is None:
      raise
    if checkpoint_names.first_file(checkpoint) is None:
      reason = 'it was removed before it could be read'
    print(f'{checkpoint} is skipped: {reason}', flush=True)
