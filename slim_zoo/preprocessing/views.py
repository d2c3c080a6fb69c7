"""Several views of an image, and the mean of the probabilities of these views."""

from collections.abc import Callable

from slim_zoo.preprocessing import preprocessing_factory
from slim_zoo.tf_compat import tf

_CENTRE = None
_CENTRE_AND_CORNERS = (_CENTRE, (0, 0), (0, 1), (1, 0), (1, 1))
# The crops of each kind of test-time augmentation, and whether each is also flipped.
_VIEWS = {
    'flip': ((_CENTRE,), True),
    'five_crop': (_CENTRE_AND_CORNERS, False),
    'ten_crop': (_CENTRE_AND_CORNERS, True),
}


def get_preprocessing(name: str, kind: str | None,
                      use_grayscale: bool = False) -> Callable:
  """Returns the preprocessing of evaluation, with the views of an image as its result.

  Args:
    name: a family or a network, see `preprocessing_factory.get_preprocessing`.
    kind: 'flip', 'five_crop' or 'ten_crop'; None: no views.
    use_grayscale: whether the result has one channel.

  Returns:
    preprocessing_fn(image, output_height, output_width). The result is float32 [views,
    output_height, output_width, channels], the central crop first;
    without a kind [output_height, output_width, channels].

  Raises:
    UserError: the family or network does not exist.
  """
  preprocessing_fn = preprocessing_factory.get_preprocessing(
      name, is_training=False, use_grayscale=use_grayscale)
  if kind is None:
    return preprocessing_fn
  corners, is_flipped = _VIEWS[kind]

  @tf.autograph.experimental.do_not_convert
  def views_fn(image, output_height, output_width, **kwargs):
    crops = tf.stack([
        preprocessing_fn(image, output_height, output_width, corner=corner, **kwargs)
        for corner in corners])
    if not is_flipped:
      return crops
    return tf.concat([crops, tf.reverse(crops, [2])], 0)

  views_fn.options = preprocessing_fn.options - {'corner'}
  views_fn.takes_lazy_images = False
  return views_fn


def mean_probabilities(classify: Callable[[tf.Tensor], tf.Tensor],
                       images: tf.Tensor) -> tf.Tensor:
  """Returns the mean of the probabilities of the views of each image.

  Args:
    classify: returns the probabilities, float32 [batch, classes], of float32 [batch,
      height, width, channels].
    images: float32 [images, views, height, width, channels]; or float32 [images,
      height, width, channels], of which `classify` gives the result.

  Returns:
    float32 [images, classes].
  """
  if images.shape.ndims == 4:
    return classify(images)
  _, num_views, *shape = images.shape.as_list()
  return mean_of_views(classify(tf.reshape(images, [-1, *shape])), num_views)


def mean_of_views(probabilities: tf.Tensor, num_views: int) -> tf.Tensor:
  """Returns float32 [images, classes], the means of [images * views, classes]."""
  num_classes = probabilities.shape.as_list()[-1]
  return tf.reduce_mean(
      tf.reshape(probabilities, [-1, num_views, num_classes]), 1)
