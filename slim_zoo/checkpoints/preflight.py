"""Shows what fine-tuning restores from a checkpoint, and explains differences.

A table lists every variable. A difference without a flag for it stops the run with the
likely cause.
"""

import collections
import dataclasses
import statistics
from collections.abc import Callable, Mapping, Sequence

from slim_zoo import diagnostics
from slim_zoo.catalog import complexity
from slim_zoo.checkpoints import (
    contents,
    heads,
    identify,
    label_transfer,
    restore,
    variable_scopes,
)

# More names than this are counted by scope, with at most this many scopes on a line.
_NAMES, _SCOPES, _WIDTH = 4, 6, 150

_ADVICE = ('exclude them with --checkpoint_exclude_scopes, or initialize them with'
           ' --ignore_missing_vars')


@dataclasses.dataclass(frozen=True)
class Network:
  """The network to restore.

  Attributes:
    name: name in the catalog.
    head: its head.
    variables: its variables.
    find_width: `identify.find_width` with a function that builds networks; or None.
  """

  name: str
  head: heads.Head
  variables: Sequence
  find_width: Callable[[Mapping[str, Sequence[int]]], identify.Match | None] = (
      lambda shapes: None)


def table(plan: restore.RestorePlan,
          transfer: label_transfer.Transfer | None = None) -> list[str]:
  """Returns the table of all variables as lines.

  Args:
    plan: a plan to restore the network.
    transfer: the transfer of classes, if there is one.
  """
  differing = [f'{name} {in_checkpoint} in the checkpoint, {in_network} in the network'
               for name, in_checkpoint, in_network in plan.mismatched]
  rows = [
      ('restored', plan.restored, summary(plan.restored)),
      ('excluded', plan.excluded, summary(plan.excluded)),
      ('missing in the checkpoint', plan.missing, summary(plan.missing)),
      ('shape differs', differing, (
          '; '.join(differing) if len(differing) <= _NAMES else
          f'{summary([name for name, *_ in plan.mismatched])}; such as'
          f' {differing[0]}')),
      ('unused in the checkpoint', plan.unused, summary(plan.unused))]
  if transfer:
    rows.insert(1, ('restored class by class', transfer.variables,
                    summary(transfer.variables)))
  return [f'from {plan.path}, step {_step(plan)}:'] + [
      f'  {what:<25}  {len(names):>5,}  {text}'.rstrip() for what, names, text in rows]


def summary(names: Sequence[str]) -> str:
  """Returns a few names as they are, or many as scopes with their counts."""
  names = list(names)
  if len(names) <= _NAMES:
    return ', '.join(names)
  deepest = max(name.count('/') for name in names)
  for depth in range(max(1, deepest), 0, -1):
    counts = collections.Counter(
        '/'.join(name.split('/')[:-1][:depth]) or name for name in names)
    texts = [f'{scope} ({count})' for scope, count in counts.items()]
    if len(texts) <= _SCOPES and len(', '.join(texts)) <= _WIDTH:
      break
  return diagnostics.some(texts, _SCOPES)


def notes(plan: restore.RestorePlan, network: Network) -> list[str]:
  """Returns further notes about a restore."""
  lines = []
  head, count = network.head, _class_count(plan, network)
  excluded = [scope for scope in head.scopes
              if any(variable_scopes.in_scope(name, scope) for name in plan.excluded)]
  if excluded and count is not None and count != head.num_classes:
    lines.append(f'{_counts(plan, network)}: the head {", ".join(excluded)} is'
                 ' initialized')
  initialized = len(plan.missing) + len(plan.mismatched)
  if initialized:
    lines.append(f'WARNING: --ignore_missing_vars initializes {initialized} variables:'
                 f' {likely_cause(plan, network) or "the cause is not known"}')
  averaged = set(contents.sort(plan.listing.shapes).averages) & set(plan.restored)
  if averaged:
    lines.append(
        f'the checkpoint also has moving averages of {len(averaged)} of these:'
        f' --checkpoint_rename=/{contents.AVERAGE}= restores them in place of the'
        ' weights')
  return lines


def check(plan: restore.RestorePlan, network: Network,
          ignore_missing_vars: bool) -> None:
  """Raises UserError for a difference that no flag allows."""
  if not plan.restored and (plan.missing or plan.mismatched):
    cause = likely_cause(plan, network)
    problem = (plan.first_mismatch() if plan.mismatched else plan.of_another_network())
    raise diagnostics.UserError(
        f'{problem}: {cause or "choose the --model_name that it was trained with"}')
  if ignore_missing_vars or not (plan.missing or plan.mismatched):
    return
  if plan.mismatched:
    problem = plan.first_mismatch()
  else:
    problem = (f"'{plan.path}' lacks {len(plan.missing)} variables of the network"
               f' ({diagnostics.some(plan.missing)})')
  raise diagnostics.UserError(
      f'{problem}: {likely_cause(plan, network) or _ADVICE}')


