"""Augmentation of single images on top of a family's recipe.

RandAugment or TrivialAugment is applied to the cropped and flipped image, before the
recipe scales its values; random erasing is applied to the result of the recipe.
"""

from collections.abc import Callable

from slim_zoo.preprocessing import randomness
from slim_zoo.preprocessing.rand_augment import rand_augment, trivial_augment
from slim_zoo.preprocessing.random_erasing import random_erasing
from slim_zoo.tf_compat import tf

# Purposes of seeds derived for augmentation, see `randomness.derive_seed`.
_RAND_AUGMENT, _RANDOM_ERASING = 1, 2


def augmented(preprocessing_fn: Callable, layers: int = 0, magnitude: float = 0,
              erasing_probability: float = 0.0, trivial: bool = False) -> Callable:
  """Returns a preprocessing for training with more augmentation.

  The recipe's crop, flip and colours for a seed stay the same.

  Args:
    preprocessing_fn: from `preprocessing_factory.get_preprocessing`, for training.
    layers: number of RandAugment operations; 0 for none.
    magnitude: magnitude of RandAugment, 0 to 30.
    erasing_probability: probability of random erasing; 0 for none.
    trivial: whether TrivialAugment is applied, in place of RandAugment.

  Returns:
    A function like `preprocessing_fn`, with its attributes and 'seed' in its `options`;
    or `preprocessing_fn` itself if there is nothing to add.
  """
  if not layers and not erasing_probability and not trivial:
    return preprocessing_fn

  @tf.autograph.experimental.do_not_convert
  def with_augmentation(image, output_height, output_width, seed=None, **kwargs):
    if seed is None:
      (seed,) = randomness.split_seed(None, 1)
    if 'seed' in preprocessing_fn.options:
      kwargs['seed'] = seed

    def augment(image):
      pixels = tf.cast(tf.clip_by_value(tf.round(image), 0.0, 255.0), tf.uint8)
      own_seed = randomness.derive_seed(seed, _RAND_AUGMENT)
      changed = (trivial_augment(pixels, own_seed) if trivial else
                 rand_augment(pixels, layers, magnitude, own_seed))
      return tf.cast(changed, tf.float32)

    if layers or trivial:
      kwargs['augment'] = augment
    image = preprocessing_fn(image, output_height, output_width, **kwargs)
    if erasing_probability:
      image = random_erasing(
          image, erasing_probability, randomness.derive_seed(seed, _RANDOM_ERASING))
    return image

  with_augmentation.options = (preprocessing_fn.options - {'augment'}) | {'seed'}
  with_augmentation.takes_lazy_images = preprocessing_fn.takes_lazy_images
  return with_augmentation
