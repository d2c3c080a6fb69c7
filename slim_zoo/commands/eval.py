"""Evaluates an image classification network on every image of a split, once.

  slim-zoo eval --dataset_name=digits --dataset_dir=data/digits \\
      --dataset_split_name=test --model_name=lenet --checkpoint_path=runs/lenet \\
      --eval_dir=runs/lenet/eval

Prints the accuracy and writes a report: numbers, tables and pictures.
"""

import dataclasses
import glob
import os
import shlex
import sys
from collections.abc import Callable

from absl import flags

from slim_zoo import diagnostics
from slim_zoo.catalog import datasets as dataset_catalog
from slim_zoo.catalog import imagenet_names, networks
from slim_zoo.checkpoints import checkpoint_names
from slim_zoo.commands import common_flags, path_flags, running

FLAGS = flags.FLAGS

# --- What is evaluated.
path_flags.DEFINE_path('checkpoint_path', '/tmp/tfmodel/',
                       'Checkpoint to evaluate, or a folder: its latest checkpoint.')
flags.DEFINE_float('moving_average_decay', None,
                   'Evaluate the moving averages of the weights, which training'
                   ' kept. Any value above 0 reads them, such as 0.9999.',
                   lower_bound=0, upper_bound=1)
path_flags.DEFINE_path('train_dir', None,
                       'Not used: --checkpoint_path names what is evaluated.')
flags.DEFINE_boolean('quantize', False,
                     'Not supported: the quantization rewriter went with tf.contrib.')

# --- On which images.
common_flags.define_network_flags()
common_flags.define_dataset_flags(split_name='test', batch_size=100)
flags.DEFINE_integer('eval_image_size', None,
                     'Height and width of the images; by default as the run card'
                     ' beside the checkpoint says, or those of the network.',
                     lower_bound=1)
flags.DEFINE_integer('train_image_size', None,
                     'The same as --eval_image_size, as training calls it.',
                     lower_bound=1)

# --- How.
flags.DEFINE_integer('max_num_batches', None,
                     'Stop after so many batches; by default after the last image.',
                     lower_bound=1)

flags.DEFINE_boolean('recalibrate_batch_norm', False,
                     'First estimate the statistics of batch norm anew, over training'
                     ' images, and write them with everything else of the checkpoint'
                     ' to one of the same name and -recalibrated, which is evaluated.'
                     ' It is kept only if it does better on those images.')
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
  image_size = _given_image_size()
  if image_size and FLAGS['model_name'].present:
    networks.check_image_size(
        FLAGS.model_name, image_size,
        flag='eval_image_size' if FLAGS.eval_image_size else 'train_image_size')
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


def _given_image_size():
  """Returns the image size of the flags, or None.

  Raises:
    UserError: two flags give two sizes.
  """
  if None not in (FLAGS.eval_image_size, FLAGS.train_image_size) and (
      FLAGS.eval_image_size != FLAGS.train_image_size):
    raise diagnostics.UserError(
        f'--eval_image_size={FLAGS.eval_image_size} and --train_image_size='
        f'{FLAGS.train_image_size} both give the size of the images: leave out one of'
        ' them')
  return FLAGS.eval_image_size or FLAGS.train_image_size


@dataclasses.dataclass(frozen=True)
class _Network:
  """What is evaluated, as flags, run card, published facts and defaults have it.

  Attributes:
    model_name: of the network.
    num_classes: of its logits.
    labels_offset: what is taken off the labels of the records.
    image_size: height and width of its images.
    preprocessing_name: a family or a network.
    preprocessing_fn: of that, for evaluation.
    network_fn: builds it.
  """

  model_name: str
  num_classes: int
  labels_offset: int
  image_size: int
  preprocessing_name: str
  preprocessing_fn: Callable
  network_fn: Callable


def _network(checkpoint, dataset) -> _Network:
  """Finds out how the network of a checkpoint is evaluated; says what is not plain."""
  from slim_zoo.checkpoints import trained_input, values
  from slim_zoo.nets import nets_factory
  from slim_zoo.preprocessing import preprocessing_factory
  shapes = values.shapes_of(checkpoint)
  facts, note = trained_input.facts_of(checkpoint, shapes)
  given = {name: FLAGS[name].value if FLAGS[name].present else None
           for name in ('model_name', 'preprocessing_name', 'use_grayscale',
                        'labels_offset')}
  if facts and given['model_name'] not in (None, facts.model_name):
    facts = None  # What is wrong with that, its variables will show.
  if facts and facts.num_classes != dataset.num_classes - facts.labels_offset:
    # The offset is about the labels of another data set.
    facts = dataclasses.replace(facts, labels_offset=0)
  model_name = facts.model_name if facts else FLAGS.model_name
  labels_offset = given['labels_offset']
  if labels_offset is None:
    labels_offset = facts.labels_offset if facts else FLAGS.labels_offset
  num_classes = dataset.num_classes - labels_offset
  made = trained_input.choose(
      model_name, num_classes, checkpoint, facts, trained_input.Given(
          _given_image_size(), given['preprocessing_name'],
          given['use_grayscale'], given['labels_offset'], given['model_name']),
      default_model_name=FLAGS['model_name'].default)
  if made.image_size:
    networks.check_image_size(model_name, made.image_size, flag='eval_image_size')
  for line in filter(None, [made.note, note, trained_input.averages_note(
      shapes, facts, bool(FLAGS.moving_average_decay))]):
    print(f'note: {line}', flush=True)
  network_fn = nets_factory.get_network_fn(model_name, num_classes)
  return _Network(
      model_name, num_classes, labels_offset,
      made.image_size or network_fn.default_image_size, made.preprocessing_name,
      preprocessing_factory.get_preprocessing(
          made.preprocessing_name, False, made.use_grayscale), network_fn)


