"""The parts of report.html that need more than the predictions of an evaluation."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from PIL import Image

from slim_zoo import diagnostics
from slim_zoo.catalog import preprocessing_families
from slim_zoo.checkpoints.trained_network import TrainedNetwork
from slim_zoo.config.evaluation import EvaluateConfig
from slim_zoo.deployment.session_settings import SessionSettings
from slim_zoo.drawing import colours, sheets
from slim_zoo.evaluation import (
    near_duplicates,
    paired_comparison,
    panels,
    report,
    split_features,
)
from slim_zoo.evaluation.metrics import Metrics
from slim_zoo.evaluation.page import pictures
from slim_zoo.evaluation.page.extras import PageParts
from slim_zoo.evaluation.record_images import RecordImages
from slim_zoo.input import pipeline, record_counts
from slim_zoo.prediction import checkpoint_model
from slim_zoo.preprocessing import preprocessing_factory
from slim_zoo.tf_compat import tf

_EXPLAINED_AT_ONCE = 8


def other_evaluation(
    config: EvaluateConfig) -> paired_comparison.OtherEvaluation | None:
  """Reads the evaluation to compare with; None without one.

  It is read before the new report, which may replace it, is written.

  Raises:
    UserError: it cannot be read.
  """
  folder = config.page.other_report
  return paired_comparison.read(folder) if folder and config.server.is_chief else None


def write_report(config: EvaluateConfig, network: TrainedNetwork, dataset,
                 other: paired_comparison.OtherEvaluation | None, metrics: Metrics,
                 header: Mapping[str, object], images: RecordImages, precision: str
                 ) -> PageParts:
  """Writes the report of an evaluation; returns what it has besides the numbers.

  Prints a line on each of these things, and on what is left out.

  Args:
    config: of the evaluation.
    network: with the weights of a checkpoint.
    dataset: the slim Dataset of the evaluated images.
    other: the evaluation to compare with.
    metrics: the numbers, with the names of the classes.
    header: facts of the evaluation.
    images: the evaluated images.
    precision: the type that the network is computed in.

  Raises:
    UserError: the records of the split of near-duplicates cannot be read.
    OSError: the folder cannot be written.
  """
  records = metrics.records
  extras = PageParts(images, functools.partial(
      grad_cam, _with_channels(network, dataset), images,
      dict(zip(records.keys.tolist(), records.predictions.tolist(), strict=True)),
      config.devices.settings) if config.page.grad_cam else None,
      _compared(metrics, other))
  # A page has a few hundred images.
  read_image = functools.cache(
      functools.partial(images.pixels, side=panels.THUMBNAIL_SIDE))

  def write(with_parts):
    return report.write_report(
        config.results.report_dir, metrics, None, header, read_image, with_parts)

  return write_with_slow_parts(
      write, extras, functools.partial(_with_near_duplicates, config, network, dataset,
                                       precision)
      if config.page.near_duplicates_of else None)


def write_with_slow_parts(
    write: Callable[[PageParts], list[str]], extras: PageParts,
    add_slow_parts: Callable[[PageParts], PageParts] | None) -> PageParts:
  """Writes a report, then computes slow parts and writes the report again.

  If the slow parts fail, the first report remains. Grad-CAM is computed once.

  Args:
    write: writes the report, and returns a line for each part that is left out. Each
      line is printed once.
    extras: the parts of the first report.
    add_slow_parts: returns the parts with the slow parts; None: there are none.

  Returns:
    The parts of the last report.
  """
  if extras.explain is not None:
    extras = dataclasses.replace(extras, explain=_cached(extras.explain))
  notes = write(extras)
  _print_notes(notes)
  if add_slow_parts is not None:
    extras = add_slow_parts(extras)
    _print_notes([note for note in write(extras) if note not in notes])
  return extras


def _cached(explain):
  """Returns a version of `PageParts.explain` that draws each picture once."""
  drawn = {}

  def explain_new(numbers):
    missing = [number for number in numbers if number not in drawn]
    if missing:
      drawn.update(explain(missing))
    return {number: drawn[number] for number in numbers if number in drawn}

  return explain_new


def _print_notes(notes):
  for note in notes:
    print(f'  note           {note}', flush=True)


def _compared(metrics, other):
  """Returns the comparison with another evaluation, or None."""
  if other is None:
    return None
  try:
    comparison = paired_comparison.compare(metrics, other)
  except diagnostics.UserError as error:
    print(f'  note           the comparison is left out: {error}', flush=True)
    return None
  print(f'  compared with  {comparison.line()}', flush=True)
  return comparison


def grad_cam(network: TrainedNetwork, images: RecordImages,
             predictions: Mapping[int, int], settings: SessionSettings,
             numbers: Sequence[int]) -> dict[int, Image.Image]:
  """Returns Grad-CAM pictures for the predicted classes, by number of the image.

  Args:
    network: the network, with the channels of its input.
    images: the evaluated images.
    predictions: predicted classes by number of the image. With several views of an
      image they may differ from the most probable classes of one view.
    settings: settings of the session.
    numbers: numbers of the images to draw.

  Raises:
    UserError: the network cannot be explained.
  """
  drawn, wanted = {}, checkpoint_model.ModelOutputs(heat=True)
  with checkpoint_model.CheckpointModel(network, wanted, settings) as model:
    for start in range(0, len(numbers), _EXPLAINED_AT_ONCE):
      batch = numbers[start:start + _EXPLAINED_AT_ONCE]
      found = model.predict([model.prepare(images.encoded(one)) for one in batch],
                            explained=[predictions[one] for one in batch])
      drawn.update({one: _overlay(picture, heat) for one, picture, heat in zip(
          batch, found.pictures, found.heat, strict=True)})
  return drawn


def _overlay(picture, heat):
  """Returns the input of the network with heat over it."""
  image = sheets.image_of(picture)
  # Small inputs are enlarged by a whole number, so that each pixel is a square.
  scale = max(1, -(-pictures.SIDE // max(image.size)))
  return colours.heat_overlay(image.resize(
      [side * scale for side in image.size], Image.Resampling.NEAREST), heat)


def _with_channels(network, dataset):
  return dataclasses.replace(network, channels=preprocessing_families.channels_after(
      network.preprocessing_name, dataset.channels, network.use_grayscale))


def _with_near_duplicates(config, network, dataset, precision, extras):
  """Returns the extras with near-duplicates in the split that an option names."""
  split, data = config.page.near_duplicates_of, config.data
  other = record_counts.get_dataset(data.dataset_name, split, data.dataset_dir)
  numbers = {tuple(key): number for number, key in extras.images.keys.items()}
  model = checkpoint_model.CheckpointModel(
      _with_channels(network, dataset), checkpoint_model.ModelOutputs(features=True),
      config.devices.settings, precision)
  features_here, evaluated = [], []

  def keep(features, unused_labels, of_batch):
    features_here.append(features)
    evaluated.extend(numbers[tuple(key)] for key in of_batch.tolist())

  with model:
    _for_each_batch(config, network, model, dataset, data.dataset_split_name, keep,
                    data.max_num_batches)
    if not evaluated:
      return extras
    search = near_duplicates.Search(np.concatenate(features_here))
    _for_each_batch(config, network, model, other, split, search.add)
  files = pipeline.record_files(other)
  # The search identifies the other images by record keys.
  by_key = RecordImages(files, {key: key for key in search.others})
  found = search.compare_pixels(
      np.array(evaluated), split,
      functools.partial(extras.images.pixels, side=pictures.SIDE),
      functools.partial(by_key.pixels, side=pictures.SIDE))
  print(f'  duplicates     {found.line()}', flush=True)
  others = dict(enumerate(map(tuple, found.others.tolist())))
  return dataclasses.replace(
      extras, near_duplicates=found, other_images=RecordImages(files, others))


def _for_each_batch(config, network, model, dataset, split, use, max_num_batches=None):
  """Computes the features of the images of a split; see `split_features`."""
  preprocessing_fn = preprocessing_factory.get_preprocessing(
      network.preprocessing_name, False, network.use_grayscale)
  data, settings = config.data, config.devices.settings
  with tf.Graph().as_default():
    images = pipeline.evaluation_input(
        dataset, pipeline.preprocess_with(preprocessing_fn, model.image_size),
        data.batch_size, network.labels_offset, data.num_preprocessing_threads)
    split_features.for_each_batch(
        images, lambda pixels: model.predict(list(pixels)).features, use, settings,
        f'features of {split}', max_num_batches)
