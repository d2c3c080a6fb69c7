"""Searches for a learning rate by a short run with an increasing rate."""

import dataclasses
import os
import tempfile

from slim_zoo import diagnostics
from slim_zoo.config.learning_rate import LearningRate
from slim_zoo.config.tracking import NAMES, Tracking
from slim_zoo.config.training import TrainConfig
from slim_zoo.config.validation import Validation
from slim_zoo.files import staging
from slim_zoo.tasks import train
from slim_zoo.training import rate_search
from slim_zoo.training.updates import numerics

PICTURE = 'learning_rate_finder.png'
_LOWEST, _HIGHEST = 1e-6, 10.0
_STEPS = 200
# So short an epoch that the rate changes after each step.
_ONE_STEP = 1e-6


@dataclasses.dataclass(frozen=True)
class FoundRate:
  """The result of a search.

  Attributes:
    suggested: a tenth of the rate of the smallest loss; None if it never fell.
    least: the rate of the smallest loss.
    picture: the PNG file.
    search: the rates and the losses.
  """

  suggested: float | None
  least: float
  picture: str
  search: rate_search.Search = dataclasses.field(repr=False)


def find(config: TrainConfig) -> FoundRate:
  """Trains with rising rates in a temporary folder; writes a picture to the train_dir.

  Data, network, first weights, optimizer and batch are those of the run. The rate of
  each step is higher than that of the step before by the same factor. The search ends
  where the loss has grown.

  Args:
    config: of the run; `config.check()` has been called.

  Raises:
    UserError: the run cannot begin, or its loss is not finite from the first steps on.
  """
  rising = rate_search.RisingRate(
      _LOWEST, _HIGHEST, config.run.max_number_of_steps or _STEPS)
  if config.tracking.log_to:
    print('note: --log_to has no effect with --find_learning_rate', flush=True)
  recorder = rate_search.LossRecorder()
  with tempfile.TemporaryDirectory(prefix='slim_zoo_rate_finder_') as folder:
    try:
      train.train(_short(config, rising, folder), lambda seed: '', [recorder])
    except numerics.BadNumbers as error:
      print(f'the search ends: {error}', flush=True)
  search = rate_search.search_of(recorder.losses, rising)
  if search is None:
    raise diagnostics.UserError(
        f'{len(recorder.losses)} steps had a finite loss: too few to find a learning'
        ' rate; are the images and labels right?')
  picture = os.path.join(config.run.train_dir, PICTURE)
  with staging.created(config.run.train_dir):
    rate_search.draw(
        picture, search,
        f'{config.network.model_name} on {config.data.dataset_name},'
        f' {config.optimizer.optimizer}, batch of {config.images_per_step}')
  return FoundRate(search.suggested, search.least, picture, search)


def _short(config, rising, folder):
  """Returns the config of the search."""
  given = {'learning_rate', 'learning_rate_decay_type', 'learning_rate_decay_factor',
           'num_epochs_per_decay'}
  return dataclasses.replace(
      config,
      run=dataclasses.replace(
          config.run, train_dir=folder, max_number_of_steps=rising.steps,
          save_interval_secs=0, max_loss_growth=0.0, find_learning_rate=False),
      logging=dataclasses.replace(
          config.logging, save_summaries_secs=0, profile_steps=None),
      tracking=Tracking(),
      # Factors between layers stay; a schedule and a warm-up have no place here.
      learning_rate=LearningRate(
          learning_rate_decay_type='exponential', learning_rate=rising.lowest,
          learning_rate_decay_factor=rising.factor, num_epochs_per_decay=_ONE_STEP,
          learning_rate_multipliers=config.learning_rate.learning_rate_multipliers,
          layer_decay=config.learning_rate.layer_decay),
      validation=Validation(),
      user_options=(config.user_options | given) - NAMES - {'find_learning_rate'})
