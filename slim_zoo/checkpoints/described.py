"""The description of a checkpoint, as text."""

import collections

from slim_zoo import diagnostics
from slim_zoo.catalog import networks
from slim_zoo.checkpoints import comparison, inspection, trained_network

_MOST_SCOPES = 12


def rows(inspected: inspection.Inspection) -> list[tuple[str, str]]:
  """Returns the description of a checkpoint, as (heading, text) lines."""
  match, contents = inspected.match, inspected.contents
  lines = _network_rows(inspected) if match else [
      ('network', 'none of the zoo'), *map(_near_row, inspected.nearest)]
  step = 'not kept' if inspected.step is None else f'{inspected.step:,}'
  return [
      *lines,
      ('averages', _averages_text(inspected)),
      ('optimizer', ', '.join(contents.optimizers) + ': ' + ', '.join(
          f'{slot} of {len(names)} variables' for slot, names in contents.slots.items())
       if contents.slots else 'no slots'),
      *([('quantized', str(inspected.quantized))] if inspected.quantized else []),
      ('step', step),
      ('size', f'{inspected.parameters:,} parameters in {len(contents.weights)}'
               f' variables, {inspected.num_bytes / 1e6:,.1f} MB on disk'),
      ('values', _values_text(inspected.values)),
      *[('note', note) for note in notes(inspected)]]


def _network_rows(inspected):
  match, network = inspected.match, inspected.network
  row, size = networks.NETWORKS[match.network], network.image_size
  lines = [('network', f'{match.network} ({row.paper})')]
  if match.arguments:
    arguments = ', '.join(f'{name} {value}' for name, value in match.arguments.items())
    lines = [('network', f'--model_name={match.network} with {arguments}: not a row of'
                         ' the registry')]
  if match.depth_multiplier is not None:
    lines.append(('width', f'{match.depth_multiplier:g} (depth multiplier)'))
  if match.renamed:
    lines.append(('scope', f"'{match.scope}' in the place of '{match.own_scope}'"))
  names = inspection.datasets_of(match.num_classes)
  offset = inspection.labels_offset(match.num_classes)
  of_data = f", as many as in {' or '.join(names)}" if names else ''
  if names == ['imagenet']:
    of_data = (f', {"" if offset else "as "}ImageNet'
               f'{" without" if offset else " with"} background class:'
               f' --labels_offset={offset}')
  lines.append(('classes', 'no logits in it' if match.num_classes is None
                else f'{match.num_classes}{of_data}'))
  channels = f'{match.channels} channel{"" if match.channels == 1 else "s"}'
  gray = ', colours to gray' if network.use_grayscale else ''
  family = trained_network.family(network.preprocessing_name)
  lines.append(('images', f'{size} x {size}, {channels}, preprocessing {family}{gray}'))
  card = inspected.card
  if card:
    lines.append(('run', f'{card.model_name} on {card.dataset_name}, by {card.path}'))
  if match.auxiliary is not None:
    lines.append(('auxiliary', 'head present' if match.auxiliary else 'head absent'))
  return lines


def _near_row(match):
  return ('nearest', f'{match.network}, {match.likeness:.0%} alike: {match.same}'
                     f' variables fit, {len(match.mismatched)} of another shape,'
                     f' {len(match.missing)} missing, {len(match.unexpected)}'
                     ' unexpected')


def _averages_text(inspected):
  contents = inspected.contents
  if not contents.averages:
    return 'none'
  text = f'of {len(contents.averages)} of {len(contents.weights)} variables'
  if contents.only_averages:
    text += f', {len(contents.only_averages)} of which are kept as averages alone'
  return text


def _values_text(read):
  if read is None:
    return 'not read (--nocheck_values)'
  if read.not_finite:
    return f'{len(read.not_finite)} variables hold NaN or infinite values'
  return 'all read, all finite'


def notes(inspected: inspection.Inspection) -> list[str]:
  """Returns notes for users of the checkpoint."""
  match, read, lines = inspected.match, inspected.values, []
  if inspected.note:
    lines.append(inspected.note)
  if match:
    lines += inspected.network.notes
  if read and read.statistics and read.initial_statistics == read.statistics:
    lines.append('the averages of batch norm were never updated: its evaluation is'
                 ' meaningless. Run the ops of tf.GraphKeys.UPDATE_OPS in training')
  if inspected.contents.averages and not inspected.averages_complete:
    lines.append('averages are not of all variables: --moving_average_decay cannot use'
                 ' them')
  if match and match.image_size:
    lines.append(f'trained on images of {match.image_size} x {match.image_size}, which'
                 ' its weights depend on')
  if match and match.heads_mismatched:
    lines.append(f'{match.heads_mismatched[0][0]} has the shape'
                 f' {list(match.heads_mismatched[0][1])}, the network'
                 f' {list(match.heads_mismatched[0][2])}: this head is left out')
  if match and match.beside:
    lines.append(f'beside the network: {diagnostics.some(match.beside)}')
  if match and match.arguments:
    lines.append('a row of catalog/networks.py makes it a --model_name: WORKSPACE.md')
  if match and networks.NETWORKS[match.network].frames is not None:
    lines.append('a video network: the image scripts cannot feed it')
  return lines


def difference(match: comparison.Match) -> dict:
  """Returns how a checkpoint differs from a network, by scope, as plain values."""
  scopes = collections.defaultdict(lambda: collections.defaultdict(list))
  for name in match.missing:
    scopes[_scope(name)]['missing'].append(name)
  for name in match.unexpected:
    scopes[_scope(name)]['unexpected'].append(name)
  for name, here, there in match.mismatched:
    scopes[_scope(name)]['other_shapes'].append([name, list(here), list(there)])
  return {'network': match.network, 'likeness': round(match.likeness, 4),
          'same': match.same, 'missing': len(match.missing),
          'other_shapes': len(match.mismatched), 'unexpected': len(match.unexpected),
          'scopes': scopes}


def _scope(name):
  return '/'.join(name.split('/')[:-1][:2])


def difference_lines(match: comparison.Match) -> list[str]:
  """Returns lines that say what differs from a network, scope by scope."""
  scopes = difference(match)['scopes']
  lines = [f'what differs from {match.network}:']
  for scope in list(scopes)[:_MOST_SCOPES]:
    for kind, items in scopes[scope].items():
      first = items[0] if isinstance(items[0], str) else (
          '{} {} here, {} in the network'.format(*items[0]))
      count = f'{len(items)} {kind.replace("_", " ")}'
      lines.append(f'  {scope}: {count}, such as {first[len(scope) + 1:]}'
                   if scope else f'  {count}, such as {first}')
  if len(scopes) > _MOST_SCOPES:
    lines.append(f'  and {len(scopes) - _MOST_SCOPES} more scopes')
  return lines
