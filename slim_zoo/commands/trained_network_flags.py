"""A trained network and its classes: flags that several commands share."""

import dataclasses
import os

from absl import flags

from slim_zoo import diagnostics
from slim_zoo.catalog import datasets, imagenet_names, networks
from slim_zoo.checkpoints import checkpoint_names
from slim_zoo.commands import path_flags
from slim_zoo.datasets import labels
from slim_zoo.prediction import answers, class_names

FLAGS = flags.FLAGS


@dataclasses.dataclass(frozen=True)
class TrainedNetwork:
  """A trained network by the flags, the checkpoint and its run card, in this order.

  Attributes:
    choice: the `network_choice.Choice`.
    labels: the name of each class.
    preprocessing_name: a family or a network.
    use_grayscale: whether images are turned to gray.
    moving_averages: whether the weights' moving averages are used in their place.
    multi_label: whether an image of its data set has any number of classes, by the
      run card.
  """

  choice: object
  labels: list[str]
  preprocessing_name: str
  use_grayscale: bool
  moving_averages: bool
  multi_label: bool


def define() -> None:
  """Defines the flags."""
  path_flags.DEFINE_path('checkpoint_path', None,
                         'Checkpoint, or a folder: its latest checkpoint.')
  flags.DEFINE_string('model_name', None,
                      'Name of the network; by default read from the checkpoint.')
  flags.DEFINE_integer('num_classes', None,
                       'Number of logits; by default read from the checkpoint.',
                       lower_bound=1)
  flags.DEFINE_float('moving_average_decay', None,
                     'Use the moving averages of the weights, which training kept. Any'
                     ' value above 0 reads them, such as 0.9999.', lower_bound=0,
                     upper_bound=1)
  flags.DEFINE_string('preprocessing_name', None,
                      'Preprocessing family; by default read from the run card beside'
                      ' the checkpoint, else the family of the network.')
  flags.DEFINE_boolean('use_grayscale', None,
                       'Turn images to one gray channel; by default read from the run'
                       ' card.')
  flags.DEFINE_integer('eval_image_size', None,
                       'Height and width of the images; by default read from the run'
                       ' card, else the size of the network.', lower_bound=1)
  path_flags.DEFINE_path('labels_file', None,
                         'Names of the classes: lines such as 0:daisy, or a name on'
                         ' each line. By default labels.txt in --dataset_dir (if the'
                         ' command has this flag), beside the checkpoint, or in the'
                         ' data folder of its run card.')
  flags.DEFINE_integer('labels_offset', None,
                       'Subtracted from every label of the labels file: 1 leaves out'
                       ' the background class of ImageNet, which VGG and ResNet v1 do'
                       ' not have. By default read from the run card, else 0.',
                       lower_bound=0)


def check() -> None:
  """Checks names and the labels file before TensorFlow is imported.

  Raises:
    UserError: the first thing that is wrong.
  """
  if not FLAGS.checkpoint_path:
    raise diagnostics.UserError(
        'no --checkpoint_path: name a checkpoint such as model.ckpt-1000, or a folder')
  checkpoint_names.check_there(FLAGS.checkpoint_path)
  if FLAGS.model_name:
    networks.get_image_network(FLAGS.model_name)
    _check_image_size(FLAGS.model_name)
  if FLAGS.preprocessing_name:
    networks.check_preprocessing(FLAGS.preprocessing_name)
  if FLAGS.labels_file:
    class_names.read(FLAGS.labels_file)


def find(dataset_dir: str | None = None) -> TrainedNetwork:
  """Reads the checkpoint and its run card.

  Args:
    dataset_dir: the folder of its training data; labels.txt there must fit.

  Raises:
    UserError: the checkpoint, the flags and the labels do not fit one another.
  """
  from slim_zoo.checkpoints import trained_input
  from slim_zoo.prediction import network_choice
  averages = bool(FLAGS.moving_average_decay)
  choice = network_choice.choose(
      FLAGS.checkpoint_path, FLAGS.model_name, FLAGS.num_classes,
      moving_averages=averages)
  _check_image_size(choice.model_name)
  made = trained_input.choose(
      choice.model_name, choice.num_classes, choice.checkpoint, choice.facts,
      trained_input.Given(FLAGS.eval_image_size, FLAGS.preprocessing_name,
                          FLAGS.use_grayscale, FLAGS.labels_offset),
      choice.weights_size)
  for note in filter(None, [made.note, *choice.notes]):
    answers.note(note)
  if made.use_grayscale and choice.channels != 1:
    raise diagnostics.UserError(
        f'--use_grayscale, but the network takes images of {choice.channels} channels:'
        ' leave the flag out')
  choice = dataclasses.replace(choice, image_size=made.image_size)
  labels_file = FLAGS.labels_file
  if not labels_file and dataset_dir and labels.has_labels(dataset_dir):
    labels_file = os.path.join(dataset_dir, labels.LABELS_FILENAME)
  folders = [os.path.dirname(choice.checkpoint),
             choice.facts and choice.facts.dataset_dir]
  return TrainedNetwork(
      choice, names_of(choice.num_classes, labels_file, made.labels_offset, folders,
                       _imagenet_names(choice)),
      made.preprocessing_name, made.use_grayscale, averages,
      _is_multi_label(choice.facts))


def _check_image_size(model_name):
  if FLAGS.eval_image_size:
    networks.check_image_size(model_name, FLAGS.eval_image_size, flag='eval_image_size')


def _imagenet_names(choice):
  """Returns the names of ImageNet's classes for a network that was trained on it.

  The run card says so, or without one as many classes as the published network has.
  """
  facts = choice.facts
  row = networks.get_network(choice.model_name)
  if (facts.dataset_name == 'imagenet') if facts else (
      row.num_classes == choice.num_classes):
    return imagenet_names.names(choice.num_classes)
  return None


def _is_multi_label(facts):
  """Returns whether the data set of a run card is multi-label; False without it."""
  if facts is None or facts.dataset_name is None:
    return False
  try:
    return datasets.find_dataset(facts.dataset_name, facts.dataset_dir).multi_label
  except diagnostics.UserError:
    return False


def names_of(num_classes: int, labels_file: str | None, labels_offset: int | None,
             folders: list[str | None],
             likely_names: list[str] | None = None) -> list[str]:
  """Returns the name of each class.

  Args:
    num_classes: of the network.
    labels_file: has to fit; None: the first of the folders whose labels.txt fits.
    labels_offset: what is taken off its labels.
    folders: to look in.
    likely_names: what the classes are called if there is no labels file, or None.
  """
  if labels_file:
    return class_names.fit(class_names.read(labels_file), labels_file, num_classes,
                           labels_offset or 0)
  names, unfit = class_names.find(folders, num_classes, labels_offset or 0)
  for line in unfit:
    answers.note(line)
  if names is None and likely_names:
    answers.note("the classes are named as ImageNet's: --labels_file names others")
    return likely_names
  if names is None and FLAGS.labels_offset:
    raise diagnostics.UserError('--labels_offset has no effect without a --labels_file')
  if names is None:
    answers.note('the classes have no names: add --labels_file')
    return class_names.numbered(num_classes)
  return names
