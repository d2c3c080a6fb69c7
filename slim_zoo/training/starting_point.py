"""The start of a run: its own checkpoint, another checkpoint, or random weights."""

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence

from slim_zoo import diagnostics
from slim_zoo.checkpoints import (
  checkpoint_names,
  identify,
  label_transfer,
  preflight,
  quantization,
  renaming,
  restore,
  run_card,
  run_checkpoints,
)
from slim_zoo.nets import normalization
from slim_zoo.nets import variables as network_variables
from slim_zoo.tf_compat import slim, tf

# Of the moving average of a restored range: the weights of so many steps add up to 1.
_STEPS_OF_RANGES = 20_000.0


@dataclasses.dataclass(frozen=True)
class FineTuning:
  """Options for restoring another checkpoint.

  Attributes:
    exclude_scopes: scopes not to restore; 'auto' stands for the head if the classes
      are others.
    ignore_missing_vars: whether variables that do not fit keep their initial values.
    rename: rules for the names in the checkpoint.
    old_class_names: names of the checkpoint's classes by label; with them the classes
      of the same name keep their weights.
    new_class_names: names of the network's classes.
  """

  exclude_scopes: Sequence[str] = ()
  ignore_missing_vars: bool = False
  rename: Sequence[renaming.Rule] = ()
  old_class_names: Mapping[int, str] | None = None
  new_class_names: Mapping[int, str] | None = None


@dataclasses.dataclass(frozen=True)
class StartingPoint:
  """The start of a run, as known before its graph is built.

  Attributes:
    step: the global step to begin at.
    newest: the checkpoint of this run to resume, or None.
    restored: the checkpoint to begin from, where there is none to resume.
    not_used: a checkpoint that was given, but the run is already under way.
    is_chief: whether this process restores; others wait for the one that does.
    is_sent: whether the chief sends its variables before the first step.
  """

  step: int = 0
  newest: run_checkpoints.Newest | None = None
  restored: str | None = None
  not_used: str | None = None
  is_chief: bool = True
  is_sent: bool = False

  @property
  def resumed(self) -> str | None:
    """The prefix of the checkpoint to resume, or None."""
    return self.newest and self.newest.path

  def is_finished(self, max_number_of_steps: int | None) -> bool:
    """Returns whether the run has taken all its steps."""
    return (self.resumed is not None and max_number_of_steps is not None
            and self.step >= max_number_of_steps)

  def prepare(self, network: preflight.Network,
              how: FineTuning) -> tuple[list[str], Callable | None]:
    """Compares the checkpoint with the default graph, says what it gives.

    Where a newer checkpoint is damaged, the folder's state file is made to name the
    whole one: from there it is restored.

    Args:
      network: of the graph.
      how: to take the variables of another checkpoint.

    Returns:
      (lines, init_fn): lines of text, and the function for slim.learning.train,
      None if it has nothing to do.

    Raises:
      UserError: the checkpoint does not fit the graph. What does has been printed.
    """
    if not self.is_chief:
      at = f', at step {self.step}' if self.is_sent else ''
      return [f'those of the chief{at}'], None
    if self.newest:
      restore.plan_restore(self.resumed, tf.global_variables(), []).check_resumes()
      self.newest.record()
      lines = [f'resumes step {self.step} of {self.resumed}',
               *_dropped_ranges(self.resumed, network.variables),
               *self.newest.describe_damage(),
               *filter(None, [self.newest.warning])]
      if self.not_used:
        lines.append(f'--checkpoint_path={self.not_used} is not used, nor are the flags'
                     ' about it: this run has its own checkpoints; another --train_dir'
                     ' starts a new run')
      return lines, None
    if self.restored:
      return _fine_tune(self.restored, network, how)
    return ['begins with random weights'], None


  def fresh(self, decays: Mapping[str, float], network: preflight.Network,
            how: FineTuning) -> dict[str, float]:
    """Returns the batch norm layers whose statistics began at 0 and 1 in this run.

    Args:
      decays: of all layers, see `nets.normalization.decays`.
      network: of the default graph.
      how: variables of another checkpoint are taken.
    """
    if not self.is_chief:
      return {}  # The chief tells.
    # A run that continues began from the checkpoint that its command still names.
    path = self.restored or self.not_used
    if path is None:
      return dict(decays)
    try:
      plan = _plan(restore.find(path), network, how)
    except diagnostics.UserError:
      return {}  # It is gone: nobody knows what was restored.
    return {layer: decay for layer, decay in decays.items()
            if f'{layer}/moving_mean' not in plan.restored}


