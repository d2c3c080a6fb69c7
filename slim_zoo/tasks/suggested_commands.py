"""Makes command lines for a checkpoint, with the flags that it needs."""

import shlex

from slim_zoo import diagnostics
from slim_zoo.catalog import datasets as dataset_catalog
from slim_zoo.catalog import networks
from slim_zoo.checkpoints import inspection, trained_network
from slim_zoo.checkpoints.inspection import Inspection

# The key of an argument without a flag.
_ARGUMENT = ''
# The flags of a run on another data set.
_NEW_RUN = {'dataset_name': 'NAME', 'dataset_dir': 'FOLDER', 'train_dir': 'runs/NAME'}


def commands(inspected: Inspection) -> dict[str, str]:
  """Returns the commands for a checkpoint by purpose."""
  if inspected.segmentation:
    return _of_segmentation(inspected)
  match = inspected.match
  row = networks.NETWORKS[match.network]
  if row.frames is not None or match.arguments:
    # The commands have no flag for either.
    return {'build it': _python_line(match)}
  tasks = {'fine-tune': ('train', _train_flags)}
  if inspected.can_be_evaluated:
    tasks |= {'evaluate': ('eval', _eval_flags),
              'classify': ('classify', _classify_flags),
              'export': ('export', _export_flags)}
    if _graph_can_be_written(inspected):
      tasks['write its graph'] = ('export-inference-graph', _graph_flags)
  return {purpose: _command(name, flags_of(inspected))
          for purpose, (name, flags_of) in tasks.items()}


def _of_segmentation(inspected):
  """Returns `commands` for a segmentation network."""
  network = inspected.segmentation
  name, preprocessing = network.model_name, network.preprocessing_name
  flags = {'model_name': name, 'checkpoint_path': inspected.path}
  if network.use_grayscale or (
      network.channels == 1 and networks.NETWORKS[name].channels != 1):
    flags['use_grayscale'] = True
  if trained_network.family(preprocessing) != trained_network.family(name):
    flags['preprocessing_name'] = preprocessing
  strides = ','.join(map(str, network.strides))
  size = network.card and network.card.image_size
  trained = flags | _averages_flags(inspected)
  return {
      'fine-tune': _command('train', {
          'segmentation': True, **flags, 'segmentation_strides': strides,
          **({'train_image_size': size} if size else {}), **_NEW_RUN}),
      'evaluate': _command('eval', {
          **trained, **_dataset_flags(inspected), 'eval_dir': 'runs/eval'}),
      'predict masks': _command('classify', {
          _ARGUMENT: 'FOLDER', **trained, 'masks': 'masks'}),
      'export': _command('export', {
          **trained, 'images': 'FOLDER', 'export_dir': f'exports/{name}'})}


def _network_flags(inspected):
  """Returns the flags that every command has."""
  match = inspected.match
  flags = {'model_name': match.network, 'checkpoint_path': inspected.path}
  if inspected.network.use_grayscale or (
      match.channels == 1 and networks.NETWORKS[match.network].channels != 1):
    flags['use_grayscale'] = True
  return flags


def _input_flags(inspected, size_flag='eval_image_size'):
  """Returns the flags for the image size and the preprocessing."""
  options = inspected.network.differing_options
  names = {'eval_image_size': size_flag, 'preprocessing_name': 'preprocessing_name'}
  return {flag: options[name] for name, flag in names.items() if name in options}


def _train_flags(inspected):
  """Returns the flags that fine-tune it on another data set."""
  match, flags = inspected.match, _network_flags(inspected)
  rules = []
  if match.renamed:
    rules.append(f'{match.scope or ""}{"" if match.own_scope else "/"}'
                 f'={match.own_scope}')
  if inspected.contents.only_averages:
    rules.append('/ExponentialMovingAverage=')
  if rules:
    flags['checkpoint_rename'] = ','.join(rules)
  flags['checkpoint_exclude_scopes'] = ','.join(inspection.head_scopes(match))
  return {**flags, **_input_flags(inspected, 'train_image_size'),
          **_quantize_flags(inspected.quantized), **_NEW_RUN}


