"""Probes: `probe(config)` compares the features of networks on the same images."""

import dataclasses
import sys

from slim_zoo import diagnostics, progress
from slim_zoo.catalog import complexity, preprocessing_families
from slim_zoo.checkpoints import identified_network
from slim_zoo.checkpoints.trained_network import TrainedNetwork
from slim_zoo.config.probing import ProbeConfig
from slim_zoo.deployment import unused_gpus
from slim_zoo.drawing import charts
from slim_zoo.evaluation import metrics, probing, split_features
from slim_zoo.files import staging
from slim_zoo.input import fingerprint, pipeline, record_counts
from slim_zoo.prediction import answers, checkpoint_model
from slim_zoo.preprocessing import preprocessing_factory
from slim_zoo.tasks import inference_precision, memory
from slim_zoo.tf_compat import tf


@dataclasses.dataclass(frozen=True)
class ProbeResult:
  """The accuracies of classifiers on the features of one checkpoint.

  Attributes:
    checkpoint: as the option names it.
    network: its name.
    image_size: height and width of its images.
    num_features: of an image.
    multiply_adds: of the network for one image of its usual size; None: unknown.
    linear: cross-validated accuracy of logistic regression.
    neighbours: of k-nearest neighbours.
    behind: (difference, low, high): the accuracy of the best logistic regression minus
      this one, with an interval of 95%; None for the best.
  """

  checkpoint: str
  network: str
  image_size: int
  num_features: int
  multiply_adds: int | None
  linear: metrics.Accuracy
  neighbours: metrics.Accuracy
  behind: tuple[float, float, float] | None

  def values(self) -> dict[str, object]:
    """Returns the numbers as plain values, for JSON."""
    return {
        'checkpoint': self.checkpoint, 'network': self.network,
        'image_size': self.image_size, 'features': self.num_features,
        'multiply_adds': self.multiply_adds, 'images': self.linear.total,
        **{name: {'correct': accuracy.correct, 'accuracy': accuracy.value,
                  'interval_95': accuracy.interval}
           for name, accuracy in (('logistic_regression', self.linear),
                                  ('nearest_neighbours', self.neighbours))},
        'behind_the_best': self.behind and {
            'difference': self.behind[0], 'interval_95': self.behind[1:]}}


def probe(config: ProbeConfig) -> list[ProbeResult]:
  """Compares checkpoints; returns the best logistic regression first.

  Prints notes and the progress to stderr, and writes the chart.

  Args:
    config: what to do; `config.check()` has been called.

  Raises:
    UserError: the records or a checkpoint cannot be read, or there are too few images.
  """
  for line in unused_gpus.notes():
    answers.note(line)
  options, found = config.classifiers, []
  with memory.explained(config), staging.created(*config.folders):
    for path in config.checkpoints.checkpoint_path:
      network = _network(path)
      features, names = _features(config, network)
      for line in probing.check(
          features.labels, options.folds, options.neighbours, names):
        answers.note(line)
      with progress.Progress(
          f'classifiers for {path}', probing.fits(options.folds), 'fits') as fits:
        probed = probing.cross_validate(
            features.values, features.labels, options.folds, options.neighbours,
            options.seed, fits.update)
      found.append((path, network, features, probed))
  results = _results(found)
  if config.output.chart:
    _draw(config, results)
  return results


def _network(path) -> TrainedNetwork:
  """Returns the network of a checkpoint, with the size of its images."""
  network = identified_network.find(path)
  for note in network.notes:
    answers.note(f'{path}: {note}')
  return network


def _features(config, network):
  """Returns the features of all images, and the names of the classes or None.

  The features are from the cache if they are there.
  """
  images = config.images
  dataset = record_counts.get_dataset(
      images.dataset_name, images.dataset_split_name, images.dataset_dir)
  files = pipeline.record_files(dataset)
  precision, notes = inference_precision.checked(config.precision.precision, network)
  for note in notes:
    answers.note(note)
  key = split_features.key_of(
      network.checkpoint, network.model_name, network.image_size,
      network.channels, network.preprocessing_name, network.use_grayscale,
      repr(network.quantized), precision,
      fingerprint.fingerprint(files, dataset.num_samples)['digest'])
  return split_features.cached(
      images.cache_dir, key, lambda: _computed(config, network, dataset, precision)
  ), dataset.labels_to_names


def _check_channels(network, dataset):
  """Raises UserError for a network on RGB images that gets gray ones."""
  given = preprocessing_families.channels_after(
      network.preprocessing_name, dataset.channels, network.channels == 1)
  if given != network.channels:
    raise diagnostics.UserError(
        f"'{network.checkpoint}' is a network on images of {network.channels} channels,"
        f' and {network.preprocessing_name} preprocessing gives {given} of gray'
        ' images: leave the checkpoint out')


def _computed(config, network, dataset, precision):
  images = config.images
  _check_channels(network, dataset)
  model = checkpoint_model.CheckpointModel(
      network, checkpoint_model.ModelOutputs(features=True), config.devices.settings,
      precision)
  # The network turned colours to gray if its images have one channel.
  preprocessing_fn = preprocessing_factory.get_preprocessing(
      network.preprocessing_name, False, network.channels == 1)
  with model, tf.Graph().as_default():
    return split_features.collect(
        pipeline.evaluation_input(
            dataset, pipeline.preprocess_with(preprocessing_fn, model.image_size),
            images.batch_size, num_threads=images.num_preprocessing_threads),
        lambda pixels: model.predict(list(pixels)).features, config.devices.settings)


def _results(found):
  best = max((probed for *_, probed in found),
             key=lambda probed: probed[probing.LOGISTIC_REGRESSION].accuracy.value)
  best = best[probing.LOGISTIC_REGRESSION]
  results = []
  for path, network, features, probed in found:
    linear = probed[probing.LOGISTIC_REGRESSION]
    cost = complexity.load().get(network.model_name)
    results.append(ProbeResult(
        path, network.model_name,
        network.image_size or (cost.input_shape[-2] if cost else 0),
        features.values.shape[1], cost and cost.multiply_adds, linear.accuracy,
        probed[probing.NEAREST_NEIGHBOURS].accuracy,
        None if linear is best else linear.behind(best)))
  return sorted(results, key=lambda result: -result.linear.value)


def _draw(config, results):
  """Writes the chart of the accuracies."""
  images = config.images
  charts.write_intervals(
      config.output.chart,
      f'features of networks on {images.dataset_name}, {images.dataset_split_name}',
      {result.checkpoint: {
          kind: charts.Interval(
              100 * accuracy.value, *(100 * end for end in accuracy.interval),
              accuracy.percent)
          for kind, accuracy in (
              (probing.LOGISTIC_REGRESSION, result.linear),
              (f'{config.classifiers.neighbours} nearest neighbours',
               result.neighbours))} for result in results},
      f'accuracy in percent, {config.classifiers.folds}-fold cross-validation',
      f'{results[0].linear.total:,} images; intervals of 95%.')
  print(f'wrote {config.output.chart}', file=sys.stderr, flush=True)
