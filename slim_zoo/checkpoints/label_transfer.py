"""Keeps the weights of classes that exist in the checkpoint and in the new data set.

Classes are matched by name: the label names of the checkpoint's data set and those of
the new data set.
"""

import dataclasses
from collections.abc import Callable, Mapping

from slim_zoo import diagnostics
from slim_zoo.checkpoints import heads, restore
from slim_zoo.tf_compat import tf

FLAG = '--transfer_classes_from'


@dataclasses.dataclass(frozen=True)
class Transfer:
  """A plan to restore the weights of classes.

  Attributes:
    plan: restores all other variables.
    variables: the layers of the classes, by the names of the plan's listing.
    pairs: (class in the checkpoint, class in the network).
    num_classes: number of classes of the network.
  """

  plan: restore.RestorePlan
  variables: dict[str, tf.Variable]
  pairs: list[tuple[int, int]]
  num_classes: int

  def describe(self) -> str:
    """Returns a line with the number of classes that keep their weights."""
    return (f'{len(self.pairs)} of {self.num_classes} classes keep the weights of the'
            ' class with the same name in the checkpoint, the others are initialized')

  def init_fn(self) -> Callable:
    """Returns init_fn(session), which sets the weights of these classes."""
    reader = restore.open_reader(self.plan.path)
    sources = self.plan.listing.sources
    old, new = (list(classes) for classes in zip(*self.pairs, strict=True))

    def run(session):
      values = session.run(self.variables)
      for name, variable in self.variables.items():
        value = values[name].copy()
        value[..., new] = reader.get_tensor(sources[name])[..., old]
        variable.load(value, session)

    return run


def match(old_names: Mapping[int, str], new_names: Mapping[int, str]) -> (
    list[tuple[int, int]]):
  """Returns (old label, new label) of the classes with the same name.

  The comparison ignores case, and a space equals '_'. A name that occurs twice on one
  side is ambiguous and is left out.
  """
  old, new = _by_name(old_names), _by_name(new_names)
  return [(old[name], label) for name, label in new.items() if name in old]


def _by_name(names):
  labels = {}
  for label, name in names.items():
    labels.setdefault(' '.join(name.replace('_', ' ').casefold().split()), []).append(
        label)
  return {name: matching[0] for name, matching in labels.items() if len(matching) == 1}


def labels_offset(names: Mapping[int, str], num_classes: int, path: str) -> int:
  """Returns the number that is subtracted from labels to get a checkpoint's classes.

  Raises:
    UserError: the number of classes does not fit the labels.
  """
  highest = max(names, default=-1)
  if highest < 0 or highest > num_classes:
    raise diagnostics.UserError(
        f"{FLAG}: its labels end at {highest}, the checkpoint '{path}' has"
        f' {num_classes} classes: name the labels file of the data set that it was'
        ' trained on')
  # The checkpoint was trained without the background class.
  return 1 if highest == num_classes else 0


def plan_transfer(plan: restore.RestorePlan, head: heads.Head, variables,
                  old_names: Mapping[int, str],
                  new_names: Mapping[int, str]) -> Transfer:
  """Moves the layers of the classes out of a plan, to restore them class by class.

  Args:
    plan: a plan to restore the network.
    head: head of the network.
    variables: variables of the network.
    old_names: names by label, of the checkpoint.
    new_names: names by class, of the network.

  Raises:
    UserError: the checkpoint has no such head, its labels do not fit, or no class has
      the same name.
  """
  shapes = plan.listing.shapes
  count = head.class_count(variables, shapes)
  layers = {name: variable for name, variable in head.class_variables(variables).items()
            if name in shapes and name not in plan.excluded
            and list(shapes[name]) == [*variable.shape.as_list()[:-1], count]}
  if not layers:
    raise diagnostics.UserError(
        f"{FLAG}: no weights of classes are restored from '{plan.path}': its head does"
        ' not fit, or --checkpoint_exclude_scopes excludes it')
  offset = labels_offset(old_names, count, plan.path)
  pairs = match({label - offset: name for label, name in old_names.items()
                 if label >= offset}, new_names)
  if not pairs:
    raise diagnostics.UserError(
        f'{FLAG}: no class of the data set has the name of a class of the checkpoint'
        f" ('{next(iter(new_names.values()))}' in the data set,"
        f" '{next(iter(old_names.values()))}' in the checkpoint): remove the flag")
  rest = dataclasses.replace(
      plan,
      restored={name: variable for name, variable in plan.restored.items()
                if name not in layers},
      mismatched=[entry for entry in plan.mismatched if entry[0] not in layers])
  return Transfer(rest, layers, pairs, head.num_classes)
