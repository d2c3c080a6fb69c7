"""The banner of a training run, and the facts of its run card."""

import dataclasses
import os
from collections.abc import Sequence

import slim_zoo
from slim_zoo.catalog import datasets as dataset_catalog
from slim_zoo.catalog import losses as loss_catalog
from slim_zoo.catalog import networks, preprocessing_families
from slim_zoo.checkpoints import variable_scopes
from slim_zoo.config import optimizer as optimizer_options
from slim_zoo.config.training import TrainConfig
from slim_zoo.deployment import layer_devices, unused_gpus
from slim_zoo.images import image_decoding
from slim_zoo.input import fingerprint, first_records
from slim_zoo.tasks import training_updates
from slim_zoo.tf_compat import tf
from slim_zoo.training import distillation, run_description
from slim_zoo.training.callbacks import batch_norm_health
from slim_zoo.training.callbacks import run_card as run_cards
from slim_zoo.training.updates import updates, variable_groups

_SHOWN_CHANGES = 8
_PROJECT_DIR = os.path.dirname(os.path.dirname(os.path.abspath(slim_zoo.__file__)))


def show_banner(config: TrainConfig, dataset, num_classes: int, image_size: int,
                batches, schedule, beginning: list[str], fresh: dict[str, float], loss,
                seeds, card, slow: Sequence[str], teacher=None) -> None:
  """Prints the settings of the run, and the options that have no effect.

  Args:
    config: of the run.
    dataset: of the training split.
    num_classes: of the network.
    image_size: height and width in pixels.
    batches: the training input.
    schedule: of the learning rate.
    beginning: lines on the first weights.
    fresh: the decays of batch norm layers that begin without statistics.
    loss: the `losses.Recipe`.
    seeds: of the run.
    card: the `RunCard`.
    slow: notes on a type that the device computes slowly, or that auto chose.
    teacher: the `RunTeacher`; None: there is none.
  """
  num_images = dataset.num_samples
  parameters = run_description.parameters(_trained_variables(config))
  run_description.show([
      ('network', f'{_network_name(config)}, {parameters}'),
      *_row('stochastic depth', _stochastic_depth_line(config)),
      *_row('devices', _device_lines(config)),
      *_input_rows(config, num_images, num_classes, image_size, batches),
      *_batch_rows(config, num_images),
      *_row('computation', config.precision.describe()),
      *_row('quantization', config.quantization.describe()),
      *_learning_rate_rows(config, schedule, num_images),
      *_optimizer_rows(config),
      ('weights', beginning),
      *_loss_rows(config, loss, dataset),
      *_row('teacher', teacher.lines(config) if teacher else []),
      *_validation_rows(config, num_images, fresh),
      *_seed_rows(config, seeds, card),
      *[('note', line)
        for line in [*slow, *first_records.decoding_notes(batches.files)]],
      ('checkpoints', config.run.describe() if config.distribution.is_chief else
       'the chief saves them'),
      *[('note', line) for line in [*_gpu_notes(config), *config.notes()]]])


def _network_name(config):
  options, name = config.segmentation, config.network.model_name
  if not options.is_on:
    return name
  strides = ', '.join(map(str, sorted(options.strides)))
  return f'FCN on {name}, scores at the strides {strides}'


def _stochastic_depth_line(config):
  rate = config.network.stochastic_depth
  return (f'residual blocks are left out with a probability up to {rate:g} in the last'
          ' block' if rate else '')


def _device_lines(config):
  """Returns the parameters of each device, where layers stand on several."""
  if not config.distribution.layer_devices:
    return []
  return [f'{device}: {run_description.millions(count)} parameters' for device, count
          in layer_devices.parameters(tf.trainable_variables()).items()]


def _gpu_notes(config):
  return [] if config.distribution.clone_on_cpu else unused_gpus.notes()


def _row(name, lines):
  return [(name, lines)] if lines else []


def _trained_variables(config):
  """Returns the trained variables of the network."""
  trained = updates.trained_variables(training_updates.update_options(config))
  return [variable for variable in trained
          if not variable_scopes.in_scope(variable.op.name, f'{distillation.SCOPE}/')]