def _quantize_flags(quantized):
  """Returns the flags of a training that continues with the ranges of a checkpoint."""
  if quantized is None:
    return {}
  bits = {f'quantize_{name}': getattr(quantized, name)
          for name in ('weight_bits', 'activation_bits')
          if getattr(quantized, name) != 8}
  channels = {'quantize_per_channel': True} if quantized.per_channel else {}
  return {'quantize_delay': 0, **channels, **bits}


def _eval_flags(inspected):
  """Returns the flags of an evaluation on the data set of the training."""
  return {**_network_flags(inspected), **_input_flags(inspected),
          **_averages_flags(inspected), **_dataset_flags(inspected),
          'eval_dir': 'runs/eval'}


def _averages_flags(inspected):
  return {'moving_average_decay': trained_network.decay_of(inspected.card)} if (
      inspected.averages_complete) else {}


def _dataset_flags(inspected):
  """Returns the data set of its run, else the one with as many classes, or NAME."""
  card = inspected.card
  if card and card.dataset_name and card.dataset_dir:
    offset = {'labels_offset': card.labels_offset} if card.labels_offset else {}
    return {'dataset_name': card.dataset_name, 'dataset_dir': card.dataset_dir,
            'dataset_split_name': _evaluated_split(card), **offset}
  num_classes = inspected.match and inspected.match.num_classes
  names = inspection.datasets_of(num_classes)
  flags = {'dataset_name': 'NAME', 'dataset_split_name': 'validation'}
  if len(names) == 1:
    *_, split = dataset_catalog.DATASETS[names[0]].splits
    flags = {'dataset_name': names[0], 'dataset_split_name': split}
  if offset := inspection.labels_offset(num_classes):
    flags['labels_offset'] = offset
  return flags | {'dataset_dir': 'FOLDER'}


def _evaluated_split(card):
  """Returns the last split of the data set of a run; else validation."""
  try:
    *_, split = dataset_catalog.find_dataset(
        card.dataset_name, card.dataset_dir).splits
  except diagnostics.UserError:
    return 'validation'
  return split


def _trained_flags(inspected):
  """Returns the flags of a trained network, see `config.trained_network`."""
  return {**_network_flags(inspected), **_input_flags(inspected),
          **_averages_flags(inspected), 'num_classes': inspected.match.num_classes}


def _classify_flags(inspected):
  """Returns the argument and the flags that classify the images in a folder."""
  return {_ARGUMENT: 'FOLDER', **_trained_flags(inspected)}


def _export_flags(inspected):
  """Returns the flags that export it, checked on images."""
  return {**_trained_flags(inspected), 'images': 'FOLDER',
          'export_dir': f'exports/{inspected.match.network}'}


def _graph_can_be_written(inspected):
  """Returns whether the command has flags for the rounding of the checkpoint."""
  quantized = inspected.quantized
  return quantized is None or (not quantized.per_channel and (
      quantized.weight_bits, quantized.activation_bits) == (8, 8))


def _graph_flags(inspected):
  """Returns the flags that write the graph of its network."""
  flags, match = _network_flags(inspected), inspected.match
  del flags['checkpoint_path']
  # There is no data set that defines the number of channels.
  if (match.channels or networks.NETWORKS[match.network].channels) == 1:
    flags['use_grayscale'] = True
  if inspected.quantized:
    flags['quantize'] = True
  sizes = _input_flags(inspected, 'image_size')
  sizes.pop('preprocessing_name', None)
  return {**flags, **sizes, 'num_classes': inspected.match.num_classes,
          'output_file': f'{inspected.match.network}.pb'}


def _command(name, flags):
  """Returns a command line; a long one is divided into several lines."""
  lines, words = [], [f'slim-zoo {name}']
  for flag, value in flags.items():
    word = f'--{flag}' if value is True else f'--{flag}={shlex.quote(str(value))}'
    word = value if flag == _ARGUMENT else word
    if len(' '.join([*words, word])) > 84:
      lines.append(' '.join(words))
      words = ['   ']
    words.append(word)
  return ' \\\n'.join([*lines, ' '.join(words)])


def _python_line(match):
  """Returns Python code that builds a network for which commands have no flags."""
  arguments = ''.join(f', {name}={value!r}' for name, value in match.arguments.items())
  return (f"nets_factory.get_network_fn('{match.network}',"
          f' {match.num_classes or 0})(images{arguments})')
