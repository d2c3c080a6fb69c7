"""The head of a network: what depends on its classes, and how many a checkpoint has."""

import dataclasses
from collections.abc import Mapping, Sequence

from slim_zoo.checkpoints import variable_scopes
from slim_zoo.tf_compat import tf


@dataclasses.dataclass(frozen=True)
class Head:
  """Where the classes of a network are.

  Attributes:
    scopes: the scopes to drop when the classes change, as in the registry.
    num_classes: how many there are.
  """

  scopes: tuple[str, ...]
  num_classes: int

  def holds(self, name: str) -> bool:
    """Returns whether a variable lies in the head."""
    return any(variable_scopes.in_scope(name, scope) for scope in self.scopes)

  def class_variables(self, variables: Sequence[tf.Variable]) -> dict[str, tf.Variable]:
    """Returns the variables whose last dimension counts classes, by name.

    They are the layers of the head that have biases, one for each class: the others,
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
    """Returns how many classes a checkpoint has; None if it has no head like this.

    Args:
      variables: of the network.
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

    Otherwise those that the checkpoint has nothing of, such as an auxiliary head.
    """
    count = self.class_count(variables, shapes)
    if count is not None and count != self.num_classes:
      return self._own_scopes(variables)
    return self.absent_scopes(variables, shapes)

  def absent_scopes(self, variables: Sequence[tf.Variable],
                    shapes: Mapping[str, Sequence[int]]) -> list[str]:
    """Returns the scopes of the head that a checkpoint has nothing of."""
    return [scope for scope in self._own_scopes(variables)
            if not any(variable_scopes.in_scope(name, scope) for name in shapes)]

  def _own_scopes(self, variables):
    # A network may be built without its auxiliary head.
    return [scope for scope in self.scopes
            if any(variable_scopes.in_scope(variable.op.name, scope)
                   for variable in variables)]
