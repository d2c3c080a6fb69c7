"""Images of 16 bits, transparent ones, ones with several frames or turned by EXIF."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from slim_zoo.images import image_check, image_files, plain_pixels
from slim_zoo.input import first_records
from tests.stored_images import (
  convert,
  encoded,
  example,
  fill,
  picture,
  plain_folder,
  write,
)

DEPTHS = (8, 10, 12, 14)


def png_of_16_bits(samples, transparent=None):
  """Returns a PNG of uint16 samples [height, width, channels]; Pillow writes none.

  Args:
    samples: the pixels.
    transparent: the gray value of clear pixels, or None.
  """
  height, width, channels = samples.shape
  kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
  rows = b''.join(b'\0' + row.astype('>u2').tobytes() for row in samples)

  def chunk(name, data):
    return (struct.pack('>I', len(data)) + name + data
            + struct.pack('>I', zlib.crc32(name + data)))

  return (b'\x89PNG\r\n\x1a\n'
          + chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, 16, kind, 0, 0, 0))
          + (b'' if transparent is None else
             chunk(b'tRNS', struct.pack('>H', transparent)))
          + chunk(b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b''))


def ramp(bits, channels):
  """Returns samples that use all values up to those of `bits` bits."""
  values = np.round(np.linspace(0, 2**bits - 1, 32 * 24)).astype(np.uint16)
  samples = np.repeat(values.reshape(24, 32, 1), channels, axis=2)
  if channels in (2, 4):
    samples[..., -1] = 65535
  return samples


def deep_files(bits):
  gray = ramp(bits, 1)
  return {
      'gray.png': png_of_16_bits(gray),
      'gray_alpha.png': png_of_16_bits(ramp(bits, 2)),
      'rgb.png': png_of_16_bits(ramp(bits, 3)),
      'rgba.png': png_of_16_bits(ramp(bits, 4)),
      'gray.tif': encoded(gray[..., 0], 'TIFF'),
      'gray.pgm': b'P5 32 24\n# a comment\n65535\n' + gray.astype('>u2').tobytes(),
  }


def seen(data, name='x.png'):
  """Returns (the stored pixels of a file, its facts)."""
  facts = image_check.examine(data, name)
  stored, _ = image_check.prepare(data, name, image_check.Storing())
  return np.asarray(Image.open(io.BytesIO(stored))), facts


@pytest.mark.parametrize('bits', [*DEPTHS, 16])
@pytest.mark.parametrize('name', deep_files(8))
def test_low_values_of_16_bits_keep_their_range(name, bits):
  pixels, facts = seen(deep_files(bits)[name], name)
  assert (pixels.min(), pixels.max()) == (0, 255)
  assert len(np.unique(pixels)) == 256
  assert (f'read as {bits}-bit values' in facts.change) == (bits < 16)


@pytest.mark.parametrize(('largest', 'bits'), [
    (1, 8), (255, 8), (256, 8), (300, 10), (1023, 10), (4000, 12), (4095, 12),
    (4096, 12), (4200, 14), (16383, 14), (17000, 16), (65535, 16)])
def test_bits_are_the_fewest_that_hold_the_largest_value(largest, bits):
  assert plain_pixels.sample_bits(largest) == bits


def test_black_image_of_16_bits_stays_black():
  pixels, facts = seen(png_of_16_bits(np.zeros([4, 4, 1], np.uint16)))
  assert pixels.max() == 0
  assert facts.change == '16-bit PNG'


def test_images_that_are_scaled_in_several_ways_are_counted(tmp_path):
  images = fill(plain_folder(tmp_path / 'images', 2), {
      'cat/12.png': png_of_16_bits(ramp(12, 1)), 'cat/10.png': png_of_16_bits(
          ramp(10, 1)), 'dog/16.png': png_of_16_bits(ramp(16, 1))})
  text = '\n'.join(convert(images, tmp_path / 'records').lines())
  assert 'its own largest value: 1 of 10 bits, 1 of 12 bits, 1 of 16 bits' in text
  assert 're-encoded: 1 16-bit PNG; 1 16-bit PNG, read as 10-bit values; ' in text


@pytest.mark.parametrize(('shade', 'background'), [(0, 255), (4095, 0)])
def test_clear_pixels_of_16_bits_are_as_those_of_8(shade, background):
  samples = np.full([24, 32, 1], 1000, np.uint16)
  samples[6:18, 8:24] = shade
  pixels, facts = seen(png_of_16_bits(samples, transparent=1000))
  assert pixels[0, 0] == background
  assert pixels[12, 16] == 255 - background
  assert ('on black' in facts.change) == (background == 0)


@pytest.mark.parametrize('colour', [(255, 255, 255), (200, 30, 30)])
def test_palette_with_clear_pixels_is_as_colours_with_them(colour):
  image = Image.new('P', (32, 24), 0)
  image.putpalette([10, 20, 30, *colour])
  image.paste(1, (8, 6, 24, 18))
  pixels, facts = seen(encoded(image, transparency=b'\0\xff'))
  white = colour == (255, 255, 255)
  assert pixels[0, 0].tolist() == [0 if white else 255] * 3
  assert pixels[12, 16].tolist() == list(colour)
  assert facts.change.startswith('PNG with a palette')
  assert ('on black' in facts.change) == white


@pytest.mark.parametrize('suffix', ['tif', 'ppm'])
def test_dark_colours_that_pillow_cuts_are_said(suffix):
  samples = ramp(12, 3)
  if suffix == 'ppm':
    data = b'P6 32 24 65535\n' + samples.astype('>u2').tobytes()
  else:
    data = _tiff_of_16_bits(samples)
  _, facts = seen(data, f'x.{suffix}')
  assert 'dark, as it uses low values of its 16 bits only' in facts.change


def _tiff_of_16_bits(samples):
  """Returns a TIFF of uint16 colours; Pillow writes none."""
  height, width, _ = samples.shape
  pixels = samples.astype('<u2').tobytes()
  behind = 8 + len(pixels)
  tags = [(256, 3, 1, width), (257, 3, 1, height), (258, 3, 3, behind), (259, 3, 1, 1),
          (262, 3, 1, 2), (273, 4, 1, 8), (277, 3, 1, 3), (278, 3, 1, height),
          (279, 4, 1, len(pixels))]
  directory = struct.pack('<H', len(tags)) + b''.join(
      struct.pack('<HHII', *tag) for tag in tags) + b'\0\0\0\0'
  return (b'II*\0' + struct.pack('<I', behind + 6) + pixels
          + struct.pack('<HHH', 16, 16, 16) + directory)


def shape_on_nothing(colour, mode='RGBA', alpha=255):
  image = Image.new('RGBA', (32, 24), (0, 0, 0, 0))
  image.paste((*colour, alpha), (8, 6, 24, 18))
  return image.convert(mode)


@pytest.mark.parametrize(('file', 'name'), [
    (encoded(shape_on_nothing((255, 255, 255))), 'white.png'),
    (encoded(shape_on_nothing((240, 240, 235))), 'nearly_white.png'),
    (encoded(shape_on_nothing((255, 255, 255), alpha=120)), 'pale.png'),
    (encoded(shape_on_nothing((255, 255, 255), 'LA')), 'gray.png'),
    (encoded(shape_on_nothing((255, 255, 255)), 'WEBP', lossless=True), 'white.webp'),
    (encoded(shape_on_nothing((255, 255, 255)), 'TIFF'), 'white.tiff'),
    (encoded(shape_on_nothing((255, 255, 255), 'LA').getchannel(0), transparency=0),
     'one_colour.png'),
    (encoded(shape_on_nothing((255, 255, 255)), 'GIF'), 'white.gif'),
])
def test_white_on_nothing_stays_visible(file, name):
  pixels, facts = seen(file, name)
  assert np.ptp(pixels.astype(int)) > 100
  assert 'on black' in facts.change


@pytest.mark.parametrize('colour', [(0, 0, 0), (200, 30, 30), (255, 255, 0),
                                    (128, 128, 128)])
def test_other_colours_are_on_white(colour):
  pixels, facts = seen(encoded(shape_on_nothing(colour)))
  assert facts.change == 'PNG with transparency'
  assert pixels[0, 0].tolist() == [255, 255, 255]
  assert pixels[12, 16].tolist() == list(colour)


def test_image_with_nothing_in_it_and_an_opaque_white_one_are_white():
  for image in (Image.new('RGBA', (8, 8), (0, 0, 0, 0)),
                Image.new('RGBA', (8, 8), (255, 255, 255, 255))):
    pixels, facts = seen(encoded(image))
    assert pixels.min() == 255
    assert 'black' not in facts.change


@pytest.mark.parametrize('suffix', ['gif', 'webp', 'png', 'tiff'])
def test_first_of_several_frames_is_used_and_said(tmp_path, suffix):
  first, second = picture(1), picture(2)
  data = encoded(Image.fromarray(first), suffix.upper(), save_all=True,
                 append_images=[Image.fromarray(second)],
                 **({'lossless': True} if suffix == 'webp' else {}))
  pixels, facts = seen(data, f'x.{suffix}')
  assert facts.several
  assert np.abs(pixels.astype(int) - first).mean() < 12
  images = fill(plain_folder(tmp_path / 'images', 2), {f'cat/x.{suffix}': data})
  report = convert(images, tmp_path / 'records')
  assert 'several frames or pages, of which the first is used: 1' in '\n'.join(
      report.lines())
  with image_files.Reader().open(str(images / f'cat/x.{suffix}')) as file:
    assert file.change.endswith('its first frame')


@pytest.mark.parametrize('orientation', range(1, 9))
@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'WEBP'])
def test_every_note_which_way_is_up_is_followed(orientation, kind):
  shown = picture(4)
  turned = {1: shown, 2: shown[:, ::-1], 3: shown[::-1, ::-1], 4: shown[::-1],
            5: shown.transpose(1, 0, 2), 6: np.rot90(shown), 8: np.rot90(shown, -1),
            7: shown[::-1, ::-1].transpose(1, 0, 2)}[orientation]
  exif = Image.Exif()
  exif[0x0112] = orientation
  options = {'lossless': True} if kind == 'WEBP' else {'quality': 95}
  pixels, _ = seen(encoded(np.ascontiguousarray(turned), kind, exif=exif, **options))
  assert pixels.shape == shown.shape
  assert np.abs(pixels.astype(int) - shown).max() < 40


@pytest.mark.parametrize(('data', 'kind'), [
    (b'\0\0\0\x18ftypheic\0\0\0\0mif1heic', 'HEIC'), (b'\0\0\0\x1cftypavif', 'AVIF'),
    (b'%PDF-1.4\n%\xe2\xe3', 'PDF'), (b'PK\3\4\x14\0', 'ZIP'),
    (b'8BPS\0\1', 'Photoshop'), (b'\0\0\0\x20ftypisom\0\0', 'video')])
def test_kinds_that_are_not_read_are_named(data, kind):
  with pytest.raises(image_check.RefusedError, match=f'a file of {kind}.*convert it'):
    image_check.examine(data, 'photo.jpg')


def test_headers_that_promise_too_much_are_refused_before_they_are_decoded(tmp_path):
  data = bytearray(encoded(np.zeros([8, 8, 3], np.uint8)))
  data[16:24] = (10_001).to_bytes(4, 'big') + (10_000).to_bytes(4, 'big')
  data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, 'big')
  images = fill(plain_folder(tmp_path / 'images', 2), {'cat/huge.png': bytes(data)})
  report = convert(images, tmp_path / 'records')
  assert [path for path, _ in report.refused] == ['cat/huge.png']
  assert 'more than 100 million pixels' in report.refused[0][1]


def test_records_of_others_say_what_the_decoder_drops(tmp_path):
  clear = encoded(shape_on_nothing((255, 255, 255)))
  path = write(tmp_path / 'x.tfrecord', *map(example, [
      png_of_16_bits(ramp(12, 1)), png_of_16_bits(ramp(16, 3)), clear,
      encoded(picture(1)), encoded(picture(2), 'JPEG'), b'', b'text']))
  lines = first_records.decoding_notes([path])
  assert [line.split(':')[0] for line in lines] == [
      'the decoder drops the lower 8 of 16 bits of PNG images, 2 of the first 7',
      'the decoder drops the transparency of PNG images, 1 of the first 7']
  plain = convert(plain_folder(tmp_path / 'images', 3), tmp_path / 'records')
  assert plain.spec.num_classes == 2
  assert first_records.decoding_notes(
      [str(path) for path in (tmp_path / 'records').glob('*.tfrecord')]) == []
  (tmp_path / 'damaged.tfrecord').write_bytes(b'no records')
  assert first_records.decoding_notes([str(tmp_path / 'damaged.tfrecord')]) == []


@pytest.mark.parametrize(('data', 'dropped'), [
    (png_of_16_bits(ramp(12, 1)), 'the lower 8 of 16 bits'),
    (encoded(shape_on_nothing((9, 9, 9), 'LA')), 'the transparency'),
    (encoded(picture(1).copy(), transparency=(1, 2, 3)), 'the transparency'),
    (encoded(picture(1)), None), (encoded(picture(1), 'JPEG'), None),
    (b'\x89PNG', None), (b'', None)])
def test_decoder_drops_bits_and_transparency_of_png(data, dropped):
  assert plain_pixels.dropped_by_decoder(data) == dropped
