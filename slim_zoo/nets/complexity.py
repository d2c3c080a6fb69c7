"""The cost of a network, counted in its graph: parameters and multiply-adds.

One multiply-add is one product of an input value and a weight, as in the papers of
MobileNet, NASNet and ResNet. Like there, normalization, activations, pools, additions
and biases are not counted.
"""

from collections.abc import Sequence

from slim_zoo.catalog import complexity, networks
from slim_zoo.nets import nets_factory
from slim_zoo.tf_compat import tf


def count_multiply_adds(graph: tf.Graph,
                        outputs: Sequence[tf.Tensor] | None = None) -> int:
  """Returns the multiply-adds of one run of a graph.

  Args:
    graph: convolutions (plain, grouped, depthwise, transposed, two or three dimensions)
      and matrix products are counted; other ops are not.
    outputs: count only the ops that these tensors depend on; None counts all.

  Raises:
    ValueError: the shape of a counted op is not fully known, for example because the
      batch size is unknown.
  """
  if outputs is None:
    operations = graph.get_operations()
  else:
    operations = needed_operations(outputs)
  return sum(_COUNTERS[operation.type](operation)
             for operation in operations if operation.type in _COUNTERS)


def count_parameters(outputs: Sequence[tf.Tensor] | None = None) -> int:
  """Returns the number of trainable values in the default graph.

  Args:
    outputs: count only variables that these tensors depend on; None counts all.
  """
  variables = tf.trainable_variables()
  if outputs is not None:
    needed = needed_operations(outputs)
    variables = [variable for variable in variables if variable.op in needed]
  return sum(variable.shape.num_elements() for variable in variables)


def needed_operations(outputs: Sequence[tf.Tensor]) -> set[tf.Operation]:
  """Returns the ops that `outputs` depend on, including their own."""
  needed, queue = set(), [tensor.op for tensor in outputs]
  while queue:
    operation = queue.pop()
    if operation not in needed:
      needed.add(operation)
      queue.extend(tensor.op for tensor in operation.inputs)
      queue.extend(operation.control_inputs)
  return needed


def evaluation_graph(
    name: str, **options) -> tuple[tf.Tensor, tf.Tensor, dict[str, tf.Tensor]]:
  """Builds a network in a new graph, in the form in which its cost is counted.

  This is evaluation of one image (or clip) of the default size, with the class count
  of the published checkpoint.

  Args:
    name: name of the network.
    **options: go to `nets_factory.get_network_fn`.

  Returns:
    (images, logits, end_points): the placeholder and the outputs of the network.

  Raises:
    UserError: there is no such network.
  """
  row = networks.get_network(name)
  network_fn = nets_factory.get_network_fn(name, row.num_classes, **options)
  size = network_fn.default_image_size
  frames = [] if row.frames is None else [row.frames]
  with tf.Graph().as_default():
    images = tf.placeholder(tf.float32, [1, *frames, size, size, row.channels])
    return images, *network_fn(images)


def cost(images: tf.Tensor, logits: tf.Tensor) -> complexity.Complexity:
  """Returns the cost of computing `logits` from `images`, a batch of one.

  Auxiliary classifiers are not counted: they are used in training only.
  """
  with images.graph.as_default():
    return complexity.Complexity(
        tuple(images.shape.as_list()[1:]), int(logits.shape[-1]),
        count_parameters([logits]), count_multiply_adds(images.graph, [logits]))


def measure(name: str) -> complexity.Complexity:
  """Returns the cost of the network called `name`; see `evaluation_graph`.

  Raises:
    UserError: there is no such network.
  """
  images, logits, _ = evaluation_graph(name)
  return cost(images, logits)


def _elements(tensor):
  """Returns the number of values in a tensor."""
  count = tensor.shape.num_elements()
  if count is None:
    raise ValueError(
        f"the shape of '{tensor.name}' is {tensor.shape}, its multiply-adds cannot be"
        ' counted: build the graph with a fixed batch and image size')
  return count


def _convolution(operation):
  # The weights of a grouped convolution have the depth of one group: no special case.
  weights = operation.inputs[1]
  return _elements(operation.outputs[0]) * _elements(weights) // int(weights.shape[-1])


def _depthwise_convolution(operation):
  height, width, _, _ = operation.inputs[1].shape.as_list()
  return _elements(operation.outputs[0]) * height * width


def _transposed_convolution(operation):
  """Each input value is multiplied by the weights of one input channel."""
  weights, values = operation.inputs[1:3]
  return _elements(values) * _elements(weights) // int(weights.shape[-1])


def _matrix_product(operation):
  left, _ = operation.inputs
  transposed = any(operation.get_attr(name) for name in ('transpose_a', 'adj_x')
                   if name in operation.node_def.attr)
  inner = left.shape[-2 if transposed else -1]
  if inner is None:
    _elements(left)
  return _elements(operation.outputs[0]) * int(inner)


_COUNTERS = {
    'Conv2D': _convolution,
    'Conv3D': _convolution,
    'DepthwiseConv2dNative': _depthwise_convolution,
    'Conv2DBackpropInput': _transposed_convolution,
    'Conv3DBackpropInputV2': _transposed_convolution,
    'MatMul': _matrix_product,
    'BatchMatMul': _matrix_product,
    'BatchMatMulV2': _matrix_product,
}
