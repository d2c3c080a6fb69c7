"""A loss that compares the feature maps of two batches of images in a trained network.

Johnson et al. 2016, Perceptual losses for real-time style transfer and
super-resolution, arXiv 1603.08155; Ledig et al. 2017, Photo-realistic single image
super-resolution using a generative adversarial network, arXiv 1609.04802.

    perception = perceptual_loss.add(generated, photos, 'vgg_19.ckpt')
    ...
    session.run(tf.global_variables_initializer())
    perception.init_fn(session)
"""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from slim_zoo import diagnostics
from slim_zoo.catalog import networks
from slim_zoo.checkpoints import restore
from slim_zoo.nets import nets_factory
from slim_zoo.preprocessing import vgg_preprocessing
from slim_zoo.tf_compat import tf

END_POINT = 'vgg_19/conv4/conv4_4'
_SCOPE = 'perception'
# What networks of a preprocessing family take, of images with values 0 to 255.
_INPUTS = {
    'inception': lambda images: images / 127.5 - 1.0,
    'lenet': lambda images: images / 128.0 - 1.0,
    'vgg': lambda images: images - vgg_preprocessing.add_mean(tf.zeros_like(images)),
}


class PerceptualLoss(NamedTuple):
  """The result of `add`.

  Attributes:
    loss: float32 scalar, weighted.
    variables: those of the perception network that the loss needs, by their names in
      the checkpoint. They are not trained, and in no checkpoint of the run.
    init_fn: init_fn(session) sets them to the checkpoint's values, as does
      tf.local_variables_initializer, which slim.learning.train runs by itself.
  """

  loss: tf.Tensor
  variables: dict
  init_fn: Callable


def add(images, targets, checkpoint_path: str,
        end_points: Sequence[str] | Mapping[str, float] = (END_POINT,),
        network: str = 'vgg_19', network_fn: Callable | None = None,
        value_range: tuple[float, float] = (-1.0, 1.0),
        prepare: Callable | None = None, weight: float = 1.0,
        loss_collection: str | None = tf.GraphKeys.LOSSES) -> PerceptualLoss:
  """Adds the mean squared difference of two batches at end points of a network.

  The network is built in evaluation mode below the scope 'perception', so that it
  shares nothing with a network that is trained; several calls share its variables.
  Gradients go to `images` only.

  Args:
    images: float32 [batch, height, width, channels], such as generated ones.
    targets: the images to compare with, of the same shape.
    checkpoint_path: a checkpoint of the network, or a folder of them.
    end_points: names, or a dict of their weights. A name may lack the scopes before
      it, as long as one end point only ends in it.
    network: a name of `catalog.networks.NETWORKS`. Only its layers up to the last of
      the end points are built.
    network_fn: of `nets_factory.get_network_fn` with is_training=False, or any
      network_fn(images) -> (logits, end_points); in place of building `network`,
      which then only says what the images are converted to.
    value_range: the values of black and white in both batches, (-1, 1) or (0, 255).
    prepare: makes the network's input of images with values 0 to 255; by default as
      the preprocessing family of `network` does, for VGG by taking off the mean
      colour of ImageNet.
    weight: of the loss.
    loss_collection: where the loss goes; None: nowhere.

  Raises:
    UserError: a name is unknown, the network is one for training, the checkpoint is
      another network's, the images are too small, or the shapes differ.
  """
  prepare = prepare or _prepare_for(network)
  scale = _to_bytes(value_range)
  _check_shapes(images, targets)
  weights = dict(end_points) if isinstance(end_points, Mapping) else dict.fromkeys(
      [end_points] if isinstance(end_points, str) else end_points, 1.0)
  if not weights:
    raise diagnostics.UserError(
        f'no end point to compare: name some, such as {END_POINT}')
  network_fn = network_fn or _network_up_to(network, weights)
  created = {}
  with tf.name_scope('perceptual_loss_terms'):
    features, target = [
        _features(prepare(scale(batch)), network_fn, weights, created)
        for batch in (images, targets)]
    loss = weight * tf.add_n([
        share * tf.reduce_mean(tf.math.squared_difference(
            features[name], tf.stop_gradient(target[name])))
        for name, share in weights.items()])
  loss = tf.identity(loss, name='perceptual_loss')
  if loss_collection is not None:
    tf.losses.add_loss(loss, loss_collection)
  variables = _needed(created, features.values())
  return PerceptualLoss(loss, variables, _restored(variables, checkpoint_path))


def _prepare_for(network):
  family = networks.get_image_network(network).preprocessing
  if family not in _INPUTS:
    raise diagnostics.UserError(
        f"images for '{network}' are not converted value by value: say how with"
        ' `prepare`')
  return _INPUTS[family]


