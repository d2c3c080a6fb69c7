"""Layers of one clone on several devices: model parallelism.

Krizhevsky 2014, One weird trick for parallelizing convolutional neural networks, arXiv
1404.5997: fully connected layers, which have most of the weights and little of the
work, stand on another device than the convolutions. Here any scopes can.
"""

from collections.abc import Callable, Mapping

from slim_zoo.diagnostics import UserError, suggestion
from slim_zoo.tf_compat import tf


def placement(devices: Mapping[str, str]) -> Callable:
  """Returns a device function: what is below a scope goes to the scope's device.

  Open it inside of the device of everything else: `with tf.device(of_clone),
  tf.device(placement(devices))`. Variables go with their layers.

  Args:
    devices: device strings by scope. As in slim, a scope is a prefix of names; the
      longest that matches holds.
  """
  scopes = sorted(devices, key=len, reverse=True)

  def place(op):
    scope = next((scope for scope in scopes if op.name.startswith(scope)), None)
    return op.device if scope is None else devices[scope]

  return place


def check_scopes(devices: Mapping[str, str], variables: list) -> None:
  """Refuses a scope that has no variable.

  Args:
    devices: as for `placement`.
    variables: of the network.

  Raises:
    UserError: the first one.
  """
  names = [variable.op.name for variable in variables]
  for scope in devices:
    if not any(name.startswith(scope) for name in names):
      known = dict.fromkeys(name.rpartition('/')[0] for name in names)
      raise UserError(
          f"--layer_devices: '{scope}' begins the name of no variable of the network"
          f'{suggestion(scope, known)}')


def parameters(variables: list) -> dict[str, int]:
  """Returns how many numbers each device holds, by its short name such as 'GPU:1'."""
  counts = {}
  for variable in variables:
    spec = tf.DeviceSpec.from_string(variable.device)
    name = f'{spec.device_type or "CPU"}:{spec.device_index or 0}'
    counts[name] = counts.get(name, 0) + variable.shape.num_elements()
  return dict(sorted(counts.items()))
