"""What the translations to ONNX, Keras and PyTorch read of a frozen graph."""

from collections.abc import Sequence

from slim_zoo import diagnostics
from slim_zoo.exporting import known
from slim_zoo.tf_compat import tf

# They are made of constants and names when an image graph is attached.
_PREFIXES = ('frozen/', 'weights/')
# What may be between a layer and its bias, and what adds the bias.
_SHAPES, _SUMS = ('Reshape', 'Squeeze'), ('Add', 'AddV2', 'BiasAdd')


class FrozenGraph:
  """The operations of a frozen graph that its outputs need.

  Args:
    outputs: operations of the graph.
  """

  def __init__(self, outputs: Sequence[tf.Operation]):
    self._needed = known.needed(outputs)

  def operations(self) -> list[tf.Operation]:
    """Returns the operations that the outputs need, each after its inputs."""
    graph = next(iter(self._needed)).graph
    return [operation for operation in graph.get_operations()
            if operation in self._needed]

  def readers(self, tensor: tf.Tensor) -> list[tf.Operation]:
    """Returns the operations that read a tensor."""
    return [operation for operation in tensor.consumers()
            if operation in self._needed]

  def reader(self, tensor: tf.Tensor) -> tf.Operation | None:
    """Returns the operation that reads a tensor, if it is only one."""
    readers = self.readers(tensor)
    return readers[0] if len(readers) == 1 else None

  def added_bias(self, layer: tf.Operation) -> tuple[tf.Operation, tf.Tensor] | None:
    """Returns (the sum, the bias) if a bias is added to the result of a layer.

    Nothing but changes of the shape may be between the two.
    """
    tensor = layer.outputs[0]
    channels = tensor.shape[-1]
    while (reader := self.reader(tensor)) is not None and tensor.shape[-1] == channels:
      if reader.type in _SUMS:
        bias = next(filter(known.is_known, reader.inputs), None)
        is_bias = bias is not None and bias.shape.as_list() == [channels]
        return (reader, bias) if is_bias else None
      if reader.type not in _SHAPES:
        return None
      tensor = reader.outputs[0]
    return None


def name_of(operation: tf.Operation) -> str:
  """Returns the name of an operation in the network."""
  name = operation.name
  for prefix in _PREFIXES:
    name = name.removeprefix(prefix)
  return name


def refusal(format_name: str, operation: tf.Operation, reason: str
            ) -> diagnostics.UserError:
  """Returns the error for an operation that cannot be translated.

  Args:
    format_name: what it is translated to.
    operation: of the graph.
    reason: follows the type of the operation.
  """
  return diagnostics.UserError(
      f"--format={format_name} has no translation of the layer"
      f" '{name_of(operation)}': {operation.type} {reason}; use --format=saved_model")


def shape_in(format_name: str, tensor: tf.Tensor, operation: tf.Operation
             ) -> list[int | None]:
  """Returns the shape of a tensor, of which only the batch may be unknown.

  Args:
    format_name: what the graph is translated to.
    tensor: an input or output of `operation`.
    operation: for the message.

  Raises:
    UserError: more is unknown.
  """
  if tensor.shape.rank is None or None in tensor.shape.as_list()[1:]:
    raise refusal(format_name, operation, f'with the unknown shape {tensor.shape}: it'
                  ' needs the image size')
  return tensor.shape.as_list()
