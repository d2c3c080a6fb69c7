"""Updates with the sum of the gradients of all replicas, each with its own variables.

As the gradients are bit-equal in all replicas after the reduction, so are the updates.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Sequence

from slim_zoo.deployment.agreement import make_requests
from slim_zoo.deployment.collectives import Replica
from slim_zoo.deployment.optimizer_wrapper import OptimizerWrapper
from slim_zoo.deployment.variable_copies import VariableCopies
from slim_zoo.tf_compat import tf


@dataclasses.dataclass(frozen=True)
class Member:
  """A replica of this process: one copy of the variables.

  Attributes:
    optimizer: updates the copy.
    replica: reduces for it.
    scope: name scope of its gradients; '' for an only one.
    loss: its share of the loss; None: all of it.
    copies: its variables; None: those of the graph, which are saved.
    mean_loss: returns its loss once its gradients are built, where that is not the loss
      which is minimized: with accumulation.
    earlier: replicas whose collectives, also of the backward pass, come before.
  """

  optimizer: tf.train.Optimizer
  replica: Replica
  scope: str = ''
  loss: tf.Tensor | None = None
  copies: VariableCopies | None = None
  mean_loss: Callable[[], tf.Tensor] | None = None
  earlier: Sequence[Replica] = ()

  def own(self, variables: Sequence) -> list:
    """Returns the member's copies of variables."""
    if self.copies is None:
      return list(variables)
    return [self.copies.of(variable) for variable in variables]


class ReducingOptimizer(OptimizerWrapper):
  """The optimizers of all members, made to update with the gradients of all replicas.

  The loss of a worker is the sum over its members; that of all is the mean over the
  workers. Batch norm's moving averages, which each replica updates with its own images,
  become their means. The loss and the requests are in the same buffers.

  Attributes:
    mean_loss: float32 scalar, the mean loss of the workers; made by
      `compute_gradients`, as is `agreed`.
    requests: local variable, float32 [requests], 1 or 0 each: what
      this worker asks all workers to do.
    agreed: float32 [requests], the number of replicas with each request.

  Args:
    members: of this process.
    num_workers: processes that train together.
    statistics: variables that become their means.
  """

  def __init__(self, members: Sequence[Member], num_workers: int = 1,
               statistics: Sequence = ()):
    super().__init__(members[0].optimizer)
    self._members, self._num_workers = list(members), num_workers
    self._statistics = list(statistics)
    self.requests = make_requests()
    self.mean_loss = self.agreed = None
    self._updates_of_statistics = []
    self._counts = []

  def compute_gradients(self, loss, var_list, **kwargs) -> list:
    """Returns (gradient, variable) pairs of all members, one member after the other.

    Args:
      loss: float32 scalar; the updates of the moving averages have to come before it.
      var_list: variables of the graph.
      **kwargs: for the optimizers' compute_gradients.
    """
    pairs_of_members = []
    for member in self._members:
      with tf.name_scope(member.scope), tf.device(member.replica.device):
        pairs = member.optimizer.compute_gradients(
            loss if member.loss is None else member.loss, member.own(var_list),
            **kwargs)
        pairs_of_members.append([
            (_dense(gradient, variable), variable) for gradient, variable in pairs
            if gradient is not None])
    reduced = []
    for member, pairs in zip(self._members, pairs_of_members, strict=True):
      reduced += self._reduce(member, pairs, loss)
      self._counts.append(len(pairs))
    return reduced

  def _reduce(self, member, pairs, loss):
    """Returns the pairs of one member with the gradients of all replicas."""
    replica, statistics = member.replica, member.own(self._statistics)
    replica.follow(member.earlier)
    with tf.name_scope('reduce_gradients'), tf.device(replica.device):
      with tf.control_dependencies([loss]):
        values = [variable.read_value() for variable in statistics]
      own_loss = loss if member.loss is None else member.loss
      # The backward pass gives the gradients of the last layers first.
      values += [*[gradient for gradient, _ in reversed(pairs)],
                 member.mean_loss() if member.mean_loss else own_loss,
                 self.requests.read_value()]
      sums = replica.sum_packed(values)
      # No update begins before all sums are there: if one fails, nothing has changed.
      with tf.control_dependencies(sums):
        agreed = tf.identity(sums.pop(), name='agreed')
        mean_loss = sums.pop() / self._num_workers
        means = [total / replica.size for total in sums[:len(statistics)]]
        gradients = [total / self._num_workers for total in sums[len(statistics):]]
    if self.agreed is None:
      self.agreed, self.mean_loss = agreed, mean_loss
    self._updates_of_statistics += list(zip(statistics, means, strict=True))
    return [(gradient, variable) for gradient, (_, variable)
            in zip(reversed(gradients), pairs, strict=True)]

  def by_member(self, pairs: Sequence) -> list[list]:
    """Returns what `compute_gradients` returned, or as many, member by member."""
    pairs = iter(pairs)
    return [[next(pairs) for _ in range(count)] for count in self._counts]

  def apply_gradients(self, grads_and_vars, global_step=None, name=None):
    """Returns the op that applies the gradients and sets the moving averages."""
    updates = []
    for member, pairs in zip(
        self._members, self.by_member(grads_and_vars), strict=True):
      first = member.copies is None
      with (contextlib.nullcontext() if first else member.copies.collecting(),
            tf.device(member.replica.device)):
        updates.append(member.optimizer.apply_gradients(
            pairs, global_step if first else None))
    with tf.control_dependencies(updates):
      return tf.group(*[variable.assign(mean, read_value=False)
                        for variable, mean in self._updates_of_statistics], name=name)


def _dense(gradient, variable):
  return tf.ensure_shape(tf.convert_to_tensor(gradient), variable.shape)
