"""Converts weights of Keras, PyTorch (timm) and TensorFlow to checkpoints, and back.

The way back is to Keras and PyTorch; other files are written by slim-zoo export.

  slim-zoo convert-weights --model_name=resnet_v1_50 --framework=keras \
      --source=pretrained --target=resnet_v1_50.ckpt
  slim-zoo convert-weights --source=runs/pets --target=se_resnext_50.safetensors
  slim-zoo convert-weights --from=tflite \
      --source=mobilenet_v2_1.0_224_quant.tflite --target=mobilenet_v2_quant.ckpt
  slim-zoo convert-weights --from=graph_def --source=frozen_graph.pb \
      --target=model.ckpt
  slim-zoo convert-weights --from=saved_model --source=exports/saved_model \
      --target=model.ckpt
  slim-zoo convert-weights --list

Files with the suffix .keras, .h5 or .weights.h5 are weights of Keras, files with .pt,
.pth, .bin or .safetensors weights of PyTorch, and those with .tflite 8-bit networks of
TensorFlow Lite. Frozen graphs and SavedModels of TensorFlow are recognized by their
content. 'pretrained' downloads the framework's published weights of --model_name. Every
other path is a checkpoint. The network is found by the shapes of the weights. Each
conversion runs both networks on the same images and fails if they compute different
functions.
"""

import dataclasses
import os

from absl import flags

from slim_zoo import diagnostics, paths, start_up
from slim_zoo.catalog import networks
from slim_zoo.checkpoints import checkpoint_names, file_kinds, run_card
from slim_zoo.commands import option_flags, running, tables
from slim_zoo.config.converted_weights import (
  GRAPHS,
  PRETRAINED,
  ConvertedWeights,
  ConvertWeightsConfig,
)
from slim_zoo.deployment import session_settings

option_flags.define(ConvertWeightsConfig)
flags.DEFINE_alias('from', 'framework')

# A card that stays from an earlier checkpoint would describe the new one.
_SUFFIXES = ('', '.index', run_card.OF_ONE_CHECKPOINT)
_GRAPH_NAMES = {'graph_def': 'a frozen graph', 'saved_model': 'a SavedModel'}


def _framework_and_direction(options: ConvertedWeights) -> tuple[str, bool]:
  """Returns (the name of the other framework, whether to convert to slim).

  Raises:
    UserError: the flags do not define them.
  """
  from slim_zoo.weight_conversion import layers
  ends = {name: layers.framework_of(path)
          for name, path in (('source', options.source), ('target', options.target))}
  if ends['source'] and ends['target']:
    raise diagnostics.UserError(
        f"'{options.source}' and '{options.target}' are both weights of another"
        ' framework: one of them must be a checkpoint')
  into_slim = bool(ends['source']) or options.source == PRETRAINED
  framework = ends['source'] or ends['target']
  if into_slim and options.source == PRETRAINED and ends['target']:
    raise diagnostics.UserError(
        f"--source={PRETRAINED} and '{options.target}' are both weights of another"
        ' framework: give a checkpoint as --target, such as model.ckpt')
  if framework and options.framework and framework != options.framework:
    raise diagnostics.UserError(
        f'--framework={options.framework} contradicts the suffix of'
        f" '{options.source if into_slim else options.target}', a file of {framework}")
  if not (framework or (options.framework and into_slim)):
    if os.path.isfile(options.source):
      checkpoint_names.check_there(options.source)
    raise diagnostics.UserError(
        f"neither '{options.source}' nor '{options.target}' is a file of another"
        ' framework: Keras writes .keras and .weights.h5, PyTorch .pt, .pth and'
        f' .safetensors; or give --source={PRETRAINED} with --framework')
  return framework or options.framework, into_slim


def _check_paths(options, into_slim):
  """Raises UserError if the source is missing or the target exists."""
  if into_slim and options.source != PRETRAINED and not os.path.isfile(options.source):
    raise diagnostics.UserError(f"no file '{options.source}': give a file of weights")
  if not into_slim:
    checkpoint_names.check_there(options.source)
  _check_target(options.target, _SUFFIXES if into_slim else ('',))


