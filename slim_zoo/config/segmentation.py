"""Segmentation: the task and its network, and the options that do not fit it."""

import dataclasses
from collections.abc import Mapping, Set
from typing import Any

from slim_zoo import diagnostics
from slim_zoo.catalog import feature_maps, networks
from slim_zoo.catalog.datasets import DatasetSpec
from slim_zoo.config.options import Group, comma_separated, number_of, option

TASKS = CLASSIFICATION, SEGMENTATION = ('classification', 'segmentation')
DEFAULT_STRIDES = ('8', '16', '32')

_OF_IMAGES = 'it changes images, but not their masks'
_FLOAT32 = 'segmentation networks are trained in float32'
_ONE_SCORE = 'classes are scored at several strides'
# Options of training that do not fit, with the reason.
NOT_TRAINED_WITH = {
    'labels_offset': 'classes are the values of the masks',
    'cache_dir': 'the cache has no masks',
    'data_service': 'the service has no masks',
    'reduced_decoding': 'an image is decoded as completely as its mask',
    **dict.fromkeys(
        ('rand_augment_layers', 'rand_augment_magnitude', 'random_erasing_probability',
         'mixup_alpha', 'cutmix_alpha', 'mixing_off_epochs', 'trivial_augment'),
        _OF_IMAGES),
    'balance': 'a mask has several classes: use --class_weights',
    'layer_decay': 'backbone and scores have different scopes: use'
                   ' --learning_rate_multipliers',
    'transfer_classes_from': _ONE_SCORE,
    'teacher': 'distillation is of one class for each image',
    'stochastic_depth': 'the backbone is trained with all its blocks',
    'auxiliary_loss_weight': 'the network has no auxiliary head',
    'precision': _FLOAT32, 'mixed_precision': _FLOAT32,
    'data_format': 'the scores are channels last',
    **dict.fromkeys(
        ('quantize_delay', 'quantize_weight_bits', 'quantize_activation_bits',
         'quantize_per_channel', 'quantize_freeze_batch_norm_delay'),
        'the upsampling layers are not quantized')}
_LOSSES = ('softmax', 'softmax_focal')