def _input_rows(config, num_images, num_classes, image_size, batches):
  data, network = config.data, config.network
  sizes = batches.image_sizes()
  is_segmented = config.segmentation.is_on
  note = None if is_segmented else preprocessing_families.crop_note(
      network.preprocessing, image_size, sizes)
  gray = ', gray' if network.use_grayscale else ''
  cached = f'; decoded copies in {data.cache_dir}' if data.cache_dir else ''
  return [
      ('images', f'{num_images:,} of {num_classes} classes: {data.dataset_split_name}'
                 f' of {data.dataset_name} in {data.dataset_dir}{cached}'),
      ('input', f'{image_size} x {image_size}, {network.preprocessing}'
                f' preprocessing{gray}'),
      *_row('input service', data.data_service),
      *_row('note', note),
      *_row('note', large_images_note(sizes)),
      *_row('augmentation', config.segmentation.describe() if is_segmented else
            config.augmentation.describe())]


def large_images_note(sizes: Sequence[tuple[int, int]]) -> str | None:
  """Returns a line where most images take long to decode; None elsewhere.

  Args:
    sizes: (height, width) of some of the images, in pixels.
  """
  large = [size for size in sizes
           if size[0] * size[1] > image_decoding.LARGE_PIXELS]
  if 2 * len(large) <= len(sizes):
    return None
  height, width = large[0]
  return (f'images such as {height} x {width} take long to decode in every epoch:'
          ' slim-zoo convert-images --max_side=640 writes records that are read many'
          ' times faster')


def _batch_rows(config, num_images):
  machines, gpus = config.distribution, training_updates.num_gpus()
  batch, clones = config.images_per_step, machines.num_clones
  size, accumulated = config.data.batch_size, config.optimizer.accumulate_steps
  where = ('GPU' if gpus and not machines.clone_on_cpu
           else 'CPU' if gpus or machines.clone_on_cpu else 'CPU, as there is no GPU')
  each = (f': {size} for each of {clones} clones' if clones > 1
          else f': {size}' if accumulated > 1 else '')
  if accumulated > 1:
    each += f', {accumulated} times a step'
  workers = _workers(machines)
  last = config.run.max_number_of_steps
  end = ('no last step' if last is None else
         f'{_steps(last)} {"is" if last == 1 else "are"}'
         f' {last * batch / num_images:.1f} epochs')
  return [('batch', f'{batch} images{each} on the {where}{workers}'),
          ('epoch', f'{_steps(config.steps_per_epoch(num_images))}; {end}')]


def _steps(count):
  return f'{count:,} step{"" if count == 1 else "s"}'


def _workers(machines):
  """Says how the workers share the batch of a step."""
  count, together = machines.worker_replicas, machines.replicas_per_step
  if count == 1:
    return ''
  if together == count:
    return f', {count} workers together'
  if machines.sync_replicas:
    return f', {together} of {count} workers together'
  return f', each of {count} workers by itself'


def _learning_rate_rows(config, schedule, num_images):
  options, clones = config.learning_rate, config.distribution.num_clones
  lines = [schedule.describe()]
  if options.counts_epochs(config.user_options) and clones > 1:
    steps = f'{training_updates.steps_of_epochs(config, 1, num_images):,} steps'
    lines.append({
        'per_clone': f'an epoch of these is {steps}, counted by one clone; the'
                     f' {clones} clones together see every image {clones} times in it'
                     ' (--epochs_are=global: once)',
        'global': f'an epoch of these is {steps}, counted by all {clones} clones',
    }[options.epochs_are])
  layers = variable_groups.layer_factors(
      options.layer_decay,
      networks.get_network(config.network.model_name).head_scopes)
  if layers:
    first = min(layers, key=layers.get)
    lines.append(f'{options.layer_decay:g} times that from each of {len(layers)} layers'
                 f' to the one before it: {layers[first]:.3g} times that in {first}')
  lines += [f'{factor:g} times that in {scope}' if factor else f'{scope} is not trained'
            for scope, factor in options.multipliers().items()]
  return [('learning rate', lines)]


