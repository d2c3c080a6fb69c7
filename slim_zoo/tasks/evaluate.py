"""Evaluation of a checkpoint: `evaluate(config)`."""

import dataclasses
import functools
import glob
import sys
from collections.abc import Callable

from slim_zoo.catalog import imagenet_names, preprocessing_families, view_kinds
from slim_zoo.checkpoints import (
  identified_network,
  quantization,
  restore,
  trained_network,
)
from slim_zoo.config.data import Network
from slim_zoo.config.evaluation import EvaluateConfig
from slim_zoo.config.options import options_of
from slim_zoo.deployment import precision_hint, unused_gpus
from slim_zoo.evaluation import (
  checkpoint_evaluation,
  multi_label,
  multi_label_report,
  paired_comparison,
  present_classes,
  real_labels,
  recalibration,
  report,
  summaries,
)
from slim_zoo.evaluation import metrics as metrics_lib
from slim_zoo.evaluation.near_duplicates import NearDuplicates
from slim_zoo.evaluation.precision_choice import PrecisionChooser
from slim_zoo.evaluation.record_images import RecordImages
from slim_zoo.files import staging
from slim_zoo.inference import inference_graph
from slim_zoo.input import (
  batch_labels,
  first_records,
  held_out,
  label_counts,
  pipeline,
  record_counts,
  record_form,
)
from slim_zoo.nets import nets_factory
from slim_zoo.preprocessing import views
from slim_zoo.tasks import (
  evaluate_masks,
  evaluation_processes,
  inference_precision,
  memory,
  report_page,
  run_logging,
  watched_checkpoints,
)
from slim_zoo.tf_compat import tf


@dataclasses.dataclass(frozen=True)
class EvaluationResult:
  """The numbers of one checkpoint.

  Attributes:
    checkpoint: prefix of the checkpoint; with recalibration, of the better checkpoint.
    step: global step of the checkpoint.
    metrics: all numbers, with the names of the classes: `evaluation.metrics.Metrics`,
      or `evaluation.multi_label.Metrics` for a multi-label data set.
    report_dir: folder of the report.
    precision: number type in which the network was computed.
    real: accuracy on ImageNet-ReaL; None without `real_labels`.
    comparison: comparison with another evaluation; None without `compare_with`.
    near_duplicates: near duplicates in another split; None without
      `near_duplicates_of`.
  """

  checkpoint: str
  step: int
  metrics: metrics_lib.Metrics | multi_label.Metrics = dataclasses.field(repr=False)
  report_dir: str
  precision: str = 'float32'
  real: real_labels.RealAccuracy | None = None
  comparison: paired_comparison.Comparison | None = dataclasses.field(
      default=None, repr=False)
  near_duplicates: NearDuplicates | None = dataclasses.field(default=None, repr=False)

  def __str__(self):
    return (f'{self.accuracy:.2%}, {self.num_correct} of {self.num_images} images are'
            f' right: {self.checkpoint}, step {self.step}')

  @property
  def is_multi_label(self) -> bool:
    """Whether an image may have several classes, or none."""
    return isinstance(self.metrics, multi_label.Metrics)

  @property
  def accuracy(self) -> float:
    """The share of correct images, 0 to 1.

    A multi-label image is correct if the network predicts exactly its classes.
    """
    return self.num_correct / self.num_images

  @property
  def num_correct(self) -> int:
    """The number of correct images."""
    return self.metrics.exact if self.is_multi_label else self.metrics.top1.correct

  @property
  def num_images(self) -> int:
    """The number of evaluated images; images that cannot be decoded count as wrong."""
    return self.metrics.num_images

  @property
  def per_class(self) -> list[dict[str, object]]:
    """A row for each class, as in per_class.csv: label, name, images, correct, ..."""
    return self.values['classes']

  @property
  def values(self) -> dict[str, object]:
    """All numbers as plain values, as in report.json."""
    return _report_module(self.is_multi_label).report_values(self.metrics, {
        'checkpoint': self.checkpoint, 'step': self.step, 'precision': self.precision,
        'report': self.report_dir, **({'ReaL': self.real.values} if self.real else {})})


