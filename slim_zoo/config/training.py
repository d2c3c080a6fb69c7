"""The config of a training run."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from slim_zoo import diagnostics
from slim_zoo.config.augmentation import Augmentation
from slim_zoo.config.data import Data, TrainingNetwork
from slim_zoo.config.devices import Devices
from slim_zoo.config.distillation import Distillation
from slim_zoo.config.distribution import Distribution
from slim_zoo.config.evaluator import evaluation_config
from slim_zoo.config.initialization import Initialization
from slim_zoo.config.learning_rate import LearningRate
from slim_zoo.config.loss import Loss
from slim_zoo.config.optimizer import Optimizer
from slim_zoo.config.options import Config
from slim_zoo.config.precision import Precision
from slim_zoo.config.quantization import Quantization
from slim_zoo.config.reproducibility import Reproducibility
from slim_zoo.config.run import Logging, Run
from slim_zoo.config.segmentation import Segmentation, name_task
from slim_zoo.config.tracking import Tracking
from slim_zoo.config.validation import Validation
from slim_zoo.deployment.cluster import EVALUATOR

# With fewer steps the rate rises too fast.
FEWEST_SEARCH_STEPS = 50


@dataclasses.dataclass(frozen=True)
class TrainConfig(Config):
  """Everything that decides what a training run does; groups in the order of --help.

  `from_options` makes it from flags or from arguments. `check` compares the options
  with each other and with the files; it needs no TensorFlow.

  Attributes:
    user_options: names of the options that the user set; others have their defaults.
  """

  network: TrainingNetwork
  segmentation: Segmentation
  data: Data
  run: Run
  logging: Logging
  tracking: Tracking
  augmentation: Augmentation
  initialization: Initialization
  loss: Loss
  distillation: Distillation
  learning_rate: LearningRate
  optimizer: Optimizer
  distribution: Distribution
  devices: Devices
  precision: Precision
  quantization: Quantization
  validation: Validation
  reproducibility: Reproducibility
  user_options: frozenset[str] = frozenset()

  @classmethod
  def from_options(cls, values: Mapping[str, Any]) -> 'TrainConfig':
    """Returns the config of options by name, see `Config.from_options`."""
    return super().from_options(name_task(values))

  def check(self) -> None:
    """Refuses options that make no sense, and names and files that are not there.

    Raises:
      UserError: the first fault.
    """
    self.distribution.check()
    if self.distribution.job_name == EVALUATOR:
      evaluation_config(self).check()
    if not self.distribution.is_worker:
      return  # A parameter server needs no data.
    self.run.check()
    self.network.check(with_head=not self.segmentation.is_on)
    self.distribution.check_scopes(self.network.model_name)
    self.data.check()
    self.segmentation.check(
        self.network.model_name, self.network.train_image_size, self.data.spec(),
        [name for name, _ in self.loss.terms], self.values(), self.user_options)
    self.data.check_service(
        self.distribution, self.reproducibility.deterministic)
    self.data.check_balance(self.distribution, self.loss.class_weights)
    self.augmentation.check(
        self.data.batch_size, self.user_options, self.run.max_number_of_steps,
        bool(self.distribution.num_ps_tasks), bool(self.data.data_service))
    self.initialization.check(self.run.train_dir)
    self.loss.check(self.data.spec(), self.data.labels_offset, self.user_options)
    self.distillation.check(self.data.spec(), self.loss.terms, self.user_options)
    self.learning_rate.check(self.run.max_number_of_steps, self.user_options)
    self.optimizer.check(self.user_options)
    self.logging.check(self.run.max_number_of_steps)
    self.tracking.check(self.distribution.is_chief)
    self.precision.check_names(self.user_options)
    self.precision.check(self.distribution)
    self.quantization.check(
        self.precision, self.distribution, self.network.stochastic_depth)
    self.validation.check(self.data)
    self.reproducibility.check(self.distribution, self.precision)
    self._check_search()

  @property
  def folders(self) -> list[str]:
    """The folders that the chief writes to; other processes write nothing."""
    return [self.run.train_dir, *self.tracking.folders] if (
        self.distribution.is_chief) else []

  def _check_search(self):
    """Refuses a search for a learning rate by several processes."""
    machines, last = self.distribution, self.run.max_number_of_steps
    if not self.run.find_learning_rate:
      return
    if machines.worker_replicas > 1 or machines.num_ps_tasks or machines.master:
      raise diagnostics.UserError(
          '--find_learning_rate is for one process: leave out the flags of the others')
    if last is not None and last < FEWEST_SEARCH_STEPS:
      raise diagnostics.UserError(
          f'--find_learning_rate with --max_number_of_steps={last}: expected'
          f' {FEWEST_SEARCH_STEPS} steps or more')

  def notes(self) -> list[str]:
    """Returns a line for every option that does nothing, or less than one expects."""
    return [
        *self.augmentation.notes(self.network.use_grayscale),
        *self.lines_without_effect(
            {} if self.initialization.checkpoint_path else
            {'ignore_missing_vars': 'no --checkpoint_path'}),
        *self.loss.notes(self.network.model_name, self.user_options),
        *self.lines_without_effect(self.distillation.without_effect()),
        *self.lines_without_effect(self.learning_rate.without_effect(
            self.distribution.num_clones, self.user_options)),
        *self.lines_without_effect(self.optimizer.without_effect()),
        *self.optimizer.notes(self.loss.weight_decay, self.user_options),
        *self.lines_without_effect(self.quantization.without_effect()),
        *self.lines_without_effect(self.distribution.without_effect()),
        *self.lines_without_effect(
            self.devices.without_effect(self.distribution.master)),
        *self.lines_without_effect(self.logging.without_effect()),
        *self.lines_without_effect(self.tracking.without_effect()),
        *self._tracking_notes()]

  def _tracking_notes(self):
    if not self.tracking.log_to or self.logging.log_every_n_steps:
      return []
    return ['--log_to gets no progress metrics with --log_every_n_steps=0']

  # --- Derived values. Each is defined here and nowhere else.

  @property
  def images_per_clone_update(self) -> int:
    """Images that one clone of one worker reads for an update."""
    return self.data.batch_size * self.optimizer.accumulate_steps

  @property
  def images_per_worker_step(self) -> int:
    """Images that the clones of this worker read for an update."""
    return self.images_per_clone_update * self.distribution.num_clones

  @property
  def images_per_step(self) -> int:
    """Images that are read while the global step rises by one."""
    return self.images_per_worker_step * self.distribution.replicas_per_step

  @property
  def images_per_schedule_step(self) -> int:
    """Images of a step as the epochs of the learning rate count them.

    TF-Slim counts the batches of one clone, and of synchronous replicas together.
    """
    clones = (self.distribution.num_clones
              if self.learning_rate.epochs_are == 'global' else 1)
    return self.images_per_clone_update * clones * self.distribution.replicas_per_step

  def steps_per_epoch(self, num_images: int) -> int:
    """Returns the steps in which all workers together read so many images."""
    return max(1, num_images // self.images_per_step)

  def steps_with_mixing(self, num_images: int) -> int | None:
    """Returns the step after which mixup and cutmix are off; None: they never are."""
    epochs, last = self.augmentation.mixing_off_epochs, self.run.max_number_of_steps
    if not epochs or last is None:
      return None
    return max(0, last - round(epochs * num_images / self.images_per_step))

  def validate_every_steps(self, num_images: int) -> int:
    """Returns the steps between validations; `num_images` are an epoch."""
    return self.validation.every_steps(num_images, self.images_per_step)

  @property
  def loss_weight_decay(self) -> float:
    """The L2 penalty of the loss: 0 where the optimizer does the decay."""
    return 0.0 if self.optimizer.decays_weights else self.loss.weight_decay