def _optimizer_rows(config):
  options, decay = config.optimizer, config.loss.weight_decay
  name, clipped = options.optimizer, options.clip_gradient_norm
  text = name
  if name in optimizer_options.OWN_EPSILONS:
    text += f', epsilon {options.epsilon(config.user_options):g}'
  if clipped:
    by = 'all together' if options.clip_gradients_by == 'global' else 'each variable'
    text += f', gradients of a norm up to {clipped:g}, {by}'
  decayed = (f'{decay:g}, by {name} itself: of weights, not of biases or batch norm'
             if options.decays_weights else f'{decay:g}, an L2 penalty in the loss')
  return [('optimizer', text), ('weight decay', decayed if decay else 'none'),
          *_row('batch norm', _batch_norm_lines(config))]


def _batch_norm_lines(config):
  """Says of partly trained networks which batch norm keeps its statistics."""
  layers = variable_groups.batch_norm_layers()
  if not layers:
    return []
  frozen = variable_groups.frozen_layers(
      layers, [*config.initialization.frozen, *config.initialization.frozen_batch_norm])
  moving = variable_groups.untrained_layers(
      set(layers) - set(frozen), _trained_variables(config))
  lines = []
  if frozen:
    lines.append(f'the statistics of {len(frozen)} of {len(layers)} layers are frozen')
  machines = config.distribution
  count = machines.num_clones * machines.worker_replicas
  if machines.sync_batch_norm and count > 1:
    lines.append(f'the statistics are of the batches of all {count} clones together')
  if moving:
    lines.append(f'{len(moving)} layers are not trained, but their statistics move, as'
                 ' in TF-Slim: --frozen_scopes keeps them')
  return lines


def _loss_rows(config, loss, dataset):
  text = loss_catalog.describe(loss.terms)
  if loss.label_smoothing:
    text += f', label smoothing {loss.label_smoothing:g}'
  if any(name in loss_catalog.FOCAL for name, _ in loss.terms):
    text += f', gamma {loss.gamma:g}'
    text += '' if loss.alpha is None else f', alpha {loss.alpha:g}'
  return [('loss', text),
          *_row('class weights', _class_weight_lines(config, loss, dataset))]


def _class_weight_lines(config, loss, dataset):
  weights, offset = loss.class_weights, config.data.labels_offset
  if weights is None:
    return []
  names = dataset.labels_to_names or {}
  name = lambda index: names.get(index + offset, str(index + offset))
  order = sorted(range(len(weights)), key=lambda index: (weights[index], index))
  least, most = order[0], order[-1]
  origin = (f', {config.loss.class_weights}' if config.loss.counts_labels else
            ', --balance=weights' if config.data.balance == 'weights' else '')
  lines = [f'{weights[least]:.3g} ({name(least)}) to {weights[most]:.3g}'
           f' ({name(most)}){origin}']
  absent = [name(index) for index in order if not weights[index]]
  if absent:
    lines.append(f'{len(absent)} weigh nothing ({", ".join(absent[:5])}'
                 f'{", ..." if len(absent) > 5 else ""})')
  return lines


def _validation_rows(config, num_images, fresh):
  options, rows = config.validation, []
  if options.is_on:
    stop = (f', stops after {options.early_stop_patience} without improvement'
            if options.early_stop_patience else '')
    rows.append(('validation', f'on {options.source(config.data)}, every'
                 f' {config.validate_every_steps(num_images):,} steps{stop}'))
  last = config.run.max_number_of_steps
  return rows + _row(
      'note', last and batch_norm_health.stale(fresh, last))


def _seed_rows(config, seeds, card):
  exactly = ', bit for bit' if config.reproducibility.deterministic else ''
  shown = lambda value: 'not set' if value in (None, '') else value
  changed = [f'{name}: {shown(before)} before, now {shown(now)}'
             for name, (before, now) in card.changed.items()]
  if len(changed) > _SHOWN_CHANGES:
    changed[_SHOWN_CHANGES - 1:] = [
        f'and {len(changed) - _SHOWN_CHANGES + 1} more, see run_card.md']
  return [('seed', f'{seeds.seed}, {seeds.origin}{exactly}'),
          *[('changed', line) for line in changed]]


