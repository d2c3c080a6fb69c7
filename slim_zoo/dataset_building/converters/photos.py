"""Records of published photos, unchanged if the decoder supports them."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from slim_zoo.dataset_building import archives
from slim_zoo.dataset_building.conversion_plan import Record
from slim_zoo.images import image_check
from slim_zoo.input import plain_records

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png')


class Box(NamedTuple):
  """Corners of a box as fractions of the image's width and height, 0 to 1."""

  xmin: float
  ymin: float
  xmax: float
  ymax: float


def box_in_pixels(xmin: float, ymin: float, xmax: float, ymax: float, width: float,
                  height: float) -> Box | None:
  """Returns a box cropped to its image; None if it is empty."""
  if not (width > 0 and height > 0):
    return None
  box = Box(*(min(max(value, 0.0), 1.0) for value in (
      xmin / width, ymin / height, xmax / width, ymax / height)))
  return box if box.xmin < box.xmax and box.ymin < box.ymax else None


def box_features(boxes: Iterable[Box]) -> dict[str, bytes]:
  """Returns the features of boxes."""
  return {f'image/object/bbox/{side}': plain_records.floats(
      [getattr(box, side) for box in boxes]) for side in Box._fields}


def make_record(name: str, place: archives.Slice | archives.ZipMember, label: int,
                format_names: Mapping[str, bytes], only_jpeg: bool = False,
                more: Mapping[str, bytes] | None = None) -> Record:
  """Returns the record of a photo.

  Args:
    name: name of the photo.
    place: where its bytes are.
    label: label of its class.
    format_names: the data set's names of 'jpeg' and 'png'.
    only_jpeg: whether other formats are stored as JPEG.
    more: further features.

  Raises:
    RefusedError, DamagedMemberError: the photo cannot be used.
  """
  data, facts = image_check.as_published(archives.read(place), only_jpeg)
  features = plain_records.image_features(
      data, format_names[facts.format], facts.height, facts.width, label, name)
  return Record(plain_records.example({**features, **(more or {})}), facts.change)
