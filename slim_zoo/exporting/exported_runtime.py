"""Runs an exported model in its own runtime, as its users do: without this project.

  python exported_runtime.py KIND MODEL INPUTS.npz OUTPUTS.npz

KIND is that of `formats.FORMATS`. The inputs are 'encoded', the bytes of all files on
end, with their 'lengths'; 'pixels' uint8 and 'preprocessed' float32 [images, height,
width, channels]. The outputs are probabilities, float32 [images, classes], by the
name of what they were asked of. Probabilities of 8 bits are there a second time, from
the logits in the model, with '/unrounded' behind the name. Started by `parity.run` in a
fresh process.
"""

import importlib.util
import os
import sys
import tempfile

import numpy as np

UNROUNDED = '/unrounded'


def run_saved_model(path, inputs):
  """Calls each signature by the TensorFlow 2 loader."""
  import tensorflow as tf

  ends = np.cumsum(inputs['lengths'])
  files = [inputs['encoded'][end - length:end].tobytes()
           for end, length in zip(ends, inputs['lengths'], strict=True)]
  model = tf.saved_model.load(path)
  inputs_by_signature = {
      'serving_default': {'image_bytes': tf.constant(files)},
      'tensors': {'images': tf.constant(inputs['pixels'])},
      'preprocessed': {'images': tf.constant(inputs['preprocessed'])}}
  return {name: model.signatures[name](**inputs_of_signature)['probabilities'].numpy()
          for name, inputs_of_signature in inputs_by_signature.items()}


def run_frozen_graph(path, inputs):
  """Imports the GraphDef into a session."""
  import tensorflow as tf

  graph_def = tf.compat.v1.GraphDef()
  with open(path, 'rb') as file:
    graph_def.ParseFromString(file.read())
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    tf.import_graph_def(graph_def, name='')
    return {'input': session.run('probabilities:0', {
        'input:0': inputs['pixels'].astype(np.float32)})}


def _lite():
  try:
    from ai_edge_litert import interpreter
  except ImportError:
    from tensorflow.lite.python import interpreter
  return interpreter


def _interpreter(path):
  """Returns a function that invokes a model, and whether it uses XNNPACK.

  XNNPACK is on wherever it is not switched off, but takes no integer convolutions in
  groups. It says so when memory is laid out.
  """
  lite = _lite()
  interpreter = lite.Interpreter(model_path=path)
  try:
    interpreter.allocate_tensors()
    return interpreter, True
  except RuntimeError:
    interpreter = lite.Interpreter(
        model_path=path, experimental_op_resolver_type=(
            lite.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES))
    interpreter.allocate_tensors()
    return interpreter, False


def run_tflite(path, inputs):
  """Invokes the interpreter, an image at a time."""
  interpreter, with_xnnpack = _interpreter(path)
  (output,) = interpreter.get_output_details()
  name = 'input' if with_xnnpack else 'input (runs only without XNNPACK)'
  outputs = {name: _invoke(interpreter, inputs['pixels'], output)}
  if output['dtype'] == np.uint8:
    unrounded = _unrounded(path, inputs['pixels'])
    if unrounded is not None:
      outputs[name + UNROUNDED] = unrounded
  return outputs


def _invoke(interpreter, images, output_details):
  """Returns a tensor of the model for each image, as float32."""
  (input_details,) = interpreter.get_input_details()
  outputs = []
  for image in images:
    interpreter.set_tensor(input_details['index'],
                           image[np.newaxis].astype(input_details['dtype']))
    interpreter.invoke()
    values = interpreter.get_tensor(output_details['index']).astype(np.float32)
    scale, zero_point = output_details['quantization']
    outputs.append((values - zero_point) * scale if scale else values)
  return np.concatenate(outputs)


def _unrounded(path, images):
  """Returns the probabilities that the logits in a model stand for.

  Those that the model gives in 8 bits are multiples of 1/256: most classes of a
  network with a thousand have none.
  """
  interpreter = _lite().Interpreter(
      model_path=path, experimental_preserve_all_tensors=True)
  interpreter.allocate_tensors()
  ends = [step for step in interpreter._get_ops_details()
          if step['op_name'] in ('SOFTMAX', 'LOGISTIC')]
  if not ends:
    return None
  (logits,) = [details for details in interpreter.get_tensor_details()
               if details['index'] == ends[-1]['inputs'][0]]
  values = _invoke(interpreter, images, logits).astype(np.float64)
  if ends[-1]['op_name'] == 'LOGISTIC':
    return 1 / (1 + np.exp(-values))
  powers = np.exp(values - values.max(axis=1, keepdims=True))
  return powers / powers.sum(axis=1, keepdims=True)


def run_onnx(path, inputs):
  """Runs onnxruntime on the CPU, in batches of one image, of two, and of all others."""
  import onnxruntime

  session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
  outputs = [
      session.run(['probabilities:0'], {'input:0': batch.astype(np.float32)})[0]
      for batch in np.split(inputs['pixels'], [1, 3]) if len(batch)]
  return {'input': np.concatenate(outputs)}


def run_torch(path, inputs):
  """Imports the source, and runs batches of one image, of two, and of all others."""
  import torch

  # The export stays as it was written.
  sys.dont_write_bytecode = True
  spec = importlib.util.spec_from_file_location(
      'exported_model', os.path.join(path, 'model.py'))
  model = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(model)
  network = model.load()
  with torch.no_grad():
    outputs = [model.probabilities(network(torch.from_numpy(
        batch.astype(np.float32).transpose(0, 3, 1, 2)))).numpy()
               for batch in np.split(inputs['pixels'], [1, 3]) if len(batch)]
  return {'input': np.concatenate(outputs)}


def run_openvino(path, inputs):
  """Runs OpenVINO on the CPU, in batches of one image, of two, and of all others."""
  import openvino

  # Some processors would compute in bfloat16.
  model = openvino.Core().compile_model(
      os.path.join(path, 'model.xml'), 'CPU', {'INFERENCE_PRECISION_HINT': 'f32'})
  outputs = [model({'input:0': batch.astype(np.float32)})['probabilities:0']
             for batch in np.split(inputs['pixels'], [1, 3]) if len(batch)]
  return {'input': np.concatenate(outputs)}


def run_keras(path, inputs):
  """Loads the model with Keras, in batches of one image and of all others."""
  import keras

  with tempfile.TemporaryDirectory() as folder:
    # Keras tells the format by the suffix.
    link = os.path.join(folder, 'model.keras')
    os.symlink(os.path.abspath(path), link)
    model = keras.models.load_model(link)
  outputs = [keras.ops.convert_to_numpy(model(batch.astype(np.float32), training=False))
             for batch in np.split(inputs['pixels'], [1]) if len(batch)]
  return {'input': np.concatenate(outputs)}


def main(kind, path, inputs_path, outputs_path):
  """Reads the inputs, runs the model, writes the outputs."""
  with np.load(inputs_path) as archive:
    inputs = dict(archive)
  run = run_tflite if kind.startswith('tflite') else {
      'saved_model': run_saved_model, 'frozen_graph': run_frozen_graph,
      'onnx': run_onnx, 'keras': run_keras, 'torch': run_torch,
      'openvino': run_openvino}[kind]
  np.savez(outputs_path, **run(path, inputs))


if __name__ == '__main__':
  main(*sys.argv[1:])
