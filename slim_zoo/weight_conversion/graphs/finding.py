"""Finds a network of the zoo in a graph, by names of constants or by its layers.

By names: the names and shapes of constants are those of a network's variables, below
any scope. By structure: the networks that share most kernels with the graph are built,
and `matching` compares the layers of both. Each way gives a head, the layer of the
logits; everything else is read from there back to the images.
"""

import collections
import dataclasses
import functools
import math
from collections.abc import Iterator

import numpy as np

from slim_zoo import diagnostics
from slim_zoo.catalog import networks, variables
from slim_zoo.checkpoints import comparison, identify
from slim_zoo.deployment import session_configs
from slim_zoo.nets import nets_factory
from slim_zoo.tf_compat import slim, tf
from slim_zoo.weight_conversion.graphs import matching, outline

# Operations of a network between its images and its first layer.
_PADS = ('Pad', 'PadV2', 'MirrorPad', 'Identity')
# At most so many networks are built and compared.
_MOST_TRIED = 6
# A network is tried if the graph has at least this share of its kernels.
_LEAST_SHARE = 0.5
# The head is compared without its number of classes.
_ANY_NUMBER_OF_CLASSES = 10


@dataclasses.dataclass(frozen=True)
class Found:
  """A network in a graph.

  Attributes:
    model_name: a name of `catalog.networks.NETWORKS`.
    how: the part of the graph that it was found by, for a message.
    values: float32, of its variables, by name.
    head: its last layer in the graph.
    images: the tensor of the graph that its first layer reads, before padding.
    logits: the tensor of the graph, [batch, ..., classes].
    size: (height, width) of the images.
    channels: of the images.
  """

  model_name: str
  how: str
  values: dict[str, np.ndarray]
  head: outline.Landmark
  images: tf.Tensor
  logits: tf.Tensor
  size: tuple[int, int]
  channels: int

  @property
  def num_classes(self) -> int:
    """Number of logits."""
    return outline.num_outputs(self.head)


@dataclasses.dataclass(frozen=True)
class Network:
  """A network of the zoo, built with variables.

  Attributes:
    images: the placeholder, float32 [batch, height, width, channels].
    logits: float32 [batch, classes].
    outline: of its graph.
  """

  images: tf.Tensor
  logits: tf.Tensor
  outline: outline.Outline

  @property
  def head(self) -> outline.Landmark:
    """Its last layer."""
    return self.outline.values[self.logits.name].landmark

  def variables(self) -> dict[str, tf.Variable]:
    """Returns the variables that the logits depend on, by name."""
    with self.outline.graph.as_default():
      return {variable.op.name: variable for variable in slim.get_model_variables()
              if not comparison.is_auxiliary(variable.op.name)}


def build(model_name: str, num_classes: int, size: tuple[int, int],
          channels: int) -> Network:
  """Builds a network in evaluation mode."""
  with tf.Graph().as_default() as graph:
    images = tf.placeholder(tf.float32, [None, *size, channels])
    logits, _ = nets_factory.get_network_fn(model_name, num_classes)(images)
  return Network(images, logits, outline.Outline(graph))


