"""Options of test-time augmentation: several views of an image."""

import dataclasses

from slim_zoo.catalog import view_kinds
from slim_zoo.config.options import Group, option


@dataclasses.dataclass(frozen=True)
class Views(Group):
  """The views of an image whose probabilities are averaged."""

  tta: str | None = option(
      None, 'Test-time augmentation: probabilities are the mean over views of an image.'
      ' flip: the central crop, and the same flipped from left to right; five_crop: the'
      ' central crop and those of the four corners; ten_crop: these, and each flipped.'
      ' --batch_size then counts views, but a batch has all views of an image.',
      str, choices=tuple(view_kinds.COUNTS))

  @property
  def notes(self) -> list[str]:
    """A line on the views, if there are several."""
    return [f'--tta={view_kinds.describe(self.tta)}'] if self.tta else []
