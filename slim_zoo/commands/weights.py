"""Lists the published checkpoints, and downloads them to a cache.

  slim-zoo weights --list --filter=mobilenet_v2
  slim-zoo weights --get=mobilenet_v1_1.0_224
  slim-zoo weights --get=mobilenet_v1_1.0_224 --mirrors=https://host/models,/archives
  slim-zoo weights --get=mobilenet_v1_1.0_224 --from=keras

Every command takes published:NAME as --checkpoint_path, and downloads it the first
time. The cache is ~/.cache/slim_zoo, or the folder in SLIM_ZOO_CACHE; SLIM_ZOO_MIRRORS
has mirrors for all commands. The checksum of the first download is recorded and
compared with later ones. --from converts the weights of another framework for the same
network; these are not the published ones.
"""

import json
import os

from absl import flags

from slim_zoo import start_up
from slim_zoo.catalog import published
from slim_zoo.checkpoints import published_weights
from slim_zoo.commands import option_flags, running, tables
from slim_zoo.config.weights import WeightsConfig

option_flags.define(WeightsConfig)
flags.DEFINE_alias('from', 'framework')

_HEADINGS = ('name', 'network', 'values', 'image size', 'classes', 'preprocessing',
             'top-1', 'top-5', 'cached')
_RIGHT_ALIGNED = ('image size', 'classes', 'top-1', 'top-5')
_NONE = '-'


def select(pattern: str) -> list[published.Published]:
  """Returns the rows whose name or network a pattern fits.

  Raises:
    UserError: there is none.
  """
  rows = published.PUBLISHED.values()
  fitting = set(tables.fitting(
      pattern, dict.fromkeys([*published.PUBLISHED, *(row.network for row in rows)]),
      'checkpoint', 'mobilenet_v2*96'))
  return [row for row in rows if {row.name, row.network} & fitting]


def record(row: published.Published, where: published_weights.Places) -> dict:
  """Returns what the list says of a checkpoint, as plain values."""
  return {
      'name': row.name, 'network': row.network, 'quantized': row.is_quantized,
      'image_size': row.image_size, 'num_classes': row.num_classes,
      'preprocessing': row.preprocessing, 'top_1': row.top_1, 'top_5': row.top_5,
      'addresses': row.addresses(where.mirrors),
      'checkpoint': published_weights.cached(row, where)}


def cells(values: dict) -> tuple[str, ...]:
  """Returns a record as the texts of one line."""
  return (
      values['name'], values['network'], '8 bits' if values['quantized'] else 'float',
      str(values['image_size']), str(values['num_classes']), values['preprocessing'],
      str(values['top_1']), str(values['top_5'] or _NONE),
      'yes' if values['checkpoint'] else _NONE)


def main(unused_argv):
  """Prints the list, or downloads one checkpoint."""
  config = WeightsConfig.from_options(option_flags.given_options(WeightsConfig))
  config.check()
  options = config.weights
  if options.list:
    where = published_weights.places(os.environ)
    records = [record(row, where) for row in select(options.filter)]
    if options.format == 'json':
      return running.print_to_end(json.dumps(records, indent=2))
    write = tables.as_markdown if options.format == 'markdown' else tables.as_text
    return running.print_to_end(write(_HEADINGS, _RIGHT_ALIGNED, map(cells, records)))
  # Takes seconds: only now, when the flags are right.
  start_up.load_tensorflow()
  from slim_zoo.tasks import weights
  print('\n'.join(weights.get(config, os.environ).description), flush=True)
  return 0


def run_command() -> None:
  """Runs the command with the flags of the command line."""
  running.run(main, when_stopped='the same command continues the download')
