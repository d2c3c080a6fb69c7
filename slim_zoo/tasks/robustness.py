"""Robustness: `test(config)` counts the correct images for every corruption."""

import dataclasses
import sys

from slim_zoo import progress
from slim_zoo.checkpoints import identified_network, restore
from slim_zoo.checkpoints.trained_network import TrainedNetwork
from slim_zoo.config.options import options_of
from slim_zoo.config.robustness import RobustnessConfig, TestedNetwork
from slim_zoo.deployment import session_configs, unused_gpus
from slim_zoo.evaluation import robustness, robustness_report, split_features
from slim_zoo.evaluation.corruptions import table
from slim_zoo.evaluation.robustness import Counts
from slim_zoo.files import staging
from slim_zoo.inference import inference_graph
from slim_zoo.input import fingerprint, pipeline, record_counts, records
from slim_zoo.nets import nets_factory
from slim_zoo.preprocessing import preprocessing_factory
from slim_zoo.tasks import memory
from slim_zoo.tf_compat import tf


@dataclasses.dataclass(frozen=True)
class RobustnessResult:
  """The accuracies of a checkpoint on corrupted images.

  Attributes:
    checkpoint: prefix of the checkpoint.
    step: global step of the checkpoint.
    counts: number of correct images.
    output_dir: folder of the files.
  """

  checkpoint: str
  step: int
  counts: Counts
  output_dir: str

  @property
  def accuracy(self) -> float:
    """The accuracy without corruption, 0 to 1."""
    return self.counts.accuracy().value

  @property
  def mean_accuracy(self) -> float:
    """The mean accuracy over all corruptions and severities, 0 to 1."""
    return self.counts.mean

  @property
  def values(self) -> dict[str, object]:
    """All numbers as plain values, as in robustness.json."""
    return {'checkpoint': self.checkpoint, 'step': self.step,
            **robustness_report.values_of(self.counts, tuple(self.counts.corrupted))}


def test(config: RobustnessConfig, command: str) -> RobustnessResult:
  """Evaluates a checkpoint on corrupted images; writes the files.

  Prints notes to stdout and the progress to stderr.

  Args:
    config: what to do; `config.check()` has been called.
    command: the command or the code that repeats the test.

  Raises:
    UserError: the records or the checkpoint cannot be read, or the network gives NaN.
    OSError: a file cannot be written.
  """
  for line in unused_gpus.notes():
    print(f'note: {line}', file=sys.stderr, flush=True)
  with staging.created(*config.folders):
    return _test(config, command)


def _test(config, command):
  images, folder = config.images, config.corruptions.output_dir
  with memory.explained(config), tf.Graph().as_default():
    checkpoint = restore.find(config.checkpoint.checkpoint_path)
    dataset = record_counts.get_dataset(
        images.dataset_name, images.dataset_split_name, images.dataset_dir)
    network = _network(config, checkpoint, dataset)
    files = pipeline.record_files(dataset)
    key = _key(config, network, files, dataset.num_samples)
    facts = _facts(config, network, command)
    counts = _counts(config, network, dataset, key, facts)
  # robustness.json keeps the counts of the kinds of earlier runs.
  robustness_report.save(folder, key, counts, facts, config.corruptions.kinds)
  counts = counts.of_kinds(config.corruptions.kinds)
  title = (f'{network.model_name} on corrupted images of {images.dataset_name},'
           f' {images.dataset_split_name}')
  for line in robustness_report.write(
      folder, counts, title, _first_image(files), config.corruptions.seed,
      robustness.shortest_side(network.image_size)):
    print(f'note: {line}', flush=True)
  return RobustnessResult(
      checkpoint, restore.global_step_of(checkpoint), counts, folder)


def _network(config, checkpoint, dataset) -> TrainedNetwork:
  network = identified_network.for_labels(
      checkpoint, dataset.num_classes, config.network_options,
      options_of(TestedNetwork)['model_name'].default)
  for note in network.notes:
    print(f'note: {note}', flush=True)
  size = network.image_size or nets_factory.get_network_fn(
      network.model_name, network.num_classes).default_image_size
  return dataclasses.replace(network, image_size=size)


def _key(config, network, files, num_samples) -> str:
  """Returns the digest of everything that the counts depend on."""
  return split_features.key_of(
      network.checkpoint, network.model_name, network.image_size,
      network.preprocessing_name, network.use_grayscale, network.labels_offset,
      network.moving_averages, repr(network.quantized), table.VERSION,
      config.corruptions.seed, fingerprint.fingerprint(files, num_samples)['digest'])


def _facts(config, network, command):
  images = config.images
  return {
      'network': network.model_name, 'checkpoint': network.checkpoint,
      'data set': images.dataset_name, 'split': images.dataset_split_name,
      'preprocessing': network.preprocessing_name, 'image size': network.image_size,
      'seed': config.corruptions.seed, 'corruptions version': table.VERSION,
      'command': command}


def _counts(config, network, dataset, key, facts) -> Counts:
  """Returns the counts of all kinds; saves them after each kind."""
  folder, kinds = config.corruptions.output_dir, config.corruptions.kinds
  found = robustness_report.load(folder, key)
  done = dict(found.corrupted) if found else {}
  missing = [kind for kind in kinds if kind not in done]
  if found and len(missing) < len(kinds):
    print(f'note: {len(kinds) - len(missing)} of {len(kinds)} corruptions are those of'
          f' an earlier run in {folder}', flush=True)
  passes = [*([] if found else [None]), *missing]
  if not passes:
    return found
  split = _corrupted_split(config, network, dataset)
  num_images, clean = split.images.count_records(), found.clean if found else 0
  settings = session_configs.session_config(config.devices.settings)
  with tf.Session(config=settings) as session, progress.Progress(
      'corrupted images', num_images * len(passes), 'images') as shown:
    for place, kind in enumerate(passes):
      before = place * num_images
      correct = split.count(
          session, kind, lambda count, before=before: shown.update(before + count))
      if kind is None:
        clean = correct[0]
      else:
        done[kind] = correct
      robustness_report.save(
          folder, key, Counts(num_images, clean, done), facts, kinds)
  return Counts(num_images, clean, done)


def _corrupted_split(config, network, dataset) -> robustness.CorruptedSplit:
  def classify(pixels):
    channels = pixels.shape.as_list()[-1]
    return inference_graph.of_network(dataclasses.replace(
        network, channels=channels)).attach(pixels)[1]

  return robustness.CorruptedSplit(
      dataset, preprocessing_factory.get_preprocessing(
          network.preprocessing_name, is_training=False,
          use_grayscale=network.use_grayscale),
      network.image_size, classify, config.images.batch_size, network.labels_offset,
      config.images.num_preprocessing_threads, config.corruptions.seed)


def _first_image(files):
  """Returns the first image, uint8 [height, width, channels]; None if it is damaged."""
  try:
    image = records.read_image(files, 0, 0)
  except (ValueError, IndexError):
    return None
  return image if image.ndim == 3 else image[..., None]
