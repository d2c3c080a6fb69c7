"""Gets published weights: downloads them or converts weights of other frameworks."""

import dataclasses
import os
from collections.abc import Callable, Mapping

from slim_zoo import diagnostics
from slim_zoo.catalog import published
from slim_zoo.checkpoints import published_weights, restore
from slim_zoo.config.weights import WeightsConfig
from slim_zoo.files import staging
from slim_zoo.weight_conversion import converting, pairs

# Names of the frameworks in `weight_conversion`.
_FRAMEWORKS = {'keras': 'keras', 'timm': 'pytorch'}
_WITH_BACKGROUND = 1001


@dataclasses.dataclass(frozen=True)
class FoundWeights:
  """A checkpoint in the cache.

  Attributes:
    checkpoint: its prefix.
    facts: of the published checkpoint: network, image size, classes, accuracy.
    is_published: whether it is the published one; False for weights of Keras or timm.
    description: lines about it.
  """

  checkpoint: str
  facts: published.Published
  is_published: bool
  description: tuple[str, ...]


def get(config: WeightsConfig, environment: Mapping[str, str]) -> FoundWeights:
  """Returns a published checkpoint, or one of another framework's weights.

  Prints the progress to stderr.

  Args:
    config: what to do; `config.check()` has been called.
    environment: variables that name the cache, and mirrors.

  Raises:
    UserError: no address has the archive, the framework has no such network, or the
      cache cannot be written.
  """
  options = config.weights
  row = published.get(options.get)
  where = published_weights.places(environment, options.mirrors)
  if options.framework:
    return convert(row, options.framework, where.cache, options.python)
  checkpoint = published_weights.get(row, where, restore.verify)
  top_5 = '' if row.top_5 is None else f', top-5 {row.top_5}'
  return FoundWeights(checkpoint, row, True, (
      f"'{checkpoint}': {row.network}, {row.num_classes} classes, images of"
      f' {row.image_size} x {row.image_size}, preprocessing {row.preprocessing};'
      f' published with top-1 {row.top_1}{top_5}',
      f'use it as --checkpoint_path={published.PREFIX}{row.name}'))


def convert(row: published.Published, framework: str, cache: str, python: str = '',
            to_slim: Callable[..., list[str]] = converting.to_slim) -> FoundWeights:
  """Returns a checkpoint of another framework's weights of the same network.

  Args:
    row: the published checkpoint. Classes and image size are as there: a background
      class that the framework lacks is added and never predicted.
    framework: 'keras' or 'timm'.
    cache: the folder; the checkpoint is in the folder NAME-from-FRAMEWORK there.
    python: an interpreter that has the framework; '' for this one.
    to_slim: converts weights, like `converting.to_slim`.

  Raises:
    UserError: the framework has no network that computes the same, its weights cannot
      be downloaded, or the cache cannot be written.
  """
  pair = pairs.find(row.network, _FRAMEWORKS[framework])
  if pair.needs_training:
    raise diagnostics.UserError(
        f'--from={framework}: {pair.framework_model} there is not {row.network}:'
        f' {pair.difference}')
  folder = os.path.join(cache, f'{row.name}-from-{framework}')
  file = f'{row.name}.ckpt'
  target, lines = os.path.join(folder, file), []
  if not os.path.isfile(f'{target}.index'):
    options = converting.Options(
        background='add' if row.num_classes == _WITH_BACKGROUND else 'keep',
        image_size=row.image_size, python=python,
        fold_normalization='fold' in pair.preprocessing)
    with published_weights.writing(cache), staging.replacing(
        folder, f'{file}.index') as new:
      unfinished = os.path.join(new, file)
      lines = [line.replace(unfinished, target)
               for line in to_slim(pair, 'pretrained', unfinished, options)]
  return FoundWeights(target, row, False, (
      *lines, f"'{target}' has the weights of {pair.framework.title}"
      f' {pair.framework_model}, not the published ones: its accuracy is another',
      f'use it as --checkpoint_path={target}'))
