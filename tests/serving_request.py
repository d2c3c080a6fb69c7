"""Answers a predict request of TensorFlow Serving, by the TensorFlow 2 loader.

  python serving_request.py SAVED_MODEL REQUEST.json

Prints the answer. The server's documented rules for a request of rows: each of
'instances' is one input's value, or an object of inputs by name; {"b64": ...} is
binary; 'signature_name' is serving_default unless told.
"""

import base64
import json
import sys

import numpy as np
import tensorflow as tf


def value_of(value):
  if isinstance(value, dict):
    assert set(value) == {'b64'}
    return base64.b64decode(value['b64'])
  return value


def main(path, request_path):
  with open(request_path, encoding='utf-8') as file:
    request = json.load(file)
  name = request.get('signature_name', 'serving_default')
  signature = tf.saved_model.load(path).signatures[name]
  ((alias, spec),) = signature.structured_input_signature[1].items()
  rows = []
  for row in request['instances']:
    by_name = isinstance(row, dict) and set(row) != {'b64'}
    rows.append(value_of(row[alias] if by_name else row))
    # The server takes base64 for inputs by this ending alone.
    assert not isinstance(rows[-1], bytes) or alias.endswith('_bytes')
  answers = signature(**{alias: tf.constant(rows, spec.dtype)})
  answers = {key: value.numpy() for key, value in answers.items()}
  print(json.dumps({'predictions': [
      {key: value[row].decode() if isinstance(value[row], bytes) else
       np.asarray(value[row]).tolist() for key, value in answers.items()}
      for row in range(len(rows))]}))


if __name__ == '__main__':
  main(*sys.argv[1:])
