"""Messages of TensorBoard's HParams plugin, written without TensorBoard.

TensorFlow 2.21 does not install TensorBoard. The fields are those of
tensorboard/plugins/hparams/plugin_data.proto and google/protobuf/struct.proto.
"""

import struct
from collections.abc import Mapping

from slim_zoo.tf_compat import tf

PLUGIN = 'hparams'
_START, _END = '_hparams_/session_start_info', '_hparams_/session_end_info'
# The values of the enumeration Status.
UNKNOWN, SUCCESS, FAILURE = 0, 1, 2


def start(parameters: Mapping[str, bool | int | float | str], seconds: float
          ) -> tf.Summary.Value:
  """Returns the beginning of a session, for a row of the table.

  Args:
    parameters: of the run, by name.
    seconds: when it began, since 1970.
  """
  entries = b''.join(
      _bytes(1, _bytes(1, name.encode()) + _bytes(2, _value(value)))
      for name, value in parameters.items())
  return _summary(_START, _bytes(3, entries + _double(5, seconds)))


def end(status: int, seconds: float) -> tf.Summary.Value:
  """Returns the end of a session.

  Args:
    status: UNKNOWN, SUCCESS or FAILURE.
    seconds: when it ended, since 1970.
  """
  return _summary(_END, _bytes(4, _whole(1, status) + _double(2, seconds)))


def _summary(tag, content):
  return tf.Summary.Value(
      tag=tag, tensor=tf.make_tensor_proto([], tf.float32, [0]),
      metadata=tf.SummaryMetadata(plugin_data=tf.SummaryMetadata.PluginData(
          plugin_name=PLUGIN, content=content)))


# --- The wire format of protocol buffers: the number of a field and its type, a value.


def _value(value):
  """Returns a google.protobuf.Value."""
  if isinstance(value, bool):
    return _whole(4, value)
  if isinstance(value, str):
    return _bytes(3, value.encode())
  return _double(2, value)


def _varint(number):
  parts = bytearray()
  while number > 127:
    parts.append(number & 127 | 128)
    number >>= 7
  return bytes([*parts, number])


def _whole(field, number):
  return _varint(field << 3) + _varint(int(number))


def _double(field, number):
  return _varint(field << 3 | 1) + struct.pack('<d', number)


def _bytes(field, content):
  return _varint(field << 3 | 2) + _varint(len(content)) + content
