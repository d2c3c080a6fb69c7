"""The segmentation network of a checkpoint: FCN on a backbone.

The variables give the classes and the scored strides. The run card beside the
checkpoint gives the backbone and the form of its images. Options of a command have
priority over the card.
"""

import dataclasses
import re
from collections.abc import Mapping, Sequence

from slim_zoo import diagnostics
from slim_zoo.catalog import feature_maps, networks, variables
from slim_zoo.checkpoints import restore, run_card, trained_network, values
from slim_zoo.checkpoints.trained_network import NetworkOptions

_SCORE = re.compile(r'FCN/score_(\d+)/weights')


@dataclasses.dataclass(frozen=True)
class SegmentationNetwork:
  """A segmentation network with the weights of a checkpoint.

  Attributes:
    checkpoint: the prefix of the checkpoint.
    model_name: the backbone.
    num_classes: number of classes of a pixel.
    strides: strides of the scored feature maps, the smallest first.
    channels: channels of the network's input, 1 or 3.
    preprocessing_name: a preprocessing family or a network.
    use_grayscale: whether images are converted to gray.
    moving_averages: whether the moving averages of the weights are used.
    class_names: name of each class; () if the run card has none.
    card: the facts of its run; None without a usable run card.
    notes: lines on the run card and on unused moving averages.
  """

  checkpoint: str
  model_name: str
  num_classes: int
  strides: tuple[int, ...]
  channels: int
  preprocessing_name: str
  use_grayscale: bool = False
  moving_averages: bool = False
  class_names: tuple[str, ...] = ()
  card: run_card.RunFacts | None = None
  notes: tuple[str, ...] = ()

  @property
  def decoded_channels(self) -> int:
    """The channels of an image before it is converted to gray."""
    return 3 if self.use_grayscale else self.channels

  @property
  def stride(self) -> int:
    """The stride of the deepest feature map, to which images are padded."""
    return max(self.strides)

  @property
  def smallest(self) -> int:
    """The smallest height and width that the backbone takes."""
    return feature_maps.smallest_size(self.model_name, self.strides)


def scored_strides(shapes: Mapping[str, Sequence[int]]) -> tuple[int, ...]:
  """Returns the scored strides of a checkpoint; () for other kinds of networks.

  Args:
    shapes: shapes of its variables, by name.
  """
  return tuple(sorted(
      int(match[1]) for match in map(_SCORE.fullmatch, shapes) if match))


def is_segmentation(checkpoint: str) -> bool:
  """Returns whether a checkpoint is of a segmentation network.

  Args:
    checkpoint: a prefix, a folder for its latest, or published:NAME.

  Raises:
    UserError: there is no checkpoint.
  """
  return bool(scored_strides(values.shapes_of(restore.find(checkpoint))))


def find(checkpoint: str, options: NetworkOptions = NetworkOptions()
         ) -> SegmentationNetwork:
  """Returns the segmentation network of a checkpoint.

  Args:
    checkpoint: a prefix, or a folder, for its latest.
    options: options of the command.

  Raises:
    UserError: there is no checkpoint, it is not a segmentation network, its
      backbone is not known, or an option does not fit.
  """
  path = restore.find(checkpoint)
  shapes = values.shapes_of(path)
  strides = scored_strides(shapes)
  if not strides:
    raise diagnostics.UserError(
        f"the checkpoint '{path}' is not a segmentation network: it has no"
        ' variables such as FCN/score_32/weights')
  num_classes = shapes[f'FCN/score_{strides[0]}/weights'][-1]
  card, note = run_card.facts_of(path)
  if card and (not card.is_segmentation or tuple(sorted(card.strides)) != strides):
    card, note = None, (
        f"the run card '{card.path}' is not used: it is of another network")
  model_name = options.model_name or (card and card.model_name)
  if model_name is None:
    raise diagnostics.UserError(
        f"the backbone of '{path}' is not known without its run card: name it with"
        ' --model_name in eval, classify or export')
  networks.get_image_network(model_name)
  missing = set(strides) - set(feature_maps.feature_map_names(model_name))
  if missing:
    raise diagnostics.UserError(
        f"'{path}' scores the strides {', '.join(map(str, strides))}, which"
        f' {model_name} does not have: name its backbone in --model_name')
  if options.num_classes not in (None, num_classes):
    raise diagnostics.UserError(
        f'--num_classes={options.num_classes}, but the checkpoint has {num_classes}'
        ' classes: leave the flag out')
  first = lambda option, of_card, default: next(
      value for value in (option, of_card, default) if value is not None)
  return SegmentationNetwork(
      path, model_name, num_classes, strides, _channels(model_name, shapes),
      first(options.preprocessing_name, card and card.preprocessing_name, model_name),
      first(options.use_grayscale, card and card.use_grayscale, False),
      options.moving_averages, card.class_names if card else (), card,
      tuple(filter(None, [note, trained_network.averages_note(
          shapes, card, options.moving_averages)])))


def _channels(model_name, shapes):
  """Returns the channels of the images, by the first convolution of the backbone."""
  for name, shape in variables.load()[model_name].shapes.items():
    if variables.CHANNELS in shape and name in shapes:
      return shapes[name][shape.index(variables.CHANNELS)]
  return networks.get_image_network(model_name).channels
