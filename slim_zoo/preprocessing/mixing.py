"""Mixup and cutmix: training on mixtures of two images and of their labels.

Mixup blends two images: Zhang et al. 2017, mixup: Beyond empirical risk minimization,
arXiv 1710.09412. Cutmix pastes a box of one image into the other: Yun et al. 2019,
CutMix: Regularization strategy to train strong classifiers with localizable features,
arXiv 1905.04899. A batch is mixed with a permutation of itself; one share is drawn for
the whole batch.
"""

from collections.abc import Callable

from slim_zoo.preprocessing import randomness
from slim_zoo.tf_compat import tf

# Purpose of the seeds of this module, see `randomness.derive_seed`.
_MIXING = 3


def draw_share(alpha: float, seed):
  """Returns a draw from the Beta(alpha, alpha) distribution, a float32 scalar.

  Args:
    alpha: greater than 0; small values give shares near 0 and 1, 1 is uniform.
    seed: an integer tensor of shape [2].
  """
  gamma_seed, power_seed = randomness.split_seed(seed, 2)
  # Beta is X / (X + Y) of two gamma variables. For a small alpha both may underflow, so
  # they are computed as logarithms: Gamma(alpha) is distributed as
  # Gamma(alpha + 1) * U ** (1 / alpha) with a uniform U.
  gammas = tf.random.stateless_gamma([2], gamma_seed, alpha + 1.0, dtype=tf.float32)
  uniform = 1.0 - tf.random.stateless_uniform([2], power_seed)
  logarithms = tf.math.log(gammas) + tf.math.log(uniform) / alpha
  return tf.sigmoid(logarithms[0] - logarithms[1])


def _partners(batch, seed):
  """Returns a random permutation: the index of each image's partner."""
  return tf.argsort(tf.random.stateless_uniform(tf.shape(batch)[:1], seed))


def _blend(first, second, share):
  return share * first + (1.0 - share) * second


def mixup(images, targets, alpha: float, seed):
  """Blends each image of a batch and its target with those of another image.

  Args:
    images: float32 [batch, height, width, channels].
    targets: float32 [batch, classes].
    alpha: parameter of `draw_share`, the share of the image itself.
    seed: an integer tensor of shape [2] that decides everything random.

  Returns:
    Images and targets, of the same shapes and types.
  """
  order_seed, share_seed = randomness.split_seed(seed, 2)
  order, share = _partners(images, order_seed), draw_share(alpha, share_seed)
  return (_blend(images, tf.gather(images, order), share),
          _blend(targets, tf.gather(targets, order), share))


def draw_box(height, width, share, seed):
  """Returns a random box, float32 (top, left, bottom, right) in pixels.

  Args:
    height: height of the images, an int32 scalar.
    width: width of the images.
    share: share of the image outside the box. The sides of the box are sqrt(1 - share)
      of the image's. Its centre may be anywhere; the box is clipped to the image.
    seed: an integer tensor of shape [2] that decides the position.
  """
  sides = tf.cast(tf.stack([height, width]), tf.float32)
  center = tf.random.stateless_uniform([2], seed) * sides
  half = sides * tf.sqrt(1.0 - share) / 2
  begin = tf.round(tf.maximum(center - half, 0.0))
  end = tf.round(tf.minimum(center + half, sides))
  return (*tf.unstack(begin), *tf.unstack(end))


def cutmix(images, targets, alpha: float, seed):
  """Pastes a box of another image of the batch into each image.

  The targets are blended by the share of the box's pixels.

  Args:
    images: float32 [batch, height, width, channels].
    targets: float32 [batch, classes].
    alpha: parameter of `draw_share`, the share of the image itself before the box is
      clipped.
    seed: an integer tensor of shape [2] that decides everything random.

  Returns:
    Images and targets, of the same shapes and types.
  """
  order_seed, share_seed, box_seed = randomness.split_seed(seed, 3)
  order, share = _partners(images, order_seed), draw_share(alpha, share_seed)
  shape = tf.shape(images)
  top, left, bottom, right = draw_box(shape[1], shape[2], share, box_seed)
  row = tf.range(tf.cast(shape[1], tf.float32))[:, tf.newaxis, tf.newaxis]
  column = tf.range(tf.cast(shape[2], tf.float32))[tf.newaxis, :, tf.newaxis]
  inside = (row >= top) & (row < bottom) & (column >= left) & (column < right)
  share = 1.0 - tf.reduce_mean(tf.cast(inside, tf.float32))
  return (tf.where_v2(inside, tf.gather(images, order), images),
          _blend(targets, tf.gather(targets, order), share))


def make_mixer(mixup_alpha: float, cutmix_alpha: float) -> Callable | None:
  """Returns mix(images, targets, seed) for batches, or None if both alphas are 0.

  Args:
    mixup_alpha: alpha of `mixup`; 0 for none.
    cutmix_alpha: alpha of `cutmix`; 0 for none. With both, each batch draws one of them
      with equal probability.
  """
  kinds = [(function, alpha) for function, alpha in (
      (mixup, mixup_alpha), (cutmix, cutmix_alpha)) if alpha]
  if not kinds:
    return None

  # As in `preprocessing_factory`: no Python control flow depends on a tensor.
  @tf.autograph.experimental.do_not_convert
  def mix(images, targets, seed):
    with tf.name_scope('mixing'):
      # The seed may also be the seed of an image.
      which, seed = randomness.split_seed(randomness.derive_seed(seed, _MIXING), 2)
      if len(kinds) == 1:
        mixed, mixed_targets = kinds[0][0](images, targets, kinds[0][1], seed)
      else:
        drawn = tf.random.stateless_uniform([], which) < 0.5
        mixed, mixed_targets = tf.cond(drawn, *[
            lambda function=function, alpha=alpha: function(
                images, targets, alpha, seed)
            for function, alpha in kinds])
      mixed.set_shape(images.shape)
      mixed_targets.set_shape(targets.shape)
      return mixed, mixed_targets

  return mix
