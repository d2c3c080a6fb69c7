"""Networks' evaluation graphs, built once for all tests that read them.

To build all networks for every test would take most of the suite's time. So the tests
over the registry build those of `BUILT`: the smallest network of each module, which
stands for the code of the others, and every network whose numbers nothing else holds.
A new network is among them until it has a contract. Most of these tests build only
those of `QUICKLY_BUILT`.
"""

import dataclasses
import functools
import os
import pathlib
import re
import zipfile

import pytest

from slim_zoo.catalog import complexity, feature_maps, networks, variables
from slim_zoo.nets import complexity as counting
from slim_zoo.tf_compat import tf

_DATA = pathlib.Path(__file__).parent / 'data'


# The width in the name of a MobileNet, such as _075.
_WIDTH = re.compile(r'(?<=mobilenet_v\d)_\d{3}$|(?<=_large|_small)_\d{3}$')


def smallest_of_module(name: str) -> bool:
  """Tells whether no other network of the same module has fewer parameters."""
  costs = complexity.load()
  module = networks.NETWORKS[name].builder.split(':')[0]
  size = lambda other: costs[other].parameters if other in costs else 0
  return name == min((other for other, row in networks.NETWORKS.items()
                      if row.builder.split(':')[0] == module), key=size)


def has_numbers(name: str) -> bool:
  """Tells whether a contract holds a network's logits, or timm's or a reference do.

  The reference in NumPy of `nets_resnet_v1b_test` is run for every v1b. A contract of a
  MobileNet holds the code of its other widths, too, which are built on demand: their
  counts are the published ones (`list_networks_test`), and Keras has the widths of V2
  (`convert_weights_test`).
  """
  base = name if EVERY_NETWORK in os.environ else _WIDTH.sub('', name)
  is_contract = lambda other: (_DATA / 'contracts' / 'nets' / f'{other}.json').exists()
  with zipfile.ZipFile(_DATA / 'se_contracts' / 'timm_logits.npz') as logits:
    return is_contract(name) or is_contract(base) or (
        f'{name}.npy' in logits.namelist()) or name.startswith('resnet_v1b_')


# Set in the environment, it has the tests also build the networks that differ from a
# smaller one of their module in a row of a table, which takes minutes more.
EVERY_NETWORK = 'EVERY_NETWORK'

BUILT = [name for name in networks.NETWORKS
         if smallest_of_module(name) or not has_numbers(name)]

# A network of more variables takes 10 to 30 seconds to build, as often as it is built.
_DEEP = 600
_STORED = variables.load()
# Those of BUILT that most tests build. The others, with hundreds of layers, are held by
# their contracts and by the tests of their units.
QUICKLY_BUILT = [name for name in BUILT if EVERY_NETWORK in os.environ
                 or name not in _STORED or len(_STORED[name].shapes) <= _DEEP]


def skip_as_larger(name: str, parameters: float = 0) -> None:
  """Skips the test of a network of more parameters that is not of `BUILT`."""
  if (name not in BUILT and EVERY_NETWORK not in os.environ
      and complexity.load()[name].parameters > parameters):
    pytest.skip(f'the same code as a smaller network: set {EVERY_NETWORK}=1')


# Of the widths of a MobileNet, the smallest and the largest are always compared with
# their contracts.
_WIDTHS_BETWEEN = ('mobilenet_v1_050', 'mobilenet_v1_075', 'mobilenet_v2',
                   'mobilenet_edgetpu_075', 'mobilenet_v3_large_minimalistic')


def skip_as_another_width(name: str) -> None:
  """Skips the test of a MobileNet that differs in its width from those tested."""
  if name in _WIDTHS_BETWEEN and EVERY_NETWORK not in os.environ:
    pytest.skip(f'the same code as another width: set {EVERY_NETWORK}=1')


# Of a test or a parameter that says of a larger network what it says of smaller ones.
on_demand = pytest.mark.skipif(
    EVERY_NETWORK not in os.environ, reason=f'takes long: set {EVERY_NETWORK}=1')


def skip_unless_every_network() -> None:
  """Skips a test that would take long to say what it says of smaller networks."""
  if EVERY_NETWORK not in os.environ:
    pytest.skip(f'takes long: set {EVERY_NETWORK}=1')


@dataclasses.dataclass(frozen=True)
class Evaluated:
  """What is kept of a graph: graphs of all networks would fill the memory.

  Attributes:
    cost: as counted from the graph.
    shapes: of the end points, by name; the first dimension is the batch.
    later: for each end_point that is an end point, the end points computed from it;
      those that are the same tensor are not among them.
    logits_need: the names that the logits are computed from.
    map_needs: for each feature map, the names of the variables that it is computed
      from.
    variables: the shape of each, by name.
  """

  cost: complexity.Complexity
  shapes: dict[str, list[int]]
  later: dict[str, set[str]]
  logits_need: set[str]
  map_needs: dict[str, set[str]]
  variables: dict[str, tuple[int, ...]]


@functools.cache
def evaluated(name: str) -> Evaluated:
  """Builds a network as `counting.measure` does and returns its facts."""
  images, logits, end_points = counting.evaluation_graph(name, with_feature_maps=True)
  row = feature_maps.find_row(name)
  names = (feature_maps.feature_map_names(name).values()
           if row and len(images.shape) == 4 else ())
  later, logits_need = {}, set()
  for end_point in (end_point for end_point in names if end_point in end_points):
    below = downstream(end_points[end_point].op)
    later[end_point] = {other for other, tensor in end_points.items()
                  if tensor.op in below and tensor is not end_points[end_point]}
    if logits.op in below:
      logits_need.add(end_point)
  return Evaluated(
      counting.cost(images, logits),
      {other: tensor.shape.as_list() for other, tensor in end_points.items()},
      later, logits_need,
      {end_point: {operation.name for operation in counting.needed_operations(
          [end_points[end_point]]) if operation.type == 'VarHandleOp'}
       for end_point in names},
      {variable.op.name: tuple(variable.shape.as_list())
       for variable in logits.graph.get_collection(tf.GraphKeys.GLOBAL_VARIABLES)})


def downstream(operation):
  """Returns all operations that depend on one, itself included."""
  below = {operation}
  # A graph lists its operations in the order of their making: inputs come first.
  for other in operation.graph.get_operations():
    if any(tensor.op in below for tensor in other.inputs):
      below.add(other)
  return below
