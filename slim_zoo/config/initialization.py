"""The beginning: which checkpoint the weights come from, and which are trained."""

import dataclasses
import os

from slim_zoo import diagnostics
from slim_zoo.checkpoints import checkpoint_names, renaming
from slim_zoo.config.options import Group, comma_separated, option


@dataclasses.dataclass(frozen=True)
class Initialization(Group):
  """Where the weights come from, and which of them stay as they are."""

  init: str = option(
      'auto', 'Where the weights come from. auto: the run in --train_dir if there is'
      ' one, else --checkpoint_path, else random weights. The others insist: on that'
      ' run, on --checkpoint_path or on random weights, and never write over a run.',
      choices=('auto', 'resume', 'finetune', 'scratch'))
  checkpoint_path: str | None = option(
      None, 'Checkpoint, or folder of checkpoints, to begin from; or published:NAME, as'
      ' slim-zoo weights --list shows it.', str, is_path=True)
  checkpoint_exclude_scopes: str | None = option(
      None, 'Scopes of the checkpoint, separated by commas, that are not restored;'
      ' auto: the head of the network if its classes are others.', str)
  checkpoint_rename: str | None = option(
      None, 'Rules OLD=NEW, separated by commas, for scopes with other names in the'
      ' checkpoint: vgg=vgg_16, module/= removes a prefix,'
      ' /ExponentialMovingAverage= takes the moving averages for the weights.', str)
  transfer_classes_from: str | None = option(
      None, 'The labels.txt of the checkpoint, of lines LABEL:NAME: classes with the'
      ' same name in the data set keep their weights.', str, is_path=True)
  trainable_scopes: str | None = option(
      None, 'Scopes, separated by commas, to train; by default all.', str)
  frozen_scopes: str | None = option(
      None, 'Scopes, separated by commas, that stay as they are to the last bit, the'
      ' statistics of batch norm included; also within --trainable_scopes.', str)
  frozen_batch_norm_scopes: str | None = option(
      None, 'Scopes, separated by commas, whose batch norm keeps its statistics and'
      ' normalizes by them in training too; its gamma and beta are trained.', str)
  ignore_missing_vars: bool = option(
      False, 'Start variables that are missing in the checkpoint, or have another shape'
      ' there, from their initial values.')

  def check(self, train_dir: str) -> None:
    """Refuses options that make no sense, and a checkpoint that is not there.

    Args:
      train_dir: of the run; a run there continues from its own checkpoint.

    Raises:
      UserError: the first fault.
    """
    for name in ('checkpoint_exclude_scopes', 'checkpoint_rename',
                 'transfer_classes_from'):
      if getattr(self, name) and not self.checkpoint_path:
        raise diagnostics.UserError(
            f'--{name}={getattr(self, name)} has no effect without --checkpoint_path:'
            ' name the checkpoint, or leave the flag out')
    if self.init == 'finetune' and not self.checkpoint_path:
      raise diagnostics.UserError(
          '--init=finetune needs --checkpoint_path: the checkpoint to begin from')
    if self.init == 'scratch' and self.checkpoint_path:
      raise diagnostics.UserError(
          f'--init=scratch begins with random weights, but --checkpoint_path='
          f'{self.checkpoint_path} is given: leave out one of them')
    self.rename_rules()
    labels_file = self.transfer_classes_from
    if labels_file and not os.path.isfile(labels_file):
      raise diagnostics.UserError(
          f'--transfer_classes_from={labels_file}: there is no such file; name the'
          ' labels.txt of the data set that the checkpoint was trained on')
    if self.checkpoint_path and not checkpoint_names.holds_run(train_dir):
      checkpoint_names.check_there(self.checkpoint_path)

  def rename_rules(self) -> list[renaming.Rule]:
    """Returns the rules of checkpoint_rename.

    Raises:
      UserError: a rule has another form.
    """
    return renaming.parse(list(comma_separated(self.checkpoint_rename)))

  @property
  def excluded(self) -> tuple[str, ...]:
    """The scopes that are not restored."""
    return comma_separated(self.checkpoint_exclude_scopes)

  @property
  def trainable(self) -> tuple[str, ...]:
    """The scopes to train; all if there are none."""
    return comma_separated(self.trainable_scopes)

  @property
  def frozen(self) -> tuple[str, ...]:
    """The scopes that stay as they are."""
    return comma_separated(self.frozen_scopes)

  @property
  def frozen_batch_norm(self) -> tuple[str, ...]:
    """The scopes whose batch norm keeps its statistics, without the frozen scopes."""
    return comma_separated(self.frozen_batch_norm_scopes)
