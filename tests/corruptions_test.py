"""Corruptions of images: repeatable, stronger with each severity, for every size."""

import numpy as np
import pytest

from slim_zoo import diagnostics
from slim_zoo.catalog import corruptions as catalog
from slim_zoo.catalog.corruptions import KINDS, SEVERITIES
from slim_zoo.evaluation.corruptions import sampling, table
from slim_zoo.evaluation.corruptions.table import corrupt
from tests.stored_images import picture

# Kinds without random numbers.
FIXED = {'defocus_blur', 'zoom_blur', 'brightness', 'contrast', 'pixelate', 'jpeg'}


def photo(height=64, width=80, channels=3, seed=3):
  """Returns a picture with edges: uint8 [height, width, channels]."""
  image = picture(seed, height, width).copy()
  # Its edges are at other places for each seed, so that no block has them all.
  image[height // 4 + seed:height // 2 + seed, width // 4 + seed:width // 2] = (
      230, 40, 90)
  grain = np.random.default_rng(seed).integers(-25, 26, image.shape)
  image = np.uint8(np.clip(image + grain, 0, 255))
  return image[..., :1].copy() if channels == 1 else image


def test_the_table_has_every_kind_of_the_groups():
  assert tuple(table.CORRUPTIONS) == KINDS
  assert len(set(KINDS)) == 15
  assert all(len(row.strengths) == len(SEVERITIES)
             for row in table.CORRUPTIONS.values())
  assert [len(kinds) for kinds in catalog.GROUPS.values()] == [3, 4, 4, 4]


@pytest.mark.parametrize('kind', KINDS)
def test_the_same_arguments_give_the_same_image(kind):
  image = photo()
  before = image.copy()
  first = corrupt(image, kind, 3, 7, 1)
  np.testing.assert_array_equal(first, corrupt(image, kind, 3, 7, 1))
  np.testing.assert_array_equal(image, before)
  for other in (corrupt(image, kind, 3, 8, 1), corrupt(image, kind, 3, 7, 2)):
    assert np.array_equal(first, other) == (kind in FIXED)


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize(('height', 'width', 'channels'), [
    (64, 80, 3), (28, 28, 1), (20, 50, 3)])
def test_each_severity_changes_more_than_the_one_before(kind, height, width, channels):
  images = [photo(height, width, channels, seed) for seed in range(6)]
  differences = [np.mean([
      np.abs(corrupt(image, kind, severity, number).astype(float) - image).mean()
      for number, image in enumerate(images)]) for severity in SEVERITIES]
  assert differences[0] > 0.2
  assert all(np.diff(differences) > 0), differences
  # The strongest keeps something of the image.
  assert differences[-1] < 110
  assert corrupt(images[0], kind, 5).std() > 2


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('shape', [
    (8, 8, 1), (8, 8, 3), (1, 1, 1), (1, 9, 3), (9, 1, 1), (2, 3, 3)])
def test_small_images_keep_their_form(kind, shape):
  for fill in (0, 255, None):
    image = (np.random.default_rng(1).integers(0, 256, shape, np.uint8)
             if fill is None else np.full(shape, fill, np.uint8))
    for severity in (1, 5):
      changed = corrupt(image, kind, severity)
      assert changed.shape == shape
      assert changed.dtype == np.uint8


def test_wrong_arguments():
  image = photo()
  with pytest.raises(diagnostics.UserError, match="did you mean 'fog'"):
    corrupt(image, 'fogg', 1)
  for wrong in ((image, 'fog', 0), (image, 'fog', 6), (image[..., 0], 'fog', 1),
                (image / 255, 'fog', 1), (image[:0], 'fog', 1)):
    with pytest.raises(ValueError, match='expected'):
      corrupt(*wrong)


def test_a_convolution_is_the_sum_over_neighbours():
  image = np.random.default_rng(0).random([7, 9, 2]).astype(np.float32)
  kernel = np.random.default_rng(1).random([5, 3])
  padded = np.pad(image, ((2, 2), (1, 1), (0, 0)), mode='symmetric')
  expected = sum(
      kernel[4 - row, 2 - column] * padded[row:row + 7, column:column + 9]
      for row in range(5) for column in range(3)) / kernel.sum()
  np.testing.assert_allclose(sampling.convolve(image, kernel), expected, atol=1e-5)
  # Kernels are symmetric, so nothing moves.
  for kernel in (sampling.disk(2.4), sampling.disk(0.2), sampling.line(5, 0.7)):
    np.testing.assert_allclose(kernel, kernel[::-1, ::-1], atol=1e-9)
    assert kernel.shape[0] % 2 == kernel.shape[1] % 2 == 1


def test_samples_on_pixels_are_the_pixels_and_edges_are_mirrored():
  image = np.random.default_rng(0).random([4, 5, 1]).astype(np.float32)
  rows, columns = np.mgrid[:4, :5].astype(float)
  np.testing.assert_allclose(sampling.sample(image, rows, columns), image, atol=1e-6)
  moved = sampling.sample(image, rows - 1, columns)
  np.testing.assert_allclose(moved[1:], image[:-1], atol=1e-6)
  np.testing.assert_allclose(moved[0], image[1], atol=1e-6)
  np.testing.assert_allclose(
      sampling.sample_grid(image, rows[:, 0] - 0.3, columns[0] + 0.6),
      sampling.sample(image, rows - 0.3, columns + 0.6), atol=1e-6)
  between = sampling.sample(image, rows + 0.5, columns)
  np.testing.assert_allclose(between[:-1], (image[:-1] + image[1:]) / 2, atol=1e-6)


def test_all_severities_of_an_image_and_of_a_large_one():
  image = photo()
  stack = table.severities(image, 'snow', 5, 2)
  for severity, one in zip(SEVERITIES, stack, strict=True):
    np.testing.assert_array_equal(one, corrupt(image, 'snow', severity, 5, 2))
  np.testing.assert_array_equal(table.severities(image, None), [image])
  assert table.severities(image, 'snow', shortest=32).shape == (5, 32, 40, 3)
  assert table.reduced(photo(channels=1), 32).shape == (32, 40, 1)
  assert table.reduced(image, 64) is image
