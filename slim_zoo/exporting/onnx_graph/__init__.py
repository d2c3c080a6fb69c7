"""Writes frozen networks as ONNX models, from a table of operations, with `onnx`."""