def evaluate(config: EvaluateConfig, command: str,
             has_ended: Callable[[], bool] | None = None) -> EvaluationResult | None:
  """Evaluates a checkpoint, or each new one of a watched folder.

  Prints notes, the progress and the main numbers; writes the report.

  Args:
    config: the options; `config.check()` has been called.
    command: the command or the code that repeats the evaluation.
    has_ended: returns whether the run in a watched folder has ended; None: unknown.

  Returns:
    The result; `evaluate_masks.SegmentationResult` for a data set with masks. For a
    watched folder, the result of the last checkpoint; None if there was no checkpoint.
    With several processes, only the chief has a result; the others return None.

  Raises:
    UserError: the records or the checkpoint cannot be read; one line that says what
      to do.
  """
  _print_notes(config.notes())
  _print_notes(unused_gpus.notes(), sys.stderr)
  with (tf.Graph().as_default(), memory.explained(config),
        staging.created(*config.folders),
        run_logging.EvaluationLogger(config) as tracking):
    if config.is_segmentation:
      return evaluate_masks.evaluate(config, command, tracking, has_ended)
    if config.checkpoint.watch:
      return _watch(config, command, tracking, has_ended)
    checkpoint = restore.find(config.checkpoint.checkpoint_path)
    print(f'checkpoint {checkpoint}', flush=True)
    processes = evaluation_processes.of(config)
    if processes is not None:
      processes.meet(checkpoint)
    set_up = _set_up(config, checkpoint, is_shared=processes is not None)
    return _evaluate(config, set_up, checkpoint, command, tracking, processes)


def _print_notes(lines, stream=None):
  for line in lines:
    print(f'note: {line}', file=stream, flush=True)


def _watch(config, command, tracking, has_ended):
  """Evaluates each new checkpoint of a folder; skips a deleted one."""
  folder, timeout = config.checkpoint.checkpoint_path, (
      config.checkpoint.watch_timeout_secs)
  set_up = result = None
  for checkpoint in watched_checkpoints.of(folder, timeout, has_ended):
    with watched_checkpoints.skipping_damaged(checkpoint):
      set_up = set_up or _set_up(config, checkpoint)
      result = _evaluate(config, set_up, checkpoint, command, tracking)
  return result


@dataclasses.dataclass(frozen=True)
class _SetUp:
  """The objects that the evaluations of several checkpoints share.

  Attributes:
    dataset: slim Dataset of the split.
    network: network of the first checkpoint, with its image size and preprocessing.
    evaluation: evaluates a checkpoint on the split.
    classes: classes that can be predicted; None: all.
    real_lists: result of `real_labels.read`, or None.
    other: the evaluation to compare with, or None.
  """

  dataset: object
  network: trained_network.TrainedNetwork
  evaluation: checkpoint_evaluation.Evaluation | checkpoint_evaluation.FrozenEvaluation
  classes: list[int] | None = None
  real_lists: list[list[int]] | None = None
  other: paired_comparison.OtherEvaluation | None = None


def _set_up(config, checkpoint, is_shared=False):
  """Finds the records and the network of the first checkpoint."""
  dataset = _dataset(config, config.data.dataset_split_name)
  network = _network(config, checkpoint, dataset)
  path = config.test_sets.real_labels
  real_lists = real_labels.read(path) if path else None
  classes = _present_classes(config, dataset, network)
  evaluation = _evaluation(
      config, dataset, network, is_shared=is_shared, classes=classes)
  _print_notes(_image_notes(dataset, network, config.views.tta))
  return _SetUp(dataset, network, evaluation, classes, real_lists,
                report_page.other_evaluation(config))


def _present_classes(config, dataset, network):
  """Returns the classes that can be predicted; None: all."""
  if not config.test_sets.only_present_classes:
    return None
  classes = present_classes.classes_with_images(label_counts.count(
      pipeline.record_files(dataset), config.data.spec(), network.labels_offset))
  _print_notes([f'predictions are chosen among the {len(classes):,} classes that have'
                f' images, of {network.num_classes:,}'])
  return classes


def _dataset(config, split_name):
  return record_counts.get_dataset(
      config.data.dataset_name, split_name, config.data.dataset_dir)


def _evaluate(config, set_up, checkpoint, command, tracking, processes=None):
  """Evaluates one checkpoint; the chief writes the report."""
  if config.recalibration.recalibrate_batch_norm:
    checkpoint = _recalibrated(config, checkpoint, set_up.network)
  step = restore.global_step_of(checkpoint)
  found = (processes.run(set_up.evaluation, checkpoint) if processes else
           set_up.evaluation.run(checkpoint, config.data.max_num_batches))
  if found is None:
    print('the chief writes the report', flush=True)
    return None
  numbers, keys = found
  numbers = numbers.with_names(_class_names(config, set_up))
  result = EvaluationResult(
      checkpoint, step, numbers, config.results.report_dir, set_up.evaluation.dtype,
      _real_accuracy(set_up, numbers, keys))
  # The numbers are printed even if the checkpoint is removed or the report cannot be
  # written.
  network = dataclasses.replace(set_up.network, checkpoint=checkpoint)
  header = {**config.header(network, step, command, result.precision),
            **_test_set_facts(config, set_up, result)}
  print('\n'.join(_report_module(result.is_multi_label).summary_lines(
      numbers, None, header)), flush=True)
  if result.real:
    print(f'  ReaL           {result.real}', flush=True)
  _print_report_notes([
      *_count_notes(config, header, set_up.dataset, numbers),
      *_class_notes(config, set_up, numbers)])
  values = {**summaries.values_of(numbers), **(
      {'eval/ReaL': result.real.accuracy.value} if result.real else {})}
  summaries.write_values(config.results.eval_dir, values, step)
  result = _with_report(config, set_up, network, result, header, keys)
  tracking.add(checkpoint, step, network.model_name, values)
  return result


