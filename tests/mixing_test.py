"""Mixup and cutmix: of batches, and in the training input."""

import numpy as np
import pytest

from slim_zoo import diagnostics
from slim_zoo.config.training import TrainConfig
from slim_zoo.input import batch_labels, pipeline
from slim_zoo.preprocessing import mixing
from slim_zoo.tasks import training_input
from slim_zoo.tf_compat import tf
from tests import records_for_tests
from tests.mapped_images import draw, evaluate


def test_shares_follow_the_beta_distribution():
  for alpha in (0.2, 1.0, 3.0):
    shares = draw(lambda seed, alpha=alpha: mixing.draw_share(alpha, seed), 4000)
    assert abs(shares.mean() - 0.5) < 0.03
    # The variance of Beta(a, a) is 1 / (4 (2 a + 1)).
    np.testing.assert_allclose(shares.var(), 0.25 / (2 * alpha + 1), rtol=0.08)
  # Here gamma variables are too small for floats.
  tiny = draw(lambda seed: mixing.draw_share(0.001, seed), 400)
  assert np.isfinite(tiny).all()
  assert (np.minimum(tiny, 1 - tiny) < 0.01).mean() > 0.9
  assert 150 < (tiny > 0.5).sum() < 250


def mixed(function, alpha, images, count):
  """Returns images and targets of `count` mixed batches, a class for each image."""
  images = np.asarray(images, np.float32)
  targets = np.eye(len(images), dtype=np.float32)
  results = draw(lambda seed: tuple(function(
      tf.constant(images), tf.constant(targets), alpha, seed)), count)
  return images, *results


def test_mixup_blends_images_and_targets_by_the_same_share():
  images, mixed_images, targets = mixed(
      mixing.mixup, 0.4, np.random.default_rng(0).normal(size=(5, 4, 3, 2)), 60)
  np.testing.assert_allclose(targets.sum(-1), 1, rtol=1e-5)
  # The targets say what the images are made of.
  np.testing.assert_allclose(
      mixed_images, np.einsum('kij,jhwc->kihwc', targets, images), atol=1e-5)
  own = targets[:, np.arange(5), np.arange(5)]
  # One share for a batch; where an image is its own partner all of it is its own.
  for batch in own:
    assert len(set(np.round(batch[batch < 0.9999], 4))) <= 1
  partners = (targets * (1 - np.eye(5))).sum((0, 1))
  assert (partners > 0).all()


def test_cutmix_weighs_labels_by_the_pixels_of_the_box():
  images = np.broadcast_to(np.arange(6.0)[:, None, None, None], (6, 20, 30, 1))
  _, mixed_images, targets = mixed(mixing.cutmix, 1.0, images, 150)
  sources = mixed_images[..., 0].astype(int)
  shares = np.stack([(sources == image).mean((2, 3)) for image in range(6)], -1)
  np.testing.assert_allclose(targets, shares, atol=1e-5)
  foreign = sources != np.arange(6)[:, None, None]
  boxes = set()
  for batch in foreign:
    if not batch.any():
      continue
    # The box is the same in all images of a batch, and one box.
    box = batch[batch.any((1, 2))][0]
    assert all((image == box).all() or not image.any() for image in batch)
    rows, columns = np.flatnonzero(box.any(1)), np.flatnonzero(box.any(0))
    assert box[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1].all()
    boxes.add((rows[0], rows[-1], columns[0], columns[-1]))
  assert len(boxes) > 100
  # Boxes lie all over the image and are cut at its borders.
  tops, bottoms, lefts, rights = np.array(sorted(boxes)).T
  assert min(tops) == min(lefts) == 0
  assert (max(bottoms), max(rights)) == (19, 29)
  assert 0.5 < targets[:, range(6), range(6)].mean() < 0.8


def test_uncut_boxes_have_the_area_of_the_share():
  corners = draw(lambda seed: tf.stack(mixing.draw_box(200, 300, 0.91, seed)), 300)
  top, left, bottom, right = corners.T
  inner = (top > 0) & (left > 0) & (bottom < 200) & (right < 300)
  assert inner.sum() > 100
  np.testing.assert_allclose((bottom - top)[inner], 60, atol=1)
  np.testing.assert_allclose((right - left)[inner], 90, atol=1)
  # The centre is anywhere: an edge of the image cuts 51% of such boxes.
  assert 0.4 < inner.mean() < 0.6


def test_both_ways_to_mix_take_turns_at_random():
  mix = mixing.make_mixer(1.0, 1.0)
  images = np.broadcast_to(
      np.float32([0, 1])[:, None, None, None], (2, 16, 16, 1))
  outputs = draw(lambda seed: mix(
      tf.constant(images), tf.eye(2), seed)[0], 300)
  blended = ((outputs > 0.001) & (outputs < 0.999)).any((1, 2, 3, 4))
  # A blended batch shows no border: all pixels of an image are alike.
  assert (np.ptp(outputs[blended], (2, 3)) == 0).all()
  # Half of the batches that are not mixed with themselves in the same order.
  assert 45 < blended.sum() < 105
  assert mixing.make_mixer(0, 0) is None


# --- The training input.


def read(folder, batches=2, preprocess=records_for_tests.as_they_are, **options):
  tf.reset_default_graph()
  source = pipeline.training_input(
      records_for_tests.dataset(folder / 'part', 40), preprocess, 8, seed=5, **options)
  batch = source.next_batch()
  with tf.Session() as session:
    session.run(source.initializer)
    results = []
    for _ in range(batches):
      results.append(session.run(batch))
      source.log.deliver(results[-1].numbers)
  return batch, results


