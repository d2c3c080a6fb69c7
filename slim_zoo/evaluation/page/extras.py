"""Optional parts of a page."""

import dataclasses
from collections.abc import Callable, Sequence

from PIL import Image

from slim_zoo.evaluation.near_duplicates import NearDuplicates
from slim_zoo.evaluation.paired_comparison import Comparison
from slim_zoo.evaluation.record_images import RecordImages


@dataclasses.dataclass(frozen=True)
class PageParts:
  """The parts of a page besides the numbers of the evaluation. None: left out.

  Attributes:
    images: stored images of the evaluated records.
    explain: explain(numbers) returns Grad-CAM pictures by image number.
    comparison: comparison with another evaluation.
    near_duplicates: near duplicates in another split.
    other_images: images of the other split; image i belongs to pair i.
  """

  images: RecordImages | None = None
  explain: Callable[[Sequence[int]], dict[int, Image.Image]] | None = None
  comparison: Comparison | None = None
  near_duplicates: NearDuplicates | None = None
  other_images: RecordImages | None = None
