"""Losses with names and weights, for networks with several outputs.

Each clone adds its losses by name. The total loss is the sum of weight times loss, plus
the regularization; each part is a summary, and a number on progress lines.

    ROWS = (named_losses.OutputLoss('characters', 1, character_loss),
            named_losses.OutputLoss('order', 10, order_loss))

    def build_clone():
      outputs, targets = ...          # {'characters': tensor, 'order': tensor}
      named_losses.add_all(ROWS, outputs, targets)

    clones = model_deploy.create_clones(config, build_clone)
    optimizer = model_deploy.CloneOptimizer(optimizer, clones)
    parts = named_losses.summarized(clones)

`callbacks.slim_steps` prints the parts during `slim.learning.train`.
"""

import collections
import dataclasses
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from slim_zoo import diagnostics
from slim_zoo.deployment import model_deploy
from slim_zoo.tf_compat import tf

REGULARIZATION = 'regularization'
# The prefix of the tags in TensorBoard.
TAGS = 'losses/'
# The losses of a name, of all clones, are in the collection PREFIX + NAME.
_PREFIX = 'slim_zoo_named_losses/'
# A name in TensorFlow, without the slash.
_NAME = re.compile(r'[A-Za-z0-9.][A-Za-z0-9_.\-]*')
# The scope of one of several clones, maybe below another scope.
_CLONE = re.compile(r'(.*?/)?clone_[0-9_]+/')


@dataclasses.dataclass(frozen=True)
class OutputLoss:
  """The loss of one output of a network.

  Attributes:
    name: of the output, of its target and of the loss.
    weight: factor of the loss.
    function: called as function(output, target); returns a float scalar, without the
      weight.
  """

  name: str
  weight: float
  function: Callable[[Any, Any], tf.Tensor]


def add(name: str, value: tf.Tensor, weight: float = 1.0) -> tf.Tensor:
  """Adds weight * value to the losses of the clone that is being built.

  Args:
    name: of the loss, once in a clone. Letters, digits, '_', '-' and '.'.
    value: float scalar.
    weight: 0 or more.

  Returns:
    weight * value, which is in tf.GraphKeys.LOSSES.

  Raises:
    UserError: a name that was used or cannot be used, a weight that is negative or not
      finite, or a value that is not a float scalar.
  """
  value = tf.convert_to_tensor(value)
  _check(name, value, weight)
  clone = _clone_of(tf.get_default_graph().get_name_scope() + '/')
  if clone in [_clone_of(loss.op.name) for loss in tf.get_collection(_PREFIX + name)]:
    raise diagnostics.UserError(
        f"there is a loss '{name}' already{f' in {clone[:-1]}' if clone else ''}: give"
        ' each loss its own name')
  loss = tf.multiply(value, tf.cast(weight, value.dtype), name=name)
  tf.losses.add_loss(loss)
  tf.add_to_collection(_PREFIX + name, loss)
  return loss


def _check(name, value, weight):
  if not _NAME.fullmatch(name) or name == REGULARIZATION:
    raise diagnostics.UserError(
        f"a loss has the name '{name}': expected letters, digits, '_', '-' and '.', and"
        f" not '{REGULARIZATION}'")
  if not (math.isfinite(weight) and weight >= 0):
    raise diagnostics.UserError(
        f"the loss '{name}' has the weight {weight}: expected 0 or more")
  if not value.dtype.is_floating or not value.shape.is_compatible_with([]):
    raise diagnostics.UserError(
        f"the loss '{name}' is {value.dtype.name} of the shape {value.shape}: expected"
        ' a float scalar, such as the mean over the batch')


def _clone_of(name):
  """Returns the scope of the clone that an operation is in, or ''."""
  found = _CLONE.match(name)
  return found[0] if found else ''


def add_all(rows: Sequence[OutputLoss], outputs: Mapping[str, Any],
            targets: Mapping[str, Any]) -> dict[str, tf.Tensor]:
  """Adds the losses of several outputs, see `add`.

  Args:
    rows: the losses.
    outputs: of the network, by name.
    targets: by the same names.

  Returns:
    The weighted losses by name.

  Raises:
    UserError: there is no output or no target of the name of a loss; see also `add`.
  """
  losses = {}
  for row in rows:
    for kind, values in (('output', outputs), ('target', targets)):
      if row.name not in values:
        raise diagnostics.unknown_name(
            kind, row.name, values, f" for the loss '{row.name}'")
    losses[row.name] = add(
        row.name, row.function(outputs[row.name], targets[row.name]), row.weight)
  return losses


def of_clone(clone: model_deploy.Clone) -> dict[str, tf.Tensor]:
  """Returns the weighted losses of a clone by name."""
  keys = [key for key in tf.get_default_graph().get_all_collection_keys()
          if isinstance(key, str) and key.startswith(_PREFIX)]
  return {key.removeprefix(_PREFIX): loss for key in keys
          for loss in tf.get_collection(key, clone.scope)}


def means(clones: Sequence[model_deploy.Clone]) -> dict[str, tf.Tensor]:
  """Returns the parts of the total loss: float32 scalars by name.

  They are the means over the clones of the weighted losses, and 'regularization' if
  there is one. Losses that were added without a name are missing.

  Args:
    clones: of `model_deploy.create_clones`.
  """
  losses = collections.defaultdict(list)
  for clone in clones:
    for name, loss in of_clone(clone).items():
      losses[name].append(tf.cast(loss, tf.float32))
  parts = {name: tf.add_n(values) / len(clones) for name, values in losses.items()}
  penalties = tf.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES)
  if parts and penalties:
    parts[REGULARIZATION] = tf.cast(tf.add_n(penalties), tf.float32)
  return parts


def summarized(clones: Sequence[model_deploy.Clone]) -> dict[str, tf.Tensor]:
  """Returns `means`, and adds a summary 'losses/NAME' of each."""
  parts = means(clones)
  for name, value in parts.items():
    tf.add_to_collection(tf.GraphKeys.SUMMARIES, tf.raw_ops.ScalarSummary(
        tags=f'{TAGS}{name}', values=value))
  return parts


def text_of(parts: Mapping[str, float]) -> str:
  """Returns parts of a loss as on progress lines: 'characters 0.31, order 1.20'."""
  return ', '.join(f'{name} {diagnostics.fixed(float(value), 4)}'
                   for name, value in parts.items())
