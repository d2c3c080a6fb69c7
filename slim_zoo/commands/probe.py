"""Compares networks by their features on your images, without training a network.

  slim-zoo probe --dataset_name=pets --dataset_dir=data/pets \\
      --checkpoint_path=published:mobilenet_v1_1.0_224,published:resnet_v1_50,runs/pets
  slim-zoo probe --dataset_name=pets --dataset_dir=data/pets \\
      --checkpoint_path=runs/pets --format=json --chart=probe.png

The features of an image are the input of the last layer. They are computed once and
cached. Logistic regression and k-nearest neighbours are trained on them with
scikit-learn. The accuracy is cross-validated: each image is classified by classifiers
that are trained on the other parts of the images.
"""

import json

from slim_zoo import start_up
from slim_zoo.commands import option_flags, running, tables
from slim_zoo.config.probing import ProbeConfig

option_flags.define(ProbeConfig)

_HEADINGS = ('checkpoint', 'network', 'image size', 'features', 'multiply-adds',
             'logistic regression', 'nearest neighbours', 'points behind the best')
_RIGHT_ALIGNED = _HEADINGS[2:]


def cells(result) -> tuple[str, ...]:
  """Returns a result as the texts of one line of the table."""
  return (
      result.checkpoint, result.network, str(result.image_size),
      str(result.num_features),
      f'{result.multiply_adds:,}' if result.multiply_adds else '-',
      _accuracy(result.linear), _accuracy(result.neighbours),
      '-' if result.behind is None else '{:.1f} ({:.1f} to {:.1f})'.format(
          *(100 * value for value in result.behind)))


def _accuracy(accuracy):
  low, high = accuracy.interval
  return f'{accuracy.percent} ({100 * low:.1f} to {100 * high:.1f})'


def main(unused_argv):
  """Reads the flags into a config, checks it, and prints the table."""
  config = ProbeConfig.from_options(option_flags.given_options(ProbeConfig))
  config.check()
  config.check_folders()
  # Takes seconds: only now, when the flags are right.
  start_up.load_tensorflow(config.devices.settings)
  from slim_zoo.tasks import probe
  results = probe.probe(config)
  if config.output.format == 'json':
    print(json.dumps([result.values() for result in results], indent=2))
    return
  table = {'text': tables.as_text, 'markdown': tables.as_markdown}[config.output.format]
  print(table(_HEADINGS, _RIGHT_ALIGNED, map(cells, results)))
  if config.output.format == 'text':
    print(f'\n{results[0].linear.total:,} images, {config.classifiers.folds}-fold'
          ' cross-validation, intervals of 95%')


def run_command() -> None:
  """Runs the command with the flags of the command line."""
  running.run(main)
