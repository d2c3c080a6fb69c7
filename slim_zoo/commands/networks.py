"""Lists all networks: input, parameters, multiply-adds, heads, accuracy and papers.

  slim-zoo networks
  slim-zoo networks --filter=mobilenet --sort=multiply_adds
  slim-zoo networks --filter='resnet_v?_50' --format=markdown

One image, evaluation, the class count of the published checkpoint, whose top-1 (percent
of ImageNet's validation images) is as published; JSON has its address. The counts are
stored in catalog/complexity.json, and in catalog/variables.json the variables that
checkpoints are recognized by; after adding or changing a network store both with

  slim-zoo networks --measure --filter=my_net
"""

import json
import os

from slim_zoo import start_up
from slim_zoo.catalog import complexity, networks, published, variables
from slim_zoo.commands import option_flags, running, tables
from slim_zoo.config.listing import NetworksConfig

option_flags.define(NetworksConfig)

_HEADINGS = ('name', 'input', 'parameters', 'multiply-adds', 'preprocessing', 'heads',
             'classes', 'top-1', 'paper')
_RIGHT_ALIGNED = {'input', 'parameters', 'multiply-adds', 'classes', 'top-1'}
_UNKNOWN = '-'


def select(pattern: str) -> list[networks.Network]:
  """Returns the rows whose name contains `pattern` or fits it as a glob pattern.

  Raises:
    UserError: there is none.
  """
  return [networks.NETWORKS[name] for name in tables.fitting(
      pattern, networks.NETWORKS, 'network', 'resnet_v?_50')]


def record(row: networks.Network, cost: complexity.Complexity | None) -> dict:
  """Returns what the table says of a network, as plain values."""
  return {
      'name': row.name,
      'input_shape': list(cost.input_shape) if cost else None,
      'parameters': cost.parameters if cost else None,
      'multiply_adds': cost.multiply_adds if cost else None,
      'preprocessing': row.preprocessing,
      'head_scopes': list(row.head_scopes),
      'num_classes': row.num_classes,
      'paper': row.paper,
      'published': _published(row.name),
  }


def _published(name):
  """Returns the facts of the main published checkpoint, or None."""
  facts = published.main_of(name)
  return facts and {
      'num_classes': facts.num_classes, 'preprocessing': facts.preprocessing,
      'image_size': facts.image_size, 'top_1': facts.top_1, 'top_5': facts.top_5,
      'archive': facts.archive}


def sort_key(column: str):
  """Returns the key that sorts records by a column; unmeasured ones come last."""
  def key(values):
    if column == 'name':
      return values['name']
    if column == 'size':
      shape = values['input_shape']
      value = shape and (shape[-3] * shape[-2], shape[0])
    else:
      value = values[column]
    return (value is None, value or 0, values['name'])
  return key


def readable(count: int | None) -> str:
  """Returns a count with three digits that matter: 4.23M, 569M, 23.8B."""
  if count is None:
    return _UNKNOWN
  for unit, letter in ((10 ** 9, 'B'), (10 ** 6, 'M'), (10 ** 3, 'k')):
    # What would be rounded up to 1000 of a unit is one of the next.
    if count >= 0.9995 * unit:
      value = count / unit
      digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
      return f'{value:.{digits}f}{letter}'
  return str(count)


def cells(values: dict) -> tuple[str, ...]:
  """Returns a record as the texts of one line of the table."""
  shape = values['input_shape']
  return (
      values['name'], 'x'.join(map(str, shape)) if shape else _UNKNOWN,
      readable(values['parameters']), readable(values['multiply_adds']),
      values['preprocessing'], ', '.join(values['head_scopes']),
      str(values['num_classes']),
      str(values['published']['top_1']) if values['published'] else _UNKNOWN,
      values['paper'])


def as_json(records: list[dict]) -> str:
  """Returns the records as a JSON list."""
  return json.dumps(records, indent=2)


def as_text(records: list[dict]) -> str:
  """Returns the records as aligned columns."""
  return tables.as_text(_HEADINGS, _RIGHT_ALIGNED, map(cells, records))


def as_markdown(records: list[dict]) -> str:
  """Returns the records as a Markdown table."""
  return tables.as_markdown(_HEADINGS, _RIGHT_ALIGNED, map(cells, records))


def measure(rows: list[networks.Network], costs: dict[str, complexity.Complexity],
            path: os.PathLike = complexity.PATH) -> None:
  """Counts each network and stores it at once, so that a stop loses nothing."""
  start_up.load_tensorflow()  # Takes seconds.
  from slim_zoo.nets import complexity as counting
  for number, row in enumerate(rows, 1):
    costs[row.name] = counting.measure(row.name)
    complexity.save(costs, path)
    print(f'[{number}/{len(rows)}] {row.name}', flush=True)


def store_variables(rows: list[networks.Network],
                    path: os.PathLike = variables.PATH) -> None:
  """Stores the variables of each network, and keeps those of others."""
  from slim_zoo.nets import variables as building
  stored = variables.load(path)
  for number, row in enumerate(rows, 1):
    stored[row.name] = building.measure(row.name)
    print(f'[{number}/{len(rows)}] variables of {row.name}', flush=True)
  variables.save(stored, path)


def main(unused_argv):
  """Prints the table; measures first if asked to."""
  config = NetworksConfig.from_options(option_flags.given_options(NetworksConfig))
  options = config.table
  rows = select(options.filter)
  costs = complexity.load()
  if options.measure:
    measure(rows, costs)
    store_variables(rows)
  records = sorted((record(row, costs.get(row.name)) for row in rows),
                   key=sort_key(options.sort))
  writers = {'text': as_text, 'json': as_json, 'markdown': as_markdown}
  print(writers[options.format](records))
  missing = [values['name'] for values in records if values['parameters'] is None]
  if missing and options.format == 'text':
    print(f'{_UNKNOWN}: not measured yet; {complexity.measure_command(missing[0])}')


def run_command() -> None:
  """Runs the command with the flags of the command line."""
  running.run(main)