def _real_accuracy(set_up, numbers, keys):
  """Returns the accuracy on ImageNet-ReaL, or None."""
  if set_up.real_lists is None:
    return None
  return real_labels.evaluate(
      numbers.records, set_up.real_lists,
      real_labels.image_numbers(set_up.evaluation.images.files, keys),
      set_up.network.labels_offset)


def _test_set_facts(config, set_up, result):
  """Returns header lines about --only_present_classes and --real_labels."""
  facts = {}
  if set_up.classes is not None:
    facts['classes'] = (f'predictions among the {len(set_up.classes):,} classes that'
                        f' have images, of {set_up.network.num_classes:,}')
  if result.real:
    facts['ReaL'] = f'{result.real} ({config.test_sets.real_labels})'
  return facts


def _class_notes(config, set_up, numbers):
  """Returns a line if few classes have images, but all classes can be predicted."""
  if set_up.classes is not None or config.data.max_num_batches or (
      isinstance(numbers, multi_label.Metrics)):
    return []
  line = present_classes.note(numbers.per_class.support)
  return [line] if line else []


def _network(config, checkpoint, dataset) -> trained_network.TrainedNetwork:
  """Returns the network to evaluate; prints the values of the run card."""
  network = identified_network.for_labels(
      checkpoint, dataset.num_classes, config.network_options,
      options_of(Network)['model_name'].default)
  _print_notes(network.notes)
  return dataclasses.replace(
      network, image_size=network.image_size or _network_fn(network).default_image_size)


def _network_fn(network):
  return nets_factory.get_network_fn(
      network.model_name, network.num_classes,
      **quantization.network_options(network.quantized))


def _preprocess(network, kind=None):
  """Returns the preprocessing of an image for evaluation.

  With test-time augmentation it makes several views.
  """
  return pipeline.preprocess_with(
      views.get_preprocessing(
          network.preprocessing_name, kind, network.use_grayscale),
      network.image_size)


def _evaluation(config, dataset, network, part=None, is_shared=False, classes=None):
  """Returns the evaluation of checkpoints over a split, or over a part of it.

  In this process the weights of each are frozen into a graph; a server at --master
  is given one graph, with variables, which is the default one.
  """
  data, master, kind = config.data, config.server.master, config.views.tta
  batch_size = view_kinds.images_in_batch(data.batch_size, kind)
  is_multi_label = batch_labels.is_multi_label(dataset)

  def make_images():
    return pipeline.evaluation_input(
        dataset, _preprocess(network, kind),
        batch_size, network.labels_offset, data.num_preprocessing_threads,
        runs_here=not master, part=part, cache_dir=data.cache_dir,
        shard=pipeline.fed_shard() if is_shared else None)

  if not master:
    precision, notes = inference_precision.checked(config.precision.precision, network)
    _print_notes(notes)
    return checkpoint_evaluation.FrozenEvaluation(
        make_images, _classify_with(network, is_multi_label, classes),
        network.num_classes, network.labels_offset, is_multi_label,
        config.devices.settings, PrecisionChooser(
            precision, batch_size, is_multi_label,
            _is_hinted(config, network.model_name, dataset.num_samples),
            config.devices.settings))
  return checkpoint_evaluation.build(
      make_images(), _network_fn(network), network.num_classes, network.labels_offset,
      config.checkpoint.moving_average_decay, master, is_multi_label,
      config.devices.settings)


def _is_hinted(config, model_name, num_images):
  """Returns whether to print a hint that another precision is faster."""
  batches = config.data.max_num_batches
  if batches:
    num_images = min(num_images, batches * view_kinds.images_in_batch(
        config.data.batch_size, config.views.tta))
  return 'precision' not in config.user_options and precision_hint.is_long(
      model_name, num_images * view_kinds.count(config.views.tta))


