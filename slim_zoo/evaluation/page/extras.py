"""What a page has besides the numbers of an evaluation."""

import dataclasses
from collections.abc import Callable, Sequence

from PIL import Image

from slim_zoo.evaluation.near_duplicates import NearDuplicates
from slim_zoo.evaluation.paired_comparison import Comparison
from slim_zoo.evaluation.record_images import RecordImages


@dataclasses.dataclass(frozen=True)
class PageParts:
  """What a page has besides the numbers of an evaluation; each part may be missing.

  Attributes:
    images: the stored images: their records and the names of their files.
    explain: explain(numbers) returns Grad-CAM pictures by image number.
    comparison: with another evaluation.
    near_duplicates: in another split.
    other_images: the images of the other split; number i is that of pair i.
  """

  images: RecordImages | None = None
  explain: Callable[[Sequence[int]], dict[int, Image.Image]] | None = None
  comparison: Comparison | None = None
  near_duplicates: NearDuplicates | None = None
  other_images: RecordImages | None = None