class Finder:
  """Looks for networks in a graph.

  Args:
    graph: its weights are constants.
    image_size: height and width of the images, if the graph does not have them.
  """

  def __init__(self, graph: tf.Graph, image_size: int | None = None):
    self.outline = outline.Outline(graph)
    self._image_size = image_size
    self._computed: dict[str, np.ndarray] = {}

  def candidates(self, model_name: str | None) -> Iterator[Found]:
    """Yields the networks that fit, the best first; their logits may differ.

    Args:
      model_name: only this network; None: any.
    """
    yield from self._by_names(model_name)
    yield from self._by_structure(model_name)

  def nearest(self) -> str:
    """Returns a message about the network with most kernels in the graph, or ''."""
    shares = _shares(self._kernels())
    if not shares:
      return ''
    (share, size), name = shares[0]
    return (f'the nearest network is {name}, {share * size:.0f} of its {size} kernels'
            ' are there')

  def value_of(self, tensor: tf.Tensor) -> np.ndarray:
    """Returns the value of a tensor that depends on constants alone."""
    constant = _constant(tensor)
    if constant is not None:
      return constant
    if tensor.name not in self._computed:
      self._compute()
    return self._computed[tensor.name]

  def _compute(self):
    """Computes all weights that are not constants themselves, in one run."""
    tensors = {
        tensor.name: tensor for operation in self.outline.graph.get_operations()
        if operation.type in (*outline.LAYERS, *outline.STEPS, *outline.BATCH_NORMS)
        and operation.outputs[0].name in self.outline.values
        for tensor in self.outline.fixed_inputs(operation)
        if _constant(tensor) is None}
    with tf.Session(graph=self.outline.graph,
                    config=session_configs.unoptimized_config()) as session:
      self._computed = session.run(tensors)

  def images_of_copies(self, found: Found) -> list[tf.Tensor]:
    """Returns the images of all copies of a network that share its weights.

    A SavedModel may have a copy for files, one for pixels and one for prepared images.
    """
    kernel = matching.source_of(found.head.kernel)
    return [_before_padding(tensor) for layer in self.outline.layers
            if matching.source_of(layer.kernel) is kernel
            for tensor in outline.first_tensors(self.outline, layer)]

  def ignored(self, found: Found) -> list[str]:
    """Returns the names and shapes of the layers that are not part of a network."""
    below = self.outline.below(found.head)
    kernels = {matching.source_of(layer.kernel).name for layer in below
               if layer.kernel is not None}
    return [f"{layer.operation.name} ({' x '.join(map(str, layer.kernel.shape))})"
            for layer in self.outline.layers
            if matching.source_of(layer.kernel).name not in kernels]

  def _by_names(self, model_name):
    """Yields the networks whose variables are all constants of the same names."""
    constants = {
        operation.name: operation for operation in self.outline.graph.get_operations()
        if operation.type == 'Const' and operation.outputs[0].dtype == tf.float32
        and operation.name.rpartition('/')[2] in _variable_names()}
    shapes = {name: tuple(operation.outputs[0].shape.as_list())
              for name, operation in constants.items()}
    for match in identify.identify(shapes, limit=None):
      if match.fits and match.num_classes and _is_wanted(match.network, model_name):
        yield from self._of_names(match, constants)

  def _of_names(self, match, constants):
    """Yields the places in the graph where the constants of a network are read."""
    above, own = (f'{scope}/' if scope else '' for scope in (
        match.scope, match.own_scope))
    known = variables.load()[match.network].shapes
    # By variable: the name of its constant.
    names = {name: above + name.removeprefix(own) for name in known}
    head_kernel = next(names[name] for name, shape in known.items()
                       if variables.CLASSES in shape and len(shape) > 1
                       and not comparison.is_auxiliary(name))
    values = {name: self.value_of(constants[constant].outputs[0])
              for name, constant in names.items() if constant in constants
              and (match.auxiliary or not comparison.is_auxiliary(name))}
    where = f" below '{match.scope}'" if match.renamed and match.scope else ''
    for head in self.outline.layers:
      if matching.source_of(head.kernel).name == head_kernel:
        found = self._complete(
            match.network, f'the names of {len(values)} constants{where}', values, head)
        if found:
          yield found

  def _complete(self, model_name, how, values, head):
    """Returns a `Found`, or None if the first layers read several tensors."""
    tensors = outline.first_tensors(self.outline, head)
    if len(tensors) != 1:
      return None
    images = _before_padding(tensors[0])
    channels = next(
        layer.kernel.shape.as_list()[2] for layer in self.outline.layers
        if layer.inputs[0].tensor is tensors[0])
    return Found(model_name, how, values, head, images, self.outline.logits(head),
                 self._size(images, model_name), channels)

  def _size(self, images, model_name):
    """Returns the (height, width) of images."""
    default = self._image_size or (
        nets_factory.networks_map[model_name].default_image_size)
    known = images.shape.as_list()[1:3] if images.shape.rank == 4 else [None, None]
    return tuple(side or default for side in known)

  def _kernels(self):
    """Returns the numbers of the graph's kernels, by `_kernel_key`."""
    return collections.Counter(
        _kernel_key(layer.operation.type == outline.DEPTHWISE, layer.kernel.shape)
        for layer in self.outline.layers)

  def _by_structure(self, model_name):
    """Yields the networks whose layers are connected like those of the graph."""
    if not self.outline.layers:
      return
    names = [name for (share, _), name in _shares(self._kernels())
             if _is_wanted(name, model_name)
             and (model_name or share >= _LEAST_SHARE)][:_MOST_TRIED]
    for name in names:
      yield from self._of_structure(name)

  def _of_structure(self, name):
    """Yields the places in the graph where the layers of one network are."""
    for size, channels in self._image_shapes(name):
      network = build(name, _ANY_NUMBER_OF_CLASSES, size, channels)
      usual = networks.NETWORKS[name].num_classes
      heads = sorted(
          (layer for layer in self.outline.layers
           if layer.head_signature == network.head.head_signature),
          key=lambda layer: outline.num_outputs(layer) != usual)
      for head in heads:
        try:
          values = matching.Matcher(
              network.outline, self.outline, self._value_in(network)).read(
                  network.head, head)
        except matching.DifferenceError:
          continue
        layers = sum(landmark.kernel is not None
                     for landmark in self.outline.below(head))
        found = self._complete(
            name, f'the order and shapes of {layers} layers', values, head)
        if found and set(values) == set(network.variables()):
          yield found

  def _image_shapes(self, name):
    """Returns each (size, channels) of images that a first layer may read, once."""
    shapes = []
    for layer in self.outline.layers:
      value = layer.inputs[0]
      if value.landmark is None and value.tensor.shape.rank == 4:
        size = self._size(_before_padding(value.tensor), name)
        shapes.append((size, layer.kernel.shape.as_list()[2]))
    return list(dict.fromkeys(shapes))

  def _value_in(self, network):
    """Returns the function that gives the value of a tensor of either graph."""
    session = tf.Session(graph=network.outline.graph)

    def value_of(tensor):
      if tensor.graph is self.outline.graph:
        return self.value_of(tensor)
      # The network has constants, such as a gamma that is not trained.
      constant = _constant(tensor)
      return session.run(tensor) if constant is None else constant

    return value_of


