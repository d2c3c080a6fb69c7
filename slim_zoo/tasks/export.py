"""Exports: `export(config)` writes a checkpoint in other formats and checks them."""

import collections
import dataclasses
import itertools
import os
import sys

from slim_zoo import diagnostics
from slim_zoo.checkpoints import segmentation_network
from slim_zoo.checkpoints.segmentation_network import SegmentationNetwork
from slim_zoo.checkpoints.trained_network import TrainedNetwork
from slim_zoo.config.export import ExportConfig
from slim_zoo.config.export_graph import ExportGraphConfig
from slim_zoo.exporting import (
  exporting,
  formats,
  parity,
  to_keras,
  to_onnx,
  to_openvino,
  to_segmentation_model,
  to_torch,
)
from slim_zoo.images import image_files
from slim_zoo.inference import inference_graph, network_graph
from slim_zoo.input import image_samples
from slim_zoo.nets import nets_factory
from slim_zoo.prediction import answers, sources
from slim_zoo.tasks import memory, networks_with_classes
from slim_zoo.tf_compat import tf


@dataclasses.dataclass(frozen=True)
class ExportedFile:
  """An export in one format.

  Attributes:
    format: name of the format.
    path: path of the file or folder.
    parity: comparison with the checkpoint for each input; () if it was not checked.
    unchecked: why it was not checked and what to do; '' if it was checked.
  """

  format: str
  path: str
  parity: tuple[parity.Parity, ...]
  unchecked: str = ''

  @property
  def passed(self) -> bool:
    """Whether it agrees with the checkpoint; otherwise it is removed."""
    return all(one.passed for one in self.parity)


@dataclasses.dataclass(frozen=True)
class ExportResult:
  """The result of an export.

  Attributes:
    network: the exported network, with the names of its classes.
    files: the exported file of each format.
  """

  network: TrainedNetwork | SegmentationNetwork
  files: tuple[ExportedFile, ...]


def export(config: ExportConfig) -> ExportResult:
  """Writes and checks all formats; prints a line for each.

  Args:
    config: the options; `config.check()` has been called.

  Raises:
    UserError: the checkpoint or the images do not fit; or a format could not be written
      or differs from the checkpoint. The other formats are kept.
  """
  with memory.explained(config):
    if segmentation_network.is_segmentation(config.network.checkpoint_path):
      return _export_masks(config)
    return _export(config)


def _export_masks(config):
  """Writes and checks a segmentation network."""
  config.check_segmentation()
  network = networks_with_classes.find_segmentation(config.network)
  compared, _ = _samples(config, 0)
  print(f'exporting FCN on {network.model_name} of {network.checkpoint}:'
        f' {network.num_classes} classes, images of any size', flush=True)
  path, parity_of_masks = to_segmentation_model.export(
      config.files.export_dir, network, [sample.data for sample in compared])
  file = ExportedFile('saved_model', path, (
      (parity_of_masks,) if parity_of_masks else ()))
  _print_file(file)
  if not file.passed:
    raise diagnostics.UserError(
        'the masks of the saved_model export agree in'
        f' {parity_of_masks.agreement:.2%} of the pixels, expected'
        f' {to_segmentation_model.LEAST_AGREEMENT:.1%}: the export was removed; report'
        ' it')
  return ExportResult(network, (file,))


def _export(config):
  if 'onnx' in config.files.format:
    to_onnx.check_installed()
  if 'openvino' in config.files.format:
    to_openvino.check_installed(config.files.python)
  if 'keras' in config.files.format:
    to_keras.check_installed()
  python = config.files.python
  not_run = to_torch.why_not_run(python) if 'torch' in config.files.format else ''
  network = _network(config)
  compared, calibrating = _samples(
      config, config.num_calibrating(network.quantized is not None))
  reference = parity.reference(
      network, [sample.data for sample in compared],
      _classes(config, compared, network)) if compared else None
  calibration = parity.read_pixels(
      network, [sample.data for sample in calibrating]) if calibrating else ()
  print(f'exporting {network.model_name} of {network.checkpoint}:'
        f' {network.num_classes} classes, images of {network.image_size} x'
        f' {network.image_size} x {network.channels}', flush=True)
  graph, files, failures = inference_graph.of_network(network), [], []
  for name in config.files.format:
    unchecked = not_run if name == 'torch' else ''
    try:
      file = ExportedFile(
          name, os.path.join(config.files.export_dir, formats.FORMATS[name].file),
          tuple(exporting.export(name, config.files.export_dir, network, graph,
                                 calibration, None if unchecked else reference,
                                 python)), unchecked)
    except diagnostics.UserError as error:
      failures.append(str(error))
      continue
    _print_file(file)
    files.append(file)
    if not file.passed:
      failures.append(f'the {name} export differs too much: it was removed')
  if failures:
    raise diagnostics.UserError('; '.join(failures))
  return ExportResult(network, tuple(files))


