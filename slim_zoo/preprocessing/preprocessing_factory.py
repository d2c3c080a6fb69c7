"""Preprocessing by name: of a family, or of a network's default family."""

import inspect
from collections.abc import Callable

from slim_zoo.catalog import preprocessing_families
from slim_zoo.preprocessing import (
    cifarnet_preprocessing,
    inception_preprocessing,
    lenet_preprocessing,
    vgg_preprocessing,
)
from slim_zoo.tf_compat import tf

_FAMILIES = {
    'cifarnet': cifarnet_preprocessing.preprocess_image,
    'inception': inception_preprocessing.preprocess_image,
    'lenet': lenet_preprocessing.preprocess_image,
    'vgg': vgg_preprocessing.preprocess_image,
}
# Their crops depend on the size of an image, and not on its pixels.
_TAKE_LAZY_IMAGES = ('inception', 'vgg')


def get_preprocessing(name: str, is_training: bool = False,
                      use_grayscale: bool = False) -> Callable:
  """Returns the preprocessing function of a network or family.

  Args:
    name: a family (cifarnet, inception, lenet, vgg), or a network of
      `catalog.networks.NETWORKS` for its default family.
    is_training: whether to augment at random.
    use_grayscale: whether the result has one channel. Otherwise vgg and inception
      return three (equal ones for a gray image), and lenet and cifarnet return the
      image's channels.

  Returns:
    preprocessing_fn(image, output_height, output_width, **kwargs). The image is
    [height, width, 1 or 3], of known or unknown size; the result is float32
    [output_height, output_width, channels]. Integer images have values 0 to 255. Each
    family's `preprocess_image` documents the values of floats and the kwargs. The
    attribute `options` is the set of the kwargs' names, to check for bbox or seed.
    `takes_lazy_images` is whether the image may be a `lazy_image.LazyImage`.

  Raises:
    UserError: the family or network does not exist; it is a ValueError.
  """
  family = preprocessing_families.family_of(name)
  preprocess_image = _FAMILIES[family]

  # No Python control flow depends on a tensor. AutoGraph would slow down tf.data and
  # hide the line of a UserError in a trace.
  @tf.autograph.experimental.do_not_convert
  def preprocessing_fn(image, output_height, output_width, **kwargs):
    return preprocess_image(
        image, output_height, output_width, is_training=is_training,
        use_grayscale=use_grayscale, **kwargs)

  parameters = list(inspect.signature(preprocess_image).parameters)
  preprocessing_fn.options = frozenset(parameters[3:]) - {
      'is_training', 'use_grayscale'}
  preprocessing_fn.takes_lazy_images = is_training and family in _TAKE_LAZY_IMAGES
  return preprocessing_fn
