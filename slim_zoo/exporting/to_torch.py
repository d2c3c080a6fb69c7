"""Writes PyTorch source and its weights from the frozen graph.

The folder has three files: the source, which needs torch and safetensors only; the
weights, in the format safetensors; and README.md, which describes input and output.
"""

import json
import os
import pathlib

import numpy as np

import slim_zoo
from slim_zoo import diagnostics
from slim_zoo.catalog import preprocessing_families
from slim_zoo.checkpoints.trained_network import TrainedNetwork
from slim_zoo.exporting import runtime_process, to_onnx
from slim_zoo.exporting.torch_source import blocks, classes, helpers, operations
from slim_zoo.files import safetensors
from slim_zoo.inference.inference_graph import InferenceGraph
from slim_zoo.preprocessing import vgg_preprocessing
from slim_zoo.tf_compat import tf

SOURCE, WEIGHTS, CARD = 'model.py', 'model.safetensors', 'README.md'
_NEEDED = ('torch', 'safetensors', 'numpy')
# By dtype: the name in safetensors, and the bytes of a number.
_KINDS = {'float32': ('F32', 4), 'int64': ('I64', 8)}
_CARD = '''# {name} for PyTorch

    import torch
    import model                        # With this folder in sys.path.
    network = model.load()
    with torch.no_grad():
      logits = network(images)          # Any number of images.
    probabilities = model.probabilities(logits)

| | |
|---|---|
| network | {name}, from the checkpoint `{checkpoint}` |
| images | pixels{colours}, float32 `[batch, {channels}, {size}, {size}]`, 0 to 255 |
| preprocessing | {family}: {crop}. The network scales the pixels itself. |
| outputs | logits, float32 `[batch, {classes}]` |
| names of the classes | `model.labels()` |
| packages | torch 2.0 or later, safetensors |

`{source}` has the network, `{weights}` the weights. slim-zoo {version} wrote them.
'''


def why_not_run(python: str) -> str:
  """Returns why exports cannot be checked here, with the remedy; '' if they can.

  Args:
    python: the interpreter to run it in; '' is this one.

  Raises:
    UserError: there is no such interpreter.
  """
  missing = runtime_process.missing(_NEEDED, python)
  if not missing:
    return ''
  where = f"for --python='{python}'" if python else 'here'
  return (f"{' and '.join(missing)} not installed {where}: {python or 'python'} -m pip"
          ' install "torch>=2,<3" safetensors, or name another interpreter by --python')


def write(path: str, trained: TrainedNetwork, network: InferenceGraph) -> None:
  """Writes the folder of a network: SOURCE, WEIGHTS and CARD.

  Args:
    path: of the folder.
    trained: the network to export.
    network: of `trained`, frozen, but not folded.

  Raises:
    UserError: the network cannot be translated, or the checkpoint is quantized.
  """
  if trained.quantized is not None:
    raise diagnostics.UserError(
        f"'{trained.checkpoint}' is a quantized checkpoint, and --format=torch has no"
        ' 8-bit values: use --format=onnx or --format=tflite_int8, or export it in'
        ' float32 by --noquantize')
  source = translated(network.images, network.logits, trained.model_name)
  family = preprocessing_families.family_of(trained.preprocessing_name)
  facts = {
      'title': trained.model_name, 'version': slim_zoo.__version__,
      'activation': 'sigmoid()' if trained.multi_label else 'softmax(1)',
      'channels': trained.channels, 'size': trained.image_size, 'weights': WEIGHTS,
      'colours': ' in RGB' if trained.channels == 3 else ' in gray'}
  os.makedirs(path)
  folder = pathlib.Path(path)
  (folder / SOURCE).write_text(helpers.assembled(
      source, **facts, scaled=helpers.scaled(
          family, trained.channels, _means(trained.channels))), encoding='utf-8')
  with open(folder / WEIGHTS, 'wb') as file:
    write_weights(file, source, {
        'format': 'pt', 'labels': json.dumps(to_onnx.labels(trained)),
        'network': trained.model_name})
  (folder / CARD).write_text(_CARD.format(
      **facts, name=trained.model_name, checkpoint=os.path.basename(
          trained.checkpoint), family=family, crop=preprocessing_families.CROPS[family],
      classes=trained.num_classes, source=SOURCE), encoding='utf-8')


def translated(images: tf.Tensor, logits: tf.Tensor, name: str) -> classes.Source:
  """Returns the classes and tensors of a frozen graph.

  Args:
    images: the placeholder, float32 [batch, height, width, channels], preprocessed.
    logits: float32 [batch, classes].
    name: of the network.

  Raises:
    UserError: the graph has an operation that is not translated.
  """
  first, last = operations.steps(images, logits)
  layers = [step.layer for step in blocks.in_order(last) if step.layer]
  classes.use_plain_convolutions(layers)
  return classes.write(
      blocks.network(first, last, name), classes.without_common_epsilon(layers))


def write_weights(file, source: classes.Source, metadata: dict[str, str]) -> None:
  """Writes the tensors of a network to an open file, one at a time."""
  kinds = {name: _KINDS['int64' if name.endswith('num_batches_tracked') else 'float32']
           for name in source.arrays}
  shapes = {name: array.shape for name, array in source.arrays.items()}
  values = (np.ascontiguousarray(array.value()) for array in source.arrays.values())
  safetensors.write(file, kinds, shapes, values, metadata)


def _means(channels):
  """Returns the mean of each channel, which the preprocessing of VGG subtracts."""
  with tf.Graph().as_default(), tf.Session() as session:
    return session.run(vgg_preprocessing.add_mean(
        tf.zeros([1, 1, 1, channels]))).ravel().tolist()
