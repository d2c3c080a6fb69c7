"""The values of pixels as each preprocessing family gives them to a network."""

from slim_zoo.catalog import networks
from slim_zoo.preprocessing import vgg_preprocessing
from slim_zoo.tf_compat import tf


def _without_mean(images):
  return images - vgg_preprocessing.add_mean(tf.zeros([1, 1, images.shape[-1]]))


_SCALES = {
    'cifarnet': lambda images: tf.image.per_image_standardization(images),
    'inception': lambda images: images * (2 / 255) - 1.0,
    'lenet': lambda images: images * (1 / 128) - 1.0,
    'vgg': _without_mean,
}


def scaled(images: tf.Tensor, name: str) -> tf.Tensor:
  """Returns network-ready values, made of pixels.

  Args:
    images: uint8 or float32 [..., height, width, 1 or 3], values 0 to 255.
    name: a preprocessing family or a network.

  Returns:
    float32 of the same shape.
  """
  return _SCALES[networks.preprocessing_family(name)](tf.cast(images, tf.float32))