def _constant(tensor):
  """Returns the value of a constant that a tensor passes on, or None."""
  operation = tensor.op
  while operation.type == 'Identity':
    operation = operation.inputs[0].op
  return (tf.make_ndarray(operation.get_attr('value')) if operation.type == 'Const' else
          None)


@functools.cache
def _variable_names():
  """Returns the last parts of the names of all variables, such as 'weights'."""
  return {name.rpartition('/')[2] for stored in variables.load().values()
          for name in stored.shapes}


def _is_wanted(name, model_name):
  return name == model_name or (
      model_name is None and networks.NETWORKS[name].frames is None)


def _before_padding(tensor):
  """Returns the images, for the tensor that the first layer reads."""
  while tensor.op.type in _PADS:
    tensor = tensor.op.inputs[0]
  return tensor


def _kernel_key(is_depthwise, shape):
  """Returns a key that is equal for a convolution and the same matrix product."""
  shape = tuple(map(int, shape))
  return ('depthwise', *shape) if is_depthwise else (math.prod(shape[:-1]), shape[-1])


def _shares(kernels):
  """Returns ((share of its kernels in the graph, their number), name) of each network.

  The largest share is first. Kernels whose shape depends on the number of classes or
  on the image size do not count.
  """
  shares = []
  for name, stored in variables.load().items():
    own = collections.Counter(
        _kernel_key(variable.endswith('depthwise_weights'), shape)
        for variable, shape in stored.shapes.items()
        if variable.endswith('weights') and not comparison.is_auxiliary(variable)
        and all(isinstance(side, int) for side in shape))
    common = sum((own & kernels).values())
    if common and networks.NETWORKS[name].frames is None:
      shares.append(((common / own.total(), own.total()), name))
  return sorted(shares, key=lambda item: (-item[0][0], -item[0][1]))


def require_layers(finder: Finder, source: str, unset_variables: list[str]) -> None:
  """Raises UserError for a graph without layers.

  Args:
    finder: of the graph.
    source: its file.
    unset_variables: names of variables without values.
  """
  if not finder.outline.layers:
    if unset_variables:
      raise diagnostics.UserError(
          f"'{source}' does not store {len(unset_variables)} variables that its graph"
          f' reads ({diagnostics.some(unset_variables)}): write it again, in Keras by'
          ' model.export(folder)')
    raise diagnostics.UserError(
        f"'{source}' has no layers with constant weights: it is not a network, or it is"
        ' not frozen; name another --source')
