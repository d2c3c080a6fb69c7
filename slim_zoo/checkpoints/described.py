"""Text about the content of a checkpoint."""

import collections

from slim_zoo import diagnostics
from slim_zoo.catalog import networks
from slim_zoo.checkpoints import comparison, inspection, trained_network

_MOST_SCOPES = 12


def rows(inspected: inspection.Inspection) -> list[tuple[str, str]]:
  """Returns the description of a checkpoint as (heading, text) rows."""
  match, names_by_kind = inspected.match, inspected.contents
  if inspected.is_segmentation:
    lines = _segmentation_rows(inspected)
  else:
    lines = _network_rows(inspected) if match else [
        ('network', 'unknown'), *map(_near_row, inspected.nearest)]
  step = 'none' if inspected.step is None else f'{inspected.step:,}'
  return [
      *lines,
      ('averages', _averages_text(inspected)),
      ('optimizer', ', '.join(names_by_kind.optimizers) + ': ' + ', '.join(
          f'{slot} of {len(names)} variables'
          for slot, names in names_by_kind.slots.items())
       if names_by_kind.slots else 'no slots'),
      *([('quantized', str(inspected.quantized))] if inspected.quantized else []),
      ('step', step),
      ('size', f'{inspected.parameters:,} parameters in'
               f' {len(names_by_kind.weights)} variables,'
               f' {inspected.num_bytes / 1e6:,.1f} MB on disk'),
      ('values', _values_text(inspected.values)),
      *[('note', note) for note in notes(inspected)]]


def _segmentation_rows(inspected):
  network = inspected.segmentation
  if network is None:
    return [('network', 'FCN for segmentation')]
  strides = ', '.join(map(str, network.strides))
  names = f': {diagnostics.some(network.class_names, 8)}' if network.class_names else ''
  lines = [('network', f'FCN for segmentation on {network.model_name}, strides'
                       f' {strides}'),
           ('classes', f'{network.num_classes}{names}'),
           ('images', f'any size, {_channels(network.channels)}, preprocessing'
                      f' {trained_network.family(network.preprocessing_name)}')]
  if network.card:
    lines.append(('run', f'{network.card.model_name} on {network.card.dataset_name},'
                         f' from {network.card.path}'))
  return lines


def _network_rows(inspected):
  match, network = inspected.match, inspected.network
  row, size = networks.NETWORKS[match.network], network.image_size
  lines = [('network', f'{match.network} ({row.paper})')]
  if match.arguments:
    text = ', '.join(f'{name} {value}' for name, value in match.arguments.items())
    lines = [('network', f'--model_name={match.network} with {text}: not a row of the'
                         ' catalog')]
  if match.depth_multiplier is not None:
    lines.append(('width', f'{match.depth_multiplier:g} (depth multiplier)'))
  if match.renamed:
    lines.append(('scope', f"'{match.scope}' in place of '{match.own_scope}'"))
  names = inspection.datasets_of(match.num_classes)
  offset = inspection.labels_offset(match.num_classes)
  text = f", as many as in {' or '.join(names)}" if names else ''
  if names == ['imagenet']:
    text = (f', {"" if offset else "as "}ImageNet{" without" if offset else " with"}'
            f' background class: --labels_offset={offset}')
  lines.append(('classes', 'no logits' if match.num_classes is None
                else f'{match.num_classes}{text}'))
  gray = ', colours to gray' if network.use_grayscale else ''
  family = trained_network.family(network.preprocessing_name)
  lines.append((
      'images',
      f'{size} x {size}, {_channels(match.channels)}, preprocessing {family}{gray}'))
  if inspected.card:
    card = inspected.card
    data = f' on {card.dataset_name}' if card.dataset_name else ', converted'
    lines.append(('run', f'{card.model_name}{data}, from {card.path}'))
  if match.auxiliary is not None:
    lines.append(('auxiliary', 'head present' if match.auxiliary else 'head absent'))
  return lines


