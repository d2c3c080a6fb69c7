"""The families of preprocessing: their names, and what they do to size and channels."""

from collections.abc import Sequence

from slim_zoo import diagnostics
from slim_zoo.catalog import networks, view_kinds

# The families that crop images and do not resize them.
_CROPPING = ('cifarnet', 'lenet')
# The values of a row's `preprocessing`.
NAMES = ('cifarnet', 'inception', 'lenet', 'vgg')
# The families that keep a gray image gray; the others return three equal channels.
_KEEPING_GRAY = ('cifarnet', 'lenet')
# What an evaluation shows the network of an image, in words.
CROPS = {
    'inception': 'the central 87.5% of the image, resized bilinearly',
    'vgg': 'the shorter side resized to 256 bilinearly (more if the network has larger'
           ' images), then the centre',
    **dict.fromkeys(
        ('cifarnet', 'lenet'),
        'the centre of a larger image; a smaller image gets a black border'),
}


def check(name: str) -> None:
  """Raises UserError unless `name` is a preprocessing family or a network."""
  if name not in NAMES and name not in networks.NETWORKS:
    raise diagnostics.unknown_name(
        'preprocessing', name, [*NAMES, *networks.NETWORKS])


def family_of(name: str) -> str:
  """Returns the family of that name, or the default family of the network `name`.

  Raises:
    UserError: the family or network does not exist.
  """
  check(name)
  return networks.NETWORKS[name].preprocessing if name in networks.NETWORKS else name


def crop_note(preprocessing_name: str, image_size: int,
              sizes: Sequence[tuple[int, int]]) -> str | None:
  """Returns a note if preprocessing crops most images to a small part, else None.

  Args:
    preprocessing_name: a preprocessing family or a network.
    image_size: height and width of the network's input, in pixels.
    sizes: (height, width) of some images, in pixels.
  """
  larger = [size for size in sizes if min(size) > image_size]
  if family_of(preprocessing_name) not in _CROPPING or 2 * len(
      larger) <= len(sizes):
    return None
  height, width = larger[0]
  return (f'{preprocessing_name} preprocessing does not resize: the network sees'
          f' {image_size} x {image_size} pixels of images such as {height} x {width};'
          ' --preprocessing_name=inception resizes them')


def crop_notes(preprocessing_name: str, image_size: int,
               sizes: Sequence[tuple[int, int]], kind: str | None) -> list[str]:
  """Returns the `crop_note`, and one if crops of test-time augmentation are the same.

  Args:
    preprocessing_name: a preprocessing family or a network.
    image_size: height and width of the network's input, in pixels.
    sizes: (height, width) of some images, in pixels.
    kind: of `view_kinds.COUNTS`, or None.
  """
  note = crop_note(preprocessing_name, image_size, sizes)
  if (kind in view_kinds.CROPPING and sizes
      and family_of(preprocessing_name) in _CROPPING
      and all(max(size) <= image_size for size in sizes)):
    note = (f'{preprocessing_name} preprocessing does not resize, and no image is'
            f' larger than {image_size} x {image_size}: the crops of --tta={kind} are'
            ' the same')
  return [note] if note else []


def channels_after(preprocessing_name: str, decoded_channels: int,
                   use_grayscale: bool) -> int:
  """Returns the number of channels of preprocessed images.

  Used by the preprocessing and by everything that builds a network for its images.

  Args:
    preprocessing_name: a preprocessing family or a network.
    decoded_channels: channels of decoded images, 1 or 3: the `channels` of their data
      set.
    use_grayscale: whether images are converted to gray.

  Returns:
    1 or 3.

  Raises:
    UserError: the preprocessing does not exist.
  """
  family = family_of(preprocessing_name)
  if use_grayscale:
    return 1
  return decoded_channels if family in _KEEPING_GRAY else 3
