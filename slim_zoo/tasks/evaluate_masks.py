"""Evaluation of segmentation: every pixel of every image of a split, once."""

import dataclasses
import functools
from collections.abc import Callable, Sequence

import numpy as np

from slim_zoo import diagnostics
from slim_zoo.catalog.datasets import MASK_FEATURE
from slim_zoo.checkpoints import restore, segmentation_network
from slim_zoo.config.evaluation import EvaluateConfig
from slim_zoo.evaluation import (
  over_masks,
  recalibration,
  segmentation,
  segmentation_report,
  summaries,
)
from slim_zoo.images import image_decoding, mask_files
from slim_zoo.inference import mask_predictor, segmentation_graph
from slim_zoo.input import held_out, pipeline, record_counts, records
from slim_zoo.nets import fcn
from slim_zoo.preprocessing import mask_preprocessing
from slim_zoo.tasks import evaluation_processes, run_logging, watched_checkpoints
from slim_zoo.tf_compat import tf


@dataclasses.dataclass(frozen=True)
class SegmentationResult:
  """The numbers of one checkpoint.

  Attributes:
    checkpoint: its prefix.
    step: its global step.
    metrics: all numbers, with the names of the classes.
    report_dir: folder of the report.
  """

  checkpoint: str
  step: int
  metrics: segmentation.Metrics = dataclasses.field(repr=False)
  report_dir: str

  def __str__(self):
    return (f'mean IoU {self.mean_iou:.2%}, pixel accuracy {self.pixel_accuracy:.2%}:'
            f' {self.checkpoint}, step {self.step}')

  @property
  def mean_iou(self) -> float:
    """The mean intersection over union of the classes, 0 to 1."""
    return self.metrics.mean_iou

  @property
  def pixel_accuracy(self) -> float:
    """The share of right pixels, 0 to 1."""
    return self.metrics.pixel_accuracy

  @property
  def num_images(self) -> int:
    """How many images were evaluated, unreadable ones included."""
    return self.metrics.num_images

  @property
  def per_class(self) -> list[dict[str, object]]:
    """A row for each class, as in per_class.csv: label, name, pixels, iou, ..."""
    return self.values['classes']

  @property
  def values(self) -> dict[str, object]:
    """All numbers as plain values, as in report.json."""
    return segmentation_report.report_values(self.metrics, {
        'checkpoint': self.checkpoint, 'step': self.step, 'report': self.report_dir})


def evaluate(config: EvaluateConfig, command: str,
             tracking: run_logging.EvaluationLogger,
             has_ended: Callable[[], bool] | None = None) -> SegmentationResult | None:
  """Evaluates a checkpoint, or each new one of a watched folder.

  Other arguments, result and errors are those of `evaluate.evaluate`.

  Args:
    config: what to do.
    command: repeats the evaluation.
    tracking: gets the results.
    has_ended: tells whether a watched run has ended.
  """
  options = config.checkpoint
  if options.watch:
    result = None
    for checkpoint in watched_checkpoints.of(
        options.checkpoint_path, options.watch_timeout_secs, has_ended):
      with watched_checkpoints.skipping_damaged(checkpoint):
        result = _evaluate(config, checkpoint, command, tracking)
    return result
  checkpoint = restore.find(options.checkpoint_path)
  print(f'checkpoint {checkpoint}', flush=True)
  processes = evaluation_processes.of(config)
  if processes is not None:
    processes.meet(checkpoint)
  return _evaluate(config, checkpoint, command, tracking, processes)


def _evaluate(config, checkpoint, command, tracking, processes=None):
  """Evaluates one checkpoint and writes its report; of several processes the chief."""
  restore.verify(checkpoint)
  dataset = record_counts.get_dataset(
      config.data.dataset_name, config.data.dataset_split_name, config.data.dataset_dir)
  network = segmentation_network.find(checkpoint, config.network_options)
  for note in network.notes:
    print(f'note: {note}', flush=True)
  _check_classes(network, dataset)
  if config.recalibration.recalibrate_batch_norm:
    checkpoint = _recalibrated(config, network)
    network = dataclasses.replace(network, checkpoint=checkpoint)
  evaluation = _evaluation(config, dataset, network, processes is not None)
  counts = _counts(config, evaluation, checkpoint, processes)
  if counts is None:
    print('the chief writes the report', flush=True)
    return None
  names = dataset.labels_to_names or {}
  metrics = segmentation.evaluate(counts, network.class_names or [
      names.get(label, f'class {label}') for label in range(network.num_classes)])
  step = restore.global_step_of(checkpoint)
  header = config.segmentation_header(network, step, command)
  print('\n'.join(segmentation_report.summary_lines(metrics, header)), flush=True)
  values = {'eval/mean_iou': metrics.mean_iou,
            'eval/pixel_accuracy': metrics.pixel_accuracy,
            'eval/cross_entropy': metrics.cross_entropy}
  summaries.write_values(config.results.eval_dir, values, step)
  files = evaluation.images.files
  notes = [header['part']] if 'part' in header else []
  notes += segmentation_report.write_report(
      config.results.report_dir, metrics, header,
      functools.partial(_pictures, config, network, files),
      lambda row: _name_of(files, row))
  for note in notes:
    print(f'  note           {note}', flush=True)
  tracking.add(checkpoint, step, network.model_name, values)
  return SegmentationResult(checkpoint, step, metrics, config.results.report_dir)


