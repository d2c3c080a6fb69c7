"""Whole conversions: read, convert, check numerically, write."""

import dataclasses
import os

import numpy as np

from slim_zoo import diagnostics
from slim_zoo.catalog import networks
from slim_zoo.checkpoints import restore, run_card
from slim_zoo.files import atomic, staging
from slim_zoo.weight_conversion import (
  checking,
  engine,
  framework_process,
  pairs,
  slim_networks,
)

# timm divides the channels of images in [0, 1] by these standard deviations.
_DEVIATIONS = (0.229, 0.224, 0.225)
_IMAGENET_WITH_BACKGROUND = 1001


@dataclasses.dataclass(frozen=True)
class Options:
  """The user's options.

  Attributes:
    num_classes: classes of the framework's network; None means those of its weights.
    background: 'keep', 'drop' or 'add' class 0; None drops it from a checkpoint of 1001
      classes and keeps the classes otherwise.
    image_size: size of the images; None means the network's own.
    channels: channels of the images, if the framework's weights are read.
    moving_averages: whether to convert the moving averages of the checkpoint.
    keep_channel_order: whether a network that reads BGR images reads BGR in slim too.
    fold_normalization: whether to fold timm's division by the deviations into the first
      kernel.
    accept_differences: whether to convert networks that differ so much that the weights
      are only a start for training.
    python: an interpreter that has the framework.
  """

  num_classes: int | None = None
  background: str | None = None
  image_size: int | None = None
  channels: int = 3
  moving_averages: bool = False
  keep_channel_order: bool = False
  fold_normalization: bool = False
  accept_differences: bool = False
  python: str = ''


def check(pair: pairs.Pair, into_slim: bool, options: Options) -> None:
  """Raises UserError for options that contradict the pair or the direction."""
  title, name = pair.framework.title, pair.model_name
  if options.fold_normalization and (not into_slim or 'fold' not in pair.preprocessing):
    raise diagnostics.UserError(
        '--fold_normalization is for timm weights with its usual normalization, from'
        f' PyTorch to slim, not for {name} {"from" if into_slim else "to"} {title}')
  if options.keep_channel_order and not pair.reads_bgr:
    raise diagnostics.UserError(
        f'--keep_channel_order has no effect: {title} {pair.framework_model} reads RGB,'
        ' like slim')
  if options.background == 'add' and not into_slim:
    raise diagnostics.UserError(
        '--background_class=add is for conversion to slim: give keep or drop')
  if options.moving_averages and into_slim:
    raise diagnostics.UserError(
        f'--use_moving_averages is for conversion to {title}, whose weights have none')
  if options.num_classes and not into_slim:
    raise diagnostics.UserError(
        '--num_classes is for conversion to slim: the checkpoint has the number of'
        ' classes')


def to_slim(pair: pairs.Pair, source: str, target: str,
            options: Options) -> list[str]:
  """Converts a framework's weights to a checkpoint; returns lines about it.

  Args:
    pair: the networks.
    source: a file, or 'pretrained'.
    target: the prefix of the checkpoint to write.
    options: the user's options.

  Raises:
    UserError: the weights do not fit, or the networks compute different functions.
  """
  rows = pair.rows()
  images = _images(pair, options.image_size, options.channels,
                   options.fold_normalization)
  size, channels = images.shape[1], images.shape[3]
  flips = _flips(pair, options, channels)
  outcome = framework_process.run(
      pair, _framework_images(images, flips, options.fold_normalization),
      classes=options.num_classes, weights=source, python=options.python)
  _check_finite(outcome.arrays, source)
  values = engine.to_slim(outcome.arrays, rows, pair.framework,
                          pair.shapes(outcome.logits.shape[1], channels))
  if outcome.absent and options.background in ('add', 'drop'):
    raise diagnostics.UserError(
        f"--background_class={options.background} has no effect: '{source}' has no"
        ' classes that fit')
  values, notes = _for_slim_images(values, pair, flips, options.fold_normalization)
  values, removed, note = _background(values, pair, options.background)
  notes += note
  lines = _compare(pair, slim_networks.run(pair, values, images), outcome, options,
                   skip_slim=removed < 0, skip_framework=removed > 0)
  num_classes = _classes(values, pair)
  classes = f'{num_classes} classes'
  if outcome.absent:
    num_classes, classes = None, 'without a head'
    values, note = _without_head(values, pair, outcome)
    notes.append(note)
  family = 'vgg' if options.fold_normalization else (
      pair.family or networks.NETWORKS[pair.model_name].preprocessing)
  slim_networks.write_with_card(
      values, target, pair.model_name, num_classes, size, channels, family)
  notes += _auxiliary_note(pair, into_slim=True)
  if options.keep_channel_order:
    notes.append('warning: the network reads BGR, but later commands give it RGB')
  return [f"'{target}': {pair.model_name}, {classes}, from"
          f' {pair.framework.title} {pair.framework_model}', *notes, *lines,
          f"'{target}{run_card.OF_ONE_CHECKPOINT}' stores the network, images of"
          f' {size} x {size} x {channels} and {family} preprocessing for later'
          ' commands']


