"""Says which network of the zoo a checkpoint is of, and prints commands that fit it.

  slim-zoo inspect --checkpoint_path=inception_v3.ckpt
  slim-zoo inspect --checkpoint_path=runs/pets --json

Knows the network by its variables, whatever its class count, with and without
auxiliary head, moving averages and optimizer slots. Reads every value.

Exit codes: 0, a network of the zoo and sound; 1, no checkpoint, or a damaged one, or
values that are not finite; 2, a wrong flag; 3, no network of the zoo: the nearest and
what differs are shown.
"""

import json
import shlex

from absl import flags

from slim_zoo import diagnostics
from slim_zoo.catalog import datasets as dataset_catalog
from slim_zoo.catalog import networks
from slim_zoo.checkpoints import checkpoint_names
from slim_zoo.commands import path_flags, running, start_up

FLAGS = flags.FLAGS

path_flags.DEFINE_path('checkpoint_path', None,
                       'Checkpoint, any of its files, or a folder, for the latest in'
                       ' it.')
flags.DEFINE_bool('json', False, 'Print one JSON object, with null for what is not'
                  ' there.')
flags.DEFINE_bool('check_values', True,
                  'Read every value: shows damage, and what is not finite.')

_NO_NETWORK = 3
# Stands among the flags for what a script is given without one.
_ARGUMENT = ''


def _build(name, **arguments):
  # Building takes seconds, and few checkpoints need it.
  from slim_zoo.nets import variables
  return variables.measure(name, **arguments)


def record(found) -> dict:
  """Returns an `inspection.Inspection` as plain values, for JSON."""
  from slim_zoo.checkpoints import described, inspection, trained_input
  match, kept, read = found.match, found.contents, found.values
  return {
      'checkpoint': found.path, 'bytes': found.num_bytes,
      'network': match and match.network,
      'arguments': match and match.arguments,
      'depth_multiplier': match and match.depth_multiplier,
      'scope': match and match.scope,
      'num_classes': match and match.num_classes,
      'labels_offset': match and inspection.labels_offset(match.num_classes),
      'head_scopes': match and inspection.head_scopes(match),
      'auxiliary_head': match and match.auxiliary,
      'preprocessing': match and trained_input.family(found.made.preprocessing_name),
      'image_size': match and found.made.image_size,
      'run_card': found.facts and found.facts.path,
      'channels': match and match.channels,
      'beside': match and match.beside,
      'global_step': found.step,
      'variables': len(kept.weights), 'parameters': found.parameters,
      'moving_averages': len(kept.averages), 'only_averages': len(kept.only_averages),
      'optimizers': kept.optimizers,
      'slots': {slot: len(names) for slot, names in kept.slots.items()},
      'not_finite': read and read.not_finite,
      'statistics_never_updated': read and read.initial_statistics,
      'nearest': [] if match else list(map(described.difference, found.nearest)),
      'commands': commands(found) if match else {},
  }


def commands(found) -> dict[str, str]:
  """Returns the commands that fit a checkpoint, by what they do."""
  match = found.match
  row = networks.NETWORKS[match.network]
  if row.frames is not None or match.arguments:
    # The scripts have no flag for either.
    return {'build it': _python_line(match)}
  told = {'fine-tune': _command('train', _train_flags(found))}
  if found.can_be_evaluated:
    told['evaluate'] = _command('eval', _eval_flags(found))
    told |= {what: _command(name, flags_of(found)) for what, name, flags_of in _EXPORTS}
  return told


def _network_flags(found):
  """Returns the flags that every script takes."""
  match = found.match
  told = {'model_name': match.network, 'checkpoint_path': found.path}
  if found.made.use_grayscale or (
      match.channels == 1 and networks.NETWORKS[match.network].channels != 1):
    told['use_grayscale'] = True
  return told


def _input_flags(found, size_flag='eval_image_size'):
  """Returns the flags that make images ready as its run did, or as is published."""
  told = dict(found.made.flags)
  size = told.pop('eval_image_size', None)
  named = {} if size is None else {size_flag: size}
  if 'preprocessing_name' in told:
    named['preprocessing_name'] = told['preprocessing_name']
  return named


def _train_flags(found):
  """Returns the flags that fine-tune it on another data set."""
  from slim_zoo.checkpoints import inspection
  match, told = found.match, _network_flags(found)
  rules = []
  if match.renamed:
    rules.append(f'{match.scope or ""}{"" if match.own_scope else "/"}'
                 f'={match.own_scope}')
  if found.contents.only_averages:
    rules.append('/ExponentialMovingAverage=')
  if rules:
    told['checkpoint_rename'] = ','.join(rules)
  told['checkpoint_exclude_scopes'] = ','.join(inspection.head_scopes(match))
  return told | _input_flags(found, 'train_image_size') | {
      'dataset_name': 'NAME', 'dataset_dir': 'FOLDER',
                 'train_dir': 'runs/NAME'}


