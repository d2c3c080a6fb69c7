"""Explains a restore before it: which variables a checkpoint has, which not, and why.

The table says of every variable what becomes of it, and a difference that nobody
asked for stops the run with its likely cause.
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

# More names than this are counted by scope, in so many scopes on one line.
_NAMES, _SCOPES, _WIDTH = 4, 6, 150

_WITHOUT_EXCUSE = ('leave them out by --checkpoint_exclude_scopes, or begin them anew'
                   ' by --ignore_missing_vars')


@dataclasses.dataclass(frozen=True)
class Network:
  """The restore to explain.

  Attributes:
    name: in the registry.
    head: its classes.
    variables: what belongs to it.
    find_width: of `identify.find_width`, with a way to build networks; or None.
  """

  name: str
  head: heads.Head
  variables: Sequence
  find_width: Callable[[Mapping[str, Sequence[int]]], identify.Match | None] = (
      lambda shapes: None)


def table(plan: restore.RestorePlan,
          transfer: label_transfer.Transfer | None = None) -> list[str]:
  """Returns the lines that say what becomes of every variable.

  Args:
    plan: of restoring the network.
    transfer: of classes, if there is one.
  """
  differing = [f'{name} {there} there, {here} here'
               for name, there, here in plan.mismatched]
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
  """Returns a few names as they are, and many as scopes with their counts."""
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
  """Returns notes about a restore that is possible."""
  lines = []
  head, count = network.head, _class_count(plan, network)
  excluded = [scope for scope in head.scopes
              if any(variable_scopes.in_scope(name, scope) for name in plan.excluded)]
  if excluded and count is not None and count != head.num_classes:
    lines.append(f'{_counts(plan, network)}: the head {", ".join(excluded)} starts'
                 ' anew')
  num_new = len(plan.missing) + len(plan.mismatched)
  if num_new:
    lines.append(f'WARNING: {num_new} variables begin anew, as --ignore_missing_vars'
                 f' says: {likely_cause(plan, network) or "the cause is not known"}')
  averaged = set(contents.sort(plan.listing.shapes).averages) & set(plan.restored)
  if averaged:
    lines.append(
        f'the checkpoint also keeps moving averages of {len(averaged)} of these:'
        f' --checkpoint_rename=/{contents.AVERAGE}= begins from them')
  return lines


def check(plan: restore.RestorePlan, network: Network,
          ignore_missing_vars: bool) -> None:
  """Raises UserError for anything left out that the user did not ask for."""
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
      f'{problem}: {likely_cause(plan, network) or _WITHOUT_EXCUSE}')


def likely_cause(plan: restore.RestorePlan, network: Network) -> str | None:
  """Returns the likely cause of what does not fit, with what to do; or None."""
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
    return (f'it holds moving averages only: --checkpoint_rename=/{average}= takes them'
            ' for the weights')
  values = '/.ATTRIBUTES/VARIABLE_VALUE'
  if any(name.endswith(values) for name in plan.listing.sources.values()) and any(
      name.endswith(values) for name in plan.unused):
    return ('it was written by tf.train.Checkpoint or Keras, under names of objects:'
            f' --checkpoint_rename={values}=,OLD=NEW gives them those of the network')
  return None


def _other_network(plan, network):
  """Looks for the network that the checkpoint is of."""
  matches = identify.identify(plan.listing.shapes, limit=None)
  fitting = [match for match in matches if match.fits]
  own = next((match for match in fitting if match.network == network.name), None)
  if own and own.renamed:
    return (f"its variables lie in the scope '{own.scope}':"
            f' --checkpoint_rename={_rule(own.scope, own.own_scope)}')
  if own:
    return _other_images(plan, own)
  if own is None and fitting:
    return identify.advice(plan.listing.shapes, network.name)
  candidate = network.find_width(plan.listing.shapes)
  if candidate is not None:
    width = candidate.arguments['depth_multiplier']
    return (f'this is a checkpoint of {candidate.network} of width {width:g}, and no'
            ' --model_name has that width')
  return None


def _other_images(plan, own):
  """Explains layers that differ by the size or the channels of the images alone."""
  if all(len(there) != 2 for _, there, _ in plan.mismatched):
    return (f'it was trained on images of {own.channels} channels: data set, network'
            ' and --use_grayscale have to give as many')
  cost = complexity.load().get(own.network)
  size = own.image_size or (cost.input_shape[0] if cost else None)
  if size is None:
    return 'it was trained on images of another size: set --train_image_size'
  return (f'it was trained on images of {size} x {size}, which its fully connected'
          f' layers are made for: set --train_image_size={size}')


def _rule(old, new):
  return f'{old}={new}' if old else f'={new}'


def _size(plan, network):
  """Describes how a checkpoint of unknown kind differs."""
  ratios = [there[-1] / here[-1] for name, there, here in plan.mismatched
            if there and len(there) == len(here) and there[-1] != here[-1]
            and not network.head.holds(name)]
  if ratios:
    nearest = next(iter(identify.identify(plan.listing.shapes, limit=1)), None)
    like = f'; it is most like {nearest.network}' if nearest else ''
    return (f'its layers have about {statistics.median(ratios):.2g} times the channels'
            f' of {network.name}, which fits no network of the registry{like}')
  if not plan.restored:
    return None
  leaves = {name.rpartition('/')[2] for name in plan.missing}
  if len(leaves) == 1 and len(plan.missing) > 1:
    return (f"all that it lacks is called '{leaves.pop()}': it was trained with other"
            f' layers; {_WITHOUT_EXCUSE}')
  return None


def _other_head(plan, network):
  """Explains a body that fits and a head that does not."""
  head, count = network.head, _class_count(plan, network)
  scopes = head.scopes_to_exclude(network.variables, plan.listing.shapes)
  if not scopes:
    return None
  names = ', '.join(scopes)
  advice = (f'--checkpoint_exclude_scopes=auto starts the head {names} anew')
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