def _framework_images(images, flips, folds):
  """Returns images as the framework's network reads them."""
  if flips:
    images = images[..., ::-1]
  if folds:
    images = images / _divisors(images.shape[3])
  return np.ascontiguousarray(images, np.float32)


def _for_slim_images(values, pair, flips, folds):
  """Returns (values, notes): the first kernel reads what slim's preprocessing gives."""
  kernel, notes = pair.rows()[0].kernel, []
  if flips:
    values = engine.flip_channels(values, kernel)
    notes.append(_flip_note(pair, kernel))
  if folds:
    channels = values[kernel].shape[2]
    values = engine.scale_channels(values, kernel, _divisors(channels))
    notes.append(f'{kernel} is divided by 255 times the deviations: use images of'
                 ' --preprocessing_name=vgg')
  elif pair.preprocessing:
    notes.append(pair.preprocessing)
  return values, notes


def _flip_note(pair, kernel):
  return (f'{pair.framework.title} {pair.framework_model} reads BGR: the input channels'
          f' of {kernel} are reversed')


def _without_head(values, pair, outcome):
  """Returns (values, note): without the layers that the framework's weights lack."""
  scopes = [row.scope for row in pair.rows()
            if row.kind != 'norm' and pair.framework.kernel(row) in outcome.absent]
  prefixes = tuple(f'{scope}/' for scope in scopes)
  kept = {name: value for name, value in values.items()
          if not name.startswith(prefixes)}
  return kept, (f'{outcome.note}; train it with'
                f' --checkpoint_exclude_scopes={",".join(scopes)}')


def from_slim(pair: pairs.Pair, source: str, target: str,
              options: Options) -> list[str]:
  """Converts a checkpoint to a framework's file; returns lines about it.

  Args:
    pair: the networks.
    source: a checkpoint, or a folder for its latest.
    target: the file to write; its suffix selects the format.
    options: the user's options.

  Raises:
    UserError: the checkpoint does not fit, or the networks compute different functions.
  """
  source, rows = restore.find(source), pair.rows()
  values = slim_networks.read(source, pair, options.moving_averages)
  _check_finite(values, source)
  images = _images(pair, options.image_size, slim_networks.sizes(values, pair)[1])
  slim_logits = slim_networks.run(pair, values, images)
  background = options.background or (
      'drop' if _classes(values, pair) == _IMAGENET_WITH_BACKGROUND else 'keep')
  values, removed, notes = _background(values, pair, background)
  flips = _flips(pair, options, images.shape[3])
  if flips:
    values = engine.flip_channels(values, rows[0].kernel)
    notes.append(_flip_note(pair, rows[0].kernel))
  # The suffix selects the format.
  unfinished = os.path.join(
      os.path.dirname(target), f'unfinished.{os.path.basename(target)}')
  with staging.created(os.path.dirname(target) or '.'), atomic.replacing(
      target, unfinished):
    outcome = framework_process.run(
        pair, np.ascontiguousarray(images[..., ::-1] if flips else images),
        classes=_classes(values, pair), save=unfinished, python=options.python,
        tensors=engine.from_slim(values, rows, pair.framework))
    lines = _compare(pair, slim_logits, outcome, options, skip_slim=removed > 0)
  return [f"'{target}': {pair.framework.title} {pair.framework_model},"
          f' {_classes(values, pair)} classes, from {pair.model_name} in'
          f" '{source}'", *notes,
          *_auxiliary_note(pair, into_slim=False), *lines]


