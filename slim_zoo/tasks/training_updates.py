"""The parts of a training step: devices, loss, schedule, optimizer, initial weights."""

import os
from collections.abc import Callable

from slim_zoo import diagnostics
from slim_zoo.catalog import networks
from slim_zoo.checkpoints import heads
from slim_zoo.config.training import TrainConfig
from slim_zoo.datasets import labels
from slim_zoo.deployment import (
    collectives,
    computation,
    model_deploy,
    precision_hint,
)
from slim_zoo.input import label_counts
from slim_zoo.nets import fcn, nets_factory
from slim_zoo.tasks import training_precision
from slim_zoo.tf_compat import tf
from slim_zoo.training import distillation, losses, starting_point
from slim_zoo.training.updates import learning_rates, optimizers, updates


def num_gpus() -> int:
  """Returns how many GPUs TensorFlow sees."""
  return len(tf.config.list_physical_devices('GPU'))


def deployment(config: TrainConfig) -> model_deploy.DeploymentConfig:
  """Returns where clones go: on GPUs, or on the CPU where there are none.

  Raises:
    UserError: there are fewer GPUs than clones.
  """
  options, gpus = config.distribution, num_gpus()
  if not options.clone_on_cpu and gpus and gpus < options.num_clones:
    raise diagnostics.UserError(
        f'--num_clones={options.num_clones}: this machine has'
        f' {gpus} GPU{"s" if gpus > 1 else ""}, and each clone needs its own: use'
        f' --num_clones={gpus} or --clone_on_cpu')
  on_cpu = options.clone_on_cpu or not gpus
  if not options.num_ps_tasks and not on_cpu and not options.variables_on_cpu:
    return model_deploy.DeploymentConfig(options.num_clones, variables_on_clones=True)
  if on_cpu and options.num_cpus > 1:
    return model_deploy.DeploymentConfig(options.num_clones, clone_devices=[
        f'/device:CPU:{index}' for index in range(options.num_clones)])
  if not options.num_ps_tasks:
    return model_deploy.DeploymentConfig(options.num_clones, on_cpu)
  return model_deploy.DeploymentConfig(
      options.num_clones, on_cpu, options.task, options.worker_replicas,
      options.num_ps_tasks)


def batch_norm_replicas(config: TrainConfig, devices: model_deploy.DeploymentConfig
                        ) -> list[collectives.Replica]:
  """Returns for each clone what shares its batch norm statistics; [] if none does."""
  options = config.distribution
  count = options.worker_replicas * options.num_clones
  if not options.sync_batch_norm or count == 1:
    return []
  return [collectives.Replica(
      collectives.BATCH_NORM, count, devices.clone_device(index),
      options.worker_timeout_secs) for index in range(options.num_clones)]


def layer_devices(config: TrainConfig, devices: model_deploy.DeploymentConfig
                  ) -> dict[str, str]:
  """Returns the devices of layers that do not stand with the rest, by their scopes.

  Raises:
    UserError: there are fewer GPUs.
  """
  numbers = config.distribution.numbers_of_layers
  first = tf.DeviceSpec.from_string(devices.clone_device(0))
  if first.device_type == 'GPU' and numbers and max(numbers.values()) >= num_gpus():
    raise diagnostics.UserError(
        f'--layer_devices={config.distribution.layer_devices}: this machine has'
        f' {num_gpus()} GPUs, numbered from 0')
  return {scope: first.replace(device_index=number).to_string()
          for scope, number in numbers.items()}


def check_devices(config: TrainConfig, devices: model_deploy.DeploymentConfig
                  ) -> training_precision.TrainingPrecision:
  """Tries on the first clone's device what the precision options ask for.

  Returns:
    The types of the run, for auto before they are chosen.

  Raises:
    UserError: the device cannot do it, or is far slower.
  """
  device, precision = devices.clone_device(0), config.precision
  if config.distribution.master:
    return training_precision.plan(precision, device, is_here=False)
  if precision.xla:
    computation.check_xla()
  planned = training_precision.plan(precision, device)
  name = config.network.model_name
  computation.check_data_format(
      precision.data_format, name,
      precision.data_format in nets_factory.data_formats(name),
      tf.as_dtype(precision.dtype), device)
  return planned


def is_hinted(config: TrainConfig) -> bool:
  """Returns whether to say that the run would be faster in another precision."""
  options, last = config.distribution, config.run.max_number_of_steps
  return (config.precision.wanted == 'float32'
          and not {'precision', 'mixed_precision'} & config.user_options
          and not (options.master or options.num_ps_tasks or config.quantization.is_on
                   or config.segmentation.is_on)
          and options.worker_replicas == 1 and precision_hint.is_long(
              config.network.model_name, last and last * config.images_per_step,
              precision_hint.TRAINING))


