"""Times networks: forward, forward and backward, or whole steps on records.

  slim-zoo benchmark --networks=resnet_v2_50,mobilenet_v2 --batch_sizes=1,32
  slim-zoo benchmark --networks='resnet_v?_50' --frozen --output=times.jsonl
  slim-zoo benchmark --networks=lenet --dataset_name=digits \\
      --dataset_dir=demo/data

Images are random and stay in memory. With --dataset_name the images come from records,
and the output names the slowest part of a step: input, forward pass, backward pass or
update. A forward pass counts two operations for each multiply-add of `slim-zoo
networks`, a forward and backward pass six. Auxiliary heads are not counted.
"""

import dataclasses
import fnmatch
import json
import os
import pathlib
import sys

from absl import flags

from slim_zoo import diagnostics
from slim_zoo.catalog import datasets as dataset_catalog
from slim_zoo.catalog import networks
from slim_zoo.commands import common_flags, path_flags, running, start_up

FLAGS = flags.FLAGS
_RECORD_FLAGS = ('dataset_name', 'dataset_split_name', 'labels_offset', 'num_readers',
                 'num_preprocessing_threads')

flags.DEFINE_list('networks', [], "Names of networks, or patterns such as 'resnet*';"
                  ' all: every network that takes single images. Networks for clips'
                  ' are to be named.')
flags.DEFINE_enum('mode', 'both', ['forward', 'train', 'both'],
                  'What is timed: the forward pass of evaluation, forward and backward'
                  ' pass of training, or both.')
flags.DEFINE_list('batch_sizes', ['32'], 'Images at a time, for each clone.')
flags.DEFINE_integer('image_size', None, 'Height and width of the images; by default'
                     ' those of the network.', lower_bound=1)
flags.DEFINE_boolean('frozen', False, 'Time the graph that classification runs on:'
                     ' weights as constants, batch norm folded. Implies'
                     ' --mode=forward.')
common_flags.define_computation_flags()
flags.DEFINE_integer('num_clones', 1, 'Copies of the network, each on a logical CPU'
                     ' device of its own.', lower_bound=1)
flags.DEFINE_integer('num_batches', 100, 'Batches that are timed.', lower_bound=1)
flags.DEFINE_integer('num_batches_burn_in', 10, 'Batches before them that do not'
                     ' count.', lower_bound=0)
path_flags.DEFINE_path('output', None, 'File to add a line of JSON to for each'
                       ' measurement. What stands in it is not measured again.')
path_flags.DEFINE_path('plot', None, 'PNG file to draw what this command measured, or'
                       ' found in --output.')
flags.DEFINE_string('dataset_name', None, 'Name of the data set in --dataset_dir.')
path_flags.DEFINE_path('dataset_dir', None, 'Folder of TFRecord files: time steps on'
                       ' records too, and name the bottleneck.')
flags.DEFINE_string('dataset_split_name', 'train', 'Split of the data set.')
flags.DEFINE_integer('labels_offset', 0, 'Taken off every label.', lower_bound=0)
flags.DEFINE_integer('num_readers', 4, 'Record files read at the same time.',
                     lower_bound=1)
flags.DEFINE_integer('num_preprocessing_threads', 4, 'Images decoded and preprocessed'
                     ' at the same time.', lower_bound=1)


def chosen_networks() -> list[str]:
  """Returns the names that --networks stands for, in its order.

  Raises UserError if it is empty, or a name or a pattern fits nothing.
  """
  if not FLAGS.networks:
    raise diagnostics.UserError(
        "--networks is empty: name some, as in --networks='lenet,resnet_v?_50', or"
        ' all')
  names = []
  for wanted in FLAGS.networks:
    found = ([name for name, row in networks.NETWORKS.items() if row.frames is None]
             if wanted == 'all' else fnmatch.filter(networks.NETWORKS, wanted))
    if not found:
      raise diagnostics.unknown_name('network', wanted, networks.NETWORKS)
    names += found
  return list(dict.fromkeys(names))


def batch_sizes() -> list[int]:
  """Returns the numbers of --batch_sizes; UserError if one is none."""
  for word in FLAGS.batch_sizes:
    if not word.isdecimal() or int(word) < 1:
      raise diagnostics.UserError(
          f"--batch_sizes has '{word}': numbers of 1 or more are expected, as in"
          ' --batch_sizes=1,32')
  if not FLAGS.batch_sizes:
    raise diagnostics.UserError('--batch_sizes is empty: give one number or more')
  return [int(word) for word in FLAGS.batch_sizes]


def mode() -> str:
  """Returns what is timed, which --frozen decides if --mode is not given."""
  if not FLAGS.frozen:
    return FLAGS.mode
  if FLAGS['mode'].present and FLAGS.mode != 'forward':
    raise diagnostics.UserError(
        f'--mode={FLAGS.mode} and --frozen: frozen weights cannot be trained, say'
        ' --mode=forward')
  return 'forward'


