"""Converts weights: Keras applications and PyTorch (timm) to checkpoints, and back.

  slim-zoo convert-weights --model_name=resnet_v1_50 --framework=keras \
      --source=pretrained --target=resnet_v1_50.ckpt
  slim-zoo convert-weights --model_name=se_resnext_50 \
      --source=runs/pets --target=se_resnext_50.safetensors
  slim-zoo convert-weights --list

What ends in .keras, .h5, .weights.h5 (Keras) or .pt, .pth, .bin, .safetensors
(PyTorch) is foreign weights; 'pretrained' lets the framework download the published
ones; all else is a checkpoint. Each conversion runs both networks on the same images
and fails if they compute different things.
"""

import os

from slim_zoo import diagnostics, start_up
from slim_zoo.catalog import networks
from slim_zoo.checkpoints import checkpoint_names, file_kinds
from slim_zoo.commands import option_flags, running
from slim_zoo.config.conversion import ConvertedWeights, ConvertWeightsConfig

option_flags.define(ConvertWeightsConfig)

_PRETRAINED = 'pretrained'


def _foreign_framework(options: ConvertedWeights) -> tuple[str, bool]:
  """Returns (the name of the other framework, whether the way is to slim).

  Raises:
    UserError: the flags do not say.
  """
  from slim_zoo.weight_conversion import layers
  ends = {name: layers.framework_of(path)
          for name, path in (('source', options.source), ('target', options.target))}
  if ends['source'] and ends['target']:
    raise diagnostics.UserError(
        f"'{options.source}' and '{options.target}' are both foreign weights: one of"
        ' them must be a checkpoint')
  into_slim = bool(ends['source']) or options.source == _PRETRAINED
  other = ends['source'] or ends['target']
  if into_slim and options.source == _PRETRAINED and ends['target']:
    raise diagnostics.UserError(
        f"--source={_PRETRAINED} is foreign and '{options.target}' too: name a"
        ' checkpoint as --target, such as model.ckpt')
  if other and options.framework and other != options.framework:
    raise diagnostics.UserError(
        f'--framework={options.framework} contradicts the suffix of'
        f" '{options.source if into_slim else options.target}', a file of {other}")
  if not (other or (options.framework and into_slim)):
    if os.path.isfile(options.source):
      checkpoint_names.check_there(options.source)
    raise diagnostics.UserError(
        f"neither '{options.source}' nor '{options.target}' is a file of another"
        ' framework: Keras writes .keras and .weights.h5, PyTorch .pt, .pth and'
        f' .safetensors; or give --source={_PRETRAINED} with --framework')
  return other or options.framework, into_slim


def _check_paths(options, into_slim):
  """Raises UserError for a source that is not there or a target that is."""
  if into_slim and options.source != _PRETRAINED and not os.path.isfile(options.source):
    raise diagnostics.UserError(f"no file '{options.source}': name the foreign weights")
  if not into_slim:
    checkpoint_names.check_there(options.source)
  for suffix in ('', '.index') if into_slim else ('',):
    if os.path.exists(options.target + suffix):
      raise diagnostics.UserError(
          f"'{options.target}{suffix}' exists already: remove it, or name another"
          ' --target')
  folder = os.path.dirname(options.target)
  if folder and not os.path.isdir(folder):
    raise diagnostics.UserError(f"no folder '{folder}' to write to: create it first")


def _check_content(options, framework):
  """Raises UserError for a source whose content is not what its suffix says."""
  if options.source == _PRETRAINED:
    return
  what, advice = file_kinds.describe(options.source)
  if what not in file_kinds.FOREIGN[framework]:
    if advice.startswith('name '):  # Of a checkpoint, which is not meant here.
      advice = f'name weights of {framework}'
    raise diagnostics.UserError(
        f"cannot read '{options.source}' as weights of {framework}, it is {what}:"
        f' {advice}')


def _list():
  from slim_zoo.weight_conversion import pairs
  for pair in pairs.PAIRS:
    name = pair.framework_model + ''.join(
        f'({key}={value})' for key, value in pair.options.items())
    note = (' only to begin training with' if pair.trains_anew else
            ' with a small difference' if pair.variant else '')
    print(f'{pair.model_name:<20} {pair.framework.title:<8} {name}{note}')
  for framework, names in pairs.REFUSED.items():
    for name, reason in names.items():
      print(f'not {name:<16} {framework:<8} {reason}')


def main(unused_argv):
  """Converts; prints what was done and the check."""
  config = ConvertWeightsConfig.from_options(
      option_flags.given_options(ConvertWeightsConfig))
  options = config.weights
  if options.list:
    return _list()
  config.check()
  from slim_zoo.weight_conversion import pairs
  framework, into_slim = _foreign_framework(options)
  pair = pairs.find(options.model_name, framework)
  if options.image_size:
    networks.check_image_size(pair.model_name, options.image_size, flag='image_size')
  _check_paths(options, into_slim)
  # Takes seconds: only now, when the flags are right.
  start_up.load_tensorflow()
  from slim_zoo.weight_conversion import converting
  choices = converting.Options(
      options.num_classes, options.background_class, options.image_size,
      1 if options.use_grayscale else networks.NETWORKS[pair.model_name].channels,
      options.use_moving_averages, options.keep_channel_order,
      options.fold_normalization, options.accept_differences, options.python)
  converting.check(pair, into_slim, choices)
  if into_slim:
    _check_content(options, framework)
  convert = converting.to_slim if into_slim else converting.to_framework
  print('\n'.join(convert(pair, options.source, options.target, choices)))
  return 0


def run_command() -> None:
  """Runs the command with the flags of the command line."""
  running.run(main, takes_arguments=False)
