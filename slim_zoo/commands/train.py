"""Trains an image classification network with slim on TFRecords.

  python train_image_classifier.py --dataset_name=digits --dataset_dir=data/digits \\
      --model_name=lenet --train_dir=runs/lenet --max_number_of_steps=1000

The same command goes on where the run stopped, by whatever it was stopped.
"""

from absl import flags

from slim_zoo.commands import common_flags, running
from slim_zoo.commands.train_flags import (
  augmentation,
  computation,
  fine_tuning,
  images,
  learning_rate,
  losses,
  machines,
  optimization,
  repeating,
  run,
  tensorboard,
  validation,
)

FLAGS = flags.FLAGS

# In the order of --help, of the checks and of the notes.
GROUPS = (run, images, augmentation, fine_tuning, losses, learning_rate, optimization,
          machines, computation, validation, repeating, tensorboard)

common_flags.define_network_flags()
common_flags.define_dataset_flags(split_name='train', batch_size=32)
for group in GROUPS:
  group.define()


def check_flags() -> None:
  """Refuses flags that make no sense, before any work.

  Raises:
    UserError: the first thing that is wrong.
  """
  if line := fine_tuning.adopt_run_facts():
    print(f'note: {line}', flush=True)
  for group in GROUPS:
    group.check()


def show_banner(dataset, num_classes, image_size, batches, schedule, beginning, more
                ) -> None:
  """Says what will run, and which flags change nothing."""
  from slim_zoo.training import banner
  banner.show([
      ('network', f'{FLAGS.model_name},'
                  f' {banner.parameters(optimization.trained_variables())}'),
      *images.rows(dataset, num_classes, image_size, batches),
      *machines.rows(dataset.num_samples),
      *computation.rows(),
      *learning_rate.rows(schedule, dataset.num_samples),
      *optimization.rows(),
      *fine_tuning.rows(beginning),
      *more,
      *run.rows(),
      *[('note', line) for group in GROUPS for line in group.notes()]])


def train() -> None:
  """Builds what the flags ask for, says what it is, and runs it."""
  # Importing TensorFlow takes seconds: only now, when the flags are right.
  computation.begin()
  from slim_zoo.datasets import record_images
  from slim_zoo.training import graph, loop

  start = fine_tuning.starting_point()
  if start.is_finished(FLAGS.max_number_of_steps):
    print(f'{start.resumed} is at step {start.step} of'
          f' {FLAGS.max_number_of_steps}: nothing is left to do')
    return
  seeds = repeating.begin(start)
  dataset, num_classes = common_flags.get_dataset()
  network_fn, image_size = images.network(num_classes)
  config = machines.deployment()
  slow = computation.check_devices(config)
  batches = images.training_input(
      dataset, image_size, seeds, config, validation.trained_part())
  validation.count_trained(dataset, batches)
  loss = losses.recipe(num_classes, batches)
  schedule = learning_rate.schedule(dataset.num_samples)
  training_graph = graph.build(
      config, batches.next_batch, network_fn, loss.add, schedule,
      optimization.make_optimizer, optimization.update_options(),
      tensorboard.displayable(), loss.cross_entropy)
  beginning, init_fn = fine_tuning.prepare(start, dataset, num_classes)
  fresh = fine_tuning.fresh_batch_norm(start, dataset, num_classes)
  computing = computation.watchers(training_graph)
  watchers = [
      *run.watchers(training_graph),
      *computing,
      *augmentation.watchers(dataset, image_size, batches),
      *repeating.watchers(training_graph),
      *tensorboard.watchers(dataset, num_classes, image_size, config, batches)]
  validators = validation.watchers(
      start, dataset, num_classes, image_size, config, batches, fresh)
  card = repeating.run_card(
      start, seeds, training_graph, batches, dataset, schedule,
      {'image_size': image_size, 'classes': num_classes, **losses.facts(loss),
       **computation.facts()},
      [watcher.report for watcher in [*validators, *computing]])

  show_banner(dataset, num_classes, image_size, batches, schedule, beginning,
              [*losses.rows(loss, dataset), *validation.rows(dataset, fresh),
               *repeating.rows(seeds, card), *slow,
               *[('note', line) for line in record_images.notes(batches.files)]])
  with card:
    finished = loop.run(training_graph, run.loop_options(), batches, init_fn,
                        [*watchers, *validators, card])
    card.stopped_by(finished.end)
  if batches.faults.summary():
    print(f'records passed over: {batches.faults.summary()}')
  if finished.step is None:
    print('other workers took the last step before this one took any')
  else:
    print(f'step {finished.step}: {finished.end}, the checkpoint is in'
          f' {FLAGS.train_dir}')


def main(unused_argv):
  """Checks the flags, then trains."""
  check_flags()
  run.make_train_dir()
  train()


def run_command() -> None:
  """Runs the command with the flags of the command line."""
  running.run(main)