def _network_up_to(name, wanted):
  """Returns the function that builds a network up to the last wanted end point.

  The order and the strides of the end points are those of a graph that is thrown away.
  """
  whole_fn = _whole_network(name)
  size = whole_fn.default_image_size
  with tf.Graph().as_default():
    _, end_points = whole_fn(tf.placeholder(tf.float32, [1, size, size, 3]))
  for end_point in wanted:
    _find(end_point, end_points)
  last = [key for key in end_points
          if any(_is_named(key, end_point) for end_point in wanted)][-1]
  features = end_points[last]
  if features.shape.rank != 4:
    return whole_fn
  stride = 2 ** round(math.log2(size / features.shape.as_list()[1]))
  first_layers_fn = nets_factory.get_feature_maps_fn(
      name, (stride,), end_points={stride: last})
  try:
    with tf.Graph().as_default():
      first_layers_fn(tf.placeholder(tf.float32, [1, size, size, 3]))
  except diagnostics.UserError:  # A network cannot end at some of its end points.
    return whole_fn
  return first_layers_fn


def _whole_network(name):
  network_fn = nets_factory.get_network_fn(name, None)
  # Small images have no room for the first of VGG's head layers.
  more = {'fc_conv_padding': 'SAME'} if name.startswith('vgg_') else {}
  return functools.wraps(network_fn)(functools.partial(network_fn, **more))


def _to_bytes(value_range):
  """Returns the function that converts images to the values 0 to 255."""
  low, high = value_range
  if not low < high:
    raise diagnostics.UserError(
        f'value_range is ({low:g}, {high:g}): expected the values of black and white,'
        ' such as (-1, 1) or (0, 255)')
  return lambda images: (tf.cast(images, tf.float32) - low) * (255.0 / (high - low))


def _check_shapes(images, targets):
  if images.shape.rank != 4 or not images.shape.is_compatible_with(targets.shape):
    raise diagnostics.UserError(
        f'images have the shape {images.shape} and targets {targets.shape}: expected'
        ' [batch, height, width, channels], the same for both')


def _features(inputs, network_fn, names, created) -> dict:
  """Returns the wanted end points, by wanted name; notes all variables."""
  def frozen(getter, name, **options):
    options.update(trainable=False, collections=[])
    variable = getter(name, **options)
    created[variable.op.name.removeprefix(f'{_SCOPE}/')] = variable
    return variable

  updates = len(tf.get_collection(tf.GraphKeys.UPDATE_OPS))
  penalties = len(tf.losses.get_regularization_losses())
  # Not below the caller's scope or reuse: clones share the variables.
  with tf.variable_scope(
      tf.VariableScope(tf.AUTO_REUSE, _SCOPE, custom_getter=frozen),
      auxiliary_name_scope=False):
    end_points = _end_points_of(network_fn, inputs)
  # Frozen weights need no weight decay.
  del tf.get_collection_ref(tf.GraphKeys.REGULARIZATION_LOSSES)[penalties:]
  if len(tf.get_collection(tf.GraphKeys.UPDATE_OPS)) > updates:
    raise diagnostics.UserError(
        'the perception network is built for training: its batch norm would move; get'
        ' its function with is_training=False')
  return {name: _find(name, end_points) for name in names}


def _end_points_of(network_fn, inputs):
  try:
    return network_fn(inputs)[1]
  except ValueError as error:
    if 'Negative dimension size' not in str(error):
      raise
    raise diagnostics.UserError(
        f'images of the shape {inputs.shape} are too small for the perception network:'
        ' nothing is left of them in one of its layers') from error


def _find(name, end_points):
  tensors = [tensor for key, tensor in end_points.items() if _is_named(key, name)]
  if name in end_points:
    return end_points[name]
  if len(tensors) != 1:
    raise diagnostics.unknown_name(
        'end point', name, [key.removeprefix(f'{_SCOPE}/') for key in end_points])
  return tensors[0]


def _is_named(key, name):
  return key == name or key.endswith('/' + name)


def _needed(created, tensors) -> dict:
  """Returns the variables that tensors depend on; a head is usually not needed."""
  ops, waiting = set(), [tensor.op for tensor in tensors]
  while waiting:
    op = waiting.pop()
    if op not in ops:
      ops.add(op)
      waiting += [tensor.op for tensor in op.inputs]
  return {name: variable for name, variable in created.items() if variable.op in ops}


def _restored(variables, checkpoint_path):
  """Makes the checkpoint's values the initial ones; returns the init_fn."""
  path = restore.find(checkpoint_path)
  plan = restore.plan_restore(path, variables)
  if plan.missing or plan.mismatched:
    unfit = plan.missing + [name for name, *_ in plan.mismatched]
    raise diagnostics.UserError(
        f"'{path}' does not fit the perception network: it lacks"
        f' {diagnostics.some(unfit)}, or has them in other shapes')
  local = tf.get_collection(tf.GraphKeys.LOCAL_VARIABLES)
  new = {name: variable for name, variable in variables.items()
         if not any(variable is other for other in local)}
  if new:
    # Not tf.global_variables: 80 MB of VGG in each checkpoint help nobody.
    tf.train.init_from_checkpoint(path, new)
    for variable in new.values():
      tf.add_to_collection(tf.GraphKeys.LOCAL_VARIABLES, variable)
  initializers = [variable.initializer for variable in variables.values()]
  return lambda session: session.run(initializers)
