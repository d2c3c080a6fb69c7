"""Conversion with --max_side: large images are scaled down, upright, and counted."""

import io

import numpy as np
import pytest
from PIL import Image

from slim_zoo.images import image_check
from slim_zoo.images.image_check import Storing
from tests.stored_images import (
  convert,
  encoded,
  fill,
  picture,
  plain_folder,
  stored_examples,
)

_ORIENTATION = 0x0112


def photo(orientation=None, height=300, width=400, **options):
  """Returns a JPEG; its EXIF data says how it is turned upright."""
  exif = Image.Exif()
  if orientation:
    exif[_ORIENTATION] = orientation
  return encoded(picture(5, height, width), 'JPEG', quality=95, exif=exif, **options)


def pixels_of(data):
  return np.asarray(Image.open(io.BytesIO(data)).convert('RGB')).astype(int)


@pytest.mark.parametrize(('orientation', 'shape', 'turns'), [
    (None, (75, 100), 0), (1, (75, 100), 0), (3, (75, 100), 2), (6, (100, 75), 3),
    (8, (100, 75), 1)])
def test_scaled_photos_are_upright(orientation, shape, turns):
  data, facts = image_check.prepare(photo(orientation), 'a.jpg', Storing(max_side=100))
  assert (facts.height, facts.width) == shape == pixels_of(data).shape[:2]
  expected = np.rot90(pixels_of(encoded(
      Image.open(io.BytesIO(photo())).resize((100, 75), Image.Resampling.BOX))), turns)
  assert np.abs(pixels_of(data) - expected).mean() < 3
  # A reader that follows the note would turn it again.
  assert Image.open(io.BytesIO(data)).getexif().get(_ORIENTATION, 1) == 1


@pytest.mark.parametrize(('data', 'stored_format', 'shape', 'change'), [
    (photo(), 'jpeg', (48, 64), 'JPEG, scaled down'),
    (photo(progressive=True), 'jpeg', (48, 64), 'JPEG, scaled down'),
    (photo(6), 'jpeg', (64, 48), 'JPEG turned upright, scaled down'),
    (photo(height=3000, width=40), 'jpeg', (64, 1), 'JPEG, scaled down'),
    (encoded(picture(1, 70, 60)), 'png', (64, 55), 'PNG, scaled down'),
    (encoded(picture(1, 70, 60, channels=1)), 'png', (64, 55), 'PNG, scaled down'),
    (encoded(picture(1, 70, 60), 'BMP'), 'png', (64, 55), 'BMP, scaled down'),
    (encoded(np.full((128, 128), 65535, np.uint16)), 'png', (64, 64),
     '16-bit PNG, scaled down'),
    (encoded(Image.new('CMYK', (128, 64)), 'JPEG'), 'jpeg', (32, 64),
     'CMYK JPEG, scaled down'),
])
def test_each_kind_is_scaled_to_the_longest_side(data, stored_format, shape, change):
  stored, facts = image_check.prepare(data, 'a', Storing(max_side=64))
  assert (facts.format, facts.change) == (stored_format, change)
  assert pixels_of(stored).shape[:2] == (facts.height, facts.width) == shape
  assert Image.open(io.BytesIO(stored)).format.lower() == stored_format


@pytest.mark.parametrize('data', [
    photo(height=64, width=48), encoded(picture(1, 64, 64)), encoded(picture(1, 9, 9))])
def test_images_that_are_small_enough_stay_byte_for_byte(data):
  stored, facts = image_check.prepare(data, 'a', Storing(max_side=64))
  assert stored == data
  assert facts.change is None
  assert (facts.height, facts.width) == pixels_of(data).shape[:2]


def test_a_photo_that_is_cut_short_is_refused_at_any_size():
  data = photo(height=1200, width=1600)
  for cut in (len(data) // 2, len(data) - 2):
    with pytest.raises(image_check.RefusedError, match='damaged'):
      image_check.prepare(data[:cut], 'a.jpg', Storing(max_side=64))


@pytest.mark.parametrize('options', [
    {}, {'progressive': True}, {'restart_marker_rows': 1}], ids=str)
def test_damage_is_found_as_by_decoding_every_pixel(options):
  data, random = photo(**options), np.random.default_rng(0)
  refused = {True: 0, False: 0}
  for case in range(60):
    damaged = bytearray(data[:random.integers(100, len(data))] if case % 3 == 0 else
                        data)
    for place in random.integers(2, len(damaged), 3):
      damaged[place] = random.integers(256)
    try:
      Image.open(io.BytesIO(damaged), formats=['JPEG']).load()
      can_be_decoded = True
    except Exception:
      can_be_decoded = False
    try:
      image_check.examine(bytes(damaged), 'a.jpg')
      is_refused = False
    except image_check.RefusedError:
      is_refused = True
    # A missing end is refused too, which Pillow fills in.
    assert can_be_decoded or is_refused
    refused[is_refused] += 1
  assert min(refused.values()) > 5


@pytest.mark.parametrize('workers', [1, 3])
def test_a_conversion_scales_and_says_what_is_saved(tmp_path, workers):
  images = plain_folder(tmp_path / 'images', 3)
  large = {f'cat/{number}.jpg': photo(6 if number else None) for number in range(3)}
  fill(images, large)
  report = convert(images, tmp_path / 'records', validation_share=0,
                   num_workers=workers, storing=Storing(64, jpeg_quality=60))
  before = sum(len(path.read_bytes()) for path in images.rglob('*.*'))
  examples = stored_examples(tmp_path / 'records').values()
  stored = [example['image/encoded'].bytes_list.value[0] for example in examples]
  after = sum(map(len, stored))
  assert after < before / 4
  assert report.changes == {'JPEG, scaled down': 1,
                            'JPEG turned upright, scaled down': 2}
  assert [line for line in report.lines() if '--max_side=64' in line] == [
      f'with --max_side=64: {before / 1e6:.1f} MB of files are {after / 1e6:.1f} MB in'
      f' the records, {(before - after) / 1e6:.1f} MB'
      f' ({(before - after) / before:.0%}) saved']
  for example, data in zip(examples, stored, strict=True):
    shape = pixels_of(data).shape
    assert shape[:2] == tuple(example[f'image/{side}'].int64_list.value[0]
                              for side in ('height', 'width'))
    assert max(shape) <= 64


def test_the_quality_decides_the_size_of_what_is_encoded_anew():
  sizes = [len(image_check.prepare(
      photo(6), 'a.jpg', Storing(jpeg_quality=quality))[0]) for quality in (30, 95)]
  assert sizes[0] < sizes[1] / 2
