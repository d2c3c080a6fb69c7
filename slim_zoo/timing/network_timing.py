"""Times one network: its passes on images in memory, and its steps on records."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator

from slim_zoo import diagnostics, progress
from slim_zoo.deployment import computation, precision_trial
from slim_zoo.files.user_cache import UserCache
from slim_zoo.tf_compat import tf
from slim_zoo.timing import measured_network, timings
from slim_zoo.timing.measured_network import Setting

# Names of the measurements in slim's benchmark line.
TITLES = {'forward': 'Forward', 'forward_backward': 'Forward-backward',
          'step': 'Train step', 'input': 'Input', 'records': 'Step on records'}


@dataclasses.dataclass(frozen=True)
class Runs:
  """The numbers of runs.

  Attributes:
    num_batches: timed runs.
    burn_in: runs before them that are not timed.
  """

  num_batches: int = 100
  burn_in: int = 10


def time_operation(setting: Setting, what: str, run: Callable,
                   runs: Runs) -> timings.Timings:
  """Times the calls of `run`, with a line of progress."""
  label = f'{setting.name}, batch {setting.batch_size}, {TITLES[what].lower()}'
  with progress.Progress(label, runs.burn_in + runs.num_batches, 'batches') as shown:
    return timings.timed(run, runs.num_batches, runs.burn_in, shown.update)


def passes(setting: Setting, kind: str, names: tuple[str, ...],
           runs: Runs) -> Iterator[tuple[str, timings.Timings]]:
  """Times passes of a network on images in memory.

  Args:
    setting: the network.
    kind: the graph: 'frozen', 'evaluation' or 'training'.
    names: the operations to time, in this order.
    runs: the numbers of runs.

  Yields:
    (operation, its timings), after each operation.
  """
  with tf.Graph().as_default():
    with prepared(setting, kind) as function_of:
      for name in names:
        yield name, time_operation(setting, name, function_of(name), runs)


@contextlib.contextmanager
def prepared(setting: Setting, kind: str) -> Iterator[Callable]:
  """Builds a network on images in memory in the default graph, and opens its session.

  Args:
    setting: the network.
    kind: as for `passes`.

  Yields:
    function_of(operation), which returns the function that runs an operation.
  """
  operations = _build(setting, kind, measured_network.synthetic_batches(setting))
  with measured_network.session(setting, is_frozen=kind == 'frozen') as opened:
    def function_of(name):
      if setting.xla:
        _check_compiled(setting, opened, operations[name])
      return opened.make_callable(operations[name])

    yield function_of


def choose_precision(setting: Setting, kind: str, what: str,
                     cache: UserCache) -> precision_trial.Choice:
  """Returns the faster type for a pass of a network on images in memory.

  Args:
    setting: the network; its precision does not count.
    kind: as for `passes`.
    what: the operation.
    cache: of earlier choices.
  """
  with tf.Graph().as_default() as graph:
    operations = _build(setting, kind, measured_network.synthetic_batches(setting))

    @contextlib.contextmanager
    def open_run(dtype):
      with measured_network.session(
          dataclasses.replace(setting, precision=dtype),
          is_frozen=kind == 'frozen') as opened:
        yield opened.make_callable(operations[what])

    key = precision_trial.key_of(
        graph, [setting.num_clones, setting.batch_size, *setting.image_shape()],
        f'benchmark, {what}', setting.session)
    return precision_trial.choose(key, open_run, cache)


def on_records(setting: Setting, kind: str, whole: str, make_input: Callable,
               runs: Runs) -> Iterator[tuple[str, timings.Timings]]:
  """Times batches of records, then steps on them.

  Args:
    setting: the network, with the classes and channels of the records.
    kind: as for `passes`.
    whole: the operation of a step.
    make_input: returns an `input.pipeline.Input` in the default graph.
    runs: the numbers of runs.

  Yields:
    ('input', timings), then ('records', timings).
  """
  with tf.Graph().as_default():
    images = make_input()
    batches = [images.next_batch() for _ in range(setting.num_clones)]
    with measured_network.session(setting, images.initializer) as opened:
      run = _with_input_log(
          opened, images, batches, [batch.images.op for batch in batches])
      yield 'input', time_operation(setting, 'input', run, runs)
  with tf.Graph().as_default():
    images, batches = make_input(), []

    def next_batch():
      batches.append(images.next_batch())
      return batches[-1]

    operations = _build(setting, kind, next_batch)[whole]
    with measured_network.session(
        setting, images.initializer, is_frozen=kind == 'frozen') as opened:
      run = _with_input_log(opened, images, batches, operations)
      yield 'records', time_operation(setting, 'records', run, runs)


def on_records_setting(setting: Setting, make_input: Callable,
                       num_classes: int) -> Setting:
  """Returns the setting with the classes and the channels of the records."""
  with tf.Graph().as_default():
    channels = make_input().next_batch().images.shape[-1]
  return dataclasses.replace(setting, num_classes=num_classes, channels=int(channels))


def name_bottleneck(setting: Setting, measurements: dict[str, timings.Timings]) -> dict:
  """Returns {'shares', 'bottleneck', 'lines'} of measurements on records."""
  parts = {name: measurements[name] for name in timings.PARTS
           if name in measurements}
  shares = timings.shares(parts, measurements['records'])
  num_images = setting.batch_size * setting.num_clones
  lines = timings.bottleneck_lines(
      shares, num_images, measurements['input'], measurements['records'])
  return {'shares': shares, 'bottleneck': max(shares, key=shares.get), 'lines': lines}


def row(setting: Setting, kind: str, what: str, times: timings.Timings,
        multiply_adds: int, matrix_rate: float) -> dict:
  """Returns a measurement as plain values, to store it.

  Args:
    setting: the network.
    kind: the graph, as for `passes`.
    what: the operation; 'input' has no GFLOP/s.
    times: its times.
    multiply_adds: multiply-adds of one image.
    matrix_rate: the machine's rate of matrix products, in operations per second.
  """
  num_images = setting.batch_size * setting.num_clones
  values = {
      'network': setting.name, 'what': what, 'graph': kind,
      'batch_size': setting.batch_size, 'num_clones': setting.num_clones,
      'image': list(setting.image_shape()), 'data_format': setting.data_format,
      'num_classes': setting.classes, 'xla': setting.xla,
      'precision': setting.precision,
      'num_batches': len(times.seconds), **times.values(),
      'images_per_second': num_images / times.median,
      'multiply_adds': multiply_adds, 'gflops': None, 'share_of_matrix_rate': None,
      'matrix_gflops': matrix_rate / 1e9}
  if what in measured_network.PASSES:
    operations = 2 * multiply_adds * measured_network.PASSES[what] * num_images
    values['gflops'] = operations / times.median / 1e9
    values['share_of_matrix_rate'] = operations / times.median / matrix_rate
  return values


def details(values: dict) -> str:
  """Returns the second line of a measurement: median, p95, rates."""
  line = (f"  median {values['median']:.4f}, p95 {values['p95']:.4f} sec / batch;"
          f" {values['images_per_second']:,.1f} images/s")
  if values['gflops'] is not None:
    line += (f"; {values['gflops']:,.1f} GFLOP/s,"
             f" {values['share_of_matrix_rate']:.0%} of the"
             f" {values['matrix_gflops']:,.0f} of matrix products")
  return line


def _build(setting, kind, next_batch):
  builders = {'frozen': measured_network.frozen_operations,
              'evaluation': measured_network.evaluation_operations,
              'training': measured_network.training_operations}
  return builders[kind](setting, next_batch)


def _check_compiled(setting, opened, operations):
  kernels = measured_network.kernels(opened, operations)
  if not computation.COMPILED & set(kernels):
    raise diagnostics.UserError(
        f'--xla: XLA compiled no part of {setting.name}, so the times would be the same'
        ' as without it')


def _with_input_log(opened, images, batches, operations):
  """Returns a function that runs operations and logs the batches of the input."""
  call = opened.make_callable(
      [operations, tf.concat([batch.numbers for batch in batches], 0)])

  def run():
    try:
      _, numbers = call()
    except tf.errors.OpError as error:
      failure = images.failure(error)
      raise failure or error from error
    images.log.deliver(numbers)
  return run
