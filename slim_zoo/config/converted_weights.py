"""Conversions of weights between slim and other frameworks."""

import dataclasses

from slim_zoo import diagnostics
from slim_zoo.config.options import Config, Group, option

# In place of a file: the weights that the framework downloads.
PRETRAINED = 'pretrained'
# The kinds of graphs that can be converted to checkpoints, and their options.
GRAPHS = ('graph_def', 'saved_model')
_FOR_GRAPHS = {'model_name', 'source', 'target', 'framework', 'image_size', 'list'}


@dataclasses.dataclass(frozen=True)
class ConvertedWeights(Group):
  """The weights to convert, and the options of the conversion."""

  model_name: str | None = option(
      None, 'Name of the network in slim or in the other framework. By default it is'
      ' found by the shapes of the weights; --source=pretrained needs it.', str)
  source: str | None = option(
      None, 'The weights to read: a checkpoint, a folder for its latest checkpoint, a'
      " file of Keras, PyTorch or TensorFlow Lite (8 bits), a frozen graph, a"
      " SavedModel, 'pretrained', or published:NAME.", str, is_path=True)
  target: str | None = option(
      None, 'The file to write: a checkpoint, or weights of Keras or PyTorch.', str,
      is_path=True)
  framework: str | None = option(
      None, 'The other framework, if no suffix shows it. --from is the same.', str,
      choices=('keras', 'pytorch', 'tflite', *GRAPHS))
  list: bool = option(
      False, 'Print which networks can be converted, and for the others the reason.')
  format: str = option(
      'text', 'Format of --list; markdown prints the table of the documentation.',
      choices=('text', 'markdown'))
  num_classes: int | None = option(
      None, 'Number of classes of the weights of Keras or PyTorch, if the file does not'
      ' show it.', int, lower=1)
  background_class: str | None = option(
      None, "Class 0 of slim's ImageNet labels, which the other frameworks do not have."
      ' By default it is dropped from checkpoints of 1001 classes and never added.',
      str, choices=('keep', 'drop', 'add'))
  image_size: int | None = option(
      None, 'Height and width of the images, in the check and in later commands; by'
      " default the network's own.", int, lower=1)
  use_grayscale: bool = option(
      False, 'The weights of Keras or PyTorch are for gray images.')
  use_moving_averages: bool = option(
      False, 'Convert the moving averages of the weights in the checkpoint.')
  keep_channel_order: bool = option(
      False, 'Keep BGR images for a network of Keras that reads them, and do not'
      ' convert it to RGB for slim.')
  fold_normalization: bool = option(
      False, "Change timm's weights so that they fit images of"
      ' --preprocessing_name=vgg.')
  accept_differences: bool = option(
      False, 'Convert networks that differ so much that the weights are only a start'
      ' for training.')
  python: str = option(
      '', 'Interpreter that has the other framework, if it is not this one.',
      is_path=True)


@dataclasses.dataclass(frozen=True)
class ConvertWeightsConfig(Config):
  """Everything that decides how weights are converted."""

  weights: ConvertedWeights
  user_options: frozenset[str] = frozenset()

  def check(self) -> None:
    """Refuses a conversion without network, source and target.

    Raises:
      UserError: the first that is missing.
    """
    for name in ('source', 'target'):
      if not getattr(self.weights, name):
        raise diagnostics.UserError(f'no --{name}: see --help for an example')
    if self.weights.source == PRETRAINED and not self.weights.model_name:
      raise diagnostics.UserError(
          f'--source={PRETRAINED} needs --model_name: slim-zoo convert-weights --list'
          ' prints the networks')
    if self.weights.framework in GRAPHS:
      own = {one.name for one in dataclasses.fields(ConvertedWeights)}
      for name in sorted(self.user_options & own - _FOR_GRAPHS):
        raise diagnostics.UserError(
            f'--{name} has no effect on --from={self.weights.framework}: leave it out')
