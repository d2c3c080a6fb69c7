"""Preprocessing by name: of a family, or of a network's default family."""

import inspect
from collections.abc import Callable

from slim_zoo.catalog import networks
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
  """Returns the function that makes an image ready for a network.

  Args:
    name: a family (cifarnet, inception, lenet, vgg), or a network of
      `catalog.networks.NETWORKS`, which stands for its default family.
    is_training: whether to augment at random.
    use_grayscale: whether the result has one channel. Otherwise vgg and inception
      return three (equal ones, of a gray image), lenet and cifarnet as many as
      the image has.

  Returns:
    preprocessing_fn(image, output_height, output_width, **kwargs), which takes an
    image [height, width, 1 or 3], its sizes known or not, and returns float32
    [output_height, output_width, channels]. Integer images hold 0 to 255; what
    floats may hold, and the kwargs, each family's `preprocess_image` says. The
    attribute `options` is the set of the kwargs' names: ask it before handing
    over a bbox or a seed. `takes_lazy_images` tells whether the image may be a
    `lazy_image.LazyImage`.

  Raises:
    UserError: there is no such family or network; it is a ValueError.
  """
  family = networks.preprocessing_family(name)
  preprocess_image = _FAMILIES[family]

  # No Python control flow here depends on a tensor; conversion would only slow
  # down tf.data and bury a UserError's line in a trace.
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