def likely_cause(plan: restore.RestorePlan, network: Network) -> str | None:
  """Returns the likely cause of the differences, with advice, or None."""
  mismatched = [name for name, *_ in plan.mismatched]
  body = [name for name in [*plan.missing, *mismatched]
          if not network.head.holds(name)]
  if body:
    return _other_names(plan, body) or _other_network(plan, network) or _size(
        plan, network)
  if plan.missing or mismatched:
    return _other_head(plan, network)
  return None


def _other_names(plan, body):
  """Looks for the variables under other names than slim's."""
  shapes, average = plan.listing.shapes, contents.AVERAGE
  if all(f'{name}/{average}' in shapes for name in body):
    return (f'it has only moving averages: --checkpoint_rename=/{average}= uses them as'
            ' weights')
  values = '/.ATTRIBUTES/VARIABLE_VALUE'
  if any(name.endswith(values) for name in plan.listing.sources.values()) and any(
      name.endswith(values) for name in plan.unused):
    return ('it was written by tf.train.Checkpoint or Keras, with names of objects:'
            f' --checkpoint_rename={values}=,OLD=NEW renames them')
  return None


def _other_network(plan, network):
  """Looks for the network that the checkpoint is of."""
  matches = identify.identify(plan.listing.shapes, limit=None)
  fitting = [match for match in matches if match.fits]
  own = next((match for match in fitting if match.network == network.name), None)
  if own and own.renamed:
    return (f"its variables are in the scope '{own.scope}':"
            f' --checkpoint_rename={_rule(own.scope, own.own_scope)}')
  if own:
    return _other_images(plan, own)
  if own is None and fitting:
    return identify.advice(plan.listing.shapes, network.name)
  match = network.find_width(plan.listing.shapes)
  if match is not None:
    width = match.arguments['depth_multiplier']
    return (f'this is a checkpoint of {match.network} of width {width:g}, and no'
            ' --model_name has that width')
  return None


def _other_images(plan, own):
  """Explains layers that differ only by the size or channels of the images."""
  if all(len(in_checkpoint) != 2 for _, in_checkpoint, _ in plan.mismatched):
    return (f'it was trained on images of {own.channels} channels: use a data set,'
            ' network and --use_grayscale with the same number')
  cost = complexity.load().get(own.network)
  size = own.image_size or (cost.input_shape[0] if cost else None)
  if size is None:
    return 'it was trained on images of another size: set --train_image_size'
  return (f'it was trained on images of {size} x {size}, on which its fully connected'
          f' layers depend: set --train_image_size={size}')


def _rule(old, new):
  return f'{old}={new}' if old else f'={new}'


def _size(plan, network):
  """Describes how a checkpoint of unknown kind differs."""
  ratios = [in_checkpoint[-1] / in_network[-1]
            for name, in_checkpoint, in_network in plan.mismatched
            if in_checkpoint and len(in_checkpoint) == len(in_network)
            and in_checkpoint[-1] != in_network[-1] and not network.head.holds(name)]
  if ratios:
    nearest = next(iter(identify.identify(plan.listing.shapes, limit=1)), None)
    like = f'; the nearest is {nearest.network}' if nearest else ''
    return (f'its layers have about {statistics.median(ratios):.2g} times the channels'
            f' of {network.name}, which fits no network of the catalog{like}')
  if not plan.restored:
    return None
  leaves = {name.rpartition('/')[2] for name in plan.missing}
  if len(leaves) == 1 and len(plan.missing) > 1:
    return (f"all missing variables are named '{leaves.pop()}': it was trained with"
            f' other layers; {_ADVICE}')
  return None


def _other_head(plan, network):
  """Explains a head that does not fit while the body fits."""
  head, count = network.head, _class_count(plan, network)
  scopes = head.scopes_to_exclude(network.variables, plan.listing.shapes)
  if not scopes:
    return None
  names = ', '.join(scopes)
  advice = f'--checkpoint_exclude_scopes=auto initializes the head {names}'
  if count is None:
    return f'it has no head: {advice}'
  if count == head.num_classes:
    return f'it has no {names}: {advice}'
  offset = (', or --labels_offset=1 leaves out the background class'
            if count == head.num_classes - 1 else '')
  return f'{_counts(plan, network)}: {advice}{offset}'


def _counts(plan, network):
  return (f'the checkpoint has {_class_count(plan, network):,} classes, the data set'
          f' {network.head.num_classes:,}')


def _class_count(plan, network):
  return network.head.class_count(network.variables, plan.listing.shapes)


def _step(plan):
  return f'{restore.global_step_of(plan.path):,}'