def _eval_flags(found):
  """Returns the flags that evaluate it on the data set it may have been trained on."""
  return _network_flags(found) | _input_flags(found) | _averages_flags(found) | {
      **_dataset_flags(found), 'eval_dir': 'runs/eval'}


def _averages_flags(found):
  from slim_zoo.checkpoints import trained_input
  return {'moving_average_decay': trained_input.decay_of(found.facts)} if (
      found.averages_complete) else {}


def _dataset_flags(found):
  """Returns the data set of its run, or whose classes fit; else NAME and FOLDER."""
  from slim_zoo.checkpoints import inspection
  facts = found.facts
  if facts and facts.dataset_name and facts.dataset_dir:
    offset = {'labels_offset': facts.labels_offset} if facts.labels_offset else {}
    return {'dataset_name': facts.dataset_name, 'dataset_dir': facts.dataset_dir,
            'dataset_split_name': _evaluated_split(facts), **offset}
  names = inspection.datasets_of(found.match.num_classes)
  told = {'dataset_name': 'NAME', 'dataset_split_name': 'validation'}
  if len(names) == 1:
    *_, split = dataset_catalog.DATASETS[names[0]].splits
    told = {'dataset_name': names[0], 'dataset_split_name': split}
  if offset := inspection.labels_offset(found.match.num_classes):
    told['labels_offset'] = offset
  return told | {'dataset_dir': 'FOLDER'}


def _evaluated_split(facts):
  """Returns the last split of a run's data set, as far as it is still there."""
  try:
    *_, split = dataset_catalog.find_dataset(
        facts.dataset_name, facts.dataset_dir).splits
  except diagnostics.UserError:
    return 'validation'
  return split


def _trained_flags(found):
  """Returns the flags of a trained network, see `trained_network_flags`."""
  return _network_flags(found) | _input_flags(found) | _averages_flags(found) | {
      'num_classes': found.match.num_classes}


def _classify_flags(found):
  """Returns what classifies the images in a folder."""
  return {_ARGUMENT: 'FOLDER'} | _trained_flags(found)


def _export_flags(found):
  """Returns the flags that take it out as a model of its own, checked on images."""
  return _trained_flags(found) | {
      'images': 'FOLDER', 'export_dir': f'exports/{found.match.network}'}


def _graph_flags(found):
  """Returns the flags that write the graph which its weights go into."""
  told = _network_flags(found)
  del told['checkpoint_path']
  size = {name: value for name, value in _input_flags(found, 'image_size').items()
          if name == 'image_size'}
  return told | size | {'num_classes': found.match.num_classes,
                 'output_file': f'{found.match.network}.pb'}


_EXPORTS = (('classify', 'classify', _classify_flags),
            ('export', 'export', _export_flags),
            ('write its graph', 'export-inference-graph', _graph_flags))


def _command(name, told):
  """Returns a command line, broken where it is long."""
  lines, words = [], [f'slim-zoo {name}']
  for flag, value in told.items():
    word = f'--{flag}' if value is True else f'--{flag}={shlex.quote(str(value))}'
    word = value if flag == _ARGUMENT else word
    if len(' '.join([*words, word])) > 84:
      lines.append(' '.join(words))
      words = ['   ']
    words.append(word)
  return ' \\\n'.join([*lines, ' '.join(words)])


def _python_line(match):
  """Returns how Python code builds what the scripts have no flag for."""
  arguments = ''.join(f', {name}={value!r}' for name, value in match.arguments.items())
  return (f"nets_factory.get_network_fn('{match.network}',"
          f' {match.num_classes or 0})(images{arguments})')


def show(found) -> None:
  """Prints what was found, then the commands that fit or what differs."""
  from slim_zoo.checkpoints import described
  print(found.path)
  for heading, text in described.rows(found):
    print(f'  {heading:<10} {text}')
  if found.match:
    for what, command in commands(found).items():
      print(f'\n{what}:\n{command}')
  elif found.nearest:
    print('\n'.join(['', *described.difference_lines(found.nearest[0])]))


def main(_):
  """Inspects the checkpoint; returns the exit code."""
  if not FLAGS.checkpoint_path:
    raise diagnostics.UserError(
        'no --checkpoint_path: name a checkpoint such as model.ckpt-1000, or a folder')
  checkpoint_names.check_there(FLAGS.checkpoint_path)
  # Takes seconds: only now, when the flags are right.
  start_up.load_tensorflow()
  from slim_zoo.checkpoints import inspection
  found = inspection.inspect(FLAGS.checkpoint_path, _build, FLAGS.check_values)
  if FLAGS.json:
    print(json.dumps(record(found), indent=2))
  else:
    show(found)
  if found.values and found.values.not_finite:
    names = found.values.not_finite
    more = f' and {len(names) - 1} more' if len(names) > 1 else ''
    raise diagnostics.UserError(
        f"'{found.path}' cannot be used: NaN or infinite values in {names[0]}{more};"
        ' take an earlier checkpoint')
  return 0 if found.match else _NO_NETWORK


def run_command() -> None:
  """Runs the command with the flags of the command line."""
  running.run(main)
