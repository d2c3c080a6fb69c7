"""Image files of every kind: those that can be used, and those that cannot."""

import numpy as np
from PIL import Image

from tests.stored_images import encoded, picture

UPSIDE_DOWN, TURNED_RIGHT = 3, 6
EXACT, AFTER_JPEG = 0, 12


def oriented(orientation):
  exif = Image.Exif()
  exif[0x0112] = orientation
  return {'exif': exif}


def kinds():
  """Returns {name: (bytes, the RGB pixels it shows, their tolerance)}."""
  rgb, gray = picture(1), picture(2, channels=1)
  gray_as_rgb = np.repeat(gray[..., np.newaxis], 3, axis=2)
  colour, shade = Image.fromarray(rgb), Image.fromarray(gray)
  deep = Image.fromarray(gray.astype(np.uint16) * 257)
  opaque = np.tile(np.uint8([0, 255]), (24, 16))
  alpha = colour.copy()
  alpha.putalpha(Image.fromarray(opaque))
  white_between = np.where(opaque[..., np.newaxis], rgb, 255)
  gray_between = np.where(opaque, np.asarray(colour.convert('L')), 255)
  palette, bits = colour.quantize(16), shade.convert('1')
  frames = {'save_all': True, 'append_images': [colour.rotate(180)]}
  good = {'quality': 95, 'subsampling': 0}
  clear = int(gray[0, 0])

  def as_rgb(gray_pixels):
    return np.repeat(np.asarray(gray_pixels)[..., np.newaxis], 3, axis=2)

  return {
      'rgb.jpg': (encoded(rgb, 'JPEG', **good), rgb, AFTER_JPEG),
      'progressive.jpeg': (
          encoded(rgb, 'JPEG', progressive=True, **good), rgb, AFTER_JPEG),
      'gray.jpg': (encoded(gray, 'JPEG', quality=95), gray_as_rgb, AFTER_JPEG),
      'rgb.png': (encoded(rgb), rgb, EXACT),
      'gray.png': (encoded(gray), gray_as_rgb, EXACT),
      'really_png.jpg': (encoded(rgb), rgb, EXACT),
      'really_jpeg.png': (encoded(rgb, 'JPEG', **good), rgb, AFTER_JPEG),
      'no_suffix': (encoded(rgb), rgb, EXACT),
      'two_pictures.jpg': (encoded(rgb, 'MPO', **good, **frames), rgb, AFTER_JPEG),
      'cmyk.jpg': (encoded(colour.convert('CMYK'), 'JPEG', **good), rgb, AFTER_JPEG),
      'palette.png': (encoded(palette), np.asarray(palette.convert('RGB')), EXACT),
      'alpha.png': (encoded(alpha), white_between, EXACT),
      'gray_alpha.png': (encoded(alpha.convert('LA')), as_rgb(gray_between), EXACT),
      'one_bit.png': (encoded(bits), as_rgb(255 * np.uint8(bits)), EXACT),
      'deep.png': (encoded(deep), gray_as_rgb, EXACT),
      'see_through.png': (
          encoded(gray, transparency=clear),
          as_rgb(np.where(gray == clear, 255, gray)), EXACT),
      'upside_down.jpg': (
          encoded(rgb, 'JPEG', **good, **oriented(UPSIDE_DOWN)), rgb[::-1, ::-1],
          AFTER_JPEG),
      'turned.png': (encoded(rgb, **oriented(TURNED_RIGHT)), np.rot90(rgb, -1), EXACT),
      'turned.tif': (
          encoded(rgb, 'TIFF', **oriented(TURNED_RIGHT)), np.rot90(rgb, -1), EXACT),
      'windows.bmp': (encoded(rgb, 'BMP'), rgb, EXACT),
      'moving.gif': (
          encoded(palette, 'GIF', **frames), np.asarray(palette.convert('RGB')), EXACT),
      'web.webp': (encoded(rgb, 'WEBP', lossless=True), rgb, EXACT),
      'deep.tiff': (encoded(deep, 'TIFF'), gray_as_rgb, EXACT),
  }


KINDS = kinds()
GRAY = {'gray.jpg', 'gray.png', 'gray_alpha.png', 'one_bit.png', 'deep.png',
        'see_through.png', 'deep.tiff'}
AS_THEY_ARE = ('rgb.jpg', 'progressive.jpeg', 'gray.jpg', 'rgb.png', 'gray.png',
               'really_png.jpg', 'really_jpeg.png', 'no_suffix', 'two_pictures.jpg')

JPEG, PNG = KINDS['rgb.jpg'][0], KINDS['rgb.png'][0]
HUGE = encoded(Image.new('1', (20000, 10000)))
REFUSED = {
    'empty.jpg': (b'', 'the file is empty'),
    'text.jpg': (b'No image today.\n', 'it is text'),
    'accents.jpg': ('caf\u00e9 cr\u00e8me'.encode(), 'it is text'),
    'page.png': (b'\n<!DOCTYPE html><html>404</html>', 'it is a web page'),
    'drawing.svg': (b'<svg xmlns="x"></svg>', 'it is XML or SVG'),
    'runs_a_program.jpg': (
        b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n%%EndComments\n',
        'it is text'),
    'noise.jpg': (bytes(range(256)), 'not an image of a known format'),
    'half.jpg': (JPEG[:len(JPEG) // 2], 'it is damaged: .*runcated'),
    'filled_up.jpg': (JPEG[:-2] + bytes(50), 'it is damaged: its end is missing'),
    'filled_up_behind_a_thumbnail.jpg': (
        JPEG[:2] + b'\xff\xe5\0\4\xff\xd9' + JPEG[2:-2] + bytes(50),
        'it is damaged: its end is missing'),
    'half.png': (PNG[:len(PNG) // 2], 'it is damaged'),
    'flipped.png': (PNG[:100] + bytes([PNG[100] ^ 1]) + PNG[101:], 'it is damaged'),
    'wrong_sum.png': (
        PNG[:-14] + bytes([PNG[-14] ^ 1]) + PNG[-13:], 'it is damaged: .*checksum'),
    'huge.png': (HUGE, 'more than 100 million pixels'),
    'floats.tiff': (encoded(Image.new('F', (4, 4)), 'TIFF'), '32 bits'),
    'notes.txt': (b'1.png is blurred\n', 'it is text'),
    'folder/deep/empty.png': (b'', 'the file is empty'),
}