@dataclasses.dataclass(frozen=True)
class Segmentation(Group):
  """The task, and the network and images of segmentation."""

  segmentation: bool = option(
      False, 'Train a network that gives the class of each pixel: FCN on the backbone'
      ' --model_name. --task=segmentation is the same, unless --task is the number of a'
      ' process.')
  segmentation_strides: tuple[str, ...] = option(
      DEFAULT_STRIDES, 'Segmentation: strides of the feature maps that FCN scores.'
      ' 8,16,32 is FCN-8s, 16,32 is FCN-16s, 32 is FCN-32s.')
  segmentation_scales: str = option(
      '0.5,2', 'Segmentation: images and masks are scaled by a random factor between'
      ' these two and cropped to --train_image_size; 1,1 does not scale.')
  segmentation_flip: bool = option(
      True, 'Segmentation: flip half of the images and masks from left to right in'
      ' training.')

  @property
  def is_on(self) -> bool:
    """Whether the task is segmentation."""
    return self.segmentation

  @property
  def strides(self) -> tuple[int, ...]:
    """The strides as numbers.

    Raises:
      UserError: one is not a whole number above 0, or twice there.
    """
    texts = self.segmentation_strides
    if not texts or not all(map(diagnostics.whole_number, texts)) or (
        len(set(texts)) < len(texts)):
      raise diagnostics.UserError(
          f"--segmentation_strides={','.join(texts)}: expected whole numbers"
          ' above 0, each once, such as 8,16,32')
    return tuple(map(int, texts))

  @property
  def scales(self) -> tuple[float, float]:
    """The smallest and the largest scale.

    Raises:
      UserError: they are not two numbers above 0 in order.
    """
    numbers = [number_of(text) for text in comma_separated(self.segmentation_scales)]
    if len(numbers) != 2 or None in numbers or not 0 < numbers[0] <= numbers[1] <= 16:
      raise diagnostics.UserError(
          f'--segmentation_scales={self.segmentation_scales}: expected the smallest and'
          ' the largest scale, above 0 and up to 16, such as 0.5,2')
    return tuple(numbers)

  def describe(self) -> list[str]:
    """Returns the line of the banner on the augmentation."""
    low, high = self.scales
    scaled = '' if low == high == 1 else (
        f'images and masks scaled by {low:g} to {high:g}, ')
    flipped = ', half of them flipped' if self.segmentation_flip else ''
    return [f'{scaled}random crops{flipped}']

  def check(self, model_name: str, image_size: int | None, spec: DatasetSpec,
            loss_names: list[str], values: Mapping[str, Any], user_options: Set[str]
            ) -> None:
    """Refuses options that do not fit the task.

    Args:
      model_name: the backbone.
      image_size: height and width of the crops; None: those of the backbone.
      spec: facts of the data set.
      loss_names: names of the losses.
      values: of all options by name.
      user_options: names of the options that the user set.

    Raises:
      UserError: the first fault.
    """
    check_data(self.is_on, spec)
    if not self.is_on:
      for name in ('segmentation_strides', 'segmentation_scales', 'segmentation_flip'):
        if name in user_options:
          raise diagnostics.UserError(
              f'--{name} has no effect without --segmentation: leave it out')
      return
    known = feature_maps.feature_map_names(model_name)
    missing = sorted(set(self.strides) - set(known))
    if missing:
      raise diagnostics.UserError(
          f"--segmentation_strides={','.join(self.segmentation_strides)}: {model_name}"
          f" has feature maps at the strides {', '.join(map(str, known))}")
    smallest = feature_maps.smallest_size(model_name, self.strides)
    if image_size and not smallest <= image_size <= networks.LARGEST_SIDE:
      raise diagnostics.UserError(
          f'--train_image_size={image_size}: expected {smallest} to'
          f' {networks.LARGEST_SIDE} for {model_name} with the strides'
          f" {','.join(self.segmentation_strides)}")
    _ = self.scales
    refuse(NOT_TRAINED_WITH, values, user_options)
    for name in loss_names:
      if name not in _LOSSES:
        raise diagnostics.UserError(
            f"--loss={values['loss']} with --segmentation: a pixel has one class;"
            f" use {' or '.join(_LOSSES)}")


def check_data(is_segmentation: bool, spec: DatasetSpec) -> None:
  """Raises UserError for a data set of another task."""
  if is_segmentation and not spec.masks:
    raise diagnostics.UserError(
        f"--segmentation, but the data set '{spec.name}' has no masks: make one with"
        ' slim-zoo convert-images --segmentation')
  if spec.masks and not is_segmentation:
    raise diagnostics.UserError(
        f"the data set '{spec.name}' has masks, but no labels: name a data set with"
        ' labels, or train with --segmentation')


def name_task(values: Mapping[str, Any]) -> Mapping[str, Any]:
  """Returns options in which --task=segmentation is --segmentation.

  Args:
    values: by name, as the user set them. The option `task` is also the number of a
      process.
  """
  if values.get('task') not in TASKS:
    return values
  others = {name: value for name, value in values.items() if name != 'task'}
  return {'segmentation': values['task'] == SEGMENTATION, **others}


def refuse(reasons: Mapping[str, str], values: Mapping[str, Any],
           user_options: Set[str]) -> None:
  """Refuses options that do not fit segmentation.

  Args:
    reasons: by name of the option.
    values: of all options by name.
    user_options: names of the options that the user set.

  Raises:
    UserError: the user set one of them.
  """
  for name, reason in reasons.items():
    if name in user_options:
      value = values[name]
      flag = f'--{name}' if value is True else f'--{name}={value}'
      raise diagnostics.UserError(
          f'{flag} does not fit a segmentation network: {reason}; leave it out')
