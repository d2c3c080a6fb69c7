"""Why a record cannot be used: its label, its features or its image.

A record that the pipeline skips is read again, so that its fault is named, and counted
by its kind. `first_records` checks the first records of a run before it starts.
"""

import collections
import contextlib
import dataclasses
import io
import warnings
from collections.abc import Iterator, Sequence

from PIL import Image

from slim_zoo.catalog import datasets as catalog
from slim_zoo.images import image_check, mask_files
from slim_zoo.input import records
from slim_zoo.input.record_form import (
  TYPES,
  Expected,
  Features,
  labels_of,
  looks_n_hot,
  parse,
  shown,
)

# So many records of a kind are named; of more, the count is printed when it doubles.
_NAMED_OF_A_KIND = 8
# WebP is decoded by newer releases of TensorFlow.
_DECODED_FORMATS = ('JPEG', 'MPO', 'PNG', 'GIF', 'BMP', 'WEBP')
# (offset, bytes there, format) of images that Pillow may not know either.
_SIGNATURES = (
    *((4, b'ftyp' + brand, 'HEIC') for brand in (b'hei', b'hev', b'mif1', b'msf1')),
    (4, b'ftypavi', 'AVIF'), (0, b'\xff\x4f\xff\x51', 'JPEG2000'),
    (4, b'jP  \r\n', 'JPEG2000'), (0, b'\xff\x0a', 'JPEG XL'), (4, b'JXL ', 'JPEG XL'))
ADVICE_N_HOT = ('say "multi_label": "n_hot" in the dataset.json of the folder, and'
                 ' train with --loss=sigmoid')


@dataclasses.dataclass(frozen=True)
class Fault:
  """A fault of a record.

  Attributes:
    kind: what such records are counted as, such as 'WEBP image'.
    reason: the fault in words, behind the name of the record.
    is_of_label: whether the label is at fault, so the class is not known.
    advice: what to do where all records are like this.
  """

  kind: str
  reason: str
  is_of_label: bool = False
  advice: str = ''


_NO_EXAMPLE = Fault('record that is not a tf.train.Example',
                    'it does not hold an image: it is not a tf.train.Example', True,
                    'expected a serialized tf.train.Example with image/encoded and'
                    ' image/class/label: see docs/input.md')


def _label_fault(features: Features, expected: Expected) -> Fault | None:
  """Returns the fault of a label; not whether it is one of the classes."""
  if expected.masks:
    return _mask_fault(features)
  name = expected.label_feature
  kind, values = features.kind(name), features.values(name)
  if not values:
    if (expected.multi_label and not expected.n_hot) or (
        expected.default_label is not None):
      return None
    return Fault('record without a label', f'{features.missing(name)}; expected'
                 f' {expected.label_in_words}', True)
  if kind != 'int64_list':
    return Fault(f'{TYPES[kind]} label', f'its {name} is {TYPES[kind]},'
                 f' {shown(values)}: expected {expected.label_in_words}', True,
                 'write the label as one int64' if not expected.multi_label else
                 'write the labels as int64')
  if expected.n_hot:
    return _n_hot_fault(name, values, expected)
  if not expected.multi_label and len(values) > 1:
    is_n_hot = looks_n_hot(values, expected.num_classes) or (
        _has_a_bit_for_each_class(values, expected))
    return Fault(
        'record with several labels', f'it has {len(values)} labels, {shown(values)},'
        ' in a data set whose images have one each', True,
        f'these are N-hot: {ADVICE_N_HOT}, or write each label as one number'
        if is_n_hot else
        'if images have any number of labels, say "multi_label": true in the'
        ' dataset.json of the folder')
  if expected.multi_label and looks_n_hot(values, expected.num_classes):
    return Fault('N-hot label', f'its {name} is N-hot, {shown(values)}: expected'
                 f' {expected.label_in_words}', True, ADVICE_N_HOT)
  return None


def _n_hot_fault(name, values, expected):
  """Returns the fault of a label that has to be N-hot."""
  if _has_a_bit_for_each_class(values, expected):
    return None
  return Fault('label that is not N-hot', f'its {name} is {shown(values)}: expected'
               f' {expected.label_in_words}', True,
               'say "multi_label": true in dataset.json where records hold the'
               ' numbers of classes')


def _has_a_bit_for_each_class(values, expected):
  return len(values) == expected.num_classes and set(values) <= {0, 1}


def _mask_fault(features: Features) -> Fault | None:
  """Returns the fault of a mask; not of its pixels."""
  name = catalog.MASK_FEATURE
  kind, values = features.kind(name), features.values(name)
  if kind == 'bytes_list' and len(values) == 1 and values[0]:
    return None
  return Fault('record without a mask', f'{features.missing(name)}; expected a PNG of'
               ' class numbers', True,
               'slim-zoo convert-images --segmentation writes such records')


def _image_fault(features: Features, expected: Expected) -> Fault | None:
  """Returns why an image cannot be used, by all but its pixels."""
  name = expected.image_feature
  kind, values = features.kind(name), features.values(name)
  if not values:
    return Fault('record without an image', f'{features.missing(name)}; expected'
                 f' {name}, a JPEG or PNG, and {expected.feature_of_label},'
                 f' {expected.label_in_words}')
  if kind != 'bytes_list' or len(values) > 1:
    return Fault('image of another type', f'its {name} holds {len(values)} values of'
                 f' {TYPES[kind]}: expected the bytes of one JPEG or PNG')
  data = values[0]
  image_format = _format_of(data)
  if image_format in _DECODED_FORMATS:
    return _size_fault(data)
  if image_format is not None:
    return _unknown_format(image_format)
  return _raw_fault(data, name, features)