def _evaluation(dataset, network, part=None):
  """Returns what evaluates a checkpoint over a split, or over a part of it.

  In this process the weights of each are frozen into a graph; a server at --master
  is given one graph, with variables, which is the default one.
  """
  from slim_zoo.evaluation import checkpoint_evaluation
  from slim_zoo.input import batch_labels, pipeline
  multi_label = batch_labels.is_multi_label(dataset)

  def make_images():
    return pipeline.evaluation_input(
        dataset, pipeline.preprocess_with(network.preprocessing_fn, network.image_size),
        FLAGS.batch_size, network.labels_offset, FLAGS.num_preprocessing_threads,
        runs_here=not FLAGS.master, part=part, cache_dir=FLAGS.cache_dir)

  if not FLAGS.master:
    return checkpoint_evaluation.FrozenEvaluation(
        make_images, _classify_with(network, multi_label), network.num_classes,
        network.labels_offset, multi_label)
  return checkpoint_evaluation.build(
      make_images(), network.network_fn, network.num_classes, network.labels_offset,
      FLAGS.moving_average_decay, FLAGS.master, multi_label)


def _classify_with(network, multi_label):
  """Returns classify(checkpoint, images), see `FrozenEvaluation`."""
  from slim_zoo.inference import inference_graph

  def classify(checkpoint, images):
    *_, image_size, channels = images.shape.as_list()
    frozen = inference_graph.build(
        network.model_name, network.num_classes, checkpoint, image_size, channels,
        moving_averages=bool(FLAGS.moving_average_decay), multi_label=multi_label)
    return frozen.attach(images)[1]

  return classify