def _recalibrated(config, network):
  """Writes a checkpoint with new batch norm statistics; returns the better one.

  Both are measured on images of the split that the statistics are of.
  """
  options = config.recalibration
  dataset = record_counts.get_dataset(
      config.data.dataset_name, options.recalibration_split_name,
      config.data.dataset_dir)
  batch_size = min(_batch_size(config), dataset.num_samples)
  num_batches = max(1, min(
      options.recalibration_images, dataset.num_samples) // batch_size)
  with tf.Graph().as_default():
    images = pipeline.training_input(
        dataset, preprocess_with(network), batch_size,
        num_threads=config.data.num_preprocessing_threads)
    network_fn = fcn.get_network_fn(
        network.model_name, network.num_classes, network.strides)

    def build(pixels):
      pixels.set_shape([None, None, None, network.channels])
      return network_fn(pixels)

    target = recalibration.Recalibration(
        images, build, config.checkpoint.moving_average_decay).run(
            network.checkpoint, num_batches, settings=config.devices.settings)
  share = recalibration.MOST_JUDGED / dataset.num_samples
  part = held_out.Part(share, is_held_out=True) if share < 1 else None

  def measure(path):
    of_path = dataclasses.replace(network, checkpoint=path)
    counts = _evaluation(config, dataset, of_path, part=part).collect(path)
    return segmentation.evaluate(counts, [''] * network.num_classes)

  kept, comparison = recalibration.keep_better_checkpoint(
      network.checkpoint, target, measure)
  print(f'batch norm statistics of {num_batches * batch_size:,} images of'
        f' {options.recalibration_split_name}: {comparison}', flush=True)
  return kept


def _evaluation(config, dataset, network, is_shared=False, part=None):
  return over_masks.FrozenEvaluation(
      functools.partial(_images, config, dataset, network, is_shared, part),
      functools.partial(_logits, network), network.num_classes, config.devices.settings)


def _batch_size(config):
  """Returns the images of a batch: 1, unless all have the same size."""
  return config.data.batch_size if config.data.spec().image_size else 1


def _check_classes(network, dataset):
  if network.num_classes != dataset.num_classes:
    raise diagnostics.UserError(
        f"the checkpoint '{network.checkpoint}' has {network.num_classes} classes, the"
        f' data set {dataset.num_classes}: evaluate it on the one that it was trained'
        ' on')


def _images(config, dataset, network, is_shared, part):
  """Returns the input: whole images with their masks."""
  return pipeline.evaluation_input(
      dataset, preprocess_with(network), _batch_size(config),
      num_threads=config.data.num_preprocessing_threads, part=part,
      shard=pipeline.fed_shard() if is_shared else None)


def preprocess_with(network) -> Callable:
  """Returns the preprocessing of whole images and masks for an input pipeline.

  Args:
    network: the `SegmentationNetwork`.
  """
  return pipeline.preprocess_masks_with(functools.partial(
      mask_preprocessing.preprocess_for_eval, name=network.preprocessing_name,
      stride=network.stride, smallest=network.smallest,
      use_grayscale=network.use_grayscale))


def _logits(network, checkpoint, images):
  frozen = segmentation_graph.of_network(
      dataclasses.replace(network, checkpoint=checkpoint))
  images.set_shape([None, None, None, network.channels])
  return frozen.attach(images)[0]


def _counts(config, evaluation, checkpoint, processes):
  """Returns the counts over the split; None to processes that are not the chief."""
  if processes is None:
    return segmentation.add_up(
        [evaluation.collect(checkpoint, config.data.max_num_batches)])
  workers = processes.workers
  own = evaluation.collect(checkpoint, shard=(workers.cluster.task, workers.count))
  print(f'{len(own.rows) + len(own.unreadable)} images of this process are evaluated'
        + (', waiting for the other processes' if workers.is_chief else ''), flush=True)
  contents = processes.exchange(own.to_bytes())
  return contents and segmentation.add_up(
      [segmentation.Counts.of_bytes(content) for content in contents],
      evaluation.images.count_records())


def _name_of(files, row):
  """Returns the name of an image, or of its record."""
  name = records.read_features(files, *row.key).get('image/filename')
  return name[0].decode('utf-8', 'surrogateescape') if name else (
      records.describe(files, *row.key))


def _pictures(config, network, files, rows: Sequence[segmentation.ImageRow]
              ) -> list[segmentation_report.Picture]:
  """Returns the images and masks of some records, with the predicted masks."""
  with (tf.Graph().as_default(),
        mask_predictor.MaskPredictor(network, config.devices.settings) as predictor,
        tf.Session() as session):
    encoded = tf.placeholder(tf.string, [])
    decoded = image_decoding.decode(encoded, network.decoded_channels)
    pictures = []
    for row in rows:
      features = records.read_features(files, *row.key)
      pixels = session.run(decoded, {encoded: features['image/encoded'][0]})
      pictures.append(segmentation_report.Picture(
          np.squeeze(pixels), mask_files.decode(features[MASK_FEATURE][0]),
          predictor.predict(pixels)[0]))
  return pictures