def _unknown_format(name):
  return Fault(f'{name} image', f'its image cannot be decoded: it is {name}, expected'
               ' JPEG or PNG', advice='encode the images again')


def _raw_fault(data, name, features):
  """Returns the fault of pixels that are not encoded; None if they are none."""
  formats = features.values('image/format')
  sides = [features.values(f'image/{side}') for side in ('height', 'width')]
  size = [side[0] for side in sides if side and isinstance(side[0], int)]
  pixels = size[0] * size[1] if len(size) == 2 else 0
  if formats[:1] not in ([b'raw'], [b'RAW']) and not (
      pixels and len(data) in (pixels, 3 * pixels, 4 * pixels)):
    return None
  of_size = f' of {size[0]} x {size[1]}' if pixels else ''
  return Fault('image of raw pixels', f'its {name} cannot be decoded: it holds raw'
               f' pixels{of_size}, expected JPEG or PNG',
               advice='encode them with tf.io.encode_png')


def _format_of(data: bytes) -> str | None:
  """Returns the format of an image by its header, or None."""
  for place, signature, name in _SIGNATURES:
    if data.startswith(signature, place):
      return name
  try:
    with opened(data) as image:
      return image.format
  except Image.DecompressionBombError:
    return 'PNG'
  except Exception:  # Damaged files make Pillow raise nearly anything.
    return None


@contextlib.contextmanager
def opened(data) -> Iterator[Image.Image]:
  """Lends an image of which only the header was read."""
  with warnings.catch_warnings():
    # Pillow warns of sizes that are checked here.
    warnings.simplefilter('ignore', Image.DecompressionBombWarning)
    image = Image.open(io.BytesIO(data), formats=image_check.readable_formats())
  with image:
    yield image


def _size_fault(data):
  try:
    with opened(data) as image:
      image_check.check_size(image.width, image.height)
  except image_check.RefusedError as error:
    reason = error
  except Image.DecompressionBombError:  # Pillow has a limit of its own.
    reason = image_check.too_large()
  else:
    return None
  return Fault('image that is too large', f'its image cannot be decoded: {reason}')


def find(data: bytes, expected: Expected) -> Fault | None:
  """Returns the fault of a record, without decoding its image.

  Args:
    data: of the record.
    expected: its required form.
  """
  features = parse(data)
  if features is None:
    return _NO_EXAMPLE
  image = _image_fault(features, expected)
  # Where both features are called otherwise, the image's words list them all.
  if image and image.kind == 'record without an image':
    return image
  return _label_fault(features, expected) or image


def find_label_fault(data: bytes, expected: Expected) -> Fault | None:
  """Returns the fault of a record's label; not whether it is one of the classes."""
  features = parse(data)
  return (_NO_EXAMPLE if features is None else _label_fault(features, expected))


def explain(data: bytes, expected: Expected) -> Fault:
  """Returns why a record was skipped; decodes its image to learn it."""
  fault = find(data, expected)
  if fault:
    return fault
  features = parse(data)
  image = features.values(expected.image_feature)[0]
  try:
    facts = image_check.examine(image, '')
  except image_check.RefusedError as error:
    return Fault('damaged image', f'its image cannot be decoded: {error}')
  if expected.masks:
    try:
      mask = mask_files.decode(features.values(catalog.MASK_FEATURE)[0])
    except image_check.RefusedError as error:
      return Fault('damaged mask', f'its mask cannot be used: {error}')
    if mask.shape != (facts.height, facts.width):
      return Fault('mask of another size',
                   f'its mask has {mask.shape[1]} x {mask.shape[0]} pixels, its image'
                   f' {facts.width} x {facts.height}')
  # Pillow decodes it, TensorFlow does not.
  return _unknown_format(_format_of(image))


class FaultCounts:
  """Explains why records were skipped, and counts them by kind.

  Args:
    files: the record files.
    expected: the required form of their records.

  Attributes:
    expected: as given.
  """

  def __init__(self, files: Sequence[str], expected: Expected):
    self.expected = expected
    self._reader = records.RecordReader(files)
    self._counts = collections.Counter()

  def explain(self, key: tuple[int, int]) -> Fault:
    """Returns the fault of a record, [index of its file, position in it]."""
    return explain(self._reader.read(*key), self.expected)

  def labels_of(self, key: tuple[int, int]) -> list[int]:
    """Returns the labels of a record whose label is of the right form."""
    return labels_of(self._reader.read(*key), self.expected)

  def add(self, key: tuple[int, int]) -> tuple[Fault, bool]:
    """Counts a record.

    Args:
      key: the index of its file, and its position there.

    Returns:
      Its fault, and whether to print it: of the first of a kind each is printed, later
      only the one at which their number has doubled.
    """
    fault = self.explain(key)
    self._counts[fault.kind] += 1
    count = self._counts[fault.kind]
    doubled = count // _NAMED_OF_A_KIND
    return fault, count <= _NAMED_OF_A_KIND or (
        count % _NAMED_OF_A_KIND == 0 and doubled & (doubled - 1) == 0)

  def summary(self) -> str | None:
    """Returns how many records there were of each kind; None if all were printed."""
    if max(self._counts.values(), default=0) <= _NAMED_OF_A_KIND:
      return None
    return ', '.join(f'{kind}: {count:,}' for kind, count in self._counts.most_common())
