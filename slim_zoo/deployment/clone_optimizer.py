"""From the losses of several clones to one update of the variables they share.

The total loss is the mean of the clones' losses plus the regularization losses,
counted once. So N clones that split a batch make the update that one clone makes
on the whole batch.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from slim_zoo.deployment.optimizer_wrapper import OptimizerWrapper
from slim_zoo.deployment.variable_copies import VariableCopies
from slim_zoo.diagnostics import UserError
from slim_zoo.tf_compat import tf


class Clone(NamedTuple):
  """One copy of the network on one device.

  Attributes:
    outputs: of the model function for this clone.
    scope: the name scope of its ops, 'clone_0/' for one of several; '', the
      whole graph, for an only clone.
    device: the device string its ops and gradients are built under.
    copies: its copies of the variables of the first clone; None: it shares them.
  """

  outputs: Any
  scope: str
  device: str
  copies: VariableCopies | None = None


def first_clone_items(clones: Sequence[Clone], collection: str) -> list:
  """Returns a graph collection without the items of later clones.

  Each clone adds its own update ops and summaries. The update ops all write the
  same moving averages, so only those of clone 0 may run. Items from outside the
  clones are kept, as they are with a single clone.

  Args:
    clones: what `create_clones` returned.
    collection: its name, such as tf.GraphKeys.UPDATE_OPS.
  """
  later_scopes = tuple(clone.scope for clone in clones[1:])
  return [item for item in tf.get_collection(collection)
          if not item.name.startswith(later_scopes)]


def keep_first_clone_items(clones: Sequence[Clone], collection: str) -> list:
  """Removes the items of later clones from a graph collection.

  slim.learning.create_train_op runs all of tf.GraphKeys.UPDATE_OPS by itself;
  call this before it, and it runs each moving average once and has no reason to
  warn.

  Args:
    clones: what `create_clones` returned.
    collection: its name, such as tf.GraphKeys.UPDATE_OPS.

  Returns:
    What is left, see `first_clone_items`.
  """
  items = first_clone_items(clones, collection)
  tf.get_collection_ref(collection)[:] = items
  return items


def clone_losses(clones: Sequence[Clone],
                 regularization_losses: Sequence[tf.Tensor] | None = None
                 ) -> list[tuple[Clone, tf.Tensor]]:
  """Returns the clones that have a loss, each with its share of the total loss.

  A clone's share is the sum of what it put into tf.GraphKeys.LOSSES, divided by
  the number of clones, and is built on the clone's device. The first clone's
  share also carries the regularization losses. Adds the summaries `clone_loss`
  (before the division) and `regularization_loss`.

  Args:
    clones: what `create_clones` returned.
    regularization_losses: scalars to count once. None takes all in
      tf.GraphKeys.REGULARIZATION_LOSSES, an empty list takes none.
  """
  if regularization_losses is None:
    regularization_losses = tf.get_collection(
        tf.GraphKeys.REGULARIZATION_LOSSES)
  shares = []
  for clone in clones:
    losses = tf.get_collection(tf.GraphKeys.LOSSES, clone.scope)
    penalties = regularization_losses if clone is clones[0] else ()
    terms, summaries = [], {}
    with tf.name_scope(clone.scope):
      with tf.device(clone.device):
        if losses:
          summaries['clone_loss'] = loss = tf.add_n(losses, name='sum_losses')
          terms.append(loss if len(clones) == 1 else tf.divide(
              loss, len(clones), name='loss_share'))
        if penalties:
          summaries['regularization_loss'] = penalty = tf.add_n(
              penalties, name='sum_regularization_losses')
          terms.append(penalty)
        if terms:
          shares.append((clone, tf.add_n(terms, name='loss_to_minimize')))
      # Past the clone's device: summaries have no GPU kernel.
      for tag, value in summaries.items():
        tf.summary.scalar(tag, value)
  return shares


def total_clone_loss(shares: Sequence[tuple[Clone, tf.Tensor]]) -> tf.Tensor | None:
  """Returns the sum of what `clone_losses` returned, None where that is empty."""
  if not shares:
    return None
  return tf.add_n([share for _, share in shares], name='total_loss')


def _sum_of_one_variable(gradients: list, name: str):
  """Adds up the clones' gradients of one variable: tensors or IndexedSlices."""
  if len(gradients) == 1:
    return gradients[0]
  if all(isinstance(gradient, tf.IndexedSlices) for gradient in gradients):
    # An embedding's gradient stays sparse: optimizers add up repeated rows.
    return tf.IndexedSlices(
        tf.concat([gradient.values for gradient in gradients], 0, name=name),
        tf.concat([gradient.indices for gradient in gradients], 0),
        gradients[0].dense_shape)
  return tf.add_n(
      [tf.convert_to_tensor(gradient) for gradient in gradients], name=name)