def _check_finite(values, source):
  """Raises UserError if a tensor has a value that is not finite."""
  names = [name for name, value in values.items() if not np.isfinite(value).all()]
  if names:
    raise diagnostics.UserError(
        f"'{source}' has values that are not finite in {diagnostics.some(names)}: its"
        ' training diverged or the file is damaged; use an earlier checkpoint or'
        ' another copy')


def _images(pair, size, channels, folds=False):
  return checking.images(size or slim_networks.image_size(pair.model_name), channels,
                         reads_bytes=pair.reads_bgr or folds)


def _flips(pair, options, channels):
  return pair.reads_bgr and channels == 3 and not options.keep_channel_order


def _divisors(channels):
  if channels != 3:
    raise diagnostics.UserError('--fold_normalization is for images of 3 channels')
  return 255 * np.array(_DEVIATIONS, np.float32)


def _classes(values, pair):
  return slim_networks.sizes(values, pair)[0]


def _background(values, pair, choice):
  """Returns (values, classes removed, notes)."""
  if choice == 'drop':
    return engine.drop_background(values, [pair.head()]), 1, [
        f'class 0, the background, is dropped: {_classes(values, pair)} classes become'
        f' {_classes(values, pair) - 1}, and label 1 becomes 0']
  if choice == 'add':
    return engine.add_background(values, [pair.head()]), -1, [
        'a class 0 with weights 0 and bias -100 is added: it is never predicted']
  return values, 0, []


def _auxiliary_note(pair, into_slim):
  scope = pair.auxiliary_scope()
  if not scope:
    return []
  missing = f'{pair.framework.title} {pair.framework_model} has no auxiliary head'
  return [f'{missing}: for training, initialize it with'
          f' --checkpoint_exclude_scopes={scope}' if into_slim else
          f'{missing}: it is left out']


def _compare(pair, slim_logits, outcome, options, skip_slim=False,
             skip_framework=False):
  """Returns the lines of the check.

  Raises:
    UserError: the networks compute different functions.
  """
  slim_logits = slim_logits[:, int(skip_slim):]
  first = int(skip_framework)
  actual = checking.compare(slim_logits, outcome.logits[:, first:])
  if not pair.slim_variant:
    _require(actual, pair, options.image_size)
    return [f'check: {actual}']
  weights = checking.compare(slim_logits, outcome.variant_logits[:, first:])
  _require(weights, pair, options.image_size)
  difference = f'{pair.difference}: {actual}'
  if pair.needs_training and not options.accept_differences:
    raise diagnostics.UserError(diagnostics.sentences(
        f'{pair.framework_model} of {pair.framework.title} is not {pair.model_name}:'
        f' {difference}',
        'To use the weights as a start for training, add --accept_differences'))
  return [f"check, with slim's {pair.slim_variant} in both networks: {weights}",
          f'warning: {difference}']


def _require(comparison, pair, image_size):
  """Raises UserError if the networks compute different functions."""
  if comparison.same:
    return
  advice = ''
  if image_size not in (None, slim_networks.image_size(pair.model_name)):
    advice = (f'; images of {image_size} x {image_size} may be padded differently:'
              ' leave out --image_size, or try a multiple of 32')
  raise diagnostics.UserError(
      f'{pair.model_name} and {pair.framework_model} of {pair.framework.title}'
      f' compute different functions, nothing was written: {comparison}{advice}')


