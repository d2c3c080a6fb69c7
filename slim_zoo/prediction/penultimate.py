"""The features that a network's last layer turns into logits."""

from slim_zoo.tf_compat import tf

_LAYERS = ('Conv2D', 'MatMul')


def features(logits: tf.Tensor) -> tf.Tensor:
  """Returns what the last convolution or matrix product before logits reads.

  Args:
    logits: float32 [batch, classes], in a graph without variables.

  Returns:
    float32 [batch, channels]; or [batch, height, width, channels], of networks that
    give logits at several places and average them.
  """
  operation = logits.op
  while operation.type not in _LAYERS:
    # What lies between is a bias, a pool or another shape, and its data comes first.
    operation = next(tensor.op for tensor in operation.inputs
                     if tensor.op.type != 'Const')
  read = operation.inputs[0]
  if read.shape.as_list()[1:-1] != [1, 1]:
    return read
  with read.graph.as_default():
    return tf.squeeze(read, [1, 2])
