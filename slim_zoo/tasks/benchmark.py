"""Benchmarks: `benchmark(config)` times networks one after the other."""

import dataclasses
import json
import os
import pathlib
import sys
from collections.abc import Callable

from slim_zoo import diagnostics
from slim_zoo.config.benchmark import BenchmarkConfig
from slim_zoo.datasets import dataset_factory
from slim_zoo.deployment import (
    computation,
    graph_rewrite,
    precision_trial,
    unused_gpus,
)
from slim_zoo.drawing import charts
from slim_zoo.files import staging
from slim_zoo.files.user_cache import UserCache
from slim_zoo.input import pipeline
from slim_zoo.nets import nets_factory
from slim_zoo.preprocessing import preprocessing_factory
from slim_zoo.tasks import training_precision
from slim_zoo.tf_compat import tf
from slim_zoo.timing import machine, network_timing
from slim_zoo.timing.measured_network import Setting

# A machine that is busier than this gives no good times.
_BUSY = 0.1


def benchmark(config: BenchmarkConfig) -> list[dict]:
  """Times networks. Prints each measurement, and stores it in the file of the config.

  Args:
    config: what to do; `config.check()` has been called.

  Returns:
    The measurements as plain values, see `network_timing.row`.

  Raises:
    UserError: the device cannot compute as the options say, or networks failed.
  """
  with staging.created(*config.folders):
    return _benchmark(config)


def _benchmark(config):
  stored = _Measurements(config.measurements.output)
  for note in unused_gpus.notes():
    print(f'note: {note}', file=sys.stderr, flush=True)
  # What is slow is what a benchmark is to measure.
  planned = planned_precision(config)
  for note in planned.notes:
    print(f'note: {note}', flush=True)
  failed = _time_all(config, settings(config, planned), stored)
  if config.measurements.plot and stored.rows:
    _draw(config.measurements.plot, stored.rows)
  if failed:
    raise diagnostics.UserError(
        f'{len(failed)} of {len(config.networks.names())} networks failed:'
        f" {', '.join(failed)}")
  return stored.rows


def planned_precision(config: BenchmarkConfig, refuses_slow: bool = False
                      ) -> training_precision.TrainingPrecision:
  """Returns the types of the networks; for auto before they are chosen.

  Args:
    config: of the benchmark.
    refuses_slow: whether a type that is far slower than float32 is refused.

  Raises:
    UserError: the device cannot compute in the type, or XLA compiles nothing.
  """
  if config.precision.xla:
    computation.check_xla()
  planned = training_precision.plan(config.precision, refuses_slow=refuses_slow)
  if config.networks.frozen:
    graph_rewrite.check(planned.dtype)
  return planned


def settings(config: BenchmarkConfig, planned: training_precision.TrainingPrecision
             ) -> list[Setting]:
  """Returns what is timed: each network with each size of a batch.

  Args:
    config: of the benchmark.
    planned: of `planned_precision`.
  """
  options, precision = config.networks, config.precision
  # Frozen graphs have no casts.
  casts = planned.casts != graph_rewrite.FLOAT32 and not options.frozen
  return [
      Setting(name, size, options.image_size, precision.data_format,
              options.num_clones, xla=precision.xla, precision=planned.dtype,
              casts=casts, session=config.session_settings)
      for name in options.names() for size in options.sizes_of_batches()]


class _Measurements:
  """The measurements of a benchmark, and those of earlier ones in its file.

  Args:
    path: of the file; None: there is none.

  Attributes:
    rows: the measurements of this benchmark.
  """

  def __init__(self, path: str | None):
    self.rows, self._path, self._stored = [], path, {}
    if path and os.path.exists(path):
      text = pathlib.Path(path).read_text(encoding='utf-8')
      for number, line in enumerate(text.splitlines(), 1):
        try:
          entry = json.loads(line)
          self._stored[entry['key']] = entry
        except (ValueError, KeyError, TypeError) as error:
          # A kill may cut the last line; what it held is measured again.
          print(f"note: line {number} of '{path}' is damaged ({error!r}) and counts for"
                ' nothing', file=sys.stderr)

  def reuse(self, key: str) -> bool:
    """Adds the stored rows of a key; returns whether there are any."""
    if key not in self._stored:
      return False
    self.rows += self._stored[key]['rows']
    return True

  def add(self, key: str, rows: list[dict], machine_facts: dict) -> None:
    """Adds the rows of a key, in the file too."""
    self.rows += rows
    if self._path:
      with open(self._path, 'a', encoding='utf-8') as file:
        print(json.dumps({'key': key, 'machine': machine_facts, 'rows': rows}),
              file=file)


def _time_all(config, settings, stored) -> list[str]:
  """Times all settings; returns the names of the networks that failed."""
  facts = {**machine.describe(), 'busy_before': machine.busy_share()}
  print(machine.description(machine.describe()))
  if (facts['busy_before'] or 0) > _BUSY:
    print(f"note: the machine is {facts['busy_before']:.0%} busy with other things:"
          ' these times are worth little', flush=True)
  matrix_rate, failed = None, []
  for setting in settings:
    key = _key(config, setting)
    if stored.reuse(key):
      print(f'{setting.name}: batch {setting.batch_size} stands in'
            f" '{config.measurements.output}'")
      continue
    matrix_rate = matrix_rate or _matrix_rate(config)
    try:
      rows = _time(config, setting, matrix_rate)
    except Exception as error:
      # Whatever stops one network, the others are still to be timed.
      line = (diagnostics.explain_memory_error(error, config.values())
              or str(error).strip() or repr(error)).splitlines()[0]
      print(f'{setting.name}: skipped: {line}', file=sys.stderr, flush=True)
      failed.append(setting.name)
    else:
      stored.add(key, rows, facts)
  return list(dict.fromkeys(failed))


