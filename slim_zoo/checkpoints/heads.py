"""The head of a network: the variables that depend on its classes."""

import dataclasses
from collections.abc import Mapping, Sequence

from slim_zoo.checkpoints import variable_scopes
from slim_zoo.tf_compat import tf


@dataclasses.dataclass(frozen=True)
class Head:
  """The head of a network.

  Attributes:
    scopes: the scopes to exclude when the classes change, from the catalog.
    num_classes: the number of classes.
  """

  scopes: tuple[str, ...]
  num_classes: int

  def holds(self, name: str) -> bool:
    """Returns whether a variable is in the head."""
    return any(variable_scopes.in_scope(name, scope) for scope in self.scopes)

  def class_variables(self, variables: Sequence[tf.Variable]) -> dict[str, tf.Variable]:
    """Returns the variables whose last dimension is the classes, by name.

    These are the layers of the head with biases, one for each class; the other layers,
    in auxiliary heads, have batch norm.
    """
    heads = {variable.op.name: variable for variable in variables
             if self.holds(variable.op.name)
             and variable.shape.as_list()[-1:] == [self.num_classes]}
    layers = {name.removesuffix('/biases') for name, variable in heads.items()
              if name.endswith('/biases') and variable.shape.rank == 1}
    return {name: variable for name, variable in heads.items()
            if name.rpartition('/')[0] in layers}

  def class_count(self, variables: Sequence[tf.Variable],
                  shapes: Mapping[str, Sequence[int]]) -> int | None:
    """Returns the number of classes of a checkpoint; None without such a head.

    Args:
      variables: variables of the network.
      shapes: the shape of each variable in the checkpoint, by name.
    """
    counts = [
        shapes[name][-1] for name, variable in self.class_variables(variables).items()
        if name in shapes and len(shapes[name]) == variable.shape.rank
        and list(shapes[name][:-1]) == variable.shape.as_list()[:-1]]
    others = [count for count in counts if count != self.num_classes]
    return (others or counts or [None])[0]

  def scopes_to_exclude(self, variables: Sequence[tf.Variable],
                        shapes: Mapping[str, Sequence[int]]) -> list[str]:
    """Returns the scopes that cannot be restored: all if the class counts differ.

    With equal counts: the scopes that the checkpoint lacks, such as an auxiliary head.
    """
    count = self.class_count(variables, shapes)
    if count is not None and count != self.num_classes:
      return self._own_scopes(variables)
    return self.missing_scopes(variables, shapes)

  def missing_scopes(self, variables: Sequence[tf.Variable],
                    shapes: Mapping[str, Sequence[int]]) -> list[str]:
    """Returns the scopes of the head that a checkpoint lacks."""
    return [scope for scope in self._own_scopes(variables)
            if not any(variable_scopes.in_scope(name, scope) for name in shapes)]

  def _own_scopes(self, variables):
    # A network may be built without its auxiliary head.
    return [scope for scope in self.scopes
            if any(variable_scopes.in_scope(variable.op.name, scope)
                   for variable in variables)]
