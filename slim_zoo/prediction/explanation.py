"""Which parts of an image spoke for a class: Grad-CAM.

Selvaraju et al. 2017, Grad-CAM: Visual Explanations from Deep Networks via
Gradient-based Localization, arXiv 1610.02391.
"""

from slim_zoo import diagnostics
from slim_zoo.catalog import feature_maps
from slim_zoo.tf_compat import tf


def default_end_point(model_name: str) -> str:
  """Returns a network's last features that a convolution gives, not a pool.

  Where the network ends in a pool the convolution before it shows finer places.
  """
  *before, last = feature_maps.feature_map_names(model_name).values()
  return before[-1] if before and 'pool' in last.rsplit('/', 1)[-1] else last


def heat(logits: tf.Tensor, features: tf.Tensor, end_point: str) -> tf.Tensor:
  """Returns where features speak for the likeliest class of each image.

  Each channel counts as much as a change in it, anywhere, changes the class's logit
  (equation 1), and only what speaks for the class is kept (equation 2).

  Args:
    logits: float32 [batch, classes], computed from the features.
    features: float32 [batch, height, width, channels].
    end_point: their name, for messages.

  Returns:
    float32 [batch, height, width], 0 or more; larger speaks more for the class.

  Raises:
    UserError: the features are no map of places, or the logits do not depend on them.
  """
  if features.shape.rank != 4:
    raise diagnostics.UserError(
        f'--explain_end_point={end_point} is of shape {features.shape}: Grad-CAM needs'
        ' one of [batch, height, width, channels]')
  with features.graph.as_default():
    likeliest = tf.one_hot(tf.argmax(logits, axis=1), logits.shape[-1])
    # In evaluation mode no image of a batch has a part in another's logits.
    (gradients,) = tf.gradients(
        tf.reduce_sum(logits * tf.stop_gradient(likeliest)), features)
    if gradients is None:
      raise diagnostics.UserError(
          f'--explain_end_point={end_point} has no part in the logits: name one that'
          ' they are computed from')
    importance = tf.reduce_mean(gradients, axis=[1, 2], keepdims=True)
    return tf.nn.relu(tf.reduce_sum(importance * features, axis=3))
