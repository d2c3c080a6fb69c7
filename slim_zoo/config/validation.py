"""Validation: the accuracy during a run, on images that are not trained on."""

import dataclasses
import math

from slim_zoo import diagnostics
from slim_zoo.catalog import datasets as dataset_catalog
from slim_zoo.config.data import Data
from slim_zoo.config.options import Group, option

_SOURCES = '--validation_split_name or --validation_share'


@dataclasses.dataclass(frozen=True)
class Validation(Group):
  """Which images are validated on, how often, and when that ends the run."""

  validation_split_name: str | None = option(
      None, 'Split to validate on while training; by default there is no validation.',
      str)
  validation_share: float | None = option(
      None, 'Share of the training split, such as 0.1, that is validated on and not'
      ' trained on, in place of a --validation_split_name. Always the same images.',
      float)
  validate_every_steps: int | None = option(
      None, 'Steps between validations, of which the last is at the end; by default an'
      ' epoch.', int, lower=1)
  validate_every_epochs: float | None = option(
      None, 'Epochs, of all workers together, between validations.', float)
  early_stop_patience: int | None = option(
      None, 'Stop after so many validations in a row without a better accuracy (mean'
      ' average precision, where an image may have several classes; mean IoU of'
      ' segmentation); by default never.',
      int, lower=1)
  early_stop_min_delta: float = option(
      0.0, 'By how much it must be higher to be better, 0 to 1.', lower=0, upper=1)

  @property
  def is_on(self) -> bool:
    """Whether the run is validated."""
    return bool(self.validation_split_name) or self.validation_share is not None

  def check(self, data: Data) -> None:
    """Refuses options that make no sense.

    Args:
      data: of the training.

    Raises:
      UserError: the first fault.
    """
    for name in ('validate_every_steps', 'validate_every_epochs',
                 'early_stop_patience'):
      if getattr(self, name) is not None and not self.is_on:
        raise diagnostics.UserError(
            f'--{name}={getattr(self, name)} needs images to validate on: add'
            f' {_SOURCES}')
    for one, other in (('validation_split_name', 'validation_share'),
                       ('validate_every_steps', 'validate_every_epochs')):
      if getattr(self, one) is not None and getattr(self, other) is not None:
        raise diagnostics.UserError(
            f'--{one} and --{other} are given: leave out one of them')
    share, epochs = self.validation_share, self.validate_every_epochs
    if share is not None and not 0 < share < 1:
      raise diagnostics.UserError(
          f'--validation_share={share:g}: expected a share between 0 and 1, such as'
          ' 0.1')
    if epochs is not None and not 0 < epochs < math.inf:
      raise diagnostics.UserError(
          f'--validate_every_epochs={epochs:g}: expected a number above 0, such as 1')
    if self.early_stop_min_delta and not self.early_stop_patience:
      raise diagnostics.UserError(
          f'--early_stop_min_delta={self.early_stop_min_delta:g} needs an'
          ' --early_stop_patience, such as 5')
    if self.validation_split_name is not None:
      self._check_split(data)

  def _check_split(self, data):
    spec, split = data.spec(), self.validation_split_name
    spec.check_split(split, 'validation_split_name')
    if split == data.dataset_split_name:
      raise diagnostics.UserError(
          f'--validation_split_name={split} is the split that is trained on: name'
          ' another one, or hold out a --validation_share of it')
    dataset_catalog.split_files(spec, split, data.dataset_dir)

  def every_steps(self, num_images: int, images_per_step: int) -> int:
    """Returns the steps between validations.

    Args:
      num_images: of an epoch.
      images_per_step: that are read while the global step rises by one.
    """
    if self.validate_every_steps is not None:
      return self.validate_every_steps
    epochs = self.validate_every_epochs or 1.0
    return max(1, round(epochs * num_images / images_per_step))

  def source(self, data: Data) -> str:
    """Returns in words on which images is validated."""
    if self.validation_split_name:
      return f'{self.validation_split_name} of {data.dataset_name}'
    return (f'{self.validation_share:g} of {data.dataset_split_name} of'
            f' {data.dataset_name}')