def _recalibrated(checkpoint, network):
  """Writes a checkpoint with new batch norm statistics; returns the better one.

  Both are measured on images of the split that the statistics are of.
  """
  from slim_zoo.evaluation import recalibration
  from slim_zoo.input import held_out, pipeline
  from slim_zoo.tf_compat import tf
  split = FLAGS.recalibration_split_name
  dataset, _ = common_flags.get_dataset(split)
  batch_size = min(FLAGS.batch_size, dataset.num_samples)
  num_batches = max(
      1, min(FLAGS.recalibration_images, dataset.num_samples) // batch_size)
  with tf.Graph().as_default():
    images = pipeline.training_input(
        dataset, pipeline.preprocess_with(network.preprocessing_fn, network.image_size),
        batch_size, network.labels_offset, num_threads=FLAGS.num_preprocessing_threads,
        runs_here=not FLAGS.master, cache_dir=FLAGS.cache_dir)
    target = recalibration.Recalibration(
        images, network.network_fn, FLAGS.moving_average_decay).run(
            checkpoint, num_batches, FLAGS.master)
  share = recalibration.MOST_JUDGED / dataset.num_samples
  part = held_out.Part(share, is_held_out=True) if share < 1 else None

  def measure(path):
    with tf.Graph().as_default():
      return _evaluation(dataset, network, part).run(path)[0]

  kept, comparison = recalibration.keep_the_better(checkpoint, target, measure)
  print(f'batch norm statistics of {num_batches * batch_size:,} images of {split}:'
        f' {comparison}', flush=True)
  return kept


def _class_names(dataset, network):
  """Returns the names of the classes, as the network counts them, or None."""
  names = dataset.labels_to_names
  if not names and FLAGS.dataset_name == 'imagenet':
    names = dict(enumerate(imagenet_names.names(dataset.num_classes) or ()))
  if not names:
    return None
  return {label - network.labels_offset: name for label, name in names.items()
          if label >= network.labels_offset}


@dataclasses.dataclass(frozen=True)
class _Result:
  """What was found of one checkpoint.

  Attributes:
    checkpoint: its prefix.
    step: its global step.
    metrics: the numbers.
    keys: the record of each image, see `over_split.evaluate`.
  """

  checkpoint: str
  step: int
  metrics: object
  keys: dict


def _report(result, evaluation, dataset, network):
  """Prints the headline, then writes the report folder and the summaries."""
  from slim_zoo.evaluation import multi_label_report, report, summaries
  from slim_zoo.input import records
  folder, metrics = os.path.join(FLAGS.eval_dir, 'report'), result.metrics
  header = {
      'network': network.model_name, 'data set': FLAGS.dataset_name,
      'split': FLAGS.dataset_split_name, 'checkpoint': result.checkpoint,
      'step': result.step, 'preprocessing': network.preprocessing_name,
      'image size': network.image_size,
      'command': shlex.join(running.command_line(sys.argv)), 'report': folder}
  if FLAGS.max_num_batches:
    header['part'] = f'the first {FLAGS.max_num_batches} batches only'
  names = _class_names(dataset, network)
  kind = multi_label_report if evaluation.multi_label else report
  print('\n'.join(kind.summary_lines(metrics, names, header)), flush=True)
  if FLAGS.max_num_batches:
    print(f'  note           {header["part"]}')
  elif metrics.num_images != dataset.described_samples:
    print(f'  note           {dataset.described_samples} images were expected in'
          f' {FLAGS.dataset_split_name} of {FLAGS.dataset_name}; the records hold'
          f' {metrics.num_images}, and all of them count')
  summaries.write(FLAGS.eval_dir, metrics, result.step)
  if evaluation.multi_label:
    problems = multi_label_report.write_report(folder, metrics, names, header)
  else:
    problems = report.write_report(
        folder, metrics, names, header, lambda number: records.read_image(
            evaluation.images.files, *result.keys[number]))
  for line in problems:
    print(f'  note           {line}', flush=True)


def _record_files(dataset):
  """Returns the paths of the record files of a split, sorted."""
  return sorted(
      path for pattern in dataset.data_sources for path in glob.glob(pattern))


def _note_images(dataset, network):
  """Says what is not seen of the images, by the first records."""
  from slim_zoo.catalog import networks
  from slim_zoo.input import record_faults, record_images
  files = _record_files(dataset)
  crop = networks.crop_note(
      network.preprocessing_name, network.image_size,
      record_faults.first_sizes(files, record_faults.expected_of(dataset)))
  for line in [*record_images.notes(files), *([crop] if crop else [])]:
    print(f'note: {line}', flush=True)


class _Evaluator:
  """Evaluates one checkpoint after the other, as the first of them asks for."""

  def __init__(self):
    self._dataset, self._network, self._evaluation = None, None, None

  def evaluate(self, checkpoint: str) -> None:
    """Evaluates a checkpoint and reports it.

    Raises:
      UserError: it cannot be read, or nothing of the run's is to be evaluated.
    """
    print(f'checkpoint {checkpoint}', flush=True)
    result = self._run(checkpoint)
    # What was found stands, whatever became of the checkpoint in the meantime.
    _report(result, self._evaluation, self._dataset, self._network)

  def _run(self, checkpoint):
    from slim_zoo.checkpoints import restore
    if self._evaluation is None:
      self._dataset, _ = common_flags.get_dataset()
      self._network = _network(checkpoint, self._dataset)
      self._evaluation = _evaluation(self._dataset, self._network)
      _note_images(self._dataset, self._network)
    if FLAGS.recalibrate_batch_norm:
      checkpoint = _recalibrated(checkpoint, self._network)
    step = restore.global_step_of(checkpoint)
    metrics, keys = self._evaluation.run(checkpoint, FLAGS.max_num_batches)
    return _Result(checkpoint, step, metrics, keys)


def _watch(evaluator):
  """Evaluates each new checkpoint of a folder; skips a deleted one."""
  from slim_zoo.checkpoints import restore, run_checkpoints
  print(f'waiting for checkpoints in {FLAGS.checkpoint_path}', flush=True)
  checkpoint = None
  for checkpoint in run_checkpoints.new_ones(
      FLAGS.checkpoint_path, FLAGS.watch_timeout_secs):
    try:
      evaluator.evaluate(checkpoint)
    except diagnostics.UserError:
      reason = restore.damage_of(checkpoint)
      if reason is None:
        raise
      if checkpoint_names.first_file(checkpoint) is None:
        reason = 'it was removed before it could be read'
      print(f'{checkpoint} is skipped: {reason}', flush=True)
  if checkpoint is None:
    raise diagnostics.UserError(
        f'no checkpoint came to {FLAGS.checkpoint_path} in'
        f' {FLAGS.watch_timeout_secs} seconds')


def evaluate() -> None:
  """Evaluates what the flags name."""
  from slim_zoo import tf_compat
  from slim_zoo.checkpoints import restore
  if FLAGS.train_dir is not None:
    print(f'note: --train_dir={FLAGS.train_dir} is not used: --checkpoint_path='
          f'{FLAGS.checkpoint_path} names what is evaluated', flush=True)
  tf_compat.drop_processor_notes()
  common_flags.show_unused_gpus()
  evaluator = _Evaluator()
  if FLAGS.watch:
    _watch(evaluator)
  else:
    evaluator.evaluate(restore.find(FLAGS.checkpoint_path))


def main(unused_argv):
  """Checks the flags, then evaluates."""
  check_flags()
  evaluate()


def run_command() -> None:
  """Runs the command with the flags of the command line."""
  running.run(main)
