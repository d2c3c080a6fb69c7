"""Copies of the variables of the first clone, so that each GPU reads its own.

A copy of 'net/weights' is the local variable 'net/weights/copy_1'. It is in no
checkpoint: before the first step it takes the value of the first clone's variable, and
from then on equal gradients keep it equal.
"""

import contextlib
from collections.abc import Sequence

from slim_zoo.deployment import variable_checksums
from slim_zoo.diagnostics import UserError
from slim_zoo.tf_compat import tf

# Where variables, and what belongs to them, are listed once, for the first clone.
_LISTS = (tf.GraphKeys.GLOBAL_VARIABLES, tf.GraphKeys.MODEL_VARIABLES,
          tf.GraphKeys.TRAINABLE_VARIABLES, tf.GraphKeys.REGULARIZATION_LOSSES)


class VariableCopies:
  """The variables of one clone that is not the first.

  Args:
    index: of the clone, 1 or more.
  """

  def __init__(self, index: int):
    self._suffix, self._prefix = f'/copy_{index}', f'copy_{index}/'
    self.by_name: dict[str, tf.Variable] = {}

  @contextlib.contextmanager
  def replacing(self):
    """Makes copies of the variables that the block asks for."""
    before = {name: list(tf.get_collection_ref(name)) for name in _LISTS}
    with tf.variable_scope(tf.get_variable_scope(), custom_getter=self._get):
      yield
    for name, items in before.items():
      tf.get_collection_ref(name)[:] = items

  @contextlib.contextmanager
  def collecting(self):
    """Takes the variables that the block makes, such as an optimizer's, as copies."""
    variables = tf.get_collection_ref(tf.GraphKeys.GLOBAL_VARIABLES)
    count = len(variables)
    with tf.name_scope(self._prefix):
      yield
    for variable in variables[count:]:
      name = variable.op.name
      self.by_name[name.replace(self._suffix, '').removeprefix(self._prefix)] = variable
      tf.add_to_collection(tf.GraphKeys.LOCAL_VARIABLES, variable)
    del variables[count:]

  def of(self, variable: tf.Variable) -> tf.Variable:
    """Returns the copy of a variable of the first clone."""
    return self.by_name[variable.op.name]

  def _get(self, getter, name, *args, **kwargs):
    """A custom getter of tf.variable_scope."""
    kwargs['collections'] = [tf.GraphKeys.LOCAL_VARIABLES]
    copy = self.by_name[name] = getter(name + self._suffix, *args, **kwargs)
    return copy


class CopiedVariables:
  """The operations on all copies. Make it when all variables are there.

  Args:
    copies: of each clone but the first.
  """

  def __init__(self, copies: Sequence[VariableCopies]):
    originals = {variable.op.name: variable for variable in tf.global_variables()}
    self._names = list(copies[0].by_name)
    sets = [[by_name[name] for name in self._names]
            for by_name in (originals, *(one.by_name for one in copies))]
    with tf.name_scope('copies'):
      self._set = tf.group(*[
          one.by_name[name].assign(originals[name].read_value(), read_value=False)
          for one in copies for name in self._names])
      with tf.device('/device:CPU:0'):
        self._checksums = tf.stack([
            variable_checksums.checksums(variables) for variables in sets])

  def broadcast(self, session: tf.Session) -> None:
    """Gives the copies the values of the first clone's variables."""
    session.run(self._set)

  def compare(self, session: tf.Session, step: int) -> None:
    """Compares the copies with the first clone's variables, bit for bit.

    Raises:
      UserError: they differ.
    """
    differences = variable_checksums.differences(session.run(self._checksums))
    if len(differences):
      clone, variable = differences[0]
      raise UserError(
          f"the variable '{self._names[variable]}' of clone {clone} differs from that"
          f' of clone 0 at step {step}: a GPU computes wrongly; continue from the last'
          ' checkpoint, without it')