def find(train_dir: str, checkpoint_path: str | None, init: str = 'auto',
         is_chief: bool = True) -> StartingPoint:
  """Finds the checkpoint that a run starts from.

  Args:
    train_dir: the run's folder.
    checkpoint_path: a checkpoint, or a folder of them, to begin from; or None.
    init: 'auto', 'resume', 'finetune' or 'scratch'. 'auto' resumes the run's own
      checkpoint if there is one, else restores checkpoint_path, else uses random
      weights. The others require one of these.
    is_chief: whether this process restores. Others find the run as the chief left
      it, under way or not.

  Raises:
    UserError: there is no checkpoint at `checkpoint_path`, or it is damaged, or none
      of the run's is whole, or `init` insists on something else.
  """
  if is_chief:
    _check_folder(train_dir, init)
  newest = run_checkpoints.newest_complete(train_dir, restore.damage_of)
  if newest:
    return StartingPoint(restore.global_step_of(newest.path), newest,
                         not_used=checkpoint_path, is_chief=is_chief)
  if checkpoint_path:
    path = restore.find(checkpoint_path)
    restore.verify(path)
    return StartingPoint(restored=path, is_chief=is_chief)
  return StartingPoint(is_chief=is_chief)


def _check_folder(train_dir, init):
  """Raises UserError if there is a run and must not be, or the other way round."""
  has_run = checkpoint_names.holds_run(train_dir)
  if init == 'resume' and not has_run:
    raise diagnostics.UserError(
        f"--init=resume: '{train_dir}' holds no run; name the --train_dir of one, or"
        ' begin one by --init=auto')
  if init in ('finetune', 'scratch') and has_run:
    newest = next(iter(run_checkpoints.newest_first(train_dir)), None)
    run = f'a run ({os.path.basename(newest)})' if newest else 'a run'
    raise diagnostics.UserError(
        f"--init={init}: '{train_dir}' already holds {run}: name another --train_dir"
        ' to start a new run, or continue with that run by --init=resume')


def _plan(path, network, how):
  """Returns the plan of a restore, without the classes that are transferred."""
  listing = restore.read_listing(path, how.rename)
  scopes = [scope for scope in how.exclude_scopes if scope != 'auto']
  if 'auto' in how.exclude_scopes:
    head_scopes = (network.head.scopes_to_exclude if how.old_class_names is None
                   else network.head.missing_scopes)
    scopes += head_scopes(network.variables, listing.shapes)
  variables = [variable for variable in network.variables
               if not _is_computed(variable, listing.shapes)]
  return restore.plan_restore(listing, variables, scopes)


def _is_computed(variable, shapes):
  """Returns whether training computes a variable that a checkpoint may lack."""
  name = variable.op.name
  if not quantization.is_range(name):
    return False
  # Of a checkpoint of floats all ranges. The first step computes those of weights: they
  # may be for each channel here, and for whole layers there.
  return quantization.find(shapes) is None or (
      quantization.is_range_of_weights(name)
      and shapes.get(name) != variable.shape.as_list())


def _fine_tune(path, network, how):
  """Returns the lines and the init_fn of a run that begins from a checkpoint."""
  plan = _plan(path, network, how)
  transfer = None
  if how.old_class_names is not None:
    transfer = label_transfer.plan_transfer(
        plan, network.head, network.variables, how.old_class_names,
        how.new_class_names)
    plan = transfer.plan
  lines = preflight.table(plan, transfer)
  try:
    preflight.check(plan, network, how.ignore_missing_vars)
  except diagnostics.UserError:
    # An error is one line; its context is printed before it.
    print('\n'.join(lines), flush=True)
    raise
  lines += [*preflight.notes(plan, network), *_dropped_ranges(path, network.variables),
            *_folded_batch_norm(path, plan)]
  steps = [restore.restore_fn(plan)] if plan.restored else []
  if transfer:
    lines.append(transfer.describe())
    steps.append(transfer.init_fn())
  if not steps:
    raise diagnostics.UserError(
        f"--checkpoint_exclude_scopes leaves nothing of '{path}' to restore: leave"
        ' --checkpoint_path out, or some of the scopes')
  averages = _averages_from_weights(network.variables)
  if averages is not None:
    steps.append(lambda session: session.run(averages))
  ranges = _sums_from_ranges(plan.restored)
  if ranges:
    steps.append(lambda session: session.run(ranges))
    lines.append('the moving averages of ranges continue from the ranges of the'
                 ' checkpoint')

  def init_fn(session):
    for step in steps:
      step(session)

  return lines, init_fn


