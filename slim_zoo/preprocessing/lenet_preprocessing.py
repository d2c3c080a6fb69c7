"""Preprocessing for LeNet: no augmentation, values around zero.

As in the TF-Slim image models for MNIST. LeCun et al. 1998, Proceedings of the IEEE
86(11), also pads and scales the digits.
"""

from collections.abc import Callable

from slim_zoo.preprocessing import channels, corners
from slim_zoo.tf_compat import tf


def preprocess_image(image, output_height, output_width, is_training,
                     use_grayscale: bool = False, augment: Callable | None = None,
                     corner: tuple[int, int] | None = None):
  """Crops or pads an image centrally and scales it to about [-1, 1].

  Args:
    image: [height, width, 1 or 3], values 0 to 255, any numeric type.
    output_height: height of the result.
    output_width: width of the result.
    is_training: whether `augment` is called; it has no other effect.
    use_grayscale: converts RGB to gray; otherwise the channels do not change.
    augment: called with the cropped image, float32 [output_height, output_width,
      channels] with values 0 to 255; returns another such image.
    corner: the corner to crop of an image that is larger than the result, (0 for top or
      1 for bottom, 0 for left or 1 for right); None: the centre.

  Returns:
    float32 [output_height, output_width, channels]: (value - 128) / 128. Padding
    is black, -1.

  Raises:
    UserError: the image has neither 1 nor 3 channels.
  """
  image = channels.for_network(
      tf.cast(image, tf.float32), 'lenet', use_grayscale)
  image = corners.crop_or_pad(image, output_height, output_width, corner)
  image = channels.with_static_size(image, output_height, output_width)
  if augment is not None and is_training:
    image = augment(image)
  return (image - 128.0) / 128.0