def _sum_gradients(gradients_of_clones: Sequence[list]) -> list:
  """Merges lists of (gradient, variable), one per clone, into one such list."""
  summed = []
  with tf.name_scope('sum_clone_gradients'):
    for pairs in zip(*gradients_of_clones, strict=True):
      variable = pairs[0][1]
      gradients = [gradient for gradient, _ in pairs if gradient is not None]
      if gradients:
        summed.append(
            (_sum_of_one_variable(gradients, variable.op.name), variable))
  return summed


class CloneOptimizer(OptimizerWrapper):
  """Any optimizer, made to minimize the total loss of several clones.

  slim's own train op then serves one clone and eight alike, with its gradient
  clipping, multipliers and summaries, which all see the summed gradients:

      clones = model_deploy.create_clones(config, model_fn)
      model_deploy.keep_first_clone_items(clones, tf.GraphKeys.UPDATE_OPS)
      with tf.device(config.optimizer_device()):
        optimizer = model_deploy.CloneOptimizer(optimizer, clones)
        train_op = slim.learning.create_train_op(optimizer.total_loss, optimizer)

  The gradients of a clone are built on its device, their sum on the device that
  is current in the call of `compute_gradients`. Everything else is left to the
  wrapped optimizer, which may be a tf.train.SyncReplicasOptimizer (give that one,
  not this, to the `sync_optimizer` of slim.learning.train).

  Attributes:
    total_loss: scalar, the tensor to minimize and to report; built once.

  Args:
    optimizer: a tf.train.Optimizer.
    clones: what `create_clones` returned.
    regularization_losses: as for `clone_losses`.

  Raises:
    UserError: there is no loss at all.
  """

  def __init__(self, optimizer: tf.train.Optimizer, clones: Sequence[Clone],
               regularization_losses: Sequence[tf.Tensor] | None = None):
    super().__init__(optimizer)
    self._shares = clone_losses(clones, regularization_losses)
    self.total_loss = total_clone_loss(self._shares)
    if self.total_loss is None:
      raise UserError(
          f'no loss to minimize in {len(clones)} clone(s): the model function'
          ' must add one, with slim.losses or tf.losses.add_loss')

  def compute_gradients(self, loss, *args, **kwargs) -> list:
    """Returns (gradient, variable) pairs, the gradients summed over the clones.

    Variables without a gradient in any clone are left out.

    Args:
      loss: `total_loss`, or an identity of it such as create_train_op makes.
      *args: for the wrapped optimizer's compute_gradients, after its loss.
      **kwargs: likewise.

    Raises:
      ValueError: `loss` is another tensor, whose gradient this would not be.
      UserError: no variable has a gradient.
    """
    if not self._is_total_loss(loss):
      raise ValueError(
          f'the loss to minimize is {loss!r}, but the clones minimize'
          f' {self.total_loss!r}: pass `total_loss` of this CloneOptimizer, and'
          ' add other losses to tf.GraphKeys.LOSSES before it is made')
    gradients_of_clones = []
    for clone, share in self._shares:
      with tf.name_scope(clone.scope), tf.device(clone.device):
        gradients_of_clones.append(
            self._optimizer.compute_gradients(share, *args, **kwargs))
    summed = _sum_gradients(gradients_of_clones)
    if not summed:
      raise UserError(
          f"the loss '{self.total_loss.name}' depends on none of the variables to"
          ' train: check the trainable scopes and the losses')
    return summed

  def _is_total_loss(self, loss) -> bool:
    while (isinstance(loss, tf.Tensor) and loss is not self.total_loss
           and loss.op.type == 'Identity'):
      loss = loss.op.inputs[0]
    return loss is self.total_loss


def optimize_clones(clones: Sequence[Clone], optimizer: tf.train.Optimizer,
                    regularization_losses: Sequence[tf.Tensor] | None = None,
                    **kwargs) -> tuple[tf.Tensor, list]:
  """Returns the clones' total loss and the sum of their gradients.

  Args:
    clones: what `create_clones` returned.
    optimizer: a tf.train.Optimizer.
    regularization_losses: as for `clone_losses`.
    **kwargs: for the optimizer's compute_gradients, such as var_list.

  Returns:
    (total_loss, grads_and_vars): a scalar, and (gradient, variable) pairs
    without those that have no gradient.

  Raises:
    UserError: there is no loss, or no variable has a gradient.
  """
  clone_optimizer = CloneOptimizer(optimizer, clones, regularization_losses)
  return clone_optimizer.total_loss, clone_optimizer.compute_gradients(
      clone_optimizer.total_loss, **kwargs)