def _dropped_ranges(path, variables) -> list[str]:
  """Returns a line if a checkpoint has ranges and the network has none."""
  if any(quantization.is_range(variable.op.name) for variable in variables):
    return []
  shapes = restore.read_listing(path).shapes
  card, _ = run_card.facts_of(path)
  quantized = quantization.find(shapes, card)
  if quantized is None:
    return []
  delay = card.quantize_delay if card and card.quantize_delay is not None else 0
  channels = ' --quantize_per_channel' if quantized.per_channel else ''
  return ['the ranges of the checkpoint are dropped:'
          f' --quantize_delay={delay}{channels} keep{"" if channels else "s"} them']


def _folded_batch_norm(path, plan) -> list[str]:
  """Returns a line if batch norm is trained whose statistics are folded into weights.

  Checkpoints of frozen graphs and TensorFlow Lite files have the mean 0 and a variance
  just below 1. In training the statistics of the images replace them, and all outputs
  change.
  """
  layers = [layer for layer in normalization.decays()
            if f'{layer}/moving_mean' in plan.restored]
  if not layers:
    return []
  mean, variance = restore.read_values(path, [
      plan.listing.sources[f'{layers[0]}/{name}']
      for name in ('moving_mean', 'moving_variance')]).values()
  if mean.any() or (variance != variance[0]).any() or variance[0] == 1:
    return []
  scope = layers[0].split('/')[0]
  return [f'batch norm of {scope} is folded into its weights in the checkpoint: its'
          f' outputs change in training; --frozen_batch_norm_scopes={scope} keeps them']


def _averages_from_weights(variables) -> tf.Operation | None:
  """Returns an op that sets moving averages to the weights; None without averages.

  A moving average begins with the initial value of its variable, and a restored
  variable has another one by then.
  """
  by_name = {variable.op.name: variable for variable in tf.global_variables()}
  pairs = [(by_name.get(f'{variable.op.name}/ExponentialMovingAverage'), variable)
           for variable in variables]
  assigned = [average.assign(variable.read_value())
              for average, variable in pairs if average is not None]
  return tf.group(*assigned) if assigned else None


def _sums_from_ranges(restored) -> list[tf.Operation]:
  """Returns ops that make the moving averages of ranges continue from restored values.

  A moving average is a sum, divided by the sum of its weights. Both begin with 0, so
  the first batch alone would replace a restored range.

  Args:
    restored: variables by name.
  """
  by_name = {variable.op.name: variable for variable in tf.global_variables()}
  assigned = []
  for name, total in by_name.items():
    if not quantization.is_sum(name):
      continue
    average = name.removesuffix('/biased')
    range_ = _range_of(average, restored)
    if range_ is not None:
      assigned += [total.assign(range_.read_value(), read_value=False),
                   by_name[f'{average}/local_step'].assign(
                       _STEPS_OF_RANGES, read_value=False)]
  return assigned


def _range_of(average, restored):
  """Returns the restored range of a moving average; None if it has none.

  The average has the name of its range behind a scope.
  """
  rest = average
  while rest:
    _, _, rest = rest.partition('/')
    if rest in restored:
      return restored[rest]
  return None


def network_of(name: str, head: preflight.heads.Head) -> preflight.Network:
  """Returns the network in the default graph, for `StartingPoint.prepare`.

  Args:
    name: in the registry.
    head: its classes.
  """
  return preflight.Network(
      name, head, slim.get_model_variables(),
      lambda shapes: identify.find_width(shapes, network_variables.measure))
