"""Augmentation beyond the recipe of the preprocessing: none of it by default."""

import dataclasses

from slim_zoo import diagnostics
from slim_zoo.config.options import Group, option


@dataclasses.dataclass(frozen=True)
class Augmentation(Group):
  """What is done to training images beyond the preprocessing."""

  rand_augment_layers: int = option(
      0, 'RandAugment: operations that are drawn for each image; 2 is usual, 0 is'
      ' none.',
      lower=0, upper=14)
  rand_augment_magnitude: float = option(
      9.0, 'RandAugment: how strong each operation is. 10 is as strong as AutoAugment'
      ' can be; large networks take more.', lower=0, upper=30)
  trivial_augment: bool = option(
      False, 'TrivialAugment: one operation with a random magnitude for each image; an'
      ' alternative to RandAugment without settings.')
  random_erasing_probability: float = option(
      0.0, 'Share of the images of which a box becomes noise; 0.25 to 0.5 are usual.',
      lower=0, upper=1)
  repeated_augmentation: int = option(
      1, 'How often each image comes, one after the other, each time with other random'
      ' changes; 3 is usual. A batch then has as many times fewer different images, and'
      ' so has an epoch.', lower=1)
  mixup_alpha: float = option(
      0.0, 'Blends each image and its label with another of the batch, by a share from'
      ' Beta(alpha, alpha); 0.1 to 0.4 are usual, 0 is off.', lower=0)
  cutmix_alpha: float = option(
      0.0, 'Puts a box of another image of the batch into each image, the share from'
      ' Beta(alpha, alpha); 1 is usual, 0 is off. With --mixup_alpha too each batch'
      ' draws one of the two.', lower=0)
  mixing_off_epochs: float = option(
      0.0, 'Epochs at the end of the run without mixup and cutmix, so that the last'
      ' steps see whole images; needs --max_number_of_steps.', lower=0)

  def check(self, batch_size: int, user_options: frozenset[str],
            max_number_of_steps: int | None = None, has_servers: bool = False,
            has_service: bool = False) -> None:
    """Refuses options that make no sense.

    Args:
      batch_size: images of a batch.
      user_options: names of the options that the user set.
      max_number_of_steps: of the run.
      has_servers: whether the run has parameter servers.
      has_service: whether images come from a tf.data service.

    Raises:
      UserError: the first fault.
    """
    if 'rand_augment_magnitude' in user_options and not self.rand_augment_layers:
      raise diagnostics.UserError(
          f'--rand_augment_magnitude={self.rand_augment_magnitude:g} has no effect'
          ' without --rand_augment_layers: give it too, such as'
          ' --rand_augment_layers=2')
    repeats = self.repeated_augmentation
    if repeats > batch_size:
      raise diagnostics.UserError(
          f'--repeated_augmentation={repeats} with --batch_size={batch_size}: an image'
          ' does not fit into a batch; use a larger batch')
    if repeats > 1 and has_service:
      raise diagnostics.UserError(
          f'--repeated_augmentation={repeats} with --data_service: the service reads'
          ' each image once; leave out one of them')
    if self.trivial_augment and self.rand_augment_layers:
      raise diagnostics.UserError(
          f'--trivial_augment with --rand_augment_layers={self.rand_augment_layers}:'
          ' both change the same image; leave out one of them')
    for name in ('mixup_alpha', 'cutmix_alpha'):
      if getattr(self, name) and batch_size == 1:
        raise diagnostics.UserError(
            f'--{name}={getattr(self, name):g} with --batch_size=1: there is no other'
            ' image to mix with; take 2 images or more')
    if not self.mixing_off_epochs:
      return
    flag = f'--mixing_off_epochs={self.mixing_off_epochs:g}'
    if not self.mixers():
      raise diagnostics.UserError(
          f'{flag} has no effect without --mixup_alpha or --cutmix_alpha')
    if max_number_of_steps is None:
      raise diagnostics.UserError(
          f'{flag} needs the end of the run: give --max_number_of_steps')
    if has_servers:
      raise diagnostics.UserError(
          f'{flag} with parameter servers: a worker does not know which step its batch'
          ' is for; leave it out')

  def notes(self, use_grayscale: bool) -> list[str]:
    """Returns a line for every option that does less than a user expects."""
    if (self.rand_augment_layers or self.trivial_augment) and use_grayscale:
      return ['the colour operation of the augmentation leaves gray images as they are'
              ' (--use_grayscale)']
    return []

  def describe(self) -> list[str]:
    """Returns the lines of the banner."""
    steps = []
    if self.rand_augment_layers:
      steps.append(self.describe_rand_augment())
    if self.trivial_augment:
      steps.append('TrivialAugment')
    if self.random_erasing_probability:
      steps.append(self.describe_erasing())
    if self.repeated_augmentation > 1:
      steps.append(f'each image {self.repeated_augmentation} times, one after the'
                   ' other')
    mixers = ' or '.join(title for title, _ in self.mixers())
    if mixers and self.mixing_off_epochs:
      mixers += f', but not in the last {self.mixing_off_epochs:g} epochs'
    return [*steps, mixers] if mixers else steps

  def describe_rand_augment(self) -> str:
    """Returns RandAugment in words."""
    layers = self.rand_augment_layers
    return (f'RandAugment, {layers} operation{"s" if layers > 1 else ""} of magnitude'
            f' {self.rand_augment_magnitude:g}')

  def describe_erasing(self) -> str:
    """Returns random erasing in words."""
    return f'random erasing of {self.random_erasing_probability:.0%} of the images'

  def mixers(self) -> list[tuple[str, tuple[float, float]]]:
    """Returns (title, (mixup alpha, cutmix alpha)) for each way to mix batches."""
    return [(f'{name} with alpha {max(alphas):g}', alphas) for name, alphas in (
        ('mixup', (self.mixup_alpha, 0.0)), ('cutmix', (0.0, self.cutmix_alpha)))
            if max(alphas)]
