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

from absl import flags

from slim_zoo import diagnostics
from slim_zoo.catalog import networks
from slim_zoo.checkpoints import checkpoint_names, file_kinds
from slim_zoo.commands import path_flags, running, start_up

FLAGS = flags.FLAGS

flags.DEFINE_string('model_name', None,
                    'Name of the network, here or in the other framework.')
path_flags.DEFINE_path('source', None,
                       "What to read: a checkpoint, a folder, for its latest, a file of"
                       " foreign weights, or 'pretrained'.")
path_flags.DEFINE_path('target', None, 'What to write: a checkpoint or a foreign file.')
flags.DEFINE_enum('framework', None, ['keras', 'pytorch'],
                  'The other framework, where no suffix tells it.')
flags.DEFINE_bool('list', False, 'Print what can be converted, and what not and why.')
flags.DEFINE_integer('num_classes', None,
                     'Classes of the foreign weights, where the file does not tell.',
                     lower_bound=1)
flags.DEFINE_enum('background_class', None, ['keep', 'drop', 'add'],
                  'Class 0 of ImageNet here, which the others do not have. By default'
                  ' it is dropped from checkpoints of 1001 classes, and never added.')
flags.DEFINE_integer('image_size', None, 'Height and width of the images of the check.',
                     lower_bound=1)
flags.DEFINE_bool('use_grayscale', False,
                  'The foreign weights are of a network for gray images.')
flags.DEFINE_bool('use_moving_averages', False,
                  'Take the moving averages of the weights out of the checkpoint.')
flags.DEFINE_bool('keep_channel_order', False,
                  'Leave a network of Keras that reads BGR images as it is, and do not'
                  ' make it read RGB in slim.')
flags.DEFINE_bool('fold_normalization', False,
                  "Make timm's weights take the images of --preprocessing_name=vgg.")
flags.DEFINE_bool('accept_differences', False,
                  'Convert too where the networks differ so much that the weights only'
                  ' serve to begin training with.')
path_flags.DEFINE_path('python', '',
                       'Interpreter that has the other framework, if it is not this'
                       ' one.')

_PRETRAINED = 'pretrained'


def _foreign_framework():
  """Returns (the name of the other framework, whether the way is to slim).

  Raises:
    UserError: the flags do not say.
  """
  from slim_zoo.weight_conversion import layers
  ends = {name: layers.framework_of(path)
          for name, path in (('source', FLAGS.source), ('target', FLAGS.target))}
  if ends['source'] and ends['target']:
    raise diagnostics.UserError(
        f"'{FLAGS.source}' and '{FLAGS.target}' are both foreign weights: one of them"
        ' must be a checkpoint')
  into_slim = bool(ends['source']) or FLAGS.source == _PRETRAINED
  told = ends['source'] or ends['target']
  if into_slim and FLAGS.source == _PRETRAINED and ends['target']:
    raise diagnostics.UserError(
        f"--source={_PRETRAINED} is foreign and '{FLAGS.target}' too: name a checkpoint"
        ' as --target, such as model.ckpt')
  if told and FLAGS.framework and told != FLAGS.framework:
    raise diagnostics.UserError(
        f'--framework={FLAGS.framework} contradicts the suffix of'
        f" '{FLAGS.source if into_slim else FLAGS.target}', a file of {told}")
  if not (told or (FLAGS.framework and into_slim)):
    if os.path.isfile(FLAGS.source):
      checkpoint_names.check_there(FLAGS.source)
    raise diagnostics.UserError(
        f"neither '{FLAGS.source}' nor '{FLAGS.target}' is a file of another framework:"
        ' Keras writes .keras and .weights.h5, PyTorch .pt, .pth and .safetensors; or'
        f' give --source={_PRETRAINED} with --framework')
  return told or FLAGS.framework, into_slim


def _check_paths(into_slim):
  """Raises UserError for a source that is not there or a target that is."""
  if into_slim and FLAGS.source != _PRETRAINED and not os.path.isfile(FLAGS.source):
    raise diagnostics.UserError(f"no file '{FLAGS.source}': name the foreign weights")
  if not into_slim:
    checkpoint_names.check_there(FLAGS.source)
  for suffix in ('', '.index') if into_slim else ('',):
    if os.path.exists(FLAGS.target + suffix):
      raise diagnostics.UserError(
          f"'{FLAGS.target}{suffix}' exists already: remove it, or name another"
          ' --target')
  folder = os.path.dirname(FLAGS.target)
  if folder and not os.path.isdir(folder):
    raise diagnostics.UserError(f"no folder '{folder}' to write to: create it first")


def _check_content(framework):
  """Raises UserError for a source whose content is not what its suffix says."""
  if FLAGS.source == _PRETRAINED:
    return
  what, advice = file_kinds.describe(FLAGS.source)
  if what not in file_kinds.FOREIGN[framework]:
    if advice.startswith('name '):  # Of a checkpoint, which is not meant here.
      advice = f'name weights of {framework}'
    raise diagnostics.UserError(
        f"cannot read '{FLAGS.source}' as weights of {framework}, it is {what}:"
        f' {advice}')


def _list():
  from slim_zoo.weight_conversion import pairs
  for pair in pairs.PAIRS:
    name = pair.foreign_name + ''.join(
        f'({key}={value})' for key, value in pair.options.items())
    told = (' only to begin training with' if pair.trains_anew else
            ' with a small difference' if pair.twin else '')
    print(f'{pair.model_name:<20} {pair.framework.title:<8} {name}{told}')
  for framework, names in pairs.REFUSED.items():
    for name, reason in names.items():
      print(f'not {name:<16} {framework:<8} {reason}')


def main(_):
  """Converts; prints what was done and the check."""
  if FLAGS.list:
    return _list()
  for name in ('model_name', 'source', 'target'):
    if not getattr(FLAGS, name):
      raise diagnostics.UserError(f'no --{name}: see --help for an example')
  from slim_zoo.weight_conversion import pairs
  framework, into_slim = _foreign_framework()
  pair = pairs.find(FLAGS.model_name, framework)
  if FLAGS.image_size:
    networks.check_image_size(pair.model_name, FLAGS.image_size, flag='image_size')
  _check_paths(into_slim)
  # Takes seconds: only now, when the flags are right.
  start_up.load_tensorflow()
  from slim_zoo.weight_conversion import converting
  options = converting.Options(
      FLAGS.num_classes, FLAGS.background_class, FLAGS.image_size,
      1 if FLAGS.use_grayscale else networks.NETWORKS[pair.model_name].channels,
      FLAGS.use_moving_averages, FLAGS.keep_channel_order, FLAGS.fold_normalization,
      FLAGS.accept_differences, FLAGS.python)
  converting.check(pair, into_slim, options)
  if into_slim:
    _check_content(framework)
  convert = converting.to_slim if into_slim else converting.to_foreign
  print('\n'.join(convert(pair, FLAGS.source, FLAGS.target, options)))
  return 0


def run_command() -> None:
  """Runs the command with the flags of the command line."""
  running.run(main, takes_arguments=False)
