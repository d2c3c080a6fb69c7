"""One process beside several that share the same global batch.

  python -m benchmarks.scaling --output=scaling.jsonl --dataset_dir=data --docs=docs

Real processes on this machine, each on its part of the cores, so that all of them
together have as many threads as the one. Beside each job run as many processes that
train the same parts without a reduction. The additional time of the job is its
reduction. The model at the end is fitted to these times; it is no measurement.
"""

import contextlib
import itertools
import json
import os
import pathlib
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import numpy as np
from absl import flags

from benchmarks import paired_runs
from slim_zoo import diagnostics
from slim_zoo.commands import path_flags, running
from slim_zoo.timing import ratios

FLAGS = flags.FLAGS
ONE, APART = 'one process', 'apart'
ALL_REDUCE, SYNCHRONOUS, ASYNCHRONOUS = (
    'all-reduce', 'synchronous ps', 'asynchronous ps')
MODES = (ALL_REDUCE, SYNCHRONOUS, ASYNCHRONOUS)
_STEP = re.compile(r'step (\d+)[/ ].*loss')
_FLOAT_BYTES = 4
# Of the model: compute seconds of a step, and (place, workers, link, bytes a second);
# None: the rate that is fitted to the measurements.
_COMPUTE_SECONDS = (0.1, 0.3)
_LARGE = (
    ('8 GPUs of one machine', 8, 'PCIe 4.0, 25 GB/s', 25e9),
    ('8 GPUs of one machine', 8, 'NVLink, 300 GB/s', 300e9),
    ('16 machines', 16, 'as fast as here', None),
    ('16 machines', 16, '10 Gbit/s', 1.25e9),
    ('16 machines', 16, '100 Gbit/s', 12.5e9))

flags.DEFINE_list('networks', ['resnet_v1_50'], 'Networks to train.')
flags.DEFINE_list('workers', ['2', '4'], 'Numbers of worker processes.')
flags.DEFINE_list('modes', list(MODES), f'Of {", ".join(MODES)}.')
flags.DEFINE_integer('global_batch_size', 16, 'Images a step of all workers.',
                     lower_bound=1)
flags.DEFINE_integer('image_size', 224, 'Height and width of the images.')
flags.DEFINE_integer('steps', 12, 'Steps; the first third does not count.',
                     lower_bound=6)
flags.DEFINE_integer('rounds', 5, 'How often each runs.', lower_bound=1)
path_flags.DEFINE_path('dataset_dir', 'demo/data', 'Folder of the digits data set.')
path_flags.DEFINE_path('output', None, 'File of JSON lines: one for each run.')
path_flags.DEFINE_path('docs', None, 'Folder to write scaling_figures.md to.')


def task_of(network: str) -> dict:
  """Returns what all run for a network."""
  return {'network': network, 'global_batch': FLAGS.global_batch_size,
          'image_size': FLAGS.image_size, 'steps': FLAGS.steps}


def name_of(mode: str, workers: int) -> str:
  """Returns the name of a contender."""
  return mode if mode == ONE else f'{mode}, {workers} workers'


def free_addresses(count: int) -> list[str]:
  """Returns addresses of this machine whose ports are free."""
  with contextlib.ExitStack() as stack:
    sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
    for one in sockets:
      one.bind(('localhost', 0))
    return [f'localhost:{one.getsockname()[1]}' for one in sockets]


def command_of(task, mode: str, workers: int, folder: str) -> list[str]:
  """Returns the command of each process but for its place in the cluster."""
  steps = task['steps'] * (workers if mode == ASYNCHRONOUS else 1)
  return [
      sys.executable, '-u', 'train_image_classifier.py', '--dataset_name=digits',
      f'--dataset_dir={FLAGS.dataset_dir}', f"--model_name={task['network']}",
      f"--train_image_size={task['image_size']}", '--optimizer=momentum',
      '--learning_rate=1e-3', f"--batch_size={task['global_batch'] // workers}",
      f'--max_number_of_steps={steps}', '--log_every_n_steps=1', '--seed=1',
      '--save_interval_secs=0', '--save_summaries_secs=0', f'--train_dir={folder}']


def commands_of(task, mode: str, workers: int, folder: str) -> list[list[str]]:
  """Returns the commands of all processes, the chief's first."""
  if mode in (ONE, APART):
    return [command_of(task, mode, workers, f'{folder}/{index}')
            for index in range(workers)]
  command = command_of(task, mode, workers, f'{folder}/0')
  addresses = free_addresses(workers + 1)
  hosts = ','.join(addresses[:workers])
  if mode == ALL_REDUCE:
    return [[*command, f'--cluster={hosts}', f'--task={index}']
            for index in range(workers)]
  command += [f'--worker_hosts={hosts}', f'--ps_hosts={addresses[-1]}']
  command += ['--sync_replicas'] if mode == SYNCHRONOUS else []
  return [*[[*command, f'--task={index}'] for index in range(workers)],
          [*command, '--job_name=ps']]


