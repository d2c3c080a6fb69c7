"""A TensorFlow Lite model of int8 with an input and an output of uint8."""

import copy
import importlib

_BETWEEN = 128  # Values of uint8 are those of int8 and so much more.


def with_uint8_ends(model: bytes) -> bytes:
  """Returns a model whose ends are converted to uint8 by operations of it.

  Args:
    model: a TensorFlow Lite file with one input and one output, both int8.
  """
  files = importlib.import_module('tensorflow.lite.tools.flatbuffer_utils')
  schema = importlib.import_module('tensorflow.lite.python.schema_py_generated')
  content = files.convert_bytearray_to_object(bytearray(model))
  (graph,) = content.subgraphs
  opcode = _quantize_opcode(schema, content)
  (input_,), (output,) = graph.inputs, graph.outputs
  outer_input, outer_output = (
      _as_uint8(schema, graph, index) for index in (input_, output))
  graph.operators = [
      _quantize(schema, opcode, outer_input, input_), *graph.operators,
      _quantize(schema, opcode, output, outer_output)]
  graph.inputs, graph.outputs = [outer_input], [outer_output]
  for signature in content.signatureDefs or []:
    for ends, index in ((signature.inputs, outer_input),
                        (signature.outputs, outer_output)):
      for end in ends:
        end.tensorIndex = index
  return bytes(files.convert_object_to_bytearray(content))


def _quantize_opcode(schema, content):
  """Returns the index of QUANTIZE among the operations of a model, added if needed."""
  code = schema.BuiltinOperator.QUANTIZE
  for index, known in enumerate(content.operatorCodes):
    if known.builtinCode == code:
      return index
  added = schema.OperatorCodeT()
  added.builtinCode = added.deprecatedBuiltinCode = code
  added.version = 1
  content.operatorCodes.append(added)
  return len(content.operatorCodes) - 1


def _as_uint8(schema, graph, index):
  """Adds a tensor like another one, but uint8; returns its index."""
  inner = graph.tensors[index]
  outer = copy.deepcopy(inner)
  outer.type = schema.TensorType.UINT8
  outer.quantization.zeroPoint = [int(inner.quantization.zeroPoint[0]) + _BETWEEN]
  inner.name = inner.name + b'_int8'
  outer.buffer = 0
  graph.tensors.append(outer)
  return len(graph.tensors) - 1


def _quantize(schema, opcode, source, target):
  operator = schema.OperatorT()
  operator.opcodeIndex, operator.inputs, operator.outputs = opcode, [source], [target]
  operator.builtinOptionsType = schema.BuiltinOptions.QuantizeOptions
  operator.builtinOptions = schema.QuantizeOptionsT()
  return operator
