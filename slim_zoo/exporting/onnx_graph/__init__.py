"""ONNX models of frozen networks: a table of operations, written with `onnx`."""