def _channels(count):
  return f'{count} channel{"" if count == 1 else "s"}'


def _near_row(match):
  return ('nearest', f'{match.network}, {match.likeness:.0%} equal: {match.same}'
                     f' variables fit, {len(match.mismatched)} of another shape,'
                     f' {len(match.missing)} missing, {len(match.unexpected)}'
                     ' unexpected')


def _averages_text(inspected):
  names_by_kind = inspected.contents
  if not names_by_kind.averages:
    return 'none'
  text = f'of {len(names_by_kind.averages)} of {len(names_by_kind.weights)} variables'
  if names_by_kind.only_averages:
    text += f', {len(names_by_kind.only_averages)} of them only as averages'
  return text


def _values_text(values):
  if values is None:
    return 'not read (--nocheck_values)'
  if values.not_finite:
    return f'{len(values.not_finite)} variables have NaN or infinite values'
  return 'all read, all finite'


def notes(inspected: inspection.Inspection) -> list[str]:
  """Returns notes for users of the checkpoint."""
  match, values, lines = inspected.match, inspected.values, []
  if inspected.note:
    lines.append(inspected.note)
  if match:
    lines += inspected.network.notes
  if values and values.statistics and values.initial_statistics == values.statistics:
    lines.append('the averages of batch norm were never updated: its evaluation is'
                 ' meaningless. Run the ops of tf.GraphKeys.UPDATE_OPS in training')
  if inspected.contents.averages and not inspected.averages_complete:
    lines.append('not all variables have averages: --moving_average_decay cannot use'
                 ' them')
  if match and match.image_size:
    lines.append(f'trained on images of {match.image_size} x {match.image_size}; the'
                 ' weights depend on this size')
  if match and match.heads_mismatched:
    lines.append(f'{match.heads_mismatched[0][0]} has the shape'
                 f' {list(match.heads_mismatched[0][1])}, in the network'
                 f' {list(match.heads_mismatched[0][2])}: this head is not used')
  if match and match.beside:
    lines.append(f'other variables: {diagnostics.some(match.beside)}')
  if match and match.arguments:
    lines.append('a row in catalog/networks.py would make it a --model_name, see'
                 ' WORKSPACE.md')
  if match and networks.NETWORKS[match.network].frames is not None:
    lines.append('a video network: the commands for images do not support it')
  return lines


def difference(match: comparison.Match) -> dict:
  """Returns the differences between a checkpoint and a network, by scope."""
  scopes = collections.defaultdict(lambda: collections.defaultdict(list))
  for name in match.missing:
    scopes[_scope(name)]['missing'].append(name)
  for name in match.unexpected:
    scopes[_scope(name)]['unexpected'].append(name)
  for name, in_checkpoint, in_network in match.mismatched:
    scopes[_scope(name)]['other_shapes'].append(
        [name, list(in_checkpoint), list(in_network)])
  return {'network': match.network, 'likeness': round(match.likeness, 4),
          'same': match.same, 'missing': len(match.missing),
          'other_shapes': len(match.mismatched), 'unexpected': len(match.unexpected),
          'scopes': scopes}


def _scope(name):
  return '/'.join(name.split('/')[:-1][:2])


def difference_lines(match: comparison.Match) -> list[str]:
  """Returns the differences from a network as lines, scope by scope."""
  scopes = difference(match)['scopes']
  lines = [f'differences from {match.network}:']
  for scope in list(scopes)[:_MOST_SCOPES]:
    for kind, items in scopes[scope].items():
      first = items[0] if isinstance(items[0], str) else (
          '{} {} in the checkpoint, {} in the network'.format(*items[0]))
      count = f'{len(items)} {kind.replace("_", " ")}'
      lines.append(f'  {scope}: {count}, such as {first[len(scope) + 1:]}'
                   if scope else f'  {count}, such as {first}')
  if len(scopes) > _MOST_SCOPES:
    lines.append(f'  and {len(scopes) - _MOST_SCOPES} more scopes')
  return lines
