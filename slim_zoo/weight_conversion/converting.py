"""Conversions from end to end: read, map, check by numbers, write."""

import dataclasses
import os

import numpy as np

from slim_zoo import diagnostics
from slim_zoo.checkpoints import restore
from slim_zoo.files import atomic
from slim_zoo.weight_conversion import (
    checking,
    engine,
    framework_process,
    pairs,
    slim_networks,
)

# What timm's networks divide the channels by, of images in [0, 1].
_DEVIATIONS = (0.229, 0.224, 0.225)
_IMAGENET_WITH_BACKGROUND = 1001


@dataclasses.dataclass(frozen=True)
class Options:
  """The options of a conversion.

  Attributes:
    num_classes: of the framework's network; None: those of its weights.
    background: 'keep', 'drop' or 'add' class 0; None drops it from a checkpoint of
      1001 classes, and keeps the classes as they are otherwise.
    image_size: of the check; None is the network's own.
    channels: of the images, if the framework's weights are read.
    moving_averages: whether to take them out of the checkpoint.
    keep_channel_order: whether a network that reads BGR goes on doing so in slim.
    fold_normalization: whether the first kernel is made to take images that are not
      divided by timm's deviations.
    accept_differences: whether to convert where only training can make up for what
      differs.
    python: the interpreter that has the framework.
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
        '--fold_normalization is for weights of timm with its usual normalization on'
        f' the way to slim, not for {name} {"from" if into_slim else "to"} {title}')
  if options.keep_channel_order and not pair.reads_bgr:
    raise diagnostics.UserError(
        f'--keep_channel_order changes nothing: {title} {pair.framework_model} reads'
        ' RGB, as slim does')
  if options.background == 'add' and not into_slim:
    raise diagnostics.UserError(
        '--background_class=add is for the way to slim: choose keep or drop')
  if options.moving_averages and into_slim:
    raise diagnostics.UserError(
        f'--use_moving_averages is for the way to {title}: its own weights have none')
  if options.num_classes and not into_slim:
    raise diagnostics.UserError(
        '--num_classes is for weights on the way to slim: a checkpoint says itself how'
        ' many it has')


def to_slim(pair: pairs.Pair, source: str, target: str,
            options: Options) -> list[str]:
  """Converts weights of Keras or PyTorch to a checkpoint; returns lines about it.

  Args:
    pair: the networks.
    source: a file, or 'pretrained'.
    target: the prefix of the checkpoint to write.
    options: of the conversion.

  Raises:
    UserError: the weights do not fit, or the networks compute different things.
  """
  notes, rows = [], pair.rows()
  images = _images(pair, options.image_size, options.channels,
                   options.fold_normalization)
  flips = _flips(pair, options, images.shape[3])
  theirs = images[..., ::-1] if flips else images
  if options.fold_normalization:
    theirs = theirs / _divisors(images.shape[3])
  outcome = framework_process.run(
      pair, np.ascontiguousarray(theirs, np.float32), classes=options.num_classes,
      weights=source, python=options.python)
  values = engine.to_slim(outcome.arrays, rows, pair.framework,
                          pair.shapes(outcome.logits.shape[1], images.shape[3]))
  if flips:
    values = engine.flip_channels(values, rows[0].kernel)
    notes.append(f'{pair.framework.title} {pair.framework_model} reads BGR: the input'
                 f' channels of {rows[0].kernel} are turned round')
  if options.fold_normalization:
    values = engine.scale_channels(
        values, rows[0].kernel, _divisors(images.shape[3]))
    notes.append(f'{rows[0].kernel} is divided by 255 times the deviations: it takes'
                 ' images of --preprocessing_name=vgg')
  elif pair.preprocessing:
    notes.append(pair.preprocessing)
  values, removed, note = _background(values, pair, options.background)
  notes += note
  lines = _compare(pair, slim_networks.run(pair, values, images), outcome, options,
                   skip_ours=removed < 0, skip_theirs=removed > 0)
  slim_networks.write(values, target)
  notes += _auxiliary_note(pair, into_slim=True)
  return [f"'{target}': {pair.model_name}, {_classes(values, pair)} classes, from"
          f' {pair.framework.title} {pair.framework_model}', *notes, *lines]


def to_framework(pair: pairs.Pair, source: str, target: str,
               options: Options) -> list[str]:
  """Converts a checkpoint to a file of Keras or PyTorch; returns lines about it.

  Args:
    pair: the networks.
    source: a checkpoint, or a folder for its latest.
    target: the file to write; its suffix says the format.
    options: of the conversion.

  Raises:
    UserError: the checkpoint does not fit, or the networks compute different things.
  """
  source, rows = restore.find(source), pair.rows()
  values = slim_networks.read(source, pair, options.moving_averages)
  images = _images(pair, options.image_size, slim_networks.sizes(values, pair)[1])
  ours = slim_networks.run(pair, values, images)
  drops = options.background or (
      'drop' if _classes(values, pair) == _IMAGENET_WITH_BACKGROUND else 'keep')
  values, removed, notes = _background(values, pair, drops)
  flips = _flips(pair, options, images.shape[3])
  if flips:
    values = engine.flip_channels(values, rows[0].kernel)
    notes.append(f'{pair.framework.title} {pair.framework_model} reads BGR: the input'
                 f' channels of {rows[0].kernel} are turned round')
  # The framework chooses the format by the suffix.
  unfinished = os.path.join(
      os.path.dirname(target), f'unfinished.{os.path.basename(target)}')
  with atomic.replacing(target, unfinished):
    outcome = framework_process.run(
        pair, np.ascontiguousarray(images[..., ::-1] if flips else images),
        classes=_classes(values, pair), save=unfinished, python=options.python,
        tensors=engine.to_framework(values, rows, pair.framework))
    lines = _compare(pair, ours, outcome, options, skip_ours=removed > 0)
  return [f"'{target}': {pair.framework.title} {pair.framework_model},"
          f' {_classes(values, pair)} classes, from {pair.model_name} in'
          f" '{source}'", *notes,
          *_auxiliary_note(pair, into_slim=False), *lines]


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
        f' {_classes(values, pair) - 1}, and labels count from what was 1']
  if choice == 'add':
    return engine.add_background(values, [pair.head()]), -1, [
        'a class 0 is put before the others, with weights 0 and bias -100: it is never'
        ' predicted']
  return values, 0, []


def _auxiliary_note(pair, into_slim):
  scope = pair.auxiliary_scope()
  if not scope:
    return []
  fact = f'{pair.framework.title} {pair.framework_model} has no auxiliary head'
  return [f'{fact}: training begins it anew with'
          f' --checkpoint_exclude_scopes={scope}' if into_slim else
          f'{fact}: that of the checkpoint is left out']


def _compare(pair, ours, outcome, options, skip_ours=False, skip_theirs=False):
  """Returns the lines of the check.

  Raises:
    UserError: the networks compute different things.
  """
  cut = lambda logits, skips: logits[:, 1:] if skips else logits
  ours = cut(ours, skip_ours)
  actual = checking.compare(ours, cut(outcome.logits, skip_theirs))
  if not pair.variant:
    _require(actual, pair)
    return [f'check: {actual}']
  weights = checking.compare(ours, cut(outcome.variant_logits, skip_theirs))
  _require(weights, pair)
  difference = f'{pair.difference}: {actual}'
  if pair.trains_anew and not options.accept_differences:
    raise diagnostics.UserError(diagnostics.sentences(
        f'{pair.framework_model} of {pair.framework.title} is not {pair.model_name}:'
        f' {difference}',
        'As a beginning for training, convert with --accept_differences'))
  return [f"check, with slim's {pair.variant} on both sides: {weights}",
          f'warning: {difference}']


def _require(comparison, pair):
  if not comparison.same:
    raise diagnostics.UserError(
        f'{pair.model_name} and {pair.framework_model} of {pair.framework.title}'
        f' compute different things, nothing was written: {comparison}')


