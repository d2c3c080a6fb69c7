"""Image summaries that are harmless where no summary can be written."""

from slim_zoo.tf_compat import tf


def add_image_summary(name: str, image) -> None:
  """Shows one image [height, width, channels] in TensorBoard, as `name`.

  Inside a tf.data function nothing is added: a summary operation there reaches
  no summary writer.
  """
  if not tf.get_default_graph().building_function:
    tf.summary.image(name, tf.expand_dims(image, 0))
