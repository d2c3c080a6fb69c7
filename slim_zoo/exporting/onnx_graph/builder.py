"""Collects the nodes, constants and names of an ONNX graph.

Functions import `onnx` when they need it, because it is an optional package.
"""

from collections.abc import Mapping, Sequence

import numpy as np

# onnxruntime 1.12 and later run it; it has each operation that is written here.
OPSET = 17
# Of the same release of ONNX: older runtimes refuse a newer number.
_IR_VERSION = 8


class Builder:
  """Collects the nodes and constants of one graph."""

  def __init__(self):
    self._nodes = []
    self._constants = {}
    self._names = set()
    self._shared = {}

  def node(self, kind: str, inputs: Sequence[str], name: str, **attributes) -> str:
    """Adds a node with one output.

    Args:
      kind: ONNX's name of the operation.
      inputs: names of values; '' for one that is left out.
      name: of the node and of its value; it gets a number if it is taken.
      **attributes: of the operation.

    Returns:
      The name of the value.
    """
    import onnx

    name = self._free(name)
    self._nodes.append(
        onnx.helper.make_node(kind, list(inputs), [name], name, **attributes))
    return name

  def constant(self, value: np.ndarray, name: str) -> str:
    """Adds a constant; returns its name. Small equal ones are shared."""
    import onnx

    value = np.ascontiguousarray(value).reshape(np.shape(value))
    key = (value.dtype.str, value.shape, value.tobytes()) if value.size <= 8 else None
    if key in self._shared:
      return self._shared[key]
    name = self._free(name)
    self._constants[name] = onnx.numpy_helper.from_array(value, name)
    if key:
      self._shared[key] = name
    return name

  def model(self, inputs: Mapping[str, tuple], outputs: Mapping[str, tuple]):
    """Returns the onnx.ModelProto.

    Args:
      inputs: (NumPy type, shape) by name; a dimension may be a name.
      outputs: the same.
    """
    import onnx

    def described(values):
      return [onnx.helper.make_tensor_value_info(
          name, onnx.helper.np_dtype_to_tensor_dtype(np.dtype(kind)), shape)
              for name, (kind, shape) in values.items()]

    graph = onnx.helper.make_graph(
        self._nodes, 'network', described(inputs), described(outputs),
        list(self._constants.values()))
    return onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid('', OPSET)],
        ir_version=_IR_VERSION, producer_name='slim_zoo')

  def _free(self, name):
    """Returns a name that no value has."""
    number, free = 0, name
    while free in self._names:
      number += 1
      free = f'{name}_{number}'
    self._names.add(free)
    return free