def _check_target(target, suffixes=_SUFFIXES):
  """Raises UserError if the target exists, or cannot be written."""
  for suffix in suffixes:
    if os.path.exists(target + suffix):
      raise diagnostics.UserError(
          f"'{target}{suffix}' exists already: remove it, or name another"
          ' --target')
  # Missing folders are made when the conversion is done.
  folder = os.path.dirname(target) or '.'
  try:
    paths.check_writable(folder)
  except OSError as error:
    raise diagnostics.UserError(
        f"cannot write to the folder '{folder}' ({error.strerror}): name another"
        ' --target') from error


def _check_content(options, framework):
  """Raises UserError if the content of the source does not fit its suffix."""
  if options.source == PRETRAINED:
    return
  what, advice = file_kinds.describe(options.source)
  if what not in file_kinds.FRAMEWORK_FILES[framework]:
    if advice.startswith('name '):  # Advice for checkpoints does not fit.
      advice = f'name weights of {framework}'
    raise diagnostics.UserError(
        f"cannot read '{options.source}' as weights of {framework}, it is {what}:"
        f' {advice}')


def _is_tflite(options):
  """Returns whether the source is an 8-bit TensorFlow Lite file.

  Raises:
    UserError: the flags contradict each other.
  """
  if options.target.endswith('.tflite'):
    raise diagnostics.UserError(
        f"'{options.target}' is written by slim-zoo export --format=tflite_int8")
  by_suffix = options.source.endswith('.tflite')
  if by_suffix and options.framework not in (None, 'tflite'):
    raise diagnostics.UserError(
        f'--framework={options.framework} contradicts the suffix of'
        f" '{options.source}', a file of TensorFlow Lite")
  return by_suffix or options.framework == 'tflite'


def _from_tflite(options):
  """Converts an 8-bit TensorFlow Lite file to a quantized checkpoint."""
  if options.model_name:
    networks.get_image_network(options.model_name)
  _check_paths(options, into_slim=True)
  start_up.load_tensorflow(session_settings.DEFAULTS)
  from slim_zoo.weight_conversion import from_tflite
  print('\n'.join(from_tflite.convert(
      options.model_name, options.source, options.target)))
  return 0


def _check_known(options):
  """Raises UserError if no network is named, and the source has no weights."""
  from slim_zoo.weight_conversion import layers
  path = options.source
  if options.model_name or path == PRETRAINED or layers.framework_of(path):
    return
  if not os.path.isfile(path) or file_kinds.is_table(path):
    checkpoint_names.check_there(path)
    return
  what, advice = file_kinds.describe(path)
  if what not in file_kinds.WITH_WEIGHTS or what == file_kinds.UNKNOWN:
    raise diagnostics.UserError(f"'{path}' has no weights, it is {what}: {advice}")


def _with_kind(config):
  """Returns the config with --from set, if the source is a graph.

  Raises:
    UserError: --from is the kind of a graph, but the source is another file.
  """
  options = config.weights
  if not options.source:
    return config
  kind = file_kinds.kind_of_graph(options.source)
  if options.framework not in (None, *GRAPHS):
    if kind is not None:
      raise diagnostics.UserError(
          f"'{options.source}' is {_GRAPH_NAMES[kind]}: set --from={kind}")
    return config
  if options.framework is None:
    if kind is None:
      _check_known(options)
      return config
    return dataclasses.replace(
        config, weights=dataclasses.replace(options, framework=kind))
  if kind == options.framework:
    return config
  if kind is not None:
    raise diagnostics.UserError(
        f"'{options.source}' is {_GRAPH_NAMES[kind]}: set --from={kind}")
  what, advice = (
      file_kinds.describe(options.source) if os.path.isfile(options.source) else
      ('a folder without one', 'name another --source')
      if os.path.isdir(options.source) else ('not there', 'give an existing path'))
  raise diagnostics.UserError(
      f"cannot read '{options.source}' as {_GRAPH_NAMES[options.framework]}, it is"
      f' {what}: {advice}')