def check_flags() -> None:
  """Refuses what makes no sense, before TensorFlow is imported."""
  names, _ = chosen_networks(), batch_sizes()
  # Of several networks, one that cannot be timed is skipped, with a line.
  if FLAGS.image_size and len(names) == 1:
    networks.check_image_size(
        names[0], FLAGS.image_size, is_training=mode() != 'forward', flag='image_size')
  mode()
  for name, plain in (('data_format', 'NHWC'), ('mixed_precision', 'none')):
    if FLAGS.frozen and FLAGS[name].value != plain:
      raise diagnostics.UserError(
          f'--{name}={FLAGS[name].value} and --frozen: graphs are frozen with {plain}'
          ' only, leave one of the flags out')
  if FLAGS.dataset_dir is None:
    for name in _RECORD_FLAGS:
      if FLAGS[name].present:
        raise diagnostics.UserError(
            f'--{name} is about records, and there is no --dataset_dir: give both or'
            ' none')
    return
  if not FLAGS.dataset_name:
    raise diagnostics.UserError('--dataset_dir needs --dataset_name')
  spec = dataset_catalog.find_dataset(FLAGS.dataset_name, FLAGS.dataset_dir)
  dataset_catalog.split_files(spec, FLAGS.dataset_split_name, FLAGS.dataset_dir)
  spec.check_labels_offset(FLAGS.labels_offset)
  for name in chosen_networks():
    networks.get_image_network(name)


class Rows:
  """The measurements of this command: printed, stored, and found again."""

  def __init__(self):
    self._stored, self.wanted = {}, []
    if FLAGS.output and os.path.exists(FLAGS.output):
      for number, line in enumerate(pathlib.Path(FLAGS.output).read_text(
          encoding='utf-8').splitlines(), 1):
        try:
          row = json.loads(line)
          self._stored[row['key']] = row
        except (ValueError, KeyError, TypeError) as error:
          # A kill may cut the last line; what it held is measured again.
          print(f"note: line {number} of '{FLAGS.output}' is damaged ({error!r}) and"
                ' counts for nothing', file=sys.stderr)

  def find(self, key: str) -> bool:
    """Takes over the stored rows of a key; returns whether there are any."""
    if key not in self._stored:
      return False
    self.wanted += self._stored[key]['rows']
    return True

  def add(self, key: str, rows: list[dict], machine: dict) -> None:
    """Keeps the rows of a key, in the file too."""
    self.wanted += rows
    if FLAGS.output:
      with open(FLAGS.output, 'a', encoding='utf-8') as file:
        print(json.dumps({'key': key, 'machine': machine, 'rows': rows}), file=file)


def make_input(name: str, image_size: int, batch_size: int):
  """Returns a function that builds the input of a network in the default graph."""
  from slim_zoo.datasets import dataset_factory
  from slim_zoo.input import pipeline
  from slim_zoo.preprocessing import preprocessing_factory
  dataset = dataset_factory.get_dataset(
      FLAGS.dataset_name, FLAGS.dataset_split_name, FLAGS.dataset_dir)
  preprocess = pipeline.preprocess_with(
      preprocessing_factory.get_preprocessing(name, mode() != 'forward'),
      image_size, seed=0)
  return dataset, lambda: pipeline.training_input(
      dataset, preprocess, batch_size, FLAGS.labels_offset, FLAGS.num_readers,
      FLAGS.num_preprocessing_threads, FLAGS.num_clones, reduced_decoding=True)


def measurements(setting):
  """Yields (graph, what, setting, timings) of everything that is asked for."""
  from slim_zoo.timing import network_timing
  runs = network_timing.Runs(FLAGS.num_batches, FLAGS.num_batches_burn_in)
  evaluated = 'frozen' if FLAGS.frozen else 'evaluation'
  if FLAGS.dataset_dir is None:
    for kind, what, left_out in ((evaluated, 'forward', 'train'),
                                 ('training', 'forward_backward', 'forward')):
      if mode() != left_out:
        for name, found in network_timing.passes(setting, kind, (what,), runs):
          yield kind, name, setting, found
    return
  dataset, build = make_input(
      setting.name, setting.image_shape()[-2], setting.batch_size)
  setting = network_timing.on_records_setting(
      setting, build, dataset.num_classes - FLAGS.labels_offset)
  kind, parts = ((evaluated, ('forward',)) if mode() == 'forward' else
                 ('training', ('forward', 'forward_backward', 'step')))
  for name, found in network_timing.passes(setting, kind, parts, runs):
    yield kind, name, setting, found
  for name, found in network_timing.on_records(setting, kind, parts[-1], build, runs):
    yield kind, name, setting, found