def run_card(config: TrainConfig, start, seeds, training_graph, batches, dataset,
             schedule, loss, image_size: int, num_classes: int, command: str,
             callbacks, computed, teacher=None) -> run_cards.RunCard:
  """Returns the run's card: a context manager, and a callback of the loop.

  Args:
    config: of the run.
    start: its `StartingPoint`.
    seeds: of the run.
    training_graph: what runs.
    batches: its input.
    dataset: of the training split.
    schedule: of the learning rate.
    loss: the `losses.Recipe`.
    image_size: height and width in pixels.
    num_classes: of the network.
    command: repeats the run.
    callbacks: of the loop; those with a `report` add results to the card.
    computed: the `TrainingPrecision`.
    teacher: the `RunTeacher`; None: there is none.
  """
  is_chief = config.distribution.is_chief
  precision = config.precision
  weights = loss.class_weights
  facts = {
      'image_size': image_size, 'classes': num_classes,
      'loss': loss_catalog.describe(loss.terms),
      **({} if weights is None else {'class_weights': list(weights)}),
      **({'distillation': teacher.facts(config)} if teacher else {}),
      **_segmentation_facts(config, dataset, num_classes),
      'computation': {**computed.facts(), 'xla': precision.xla,
                      'data_format': precision.data_format}}
  return run_cards.RunCard(
      config.run.train_dir if is_chief else None, {
          'command': command,
          'run': {**_run_facts(config, training_graph, dataset, schedule), **facts},
          'flags': {name: {'value': value, 'given': name in config.user_options}
                    for name, value in config.values().items()},
          'versions': run_description.versions(_PROJECT_DIR),
          'data': _fingerprints(config, batches, dataset) if is_chief else {},
          'seeds': _seed_facts(config, seeds)},
      start.step, start.resumed, config.images_per_step, batches.log.records_read,
      [callback.report for callback in callbacks if hasattr(callback, 'report')])


def _segmentation_facts(config, dataset, num_classes):
  if not config.segmentation.is_on:
    return {}
  names = dataset.labels_to_names or {}
  return {'class_names': [
      names.get(label, f'class {label}') for label in range(num_classes)]}


def _run_facts(config, training_graph, dataset, schedule):
  batch, last = config.images_per_step, config.run.max_number_of_steps
  name = config.network.model_name
  return {
      'title': f'{name} on {config.data.dataset_name}', 'network': name,
      'parameters': run_description.parameter_counts(_trained_variables(config)),
      'batch': {'images_per_step': batch, 'batch_size': config.data.batch_size,
                'clones': config.distribution.num_clones,
                'workers': config.distribution.worker_replicas,
                'accumulated_batches': training_graph.accumulate_steps},
      'images': dataset.num_samples,
      'steps_per_epoch': config.steps_per_epoch(dataset.num_samples),
      'last_step': last,
      'epochs': last * batch / dataset.num_samples if last else None,
      'schedule': {'in_words': schedule.describe(), **dataclasses.asdict(schedule)},
      'deterministic': config.reproducibility.deterministic}


def _fingerprints(config, batches, dataset):
  """Returns the fingerprint of each split that the run reads, by its name."""
  folder, split = config.data.dataset_dir, config.validation.validation_split_name
  prints = {config.data.dataset_split_name: fingerprint.fingerprint(
      batches.files, dataset.described_samples, folder)}
  if split:
    spec = config.data.spec()
    prints[split] = fingerprint.fingerprint(
        dataset_catalog.split_files(spec, split, folder), spec.splits[split], folder)
  return prints


def _seed_facts(config, seeds):
  words = {'given': 'The seed was given.',
           'of the chief': 'The seed is the one of the chief.',
           'drawn': 'No seed was given: this one was drawn.',
           'of the run card': 'The seed is the one of the first session.'}[seeds.origin]
  words += (' Deterministic: on the same machine the losses and weights are the same,'
            ' bit for bit.' if config.reproducibility.deterministic else
            ' Threads may add up in another order, so the last digits may differ;'
            ' --deterministic repeats them too.')
  return {'seed': seeds.seed, 'origin': seeds.origin, 'graph': seeds.graph,
          'input': seeds.input, 'first_record': seeds.first_record, 'words': words}
