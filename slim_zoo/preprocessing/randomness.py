"""Where the random numbers of training preprocessing come from.

Everything random is a function of a seed, one draw per image. So a parallel
input pipeline that numbers its images repeats itself exactly, whichever thread
gets which image.
"""

from slim_zoo.tf_compat import tf

# The v1 interface has only random image operations with a hidden state.
stateless_image = tf.compat.v2.image


def split_seed(seed, count: int) -> list:
  """Returns `count` independent seeds, made from one.

  Args:
    seed: an integer tensor of shape [2], or None to draw one, which follows
      tf.set_random_seed.
    count: how many are wanted.

  Returns:
    A list of int32 tensors of shape [2].
  """
  if seed is None:
    seed = tf.random.uniform([2], maxval=tf.int32.max, dtype=tf.int32)
  return tf.unstack(tf.random.stateless_uniform(
      [count, 2], seed, minval=None, maxval=None, dtype=tf.int32))


def derive_seed(seed, purpose: int):
  """Returns another seed of shape [2], made from a seed and its purpose.

  It has nothing to do with those of `split_seed`, so what is drawn by them stays as
  it is when something else is drawn too.
  """
  return tf.random.experimental.stateless_fold_in(seed, purpose)


def random_flip(image, seed):
  """Mirrors an image left to right, half of the time."""
  return stateless_image.stateless_random_flip_left_right(image, seed)


def random_offsets(room, seed):
  """Returns int32 values like `room`, each from 0 to the one there, as likely."""
  drawn = tf.random.stateless_uniform(
      tf.shape(room), seed, 0, tf.int32.max, dtype=tf.int32)
  return drawn % (room + 1)


def random_crop(image, height, width, seed):
  """Returns a uniformly placed [height, width, channels] part of an image."""
  return stateless_image.stateless_random_crop(
      image, tf.stack([height, width, tf.shape(image)[-1]]), seed)