@pytest.fixture
def folder(tmp_path):
  records_for_tests.write(
      tmp_path / 'part', [records_for_tests.png(6 * value) for value in range(40)],
      [value % 10 for value in range(40)])
  return tmp_path


def test_off_by_default_images_and_labels_are_as_before(folder):
  plain, without = read(folder)
  _, off = read(folder, mix=mixing.make_mixer(0, 0))
  assert plain.labels.dtype == tf.int64
  for one, other in zip(without, off, strict=True):
    np.testing.assert_array_equal(one.images, other.images)
    np.testing.assert_array_equal(one.labels, other.labels)


def test_mixed_batches_have_targets_and_repeat_by_the_seed(folder):
  _, plain = read(folder)
  tensors, first = read(folder, mix=mixing.make_mixer(0.5, 0))
  _, again = read(folder, mix=mixing.make_mixer(0.5, 0))
  assert tensors.images.shape.as_list() == [8, 8, 8, 1]
  assert tensors.labels.shape.as_list() == [8, 10]
  assert tensors.labels.dtype == tf.float32
  shares = []
  for one, same, before in zip(first, again, plain, strict=True):
    np.testing.assert_array_equal(one.images, same.images)
    np.testing.assert_array_equal(one.labels, same.labels)
    np.testing.assert_array_equal(one.numbers, before.numbers)
    np.testing.assert_allclose(one.labels.sum(1), 1, rtol=1e-5)
    assert (one.labels[np.arange(8), before.labels] > 0).all()
    shares.append(one.labels[np.arange(8), before.labels].min())
  assert len(set(shares)) == 2  # Each batch draws its own share.


def test_repeated_images_follow_each_other_and_a_resumed_run_goes_on(folder):
  _, plain = read(folder, 6)
  _, whole = read(folder, 6, repeats=3)
  order = np.concatenate([batch.labels for batch in plain])
  found = np.concatenate([batch.labels for batch in whole])
  np.testing.assert_array_equal(found, np.repeat(order, 3)[:48])
  numbers = np.concatenate([batch.numbers for batch in whole])
  np.testing.assert_array_equal(numbers, np.arange(48))
  _, resumed = read(folder, 4, repeats=3, first_record=16)
  for one, other in zip(resumed, whole[2:], strict=True):
    np.testing.assert_array_equal(one.images, other.images)
    np.testing.assert_array_equal(one.numbers, other.numbers)


def test_mixing_ends_after_its_batches(folder):
  _, plain = read(folder, 4)
  _, mixed = read(folder, 4, mix=mixing.make_mixer(0.5, 0))
  _, ending = read(folder, 4, mix=mixing.make_mixer(0.5, 0), mixed_batches=2)
  for wanted, found in zip(mixed[:2], ending[:2], strict=True):
    np.testing.assert_array_equal(found.images, wanted.images)
    np.testing.assert_array_equal(found.labels, wanted.labels)
  for wanted, found in zip(plain[2:], ending[2:], strict=True):
    np.testing.assert_array_equal(found.images, wanted.images)
    np.testing.assert_array_equal(found.labels, np.eye(10)[wanted.labels])


@pytest.mark.parametrize(('given', 'first_step', 'batches'), [
    ({}, 0, 70), ({}, 60, 10), ({}, 75, 0), ({'num_clones': 2}, 80, 10),
    ({'accumulate_steps': 3}, 80, 30), ({'mixing_off_epochs': 0.0}, 0, None),
    ({'mixing_off_epochs': 50.0}, 0, 0)])
def test_the_batches_before_mixing_ends(given, first_step, batches):
  """1000 images in batches of 100; of 100 steps the last three epochs are plain."""
  config = TrainConfig.from_options({
      'batch_size': 100, 'mixup_alpha': 0.2, 'max_number_of_steps': 100,
      'mixing_off_epochs': 3.0, **given})
  dataset = records_for_tests.dataset('unused', 1000)
  assert training_input._mixed_batches(config, dataset, None, first_step) == batches


@pytest.mark.parametrize(('given', 'words'), [
    ({}, 'without --mixup_alpha'), ({'mixup_alpha': 0.2}, 'needs the end of the run'),
    ({'cutmix_alpha': 1.0, 'max_number_of_steps': 9, 'num_ps_tasks': 1},
     'parameter servers')])
def test_refused_ends_of_mixing(given, words):
  config = TrainConfig.from_options({'mixing_off_epochs': 3.0, **given})
  with pytest.raises(diagnostics.UserError, match=words):
    config.augmentation.check(
        32, config.user_options, config.run.max_number_of_steps,
        bool(config.distribution.num_ps_tasks))


def test_targets_of_several_labels_are_mixed_as_they_are():
  images = tf.zeros([4, 2, 2, 1])
  targets = np.float32([[1, 1, 0], [0, 1, 1], [0, 0, 0], [1, 0, 0]])
  step = batch_labels.mixed(mixing.make_mixer(1.0, 0), 3, 1)
  _, got, *_ = evaluate(step(tf.constant(0, tf.int64), (
      images, tf.constant(targets), tf.constant([4, 5, 6, 7], tf.int64),
      tf.constant(0))))
  np.testing.assert_allclose(got.sum(), targets.sum(), rtol=1e-5)
  assert got.max() <= 1.00001
