"""Damaged and odd image files are refused with a reason, or can be decoded."""

import io

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from slim_zoo import diagnostics
from slim_zoo.images import image_check, image_files
from slim_zoo.input import plain_records, records
from slim_zoo.tf_compat import tf
from tests import stored_images
from tests.field.fuzzing import cases, check_reason, damaged
from tests.image_kinds import KINDS

_NAMES = ('a.jpg', 'a.png', 'a.gif', 'a.webp', 'a.tiff', 'a.JPEG', 'a.txt', 'a', '.png')
_MODES = ('1', 'L', 'LA', 'P', 'PA', 'RGB', 'RGBA', 'RGBX', 'CMYK', 'YCbCr', 'LAB',
          'HSV', 'I', 'I;16', 'I;16B', 'F')
_FORMATS = ('PNG', 'JPEG', 'GIF', 'BMP', 'TIFF', 'WEBP', 'PPM', 'JPEG2000')


@pytest.fixture(scope='module')
def decode():
  """Returns what decodes stored bytes as a run does: uint8 [height, width, 3]."""
  with tf.Graph().as_default() as graph:
    data, image_format = (tf.placeholder(tf.string, []) for _ in range(2))
    image = tf.cond(tf.equal(image_format, 'jpeg'),
                    lambda: tf.image.decode_jpeg(data, channels=3),
                    lambda: tf.image.decode_png(data, channels=3))
  session = tf.Session(graph=graph)
  yield lambda stored, name: session.run(
      image, {data: stored, image_format: name.encode()})
  session.close()


def _odd_image(mode, kind, width, height):
  """Returns the file of an image of a mode, or None where the format has not got it."""
  try:
    image = Image.new(mode, (width, height))
    return stored_images.encoded(image, kind)
  except (OSError, ValueError, KeyError):
    return None


_FILES = st.one_of(
    st.sampled_from(sorted(KINDS)).flatmap(lambda name: damaged(KINDS[name][0])),
    st.builds(_odd_image, st.sampled_from(_MODES), st.sampled_from(_FORMATS),
              st.integers(1, 40), st.integers(1, 40)).filter(bool),
    st.binary(max_size=200))


_JPEG, _PNG = KINDS['rgb.jpg'][0], KINDS['rgb.png'][0]
# Pillow reads them, and TensorFlow's decoder does not.
_SEGMENT_OVER_THE_END = _JPEG[:-60] + b'\xff\xe6\xf0\0' + _JPEG[-56:]
_NO_CHECKSUM_AT_THE_END = _PNG[:-4] + b'\0\1\2\3'
_LENGTH_OF_THE_END = _PNG[:-11] + b'\1' + _PNG[-10:]


def _check_stored(data, facts, decode):
  pixels = decode(data, facts.format)
  assert pixels.shape == (facts.height, facts.width, 3)
  if facts.gray:
    assert np.ptp(pixels, axis=-1).max() == 0


@example(data=_SEGMENT_OVER_THE_END, name='a.jpg')
@example(data=_NO_CHECKSUM_AT_THE_END, name='a.png')
@example(data=_LENGTH_OF_THE_END, name='a.png')
@cases(0.15)
@given(data=_FILES, name=st.sampled_from(_NAMES))
def test_what_a_conversion_stores_can_be_decoded(data, name, decode):
  try:
    facts = image_check.examine(data, name)
    stored, _ = image_check.prepare(data, name, image_check.Storing())
  except image_check.RefusedError as error:
    check_reason(error)
    return
  _check_stored(stored, facts, decode)


@cases(0.04)
@given(data=_FILES, only_jpeg=st.booleans())
def test_what_is_stored_of_a_published_image_can_be_decoded(data, only_jpeg, decode):
  try:
    stored, facts = image_check.as_published(data, only_jpeg)
  except image_check.RefusedError as error:
    check_reason(error)
    return
  _check_stored(stored, facts, decode)


@cases(0.04)
@given(data=_FILES, name=st.sampled_from(_NAMES))
def test_what_is_read_for_classification_can_be_decoded(
    data, name, decode, tmp_path_factory):
  path = tmp_path_factory.getbasetemp() / f'classified_{name}'
  path.write_bytes(data)
  try:
    with image_files.Reader().open(str(path)) as image:
      with Image.open(io.BytesIO(image.data)) as opened:
        image_format = opened.format
      decode(image.data, 'png' if image_format == 'PNG' else 'jpeg')
  except image_check.RefusedError as error:
    check_reason(error)


@cases(0.04)
@given(data=_FILES)
def test_an_image_of_a_record_is_read_or_named(data, tmp_path_factory):
  path = tmp_path_factory.getbasetemp() / 'image.tfrecord'
  record = stored_images.example(data).SerializeToString()
  path.write_bytes(plain_records.framed(record))
  try:
    image = records.read_image([str(path)], 0, 0)
  except diagnostics.UserError as error:
    check_reason(error)
  else:
    assert image.dtype == np.uint8