def loss(config: TrainConfig, num_classes: int, batches) -> losses.Recipe:
  """Returns what is minimized; counts the labels of the input where weights need it."""
  options = config.loss
  return losses.Recipe(
      num_classes, config.distillation.weights_of_labels(options.terms),
      options.label_smoothing, options.focal_gamma,
      options.focal_alpha, _class_weights(config, num_classes, batches),
      options.auxiliary_loss_weight)


def _class_weights(config, num_classes, batches):
  options = config.loss
  is_balanced = config.data.balance == 'weights'
  if options.class_weights == 'none' and not is_balanced:
    return None
  if not (options.counts_labels or is_balanced):
    return options.listed_weights(num_classes)
  counts = label_counts.count(
      batches.files, config.data.spec(), config.data.labels_offset, batches.part)
  if is_balanced or options.class_weights == 'inverse_frequency':
    return losses.inverse_frequency(counts).tolist()
  return losses.effective_number(
      counts, options.effective_number_beta).tolist()


def steps_of_epochs(config: TrainConfig, epochs: float, num_images: int) -> int:
  """Returns the steps of epochs as the learning rate counts them."""
  return learning_rates.steps_of_epochs(
      epochs, num_images, config.images_per_schedule_step)


def schedule(config: TrainConfig, num_images: int) -> learning_rates.Schedule:
  """Returns the learning-rate schedule, in steps; `num_images` are an epoch."""
  options, last = config.learning_rate, config.run.max_number_of_steps
  steps = lambda epochs: steps_of_epochs(config, epochs, num_images)
  kind = options.learning_rate_decay_type
  ends_at_last_step = (kind == 'cosine' and
                       'num_epochs_per_decay' not in config.user_options)
  return learning_rates.Schedule(
      kind, options.learning_rate,
      last if ends_at_last_step else steps(options.num_epochs_per_decay),
      options.learning_rate_decay_factor, options.end_learning_rate,
      steps(options.warmup_epochs) if options.warmup_epochs else 0,
      tuple((steps(epoch) if epoch else 0, rate) for epoch, rate in options.changes()),
      options.restart_period_growth, options.restart_rate_factor)


def optimizer_fn(config: TrainConfig) -> Callable:
  """Returns a function that makes the optimizer at a learning rate (scalar tensor)."""
  name, values = config.optimizer.optimizer, config.values()
  values['opt_epsilon'] = config.optimizer.epsilon(config.user_options)
  options = {option: values[option] for option in optimizers.options_of(name)}
  return lambda learning_rate: optimizers.get_optimizer(name, learning_rate, **options)


def update_options(config: TrainConfig) -> updates.UpdateOptions:
  """Returns the options of an update, with the trained variables."""
  options, initialization = config.optimizer, config.initialization
  trainable = initialization.trainable
  if trainable and config.distillation.hints:
    trainable += (distillation.SCOPE,)
  return updates.UpdateOptions(
      trainable, options.moving_average_decay,
      config.distribution.aggregated_replicas, initialization.frozen,
      initialization.frozen_batch_norm, config.learning_rate.multipliers(),
      config.learning_rate.layer_decay,
      networks.get_network(config.network.model_name).head_scopes,
      options.clip_gradient_norm, options.clip_gradients_by == 'variable',
      options.accumulate_steps, config.precision.scales_loss,
      bool(config.distribution.layer_devices))


def weights_source(config: TrainConfig, dataset, num_classes: int):
  """Returns the network of the default graph, and how another checkpoint is taken.

  They are the arguments of `StartingPoint.prepare`.
  """
  name, options = config.network.model_name, config.initialization
  scopes, excluded = networks.get_network(name).head_scopes, options.excluded
  if config.segmentation.is_on:
    # A checkpoint of the backbone alone has no scores.
    scopes, excluded = (fcn.SCOPE,), excluded or ('auto',)
  head = heads.Head(scopes, num_classes)
  old_names, new_names = _class_names(config, dataset)
  return (
      starting_point.network_of(name, head),
      starting_point.FineTuning(
          excluded, options.ignore_missing_vars, options.rename_rules(),
          old_names, new_names))


def _class_names(config, dataset):
  """Returns the names of the checkpoint's labels and of the network's classes."""
  labels_file = config.initialization.transfer_classes_from
  if not labels_file:
    return None, None
  if not dataset.labels_to_names:
    raise diagnostics.UserError(
        f"--transfer_classes_from: '{config.data.dataset_dir}' has no"
        f' {labels.LABELS_FILENAME} that names its classes')
  folder, name = os.path.split(labels_file)
  return (labels.read_label_file(folder or '.', name),
          class_names(dataset, config.data.labels_offset))


def class_names(dataset, labels_offset: int) -> dict[int, str]:
  """Returns the names of the network's classes; {} if the data set has no names."""
  return {label - labels_offset: name
          for label, name in (dataset.labels_to_names or {}).items()
          if label >= labels_offset}