def cores_of(index: int, count: int) -> set[int]:
  """Returns the cores of one of several processes; the same for all that are more."""
  cores = sorted(os.sched_getaffinity(0))
  return set(cores[index::count] or [cores[index % len(cores)]]) if (
      index < count) else set(cores)


def loopback_bytes() -> int:
  """Returns the bytes that went over the loopback device so far."""
  for line in pathlib.Path('/proc/net/dev').read_text().splitlines():
    if line.strip().startswith('lo:'):
      return int(line.split(':')[1].split()[0])
  return 0


def runner(mode: str, workers: int):
  """Returns the `run` of a contender."""
  def run(task):
    if task['global_batch'] % workers:
      return {'skipped': f'{workers} workers cannot share the batch evenly'}
    with tempfile.TemporaryDirectory() as folder:
      return _run_processes(task, mode, workers, folder)
  return run


def _run_processes(task, mode, workers, folder):
  """Runs all processes of a contender; returns its times."""
  with contextlib.ExitStack() as stack:
    processes = []
    for index, command in enumerate(commands_of(task, mode, workers, folder)):
      errors = stack.enter_context(open(f'{folder}/{index}.err', 'w+'))
      processes.append(subprocess.Popen(
          command, cwd=paired_runs.ROOT, text=True, stdout=subprocess.PIPE,
          stderr=errors,
          preexec_fn=lambda cores=cores_of(index, workers): os.sched_setaffinity(
              0, cores)))
    notes = [[] for _ in processes]
    readers = [threading.Thread(target=_note_steps, args=(process, note))
               for process, note in zip(processes, notes, strict=True)]
    for reader in readers:
      reader.start()
    for reader in readers:
      reader.join()
    codes = [process.wait() for process in processes]
    if any(codes):
      return {'skipped': 'failed: ' + _last_lines(folder, codes), 'failed': True}
    parameters = json.loads(pathlib.Path(
        folder, '0', 'run_card.json').read_text())['run']['parameters']
  own = notes[:workers] if mode == APART else notes[:1]
  images = task['global_batch'] // (workers if mode == ASYNCHRONOUS else 1)
  return {**_seconds_of(own, task['global_batch'] / images),
          'numbers': parameters['trained'] + parameters['statistics']}


def _note_steps(process, note):
  for line in process.stdout:
    if found := _STEP.match(line):
      note.append((int(found[1]), time.perf_counter(), loopback_bytes()))


def _last_lines(folder, codes):
  lines = [pathlib.Path(folder, f'{index}.err').read_text().strip().splitlines()[-1:]
           for index, code in enumerate(codes) if code]
  return '; '.join(itertools.chain(*lines))


