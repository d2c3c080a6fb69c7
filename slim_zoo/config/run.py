"""The run: where it writes, how long it takes, and what it prints."""

import dataclasses
import re

from slim_zoo import diagnostics
from slim_zoo.checkpoints import checkpoint_names
from slim_zoo.config.options import Group, option


@dataclasses.dataclass(frozen=True)
class Run(Group):
  """Where the run writes, how long it takes, and when it saves."""

  train_dir: str = option(
      '/tmp/tfmodel/',
      'Folder for checkpoints and summaries; a run in it is resumed.', is_path=True)
  max_number_of_steps: int | None = option(
      None, 'Global step to stop at; by default training never ends.', int, lower=1)
  save_interval_secs: int = option(
      600, 'Seconds between checkpoints; 0 saves only at the end.', lower=0)
  max_loss_growth: float = option(
      1e4, 'Stop when the loss is this many times that of the first step; 0 lets it'
      ' grow. A loss that is not finite always stops the run.', lower=0)

  smoke: bool = option(
      False, 'Try the other flags in less than a minute: two steps on generated images,'
      ' written to a temporary folder. Nothing of the run is kept.')
  find_learning_rate: bool = option(
      False, 'Search for a learning rate, in place of the run: up to'
      ' --max_number_of_steps (200 by default) steps, whose rate rises from 1e-6 to 10,'
      ' until the loss grows. Prints a tenth of the rate at which the loss is'
      ' smallest, and writes --train_dir/learning_rate_finder.png.')

  def check(self) -> None:
    """Refuses options that make no sense.

    Raises:
      UserError: there is no folder to write to, or its name is a pattern.
    """
    if not self.train_dir:
      raise diagnostics.UserError('--train_dir is empty: name a folder to write to')
    checkpoint_names.check_no_pattern(self.train_dir)

  def describe(self) -> str:
    """Returns the line of the banner."""
    interval = (f'every {self.save_interval_secs} s and at the end'
                if self.save_interval_secs else 'at the end')
    return f'in {self.train_dir}, {interval}'


@dataclasses.dataclass(frozen=True)
class Logging(Group):
  """What is printed and what TensorBoard shows."""

  log_every_n_steps: int = option(
      10, 'Steps between progress lines; 0 prints none.', lower=0)
  save_summaries_secs: int = option(
      600, 'Seconds between summaries for TensorBoard; 0 writes none.', lower=0)
  sample_predictions: int = option(
      16, 'Images, of the validation split if there is one, whose predictions are drawn'
      ' again and again: after the first step, every --save_summaries_secs, or less'
      ' often where that would take more than 1% of the time, and in the end; 0 draws'
      ' none.', lower=0, upper=100)
  profile_steps: str | None = option(
      None, 'Steps to profile, first and last, such as 10:15, counted from the start of'
      ' this process. The trace in --train_dir is for the profiler of TensorBoard.',
      str)

  @property
  def profiled_steps(self) -> tuple[int, int] | None:
    """The first and the last step to profile; None: no step.

    Raises:
      UserError: they are not such steps.
    """
    if self.profile_steps is None:
      return None
    numbers = re.fullmatch(r'(\d{1,9}):(\d{1,9})', self.profile_steps)
    first, last = map(int, numbers.groups()) if numbers else (0, 0)
    if not 1 <= first <= last:
      raise diagnostics.UserError(
          f'--profile_steps={self.profile_steps}: expected the first and the last step,'
          ' counted from 1, such as 10:15')
    return first, last

  def check(self, max_number_of_steps: int | None = None) -> None:
    """Checks the steps to profile.

    Args:
      max_number_of_steps: of the run; None: it never ends.

    Raises:
      UserError: they are not such steps, or the run ends before the first of them.
    """
    steps = self.profiled_steps
    if steps and max_number_of_steps and steps[0] > max_number_of_steps:
      raise diagnostics.UserError(
          f'--profile_steps={self.profile_steps} with --max_number_of_steps='
          f'{max_number_of_steps}: the run ends before step {steps[0]}; name earlier'
          ' steps')

  def without_effect(self) -> dict[str, str]:
    """Returns the cause for each option that changes nothing."""
    return ({} if self.save_summaries_secs else
            {'sample_predictions': '--save_summaries_secs=0'})
