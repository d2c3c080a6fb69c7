"""Writes an ONNX model as OpenVINO IR, in an interpreter that has OpenVINO.

  python openvino_writer.py MODEL.onnx MODEL.xml LABELS.json

The weights go to MODEL.bin, in float32. LABELS.json is a list of names; it becomes the
text `slim_zoo/labels` of the model's runtime information. Started by
`to_openvino.write` in a fresh process.
"""

import sys


def main(source, target, labels):
  """Reads the ONNX model and writes the two files."""
  import openvino

  model = openvino.Core().read_model(source)
  with open(labels, encoding='utf-8') as file:
    model.set_rt_info(file.read(), ['slim_zoo', 'labels'])
  openvino.save_model(model, target, compress_to_fp16=False)


if __name__ == '__main__':
  main(*sys.argv[1:])