def _seconds_of(notes, steps_of_global_batch):
  """Returns the seconds of a global batch, and the bytes that went over loopback."""
  seconds, sent = [], []
  for note in notes:
    note = note[len(note) // 3:]
    for (first, start, before), (last, end, after) in itertools.pairwise(note):
      share = steps_of_global_batch / max(last - first, 1)
      seconds.append((end - start) * share)
      sent.append((after - before) * share)
  return {'seconds': seconds, 'loopback_bytes': statistics.mean(sent)}


def bytes_of_model(mode: str, workers: int, numbers: int) -> float:
  """Returns the bytes that all workers send and get for a global batch, as designed.

  A ring sends each number 2 (n - 1) times; parameter servers send the weights to each
  worker and get the gradients from it.
  """
  size = numbers * _FLOAT_BYTES
  return size * (2 * (workers - 1) if mode == ALL_REDUCE else 2 * workers)


def line(runs: paired_runs.Runs, task: dict, mode: str, workers: int
         ) -> tuple[str, ...]:
  """Returns a line of the table."""
  name = name_of(mode, workers)
  medians = runs.medians(task, name)
  if not medians:
    return (task['network'], name, *'-----', str(runs.skipped(task, name)))
  rate = task['global_batch'] / statistics.median(medians.values())
  if mode == ONE:
    control = runs.ratio(task, paired_runs.CONTROL, ONE)
    return (task['network'], name, f'{rate:,.2f}', '1', '-', '-', '-',
            f'the same again: {paired_runs.ratio_cell(control)}')
  share = ratios.of_rounds(runs.medians(task, name_of(APART, workers)), medians)
  numbers = next(iter(runs.values(task, name, 'numbers').values()))
  measured = statistics.median(
      runs.values(task, name, 'loopback_bytes').values() or [0])
  return (task['network'], name, f'{rate:,.2f}',
          paired_runs.ratio_cell(runs.ratio(task, name, ONE)),
          f'{bytes_of_model(mode, workers, numbers) / 1e6:,.0f}',
          f'{measured / 1e6:,.0f}', '-' if share is None else
          f'{1 - share.median:.0%} ({1 - share.high:.0%} to {1 - share.low:.0%})', '')


def fitted(runs: paired_runs.Runs, tasks: list[dict], counts: list[int]
           ) -> tuple[float, float] | None:
  """Returns the seconds and the bytes a second of an all-reduce on this machine.

  Least squares over networks and numbers of workers, of
  seconds = fixed + bytes sent by a worker / rate.
  """
  rows, times = [], []
  for task in tasks:
    for workers in counts:
      job = runs.medians(task, name_of(ALL_REDUCE, workers))
      apart = runs.medians(task, name_of(APART, workers))
      both = [job[number] - apart[number] for number in job if number in apart]
      if both:
        numbers = next(iter(runs.values(
            task, name_of(ALL_REDUCE, workers), 'numbers').values()))
        rows.append([1.0, bytes_of_model(ALL_REDUCE, workers, numbers) / workers])
        times.append(statistics.median(both))
  if len(rows) < 2:
    return None
  (fixed, per_byte), *_ = np.linalg.lstsq(np.array(rows), np.array(times), rcond=None)
  return (max(fixed, 0.0), 1 / per_byte) if per_byte > 0 else None


def model_lines(fixed: float, rate: float, numbers: int) -> list[tuple[str, ...]]:
  """Returns the lines of the model: the share of linear scaling on larger machines."""
  lines = []
  for place, count, link, link_rate in _LARGE:
    sent = bytes_of_model(ALL_REDUCE, count, numbers) / count
    seconds = fixed + sent / (link_rate or rate)
    lines.append((place, link, f'{sent / 1e6:,.0f}', f'{seconds:.3f}',
                  *[f'{compute / (compute + seconds):.0%}'
                    for compute in _COMPUTE_SECONDS]))
  return lines


def report(runs: paired_runs.Runs, tasks: list[dict], modes: list[str],
           counts: list[int]) -> str:
  """Returns the Markdown page."""
  lines = [line(runs, task, mode, workers) for task in tasks
           for mode, workers in [(ONE, 1), *itertools.product(modes, counts)]]
  parts = [
      '# Figures of several workers',
      'Medians, and ratios within each round, of processes that share one global batch'
      ' and the cores of one machine. The share of the reduction is the additional time'
      ' of a job, compared with as many processes that train without a reduction.',
      f'{paired_runs.conditions(runs)}.', f'    {paired_runs.command_line("scaling")}',
      paired_runs.table(
          ('network', 'job', 'images/s', 'rate / one process', 'MB a step, as designed',
           'MB a step, over loopback', 'share of the reduction', 'note'), lines,
          texts=2)]
  model = fitted(runs, tasks, counts)
  if model:
    numbers = next(iter(runs.values(
        tasks[0], name_of(ALL_REDUCE, counts[0]), 'numbers').values()))
    parts += [
        '## A model, not a measurement',
        f'The time of an all-reduce is {model[0]:.3f} s plus the bytes that a worker'
        f' sends divided by {model[1] / 1e6:,.0f} MB/s: fitted to the rows above,'
        f" without an interval. The table predicts {tasks[0]['network']}, without"
        ' overlap: the seconds of an all-reduce, and the share of linear scaling if the'
        ' computation'
        f' of a step takes {_COMPUTE_SECONDS[0]} s or {_COMPUTE_SECONDS[1]} s.',
        paired_runs.table(
            ('where', 'link', 'MB sent by each', 'reduction, s', *[
                f'share, {seconds} s' for seconds in _COMPUTE_SECONDS]),
            model_lines(*model, numbers), texts=2)]
  return '\n\n'.join(parts) + '\n'


def main(_):
  """Runs what is missing, then prints or writes the table."""
  from slim_zoo.catalog import datasets
  paired_runs.check_flags_set(FLAGS['output'])
  paired_runs.check_networks(FLAGS.networks)
  for mode in FLAGS.modes:
    if mode not in MODES:
      raise diagnostics.unknown_name('mode', mode, MODES)
  datasets.split_files(datasets.find_dataset('digits'), 'train', FLAGS.dataset_dir)
  tasks, counts = [task_of(name) for name in FLAGS.networks], [
      int(count) for count in FLAGS.workers]
  contenders = paired_runs.with_control([paired_runs.Contender(ONE, runner(ONE, 1))])
  contenders += [
      paired_runs.Contender(name_of(mode, count), runner(mode, count))
      for count in counts for mode in [APART, *FLAGS.modes]]
  runs = paired_runs.Runs(FLAGS.output)
  runs.compare(tasks, contenders, FLAGS.rounds)
  paired_runs.write(report(runs, tasks, FLAGS.modes, counts), 'scaling_figures',
                    FLAGS.docs)


if __name__ == '__main__':
  running.run(main)
