"""The command slim-zoo: `slim-zoo train --help`, or `python -m slim_zoo train --help`.

Each command is a module of slim_zoo.commands with a function `run_command`.
"""

import importlib
import sys

import slim_zoo
from slim_zoo import diagnostics

# The command, its module in slim_zoo.commands, and one line of help.
COMMANDS = {
    'train': ('train', 'train a network on TFRecords'),
    'eval': ('eval', 'evaluate a checkpoint on every image of a split'),
    'classify': ('classify', 'classify image files'),
    'serve': ('serve', 'serve a network: a web page for photos, and a REST interface'),
    'export': (
        'export',
        'write a SavedModel, GraphDef, TFLite, ONNX, PyTorch, Keras or OpenVINO model'),
    'export-inference-graph': (
        'export_inference_graph', 'write a graph without weights, for freeze_graph'),
    'inspect': ('inspect', 'show which network a checkpoint is of'),
    'networks': ('networks', 'list the networks with their costs'),
    'weights': ('weights', 'list and download the published checkpoints'),
    'convert-weights': (
        'convert_weights',
        'convert weights from and to Keras and PyTorch, and from TensorFlow'),
    'convert-images': (
        'convert_images', 'convert folders, lists or shards of images into TFRecords'),
    'download': ('download', 'download a published data set and convert it'),
    'benchmark': ('benchmark', 'time the forward pass and the training step'),
    'average': ('average', 'average the weights of the last checkpoints of a run'),
    'probe': ('probe', 'compare the features of networks on your images'),
    'robustness': (
        'robustness', 'evaluate a checkpoint on noisy, blurred and foggy images'),
    'curves': ('curves', 'draw the learning curves of runs'),
}


def usage() -> str:
  """Returns the help text: one line for each command."""
  width = max(map(len, COMMANDS))
  rows = [f'  {name:<{width}}  {text}' for name, (_, text) in COMMANDS.items()]
  return '\n'.join([
      'usage: slim-zoo COMMAND [--flag=value ...]', '', 'commands:', *rows, '',
      'slim-zoo COMMAND --help lists the flags of a command;'
      ' slim-zoo --version prints the version.',
      'python -m slim_zoo.contrib PROGRAM.py runs a program for TensorFlow 1 and'
      ' tf.contrib.slim.'])


def main() -> None:
  """Runs the command that the first argument names; exits with its code."""
  arguments = sys.argv[1:]
  if not arguments or arguments[0] in ('--help', '-h', '-help', 'help'):
    from slim_zoo.commands import running
    running.print_to_end(usage())
    sys.exit(0 if arguments else 2)
  if arguments[0] == '--version':
    print(f'slim-zoo {slim_zoo.__version__}')
    return
  name = arguments[0].replace('_', '-')
  if name not in COMMANDS:
    error = diagnostics.unknown_name('command', arguments[0], COMMANDS)
    print(f'slim-zoo: {error}', file=sys.stderr)
    sys.exit(2)
  # The name of the program in its messages.
  sys.argv = [f'slim-zoo {name}', *arguments[1:]]
  importlib.import_module(f'slim_zoo.commands.{COMMANDS[name][0]}').run_command()


if __name__ == '__main__':
  main()
