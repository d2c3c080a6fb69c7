"""Random numbers for preprocessing in training.

Everything random is a function of a seed, and each image has its own seed. So a
parallel input pipeline with numbered images is reproducible in every thread order.
"""

from slim_zoo.tf_compat import tf

# The v1 API has only random image ops with a hidden state.
stateless_image = tf.compat.v2.image


def split_seed(seed, count: int) -> list:
  """Returns `count` independent seeds derived from one.

  Args:
    seed: an integer tensor of shape [2]; None draws one, which depends on
      tf.set_random_seed.
    count: number of seeds.

  Returns:
    A list of int32 tensors of shape [2].
  """
  if seed is None:
    seed = tf.random.uniform([2], maxval=tf.int32.max, dtype=tf.int32)
  return tf.unstack(tf.random.stateless_uniform(
      [count, 2], seed, minval=None, maxval=None, dtype=tf.int32))


def derive_seed(seed, purpose: int):
  """Returns another seed of shape [2], derived from a seed and a purpose.

  It is independent of those of `split_seed`, so further random choices do not change
  the existing ones.
  """
  return tf.random.experimental.stateless_fold_in(seed, purpose)


def random_flip(image, seed):
  """Mirrors an image left to right, half of the time."""
  return stateless_image.stateless_random_flip_left_right(image, seed)


def random_offsets(largest, seed):
  """Returns uniform random int32 values from 0 to `largest`, in its shape."""
  drawn = tf.random.stateless_uniform(
      tf.shape(largest), seed, 0, tf.int32.max, dtype=tf.int32)
  return drawn % (largest + 1)


def random_crop(image, height, width, seed):
  """Returns a uniformly placed [height, width, channels] part of an image."""
  return stateless_image.stateless_random_crop(
      image, tf.stack([height, width, tf.shape(image)[-1]]), seed)
