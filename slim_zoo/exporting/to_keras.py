"""Writes Keras 3 models (.keras) of standard layers from the frozen graph."""

import importlib.metadata
import json
import os
import pathlib
import tempfile
import zipfile

import numpy as np

from slim_zoo import diagnostics
from slim_zoo.catalog import networks, preprocessing_families
from slim_zoo.checkpoints.trained_network import TrainedNetwork
from slim_zoo.exporting import pixel_graph, runtime_process
from slim_zoo.exporting.keras_model import builder, operations
from slim_zoo.exporting.keras_model.plan import Plan
from slim_zoo.files import atomic
from slim_zoo.inference import inference_graph
from slim_zoo.tf_compat import tf

INPUT, LABELS = 'pixels', 'labels.txt'
_BUILDER = os.path.abspath(builder.__file__)


def check_installed() -> None:
  """Raises UserError unless Keras 3 is installed."""
  try:
    version = importlib.metadata.version('keras')
  except importlib.metadata.PackageNotFoundError:
    version = ''
  if not version or int(version.split('.')[0]) < 3:
    found = f'Keras {version}' if version else 'no Keras'
    raise diagnostics.UserError(
        f'--format=keras needs Keras 3, and {found} is installed: python -m pip install'
        ' "keras>=3,<4"')


def write(path: str, trained: TrainedNetwork,
          network: inference_graph.InferenceGraph) -> None:
  """Writes a model from pixels to probabilities, and the names of the classes in it.

  The images are pixels, float32 [batch, height, width, channels] of 0 to 255. The layer
  'logits' gives the logits. labels.txt in the file names the classes.

  Args:
    path: the file to write.
    trained: the network to export.
    network: of `trained`, frozen. Batch norm that is not folded stays a layer.

  Raises:
    UserError: Keras is missing, or the network cannot be translated.
  """
  check_installed()
  if trained.quantized is not None:
    raise diagnostics.UserError(
        f"'{trained.checkpoint}' is a quantized checkpoint, and --format=keras has no"
        ' layers that round to 8 bits: use --format=onnx or --format=tflite_int8, or'
        ' export it in float32 by --noquantize')
  source = pixel_graph.build(trained, network)
  save(path, trained.model_name, planned(
      source.images, source.probabilities, scope_of(trained.model_name)))
  with zipfile.ZipFile(path, 'a') as archive:
    archive.writestr(LABELS, ''.join(
        f'{number}:{_printable(name)}\n'
        for number, name in enumerate(trained.class_names)))


def scope_of(model_name: str) -> str:
  """Returns the variable scope of a network, or ''."""
  return networks.NETWORKS[model_name].head_scopes[0].rpartition('/')[0]


def planned(images: tf.Tensor, output: tf.Tensor, scope: str = '') -> Plan:
  """Returns the layers of a frozen graph; the last one gives `output`.

  Args:
    images: the placeholder, float32 [batch, ..., channels].
    output: [batch, ...].
    scope: the scope of the network, which the names of layers leave out.

  Raises:
    UserError: the graph has an operation that is not translated.
  """
  plan = Plan([output.op], scope)
  for operation in plan.operations():
    if operation is images.op:
      plan.set_value(images, plan.add(
          'Input', INPUT, [], shape=images.shape.as_list()[1:]))
    else:
      operations.translate(plan, operation)
  return plan


def save(path: str, name: str, plan: Plan) -> None:
  """Builds a model in a new process that has Keras, and saves it.

  Args:
    path: the file to write.
    name: of the model.
    plan: its layers.

  Raises:
    UserError: Keras fails.
  """
  # Keras tells the format by the suffix. The folder is on the disk of the file.
  with tempfile.TemporaryDirectory(dir=os.path.dirname(os.path.abspath(path)),
                                   prefix='.keras.') as folder:
    request = request_of(plan, name, folder)
    runtime_process.run('the keras export cannot be written', '', [_BUILDER, request])
    os.replace(os.path.join(folder, 'model.keras'), path)


def request_of(plan: Plan, name: str, folder: str) -> str:
  """Writes the request for the builder; returns its path.

  Args:
    plan: the layers.
    name: of the model.
    folder: for the request, its arrays, and the model, 'model.keras'.
  """
  arrays = {f'{layer.name}:{number}': values for layer in plan.layers
            for number, values in enumerate(layer.weights)}
  paths = {key: os.path.join(folder, file) for key, file in (
      ('arrays', 'arrays.npz'), ('path', 'model.keras'))}
  np.savez(paths['arrays'], **arrays)
  request = pathlib.Path(folder, 'request.json')
  request.write_text(json.dumps({
      'name': name, 'output': plan.layers[-1].name, **paths,
      'layers': [{'kind': layer.kind, 'name': layer.name, 'inputs': layer.inputs,
                  'config': layer.config, 'weights': len(layer.weights)}
                 for layer in plan.layers]}), encoding='utf-8')
  return str(request)


def write_card(path: str, trained: TrainedNetwork) -> None:
  """Writes PATH.md beside the model `path`: its network, input, crop and output."""
  family = preprocessing_families.family_of(trained.preprocessing_name)
  size, name = trained.image_size, os.path.basename(path)
  atomic.write_text(f'{path}.md', f"""# {name}

| | |
|---|---|
| network | {trained.model_name}, of the checkpoint {trained.checkpoint} |
| input | `{INPUT}`: float32 [batch, {size}, {size}, {trained.channels}], \
{'gray' if trained.channels == 1 else 'RGB'} pixels 0 to 255; the model scales them |
| crop | {preprocessing_families.CROPS[family]} (preprocessing {family}) |
| output | `{operations.PROBABILITIES}`: [batch, {trained.num_classes}]; the layer \
`{operations.LOGITS}` gives the logits |
| classes | `unzip -p {name} {LABELS}` |

    import keras
    model = keras.models.load_model('{name}')
    probabilities = model.predict(pixels)
    logits_model = keras.Model(model.input, model.get_layer('logits').output)

Batch norm is in layers of its own; dropout and weight decay are left out.
""")


def _printable(name):
  return name.encode('utf-8', 'surrogateescape').decode('utf-8', 'replace')
