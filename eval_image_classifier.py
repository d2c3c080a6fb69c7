"""Evaluates an image classification network on every image of a split, once.

  python eval_image_classifier.py --dataset_name=digits --dataset_dir=data/digits \\
      --dataset_split_name=test --model_name=lenet --checkpoint_path=runs/lenet \\
      --eval_dir=runs/lenet/eval

Prints the accuracy and writes a report: numbers, tables and pictures.
"""

import itertools
import os
import shlex
import sys

from absl import flags

import common_flags
import diagnostics
import path_flags
from catalog import datasets as dataset_catalog
from catalog import image_sizes
from checkpoints import checkpoint_names

FLAGS = flags.FLAGS

# --- What is evaluated.
path_flags.DEFINE_path('checkpoint_path', '/tmp/tfmodel/',
                       'Checkpoint to evaluate, or a folder, for the latest in it.')
flags.DEFINE_float('moving_average_decay', None,
                   'Evaluate the moving averages that training kept with this decay,'
                   ' in place of the weights.', lower_bound=0, upper_bound=1)
flags.DEFINE_boolean('quantize', False,
                     'Not supported: the quantization rewriter went with tf.contrib.')

# --- On which images.
common_flags.define_network_flags()
common_flags.define_dataset_flags(split_name='test', batch_size=100)
flags.DEFINE_integer('eval_image_size', None,
                     'Height and width of the images; by default those of the'
                     ' network.', lower_bound=1)

# --- How.
flags.DEFINE_integer('max_num_batches', None,
                     'Stop after so many batches; by default after the last image.',
                     lower_bound=1)

flags.DEFINE_boolean('recalibrate_batch_norm', False,
                     'First estimate the statistics of batch norm anew, over training'
                     ' images, and write them with everything else of the checkpoint'
                     ' to one of the same name and -recalibrated, which is evaluated.')
flags.DEFINE_string('recalibration_split_name', 'train',
                    'Split of the images for that.')
flags.DEFINE_integer('recalibration_images', 5000,
                     'How many of them, in batches of --batch_size; no more than the'
                     ' split has.', lower_bound=1)

# --- Where results go.
path_flags.DEFINE_path('eval_dir', '/tmp/tfmodel/',
                       'Folder for the summaries and, below report/, the report.')
flags.DEFINE_boolean('watch', False,
                     'Evaluate every new checkpoint of the folder --checkpoint_path'
                     ' as training writes it.')
flags.DEFINE_integer('watch_timeout_secs', None,
                     'With --watch: end after so many seconds without a new'
                     ' checkpoint; by default never.', lower_bound=1)


def check_flags() -> None:
  """Refuses flags that make no sense, before any work.

  Raises:
    UserError: the first thing that is wrong.
  """
  if FLAGS.quantize:
    raise diagnostics.UserError(
        '--quantize is not supported: the quantization rewriter went with'
        ' tf.contrib; leave it out')
  if FLAGS.watch_timeout_secs and not FLAGS.watch:
    raise diagnostics.UserError('--watch_timeout_secs has no effect without --watch')
  if FLAGS.watch and any(os.path.isfile(FLAGS.checkpoint_path + suffix)
                         for suffix in ('', '.index')):
    raise diagnostics.UserError(
        f'--watch needs a folder of checkpoints, {FLAGS.checkpoint_path} is one'
        ' checkpoint')
  common_flags.check_names()
  if FLAGS.eval_image_size:
    image_sizes.check(FLAGS.model_name, FLAGS.eval_image_size, FLAGS.eval_image_size,
                      flag='eval_image_size')
  if not FLAGS.watch:
    checkpoint_names.check_there(FLAGS.checkpoint_path)
  _check_recalibration()
  os.makedirs(FLAGS.eval_dir, exist_ok=True)


def _check_recalibration():
  for flag in ('recalibration_split_name', 'recalibration_images'):
    if FLAGS[flag].present and not FLAGS.recalibrate_batch_norm:
      raise diagnostics.UserError(
          f'--{flag} has no effect without --recalibrate_batch_norm')
  if not FLAGS.recalibrate_batch_norm:
    return
  if FLAGS.watch:
    raise diagnostics.UserError(
        '--recalibrate_batch_norm is for one checkpoint: leave out --watch')
  spec = dataset_catalog.find_dataset(FLAGS.dataset_name, FLAGS.dataset_dir)
  split = FLAGS.recalibration_split_name
  if split not in spec.splits:
    raise diagnostics.UserError(
        f'--recalibration_split_name={split} is no split of {spec.name} (known:'
        f' {", ".join(spec.splits)}): name the one that was trained on')
  dataset_catalog.split_files(spec, split, FLAGS.dataset_dir)


def _evaluation(dataset, num_classes):
  """Returns what evaluates a checkpoint over the split, and the image size.

  In this process the weights of each are frozen into a graph; a server at --master
  is given one graph, with variables.
  """
  from datasets import batch_labels, pipeline
  from evaluation import checkpoint_evaluation
  from nets import nets_factory
  multi_label = batch_labels.is_multi_label(dataset)
  network_fn = nets_factory.get_network_fn(FLAGS.model_name, num_classes)
  image_size = FLAGS.eval_image_size or network_fn.default_image_size
  preprocessing_fn = common_flags.get_preprocessing_fn(is_training=False)

  def make_images():
    return pipeline.evaluation_input(
        dataset, pipeline.preprocess_with(preprocessing_fn, image_size),
        FLAGS.batch_size, FLAGS.labels_offset, FLAGS.num_preprocessing_threads,
        runs_here=not FLAGS.master, cache_dir=FLAGS.cache_dir)

  if not FLAGS.master:
    return checkpoint_evaluation.FrozenEvaluation(
        make_images, _classify_with(num_classes, multi_label), num_classes,
        FLAGS.labels_offset, multi_label), image_size
  return checkpoint_evaluation.build(
      make_images(), network_fn, num_classes, FLAGS.labels_offset,
      FLAGS.moving_average_decay, FLAGS.master, multi_label), image_size