def measure(setting, matrix_rate: float) -> list[dict]:
  """Measures a network; prints the lines as they come, and returns the rows."""
  from slim_zoo.timing import network_timing
  common_flags.check_data_format(setting.name)
  clones = f' for each of {setting.num_clones} clones' if setting.num_clones > 1 else ''
  print(f'{setting.name}: batch {setting.batch_size}{clones}, images'
        f" {'x'.join(map(str, setting.image_shape()))}"
        + (f', in {FLAGS.mixed_precision}' if FLAGS.mixed_precision != 'none' else ''),
        flush=True)
  rows, found, counted = [], {}, None
  for kind, what, measured, times in measurements(setting):
    if counted is None:
      counted = measured.multiply_adds()
    found[what] = times
    rows.append(network_timing.row(measured, kind, what, times, counted, matrix_rate))
    print(times.classic_line(network_timing.TITLES[what]))
    print(network_timing.in_words(rows[-1]), flush=True)
  if 'records' in found:
    named = network_timing.name_bottleneck(setting, found)
    print('\n'.join(f'  {line}' for line in named.pop('lines')), flush=True)
    rows[-1].update(named)
  return rows


def measure_all(settings, stored: Rows) -> list[str]:
  """Measures all of them; returns the names of the networks that failed."""
  from slim_zoo.timing import machine
  described = {**machine.describe(), 'busy_before': machine.busy_share()}
  print(machine.in_words(machine.describe()))
  if (described['busy_before'] or 0) > 0.1:
    print(f"note: the machine is {described['busy_before']:.0%} busy with other things:"
          ' these times are worth little', flush=True)
  rates, failed = None, []
  for setting in settings:
    key = setting_key(setting)
    if stored.find(key):
      print(f"{setting.name}: batch {setting.batch_size} stands in '{FLAGS.output}'")
      continue
    if rates is None:
      rates = machine.matrix_multiply_rate(dtype=common_flags.precision().dtype)
      print('matrix products: ' + ', '.join(
          f'{rate / 1e9:,.0f} GFLOP/s at {size}' for size, rate in rates.items()))
    try:
      rows = measure(setting, max(rates.values()))
    except Exception as error:
      # Whatever stops one network, the others are still to be timed.
      line = (diagnostics.explain_memory_error(error) or str(error).strip()
              or repr(error)).splitlines()[0]
      print(f'{setting.name}: skipped: {line}', file=sys.stderr, flush=True)
      failed.append(setting.name)
    else:
      stored.add(key, rows, described)
  return list(dict.fromkeys(failed))


def setting_key(setting) -> str:
  """Returns what tells one measurement from another, as text."""
  values = {**dataclasses.asdict(setting), 'mode': mode(), 'frozen': FLAGS.frozen,
            'num_batches': FLAGS.num_batches}
  if FLAGS.dataset_dir:
    values['records'] = [FLAGS[name].value for name in _RECORD_FLAGS]
  return json.dumps(values)


def draw(rows: list[dict]) -> None:
  """Writes the picture of --plot."""
  from slim_zoo.drawing import charts
  from slim_zoo.timing import machine, network_timing
  groups = {}
  for row in rows:
    label = f"{row['network']}, batch {row['batch_size']}"
    kind = network_timing.TITLES[row['what']] + (
        ', frozen' if row['graph'] == 'frozen' else '')
    groups.setdefault(label, {})[kind] = row['images_per_second']
  rates = [row['images_per_second'] for row in rows]
  charts.write_bars(
      FLAGS.plot, 'Images a second', groups, 'images/s, of the median batch',
      machine.in_words(machine.describe()), log=max(rates) > 20 * min(rates))
  print(f'the picture: {FLAGS.plot}')


def main(_):
  """Measures what the flags ask for; returns 1 if a network failed."""
  check_flags()
  stored = Rows()
  precision = common_flags.precision()
  precision.set_environment()
  # Imports TensorFlow, which reads what was set above.
  start_up.load_tensorflow()
  from slim_zoo.tasks import training_updates
  from slim_zoo.timing import measured_network
  common_flags.show_unused_gpus()
  # What is slow is what a benchmark is to measure.
  for note in training_updates.check_computation(precision, refuses_slow=False):
    print(f'note: {note}', flush=True)
  names = chosen_networks()
  settings = [measured_network.Setting(
      name, size, FLAGS.image_size, FLAGS.data_format, FLAGS.num_clones, xla=FLAGS.xla,
      mixed_precision=FLAGS.mixed_precision)
      for name in names for size in batch_sizes()]
  failed = measure_all(settings, stored)
  if FLAGS.plot and stored.wanted:
    draw(stored.wanted)
  if failed:
    raise diagnostics.UserError(
        f"{len(failed)} of {len(names)} networks failed: {', '.join(failed)}")


def run_command() -> None:
  """Runs the command with the flags of the command line."""
  running.run(main)