def _network(config):
  network = networks_with_classes.find(config.network, config.samples.dataset_dir)
  network_fn = nets_factory.get_network_fn(network.model_name, network.num_classes)
  return dataclasses.replace(
      network, image_size=network.image_size or network_fn.default_image_size)


def _samples(config, num_calibrating):
  """Returns the images for the check, and other images for the calibration."""
  options = config.samples
  if not config.num_compared + num_calibrating:
    return [], []
  if options.dataset_name:
    spec, files = options.spec(), options.record_files()
    groups, read = [image_samples.count(files)], lambda places: (
        image_samples.from_records(files, places, spec.label_feature))
  else:
    folders = image_samples.by_folder(
        sources.find(options.images, getattr(sys.stdin, 'buffer', None)).files)
    groups = [len(folder) for folder in folders]
    paths = list(itertools.chain.from_iterable(folders))
    read = lambda places: _read_files([paths[place] for place in places])
  places = image_samples.choose(groups, config.num_compared, num_calibrating)
  if places.note:
    answers.note(places.note)
  if places.calibration:
    if options.dataset_name:
      places = image_samples.spread_over_classes(files, places, spec.label_feature)
      spread = places.spread
    else:
      of_folders = collections.Counter(
          os.path.dirname(paths[place]) for place in places.calibration)
      spread = image_samples.describe(of_folders.values(), 'folder', 'folders')
    print(f'calibrating tflite_int8 with {spread}', flush=True)
  return read(places.compared), read(places.calibration)


def _read_files(paths):
  reader, samples = image_files.Reader(), []
  for path in paths:
    try:
      with reader.open(path) as image:
        samples.append(image_samples.Sample(image.data))
    except image_files.RefusedError as error:
      answers.note(f'{path} is skipped: {error}')
  if paths and not samples:
    raise diagnostics.UserError('--images names no image that can be read')
  return samples


def _classes(config, samples, network):
  """Returns the true class of each image, -1 if it is not known; None: not known."""
  if not config.samples.dataset_name or network.multi_label:
    return None
  # Published networks leave out the background class of ImageNet, or have it.
  offset = config.samples.spec().num_classes - network.num_classes
  if offset not in (0, 1):
    return None
  classes = [-1 if sample.label is None else sample.label - offset
             for sample in samples]
  return [number if 0 <= number < network.num_classes else -1 for number in classes]


def _print_file(file):
  """Prints the path and the comparison with the checkpoint."""
  if file.passed:
    print(f'wrote {file.path}: {formats.FORMATS[file.format].description}')
  for one in file.parity:
    print(f"  parity  {'right' if one.passed else 'OFF'}  {one}", flush=True)
  if not file.parity:
    reason = file.unchecked and f': {file.unchecked}'
    print(f'  parity  not checked{reason}', flush=True)


# --- A graph without weights.


@dataclasses.dataclass(frozen=True)
class ExportedTensor:
  """A tensor of an exported graph: the name of its op, its shape with None for any."""

  name: str
  shape: list[int | None]


@dataclasses.dataclass(frozen=True)
class ExportGraphResult:
  """A graph without weights.

  Attributes:
    path: of the file.
    images: the placeholder, for preprocessed float32 images.
    logits: float32.
    probabilities: float32; None where the network computes none.
  """

  path: str
  images: ExportedTensor
  logits: ExportedTensor
  probabilities: ExportedTensor | None


def export_graph(config: ExportGraphConfig) -> ExportGraphResult:
  """Builds the graph of a network without weights, and writes it.

  Args:
    config: what to do; `config.check()` has been called.

  Raises:
    UserError: the network cannot be built.
  """
  options = config.graph
  network = network_graph.build(
      options.model_name, config.num_classes, config.channels, options.image_size,
      options.batch_size, options.num_frames, options.is_training, options.quantize)
  folder, name = os.path.split(os.path.abspath(options.output_file))
  os.makedirs(folder, exist_ok=True)
  tf.io.write_graph(
      network.graph.as_graph_def(), folder, name, options.write_text_graphdef)
  return ExportGraphResult(
      options.output_file, *map(_tensor, (
          network.images, network.logits, network.probabilities)))


def _tensor(tensor):
  return tensor if tensor is None else ExportedTensor(
      tensor.op.name, tensor.shape.as_list())