def _classify_with(num_classes, multi_label):
  """Returns classify(checkpoint, images), see `FrozenEvaluation`."""
  from export import inference_graph

  def classify(checkpoint, images):
    *_, image_size, channels = images.shape.as_list()
    frozen = inference_graph.build(
        FLAGS.model_name, num_classes, checkpoint, image_size, channels,
        moving_averages=bool(FLAGS.moving_average_decay), multi_label=multi_label)
    return frozen.attach(images)[1]

  return classify


def _recalibrated(checkpoint, num_classes, image_size):
  """Writes a checkpoint with new batch norm statistics; returns its prefix."""
  from datasets import dataset_factory, pipeline
  from evaluation import recalibration
  from nets import nets_factory
  from tf_compat import tf
  dataset = dataset_factory.get_dataset(
      FLAGS.dataset_name, FLAGS.recalibration_split_name, FLAGS.dataset_dir)
  batch_size = min(FLAGS.batch_size, dataset.num_samples)
  num_batches = max(
      1, min(FLAGS.recalibration_images, dataset.num_samples) // batch_size)
  with tf.Graph().as_default():
    images = pipeline.training_input(
        dataset, pipeline.preprocess_with(
            common_flags.get_preprocessing_fn(is_training=False), image_size),
        batch_size, FLAGS.labels_offset, num_threads=FLAGS.num_preprocessing_threads,
        runs_here=not FLAGS.master, cache_dir=FLAGS.cache_dir)
    target = recalibration.Recalibration(
        images, nets_factory.get_network_fn(FLAGS.model_name, num_classes),
        FLAGS.moving_average_decay).run(checkpoint, num_batches, FLAGS.master)
  print(f'batch norm statistics of {num_batches * batch_size:,} images of'
        f' {FLAGS.recalibration_split_name}: {target}', flush=True)
  return target


def _checkpoints():
  """Yields the checkpoints to evaluate: one, or each new one of a folder."""
  from checkpoints import restore, run_checkpoints
  if FLAGS.watch:
    print(f'waiting for checkpoints in {FLAGS.checkpoint_path}', flush=True)
    paths = run_checkpoints.new_ones(FLAGS.checkpoint_path, FLAGS.watch_timeout_secs)
  else:
    paths = [restore.find(FLAGS.checkpoint_path)]
  for path in paths:
    print(f'checkpoint {path}', flush=True)
    yield path


def _class_names(dataset):
  """Returns the names of the classes, as the network counts them, or None."""
  names = dataset.labels_to_names
  if not names:
    return None
  return {label - FLAGS.labels_offset: name for label, name in names.items()
          if label >= FLAGS.labels_offset}


def _report(metrics, keys, evaluation, dataset, checkpoint, image_size):
  """Writes the report folder and the summaries, prints the headline."""
  from checkpoints import restore
  from datasets import records
  from evaluation import multi_label_report, report, summaries
  step = restore.global_step_of(checkpoint)
  folder = os.path.join(FLAGS.eval_dir, 'report')
  header = {
      'network': FLAGS.model_name, 'data set': FLAGS.dataset_name,
      'split': FLAGS.dataset_split_name, 'checkpoint': checkpoint, 'step': step,
      'preprocessing': FLAGS.preprocessing_name or FLAGS.model_name,
      'image size': image_size, 'command': shlex.join(sys.argv), 'report': folder}
  if FLAGS.max_num_batches:
    header['part'] = f'the first {FLAGS.max_num_batches} batches only'
  names = _class_names(dataset)
  if evaluation.multi_label:
    multi_label_report.write_report(folder, metrics, names, header)
    lines = multi_label_report.summary_lines(metrics, names, header)
  else:
    report.write_report(
        folder, metrics, names, header,
        lambda number: records.read_image(evaluation.images.files, *keys[number]))
    lines = report.summary_lines(metrics, names, header)
  summaries.write(FLAGS.eval_dir, metrics, step)
  print('\n'.join(lines), flush=True)
  if FLAGS.max_num_batches:
    print(f'  note           {header["part"]}')
  elif metrics.num_images != dataset.num_samples:
    print(f'  note           {dataset.num_samples} images were expected in'
          f' {FLAGS.dataset_split_name} of {FLAGS.dataset_name}; the records hold'
          f' {metrics.num_images}, and all of them count')


def evaluate() -> None:
  """Evaluates what the flags name."""
  checkpoints = _checkpoints()
  first = next(checkpoints, None)
  if first is None:
    raise diagnostics.UserError(
        f'no checkpoint came to {FLAGS.checkpoint_path} in'
        f' {FLAGS.watch_timeout_secs} seconds')
  dataset, num_classes = common_flags.get_dataset()
  evaluation, image_size = _evaluation(dataset, num_classes)
  if FLAGS.recalibrate_batch_norm:
    first = _recalibrated(first, num_classes, image_size)
  for checkpoint in itertools.chain([first], checkpoints):
    metrics, keys = evaluation.run(checkpoint, FLAGS.max_num_batches)
    _report(metrics, keys, evaluation, dataset, checkpoint, image_size)


def main(unused_argv):
  """Checks the flags, then evaluates."""
  check_flags()
  evaluate()


if __name__ == '__main__':
  diagnostics.run_script(main)