def _from_graph(options):
  """Converts a frozen graph or a SavedModel to a checkpoint."""
  from slim_zoo.weight_conversion import layers
  if framework := layers.framework_of(options.target):
    raise diagnostics.UserError(
        f"'{options.target}' would be weights of {framework}: give a checkpoint as"
        ' --target, such as model.ckpt, and convert that')
  if options.model_name:
    networks.get_image_network(options.model_name)
    if options.image_size:
      networks.check_image_size(
          options.model_name, options.image_size, flag='image_size')
  _check_target(options.target)
  start_up.load_tensorflow(session_settings.DEFAULTS)
  from slim_zoo.weight_conversion.graphs import from_graph
  print('\n'.join(from_graph.convert(
      options.source, options.target, options.framework == 'saved_model',
      options.model_name, options.image_size)))
  return 0


def _pair(options, framework, into_slim):
  """Returns the pair of networks, found by the source if no network is named."""
  from slim_zoo.weight_conversion import pairs, recognizing
  if options.model_name:
    return pairs.find(options.model_name, framework)
  if into_slim:
    _check_content(options, framework)
    return recognizing.find(options.source, framework, options.python)
  start_up.load_tensorflow(session_settings.DEFAULTS)
  from slim_zoo.checkpoints import identified_network
  return pairs.find(identified_network.find(options.source).model_name, framework)


def _list(as_markdown):
  from slim_zoo.weight_conversion import coverage, pairs
  if as_markdown:
    numbered = [f'{number}. {note}.' for number, note in enumerate(coverage.notes(), 1)]
    return running.print_to_end('\n'.join([
        tables.as_markdown(coverage.HEADINGS, (), coverage.rows()), '', *numbered]))
  for pair in pairs.PAIRS:
    note = (' only as a start for training' if pair.needs_training else
            ' with a small difference' if pair.slim_variant else '')
    print(f'{pair.model_name:<20} {pair.framework.title:<8} {pair.framework_name}'
          f'{note}')
  for framework, names in pairs.REFUSED.items():
    for name, reason in names.items():
      print(f'not {name:<16} {framework:<8} {reason}')


def main(unused_argv):
  """Converts the weights and prints the result of the check."""
  config = ConvertWeightsConfig.from_options(
      option_flags.given_options(ConvertWeightsConfig))
  options = config.weights
  if options.list:
    return _list(options.format == 'markdown')
  config = _with_kind(config)
  options = config.weights
  config.check()
  if options.framework in GRAPHS:
    if os.path.isdir(options.source):
      options = dataclasses.replace(
          options, source=file_kinds.saved_model_folder(options.source))
    return _from_graph(options)
  if _is_tflite(options):
    return _from_tflite(options)
  from slim_zoo.weight_conversion import pairs
  framework, into_slim = _framework_and_direction(options)
  if options.model_name:
    pairs.find(options.model_name, framework)
  _check_paths(options, into_slim)
  pair = _pair(options, framework, into_slim)
  if options.image_size:
    networks.check_image_size(pair.model_name, options.image_size, flag='image_size')
  # Takes seconds: only now, when the flags are right.
  start_up.load_tensorflow(session_settings.DEFAULTS)
  from slim_zoo.weight_conversion import converting
  choices = converting.Options(
      options.num_classes, options.background_class, options.image_size,
      1 if options.use_grayscale else networks.NETWORKS[pair.model_name].channels,
      options.use_moving_averages, options.keep_channel_order,
      options.fold_normalization, options.accept_differences, options.python)
  converting.check(pair, into_slim, choices)
  if into_slim:
    _check_content(options, framework)
  convert = converting.to_slim if into_slim else converting.from_slim
  print('\n'.join(convert(pair, options.source, options.target, choices)))
  return 0


def run_command() -> None:
  """Runs the command with the flags of the command line."""
  running.run(main, takes_arguments=False)
