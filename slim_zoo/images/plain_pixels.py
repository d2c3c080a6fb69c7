"""Converts pixels of any kind of image to 8 bits, gray or RGB.

Files define neither the value of white in 16 bits nor the background of transparent
pixels. Both are decided here from the image alone, so that conversion and
classification agree. Needs TensorFlow only for 16-bit colours.
"""

import re

import numpy as np
from PIL import Image

# Bits per sample of cameras, scanners and microscopes, stored in 16.
_SAMPLE_BITS = (8, 10, 12, 14, 16)
_PNG_BIT_DEPTH_BYTE, _PNG_COLOUR_TYPE_BYTE = 24, 25
_PNG_WITH_ALPHA = (4, 6)
_TIFF_BITS = 258
_PPM_HEADER_OF_16_BITS = re.compile(rb'P[56](?:(?:\s|#[^\n]*\n)+\d+){2}'
                                    rb'(?:\s|#[^\n]*\n)+65535\s')
# A pixel is visible on white if one of its channels differs by this much.
_VISIBLE_DIFFERENCE = 32
# If a smaller share of pixels is visible, white hides the content.
_FEWEST_VISIBLE = 0.05


def bits_per_sample(image: Image.Image, data: bytes) -> int:
  """Returns 16 if an image file has 16 bits per sample, else fewer or 32.

  Args:
    image: the image, opened from `data`.
    data: the bytes of the file.
  """
  if image.format == 'PNG':
    return data[_PNG_BIT_DEPTH_BYTE]
  if image.format == 'TIFF':
    return max(image.tag_v2.get(_TIFF_BITS, (8,)))
  if image.format == 'PPM':
    # Pillow scales other ranges to 8 bits.
    return 16 if _PPM_HEADER_OF_16_BITS.match(data) else 8
  return 16 if image.mode.startswith('I;16') else 8


def sample_bits(largest: int) -> int:
  """Returns the bits of samples with this largest value.

  A value one beyond the range, such as 4096, is included.
  """
  return next(bits for bits in _SAMPLE_BITS if largest <= 2**bits)


def plain(image: Image.Image, data: bytes) -> tuple[Image.Image, list[str]]:
  """Returns an image of mode L or RGB, and a remark for each decision.

  16-bit samples are scaled by the smallest of 8, 10, 12, 14 and 16 bits that contains
  their largest value: 12-bit values would be nearly black in 16 bits. Transparent
  pixels become white, or black if nothing of the image is visible on white.

  Args:
    image: the decoded image.
    data: the bytes of its file.

  Raises:
    ValueError: its kind has no defined range of values, or its colours are unknown.
  """
  remarks = []
  if image.mode == 'F' or (image.mode == 'I' and image.format not in ('PNG', 'PPM')):
    raise ValueError('its pixels have 32 bits, which no range is agreed for')
  gray = image.mode in ('1', 'L', 'LA', 'La') or image.mode.startswith('I')
  if image.mode.startswith('I'):
    image = _scaled(np.asarray(image), image.info.get('transparency'), remarks)
  elif bits_per_sample(image, data) == 16 and _uses_low_bits(image):
    if image.format == 'PNG':
      image = _deep_colours(data, remarks)
    else:
      remarks.append('dark, as it uses low values of its 16 bits only')
  try:
    if has_transparency(image):
      image = _without_transparency(image.convert('RGBA'), remarks)
    return image.convert('L' if gray else 'RGB'), remarks
  except ValueError as error:
    raise ValueError(f'its colours ({image.mode}) cannot be converted') from error


def has_transparency(image: Image.Image) -> bool:
  """Returns whether an image has an alpha channel or a transparent colour."""
  return image.mode in ('LA', 'La', 'PA', 'RGBA', 'RGBa') or (
      'transparency' in image.info)


def _to_8_bits(samples: np.ndarray, bits: int) -> np.ndarray:
  scaled = samples.astype(np.float64) * (255 / (2**bits - 1))
  return np.round(scaled).clip(0, 255).astype(np.uint8)


def _bits_of(samples, remarks):
  """Returns the bits of 16-bit samples; adds a remark if they are fewer."""
  largest = int(samples.max())
  bits = sample_bits(largest) if largest else 16
  if bits < 16:
    remarks.append(f'read as {bits}-bit values')
  return bits


def _scaled(samples, transparent, remarks):
  """Returns an 8-bit gray image; `transparent` is the value of transparent pixels."""
  gray = Image.fromarray(_to_8_bits(samples, _bits_of(samples, remarks)))
  if not isinstance(transparent, int):
    return gray
  gray.putalpha(Image.fromarray(
      np.where(samples == transparent, 0, 255).astype(np.uint8)))
  return gray


def _uses_low_bits(image):
  """Returns whether the upper 8 bits, which Pillow keeps for colours, are low."""
  if image.mode not in ('LA', 'RGB', 'RGBA'):
    return False
  channels = image.getextrema()
  colours = channels[:1] if image.mode == 'LA' else channels[:3]
  return max(high for _, high in colours) <= 2**(_SAMPLE_BITS[-2] - 8)


def _deep_colours(data, remarks):
  """Returns the colours of a 16-bit PNG with low values as 8 bits."""
  from slim_zoo.tf_compat import tf  # Pillow drops the lower 8 bits.

  config = tf.ConfigProto(device_count={'GPU': 0}, inter_op_parallelism_threads=1,
                          intra_op_parallelism_threads=1)
  with tf.Graph().as_default(), tf.Session(config=config) as session:
    samples = session.run(tf.io.decode_png(data, dtype=tf.uint16))
  height, width, channels = samples.shape
  count = channels - (channels in (2, 4))
  colours, alpha = samples[..., :count], samples[..., count:]
  pixels = [_to_8_bits(colours, _bits_of(colours, remarks))]
  if alpha.size:
    pixels.append(_to_8_bits(alpha, sample_bits(int(alpha.max()))))
  return Image.frombytes(
      {1: 'L', 2: 'LA', 3: 'RGB', 4: 'RGBA'}[channels], (width, height),
      np.concatenate(pixels, axis=-1).tobytes())


def _without_transparency(image, remarks):
  """Returns an RGBA image on white, or on black if white hides it."""
  pixels = np.asarray(image)
  alpha = pixels[..., 3].astype(np.uint32)
  opaque = int(alpha.sum())
  visible = int(alpha[pixels[..., :3].min(axis=-1) <= 255 - _VISIBLE_DIFFERENCE].sum())
  hidden = alpha.min(initial=255) < 255 and visible < _FEWEST_VISIBLE * opaque
  if hidden:
    remarks.append('on black, as white hides it')
  background = Image.new('RGBA', image.size, 'black' if hidden else 'white')
  return Image.alpha_composite(background, image)


def dropped_by_decoder(data: bytes) -> str | None:
  """Returns what TensorFlow's decoder drops from the PNG in a record, or None.

  Args:
    data: the bytes of an image file; other formats than PNG give None.
  """
  if not data.startswith(b'\x89PNG') or len(data) <= _PNG_COLOUR_TYPE_BYTE:
    return None
  if data[_PNG_BIT_DEPTH_BYTE] == 16:
    return 'the lower 8 of 16 bits'
  # The chunk of transparent colours comes before the pixels.
  clear_colours = 0 <= data.find(b'tRNS') < data.find(b'IDAT')
  if data[_PNG_COLOUR_TYPE_BYTE] in _PNG_WITH_ALPHA or clear_colours:
    return 'the transparency'
  return None