def _classify_with(network, is_multi_label, classes=None):
  """Returns classify(checkpoint, images), see `FrozenEvaluation`.

  A prediction is one of `classes`; None: of all.
  """
  def classify(checkpoint, images):
    *_, image_size, channels = images.shape.as_list()
    frozen = inference_graph.of_network(dataclasses.replace(
        network, checkpoint=checkpoint, image_size=image_size, channels=channels,
        multi_label=is_multi_label))
    logits, probabilities = frozen.attach(images)
    if classes is None:
      return probabilities
    return present_classes.probabilities(logits, classes)

  return lambda checkpoint, images: views.mean_probabilities(
      functools.partial(classify, checkpoint), images)


def recalibrated(config: EvaluateConfig, checkpoint: str) -> str:
  """Writes a checkpoint with new batch norm statistics; returns the better one.

  Args:
    config: its options of the recalibration, the data and the devices are used.
    checkpoint: a prefix.

  Raises:
    UserError: the checkpoint or the records cannot be read.
  """
  with memory.explained(config):
    network = _network(
        config, checkpoint, _dataset(config, config.data.dataset_split_name))
    return _recalibrated(config, checkpoint, network)


def _recalibrated(config, checkpoint, network):
  """Writes a checkpoint with new batch norm statistics; returns the better one.

  Both are measured on images of the split that the statistics are of.
  """
  data, master = config.data, config.server.master
  split = config.recalibration.recalibration_split_name
  dataset = _dataset(config, split)
  batch_size = min(data.batch_size, dataset.num_samples)
  num_images = min(config.recalibration.recalibration_images, dataset.num_samples)
  num_batches = max(1, num_images // batch_size)
  with tf.Graph().as_default():
    images = pipeline.training_input(
        dataset, _preprocess(network),
        batch_size, network.labels_offset, num_threads=data.num_preprocessing_threads,
        runs_here=not master, cache_dir=data.cache_dir)
    target = recalibration.Recalibration(
        images, _network_fn(network), config.checkpoint.moving_average_decay).run(
            checkpoint, num_batches, master, config.devices.settings)
  share = recalibration.MOST_JUDGED / dataset.num_samples
  part = held_out.Part(share, is_held_out=True) if share < 1 else None

  def measure(path):
    with tf.Graph().as_default():
      return _evaluation(config, dataset, network, part).run(path)[0]

  kept, comparison = recalibration.keep_better_checkpoint(checkpoint, target, measure)
  print(f'batch norm statistics of {num_batches * batch_size:,} images of {split}:'
        f' {comparison}', flush=True)
  return kept


def _class_names(config, set_up):
  """Returns the names of the classes, as the network counts them, or None."""
  names, offset = set_up.dataset.labels_to_names, set_up.network.labels_offset
  if not names and config.data.dataset_name == 'imagenet':
    names = dict(enumerate(imagenet_names.names(set_up.dataset.num_classes) or ()))
  if not names:
    return None
  return {label - offset: name for label, name in names.items() if label >= offset}


def _image_notes(dataset, network, kind):
  """Returns notes about cropped image parts, by the first records."""
  files = sorted(
      path for pattern in dataset.data_sources for path in glob.glob(pattern))
  sizes = first_records.sizes(files, record_form.expected_of(dataset))
  return [*first_records.decoding_notes(files), *preprocessing_families.crop_notes(
      network.preprocessing_name, network.image_size, sizes, kind)]


# --- The report.


def _report_module(is_multi_label):
  return multi_label_report if is_multi_label else report


def _print_report_notes(lines):
  for line in lines:
    print(f'  note           {line}', flush=True)


def _count_notes(config, header, dataset, numbers):
  """Returns a line if the number of images differs from the data set's description."""
  if config.data.max_num_batches:
    return [header['part']]
  if numbers.num_images == dataset.described_samples:
    return []
  return [f'{dataset.described_samples} images were expected in'
          f' {config.data.dataset_split_name} of {config.data.dataset_name}; the'
          f' records hold {numbers.num_images}, and all of them count']


def _with_report(config, set_up, network, result, header, keys):
  """Writes the report; returns the result with comparison and near duplicates."""
  if result.is_multi_label:
    _print_report_notes(multi_label_report.write_report(
        result.report_dir, result.metrics, None, header))
    return result
  extras = report_page.write_report(
      config, network, set_up.dataset, set_up.other, result.metrics, header,
      RecordImages(set_up.evaluation.images.files, keys), result.precision)
  return dataclasses.replace(
      result, comparison=extras.comparison, near_duplicates=extras.near_duplicates)