def _key(config, setting) -> str:
  """Returns what tells one measurement from another, as text."""
  options = config.networks
  values = {**dataclasses.asdict(setting), 'mode': options.timed_mode,
            'frozen': options.frozen, 'num_batches': options.num_batches,
            'wanted': config.precision.wanted}
  if config.records.dataset_dir:
    values['records'] = list(config.records.values.values())
  return json.dumps(values)


def _matrix_rate(config) -> float:
  """Measures and prints the rate of matrix products; returns the highest."""
  rates = machine.matrix_multiply_rate(dtype=config.precision.dtype)
  print('matrix products: ' + ', '.join(
      f'{rate / 1e9:,.0f} GFLOP/s at {size}' for size, rate in rates.items()))
  return max(rates.values())


def _time(config, setting, matrix_rate) -> list[dict]:
  """Times a network; prints the lines as they come, and returns the rows."""
  precision = config.precision
  check_data_format(config, setting)
  clones = f' for each of {setting.num_clones} clones' if setting.num_clones > 1 else ''
  bits = f', in {precision.wanted}' if precision.wanted != 'float32' else ''
  print(f'{setting.name}: batch {setting.batch_size}{clones}, images'
        f" {'x'.join(map(str, setting.image_shape()))}{bits}", flush=True)
  rows, times_of, multiply_adds = [], {}, None
  for kind, what, measured, times in _measurements(config, setting):
    if multiply_adds is None:
      multiply_adds = measured.multiply_adds()
    times_of[what] = times
    rows.append({**network_timing.row(
        measured, kind, what, times, multiply_adds, matrix_rate),
                 'wanted_precision': precision.wanted})
    print(times.classic_line(network_timing.TITLES[what]))
    print(network_timing.details(rows[-1]), flush=True)
  if 'records' in times_of:
    slowest = network_timing.name_bottleneck(setting, times_of)
    print('\n'.join(f'  {line}' for line in slowest.pop('lines')), flush=True)
    rows[-1].update(slowest)
  return rows


def check_data_format(config: BenchmarkConfig, setting: Setting) -> None:
  """Raises UserError if a network will not be computed in the data format."""
  precision = config.precision
  computation.check_data_format(
      precision.data_format, setting.name,
      precision.data_format in nets_factory.data_formats(setting.name),
      tf.as_dtype(precision.dtype), '')


def _measurements(config, setting):
  """Yields (graph, what, setting, timings) of everything that is timed."""
  mode, records = config.networks.timed_mode, config.records
  runs = network_timing.Runs(
      config.networks.num_batches, config.networks.num_batches_burn_in)
  evaluated = 'frozen' if config.networks.frozen else 'evaluation'
  if records.dataset_dir is None:
    for kind, what, left_out in ((evaluated, 'forward', 'train'),
                                 ('training', 'forward_backward', 'forward')):
      if mode != left_out:
        setting = _in_precision(config, setting, kind, what)
        for name, times in network_timing.passes(setting, kind, (what,), runs):
          yield kind, name, setting, times
    return
  dataset, build = _input(config, setting)
  setting = network_timing.on_records_setting(
      setting, build, dataset.num_classes - records.labels_offset)
  kind, parts = ((evaluated, ('forward',)) if mode == 'forward' else
                 ('training', ('forward', 'forward_backward', 'step')))
  setting = _in_precision(config, setting, kind, parts[-1])
  for name, times in network_timing.passes(setting, kind, parts, runs):
    yield kind, name, setting, times
  for name, times in network_timing.on_records(setting, kind, parts[-1], build, runs):
    yield kind, name, setting, times


def _in_precision(config, setting, kind, what):
  """Returns the setting in the type that auto chooses for a graph; prints why."""
  if config.precision.wanted != precision_trial.AUTO:
    return setting
  choice = precision_trial.without_trial()
  if choice is None:
    cache = UserCache(precision_trial.FILE)
    choice = network_timing.choose_precision(setting, kind, what, cache)
    for note in cache.take_notes():
      print(f'note: {note}', flush=True)
  print(choice.line(), flush=True)
  return dataclasses.replace(setting, precision=choice.dtype)


def _input(config, setting) -> tuple[object, Callable]:
  """Returns the data set, and a function that builds the input in the default graph."""
  options = config.records
  dataset = dataset_factory.get_dataset(
      options.dataset_name, options.dataset_split_name, options.dataset_dir)
  preprocess = pipeline.preprocess_with(
      preprocessing_factory.get_preprocessing(
          setting.name, config.networks.timed_mode != 'forward'),
      setting.image_shape()[-2], seed=0)
  return dataset, lambda: pipeline.training_input(
      dataset, preprocess, setting.batch_size, options.labels_offset,
      options.num_readers, options.num_preprocessing_threads, setting.num_clones,
      reduced_decoding=True)


def _draw(path, rows) -> None:
  """Writes the picture of the measurements."""
  groups = {}
  for row in rows:
    label = f"{row['network']}, batch {row['batch_size']}"
    kind = network_timing.TITLES[row['what']] + (
        ', frozen' if row['graph'] == 'frozen' else '')
    groups.setdefault(label, {})[kind] = row['images_per_second']
  rates = [row['images_per_second'] for row in rows]
  charts.write_bars(
      path, 'Images a second', groups, 'images/s, of the median batch',
      machine.description(machine.describe()), log=max(rates) > 20 * min(rates))
  print(f'the picture: {path}')
