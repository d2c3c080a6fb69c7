"""Training, classification and evaluation with photos of 12 megapixels.

  python -m benchmarks.photo_folders --work_dir=phone --docs=docs

* Training input: whole images, the crops only (--reduced_decoding), and records of
  slim-zoo convert-images --max_side=640.
* Classification and evaluation beside decoding alone and the network alone: on one
  processor the work adds up; with a network on a device of its own, which is simulated
  by a model that waits, the slower one alone decides.

The photographs, 3 MB each, are first written to --work_dir.
"""

import os
import statistics

from absl import flags

from benchmarks import paired_runs, phone_photos
from slim_zoo import start_up
from slim_zoo.commands import path_flags, running
from slim_zoo.images import image_check

FLAGS = flags.FLAGS
PEER = 'peers.photo_folder'
WHOLE, REDUCED, CONVERTED = 'whole images', 'crops only', '--max_side=640'
DECODING, NETWORK, BOTH = 'decoding alone', 'network alone', 'both'
ON_DEVICE = 'both, network on a device'
_IMAGES_PER_BATCH = 8

# Nothing overlaps with the first batch, so a few batches are not enough.
flags.DEFINE_integer('num_photos', 96, 'Photographs in the folder.', lower_bound=64)
flags.DEFINE_string('network', 'mobilenet_v2', 'The network.')
flags.DEFINE_integer('rounds', 5, 'Number of runs of each contender.', lower_bound=1)
path_flags.DEFINE_path('work_dir', None, 'Folder for photographs, records and runs.')
path_flags.DEFINE_path('docs', None, 'Folder to write photo_folders.md to.')


def make_data() -> dict[str, str]:
  """Writes missing photos and records; returns the folders by content."""
  start_up.load_without_notes()
  from slim_zoo.dataset_building import image_folder
  folders = {name: os.path.abspath(os.path.join(FLAGS.work_dir, name))
             for name in ('photos', 'records', 'scaled_records')}
  phone_photos.make(folders['photos'], FLAGS.num_photos)
  for name, storing in (('records', image_check.Storing()),
                        ('scaled_records', image_check.Storing(max_side=640))):
    if not os.path.exists(os.path.join(folders[name], 'dataset.json')):
      image_folder.convert(folders['photos'], folders[name], phone_photos.NAME,
                           validation_share=0, storing=storing)
  return folders


def training(folders: dict[str, str]) -> list[tuple[dict, list]]:
  """Returns (task, contenders) of the training input."""
  contenders = [
      paired_runs.Contender(name, paired_runs.runner(PEER, **options))
      for name, options in (
          (CONVERTED, {'dataset_dir': folders['scaled_records']}),
          (REDUCED, {'dataset_dir': folders['records'], 'reduced_decoding': True}),
          (WHOLE, {'dataset_dir': folders['records']}))]
  batches = 2 * FLAGS.num_photos // _IMAGES_PER_BATCH
  return [({'what': 'training', 'family': family, 'image_size': size,
            'batch_size': _IMAGES_PER_BATCH, 'num_batches': batches, 'burn_in': 2},
           contenders) for family, size in (('inception', 299), ('vgg', 224))]


def overlap(folders: dict[str, str]) -> list[tuple[dict, list]]:
  """Returns (task, contenders) of classification and evaluation."""
  tasks = {
      'classification': (BOTH, DECODING, NETWORK, ON_DEVICE),
      'evaluation': (BOTH, DECODING, NETWORK)}
  return [({'what': what, 'network': FLAGS.network, 'batch_size': _IMAGES_PER_BATCH,
            'photos': folders['photos'], 'dataset_dir': folders['records']},
           [paired_runs.Contender(part, paired_runs.runner(PEER, part=part))
            for part in parts]) for what, parts in tasks.items()]


def training_line(runs: paired_runs.Runs, task: dict, name: str) -> tuple[str, ...]:
  """Returns a row of the table about training."""
  # The control is the first contender again.
  other = CONVERTED if name == paired_runs.CONTROL else WHOLE
  return (f"{task['family']}, {name}, beside {other}",
          *(_milliseconds(runs, task, contender) for contender in (name, other)),
          paired_runs.ratio_cell(runs.ratio(task, name, other)))


def overlap_line(runs: paired_runs.Runs, task: dict, name: str) -> tuple[str, ...]:
  """Returns a row of the table about classification and evaluation."""
  if name == paired_runs.CONTROL:
    return (f"{task['what']}, {name}", _milliseconds(runs, task, name), '-', '-',
            paired_runs.ratio_cell(runs.ratio(task, name, BOTH)))
  medians = {part: runs.medians(task, part) for part in (DECODING, NETWORK)}
  # A device that waits takes as long as decoding: see the runner.
  slower = max((part for part in medians if medians[part]),
               key=lambda part: statistics.median(medians[part].values()),
               default=DECODING) if name == BOTH else DECODING
  return (f"{task['what']}, {name}",
          *(_milliseconds(runs, task, part) for part in (name, DECODING, NETWORK)),
          paired_runs.ratio_cell(runs.ratio(task, name, slower)))


def _milliseconds(runs, task, name):
  seconds = runs.medians(task, name).values()
  return (f'{statistics.median(seconds) / task["batch_size"] * 1e3:,.1f}' if seconds
          else str(runs.skipped(task, name)))


def report(runs: paired_runs.Runs, trained: list, overlapped: list) -> str:
  """Returns the Markdown page."""
  return '\n\n'.join([
      '# Large photographs',
      f'Milliseconds for a photograph of {phone_photos.WIDTH} x'
      f' {phone_photos.HEIGHT} pixels (JPEG, 3 MB). The ratio is that of rates within'
      ' each round; above 1, the first is faster.',
      f'{paired_runs.conditions(runs)}.',
      f'    {paired_runs.command_line("photo_folders")}',
      'The training input:',
      paired_runs.table(
          ('', 'ms', 'the other, ms', 'ratio'),
          [training_line(runs, task, name) for task, _ in trained
           for name in (CONVERTED, REDUCED, paired_runs.CONTROL)]),
      f'Classification and evaluation of files with {FLAGS.network}, beside the slower'
      ' one of decoding alone and the network alone. Both share the cores, so their'
      ' times add up. A network on a device of its own is simulated by a model that'
      ' waits as long as decoding takes:',
      paired_runs.table(
          ('', 'ms', f'{DECODING}, ms', f'{NETWORK}, ms', 'ratio'),
          [overlap_line(runs, task, name) for task, contenders in overlapped
           for name in (BOTH, ON_DEVICE, paired_runs.CONTROL)
           if name in [contender.name for contender in contenders]])]) + '\n'


def main(_):
  """Runs the missing measurements, then prints or writes the table."""
  paired_runs.check_flags_set(FLAGS['work_dir'])
  paired_runs.check_networks([FLAGS.network])
  folders = make_data()
  runs = paired_runs.Runs(os.path.join(FLAGS.work_dir, 'photo_folders.jsonl'))
  trained, overlapped = (
      [(task, paired_runs.with_control(contenders)) for task, contenders in part]
      for part in (training(folders), overlap(folders)))
  for task, contenders in [*trained, *overlapped]:
    runs.compare([task], contenders, FLAGS.rounds)
  paired_runs.write(report(runs, trained, overlapped), 'photo_folders', FLAGS.docs)


if __name__ == '__main__':
  running.run(main)
