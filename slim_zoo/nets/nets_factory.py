"""Networks by name, built under their arg scopes.

The rows are in `catalog.networks`; this module imports the functions that they name.
"""

import contextlib
import functools
import importlib
import inspect

from slim_zoo import diagnostics
from slim_zoo.catalog import feature_maps, networks
from slim_zoo.nets import normalization, precision, resnet
from slim_zoo.nets.mobilenet import mobilenet
from slim_zoo.nets.quantization import fake_quantization
from slim_zoo.tf_compat import slim, tf


def _function(row: networks.Network, name: str):
  return getattr(importlib.import_module(
      'slim_zoo.nets.' + row.builder.split(':')[0]), name)


networks_map = {
    name: _function(row, row.builder.split(':')[1])
    for name, row in networks.NETWORKS.items()}
arg_scopes_map = {
    name: _function(row, row.arg_scope) for name, row in networks.NETWORKS.items()}


def get_network_fn(name, num_classes, weight_decay=0.0, is_training=False,
                   frozen_batch_norm_scopes=(), compute_dtype=tf.float32,
                   data_format='NHWC', with_feature_maps=False, quantize=False,
                   quantize_delay=0, quantize_options=None, stochastic_depth=0.0):
  """Returns the function that builds a network.

  Args:
    name: a name of `catalog.networks.NETWORKS`.
    num_classes: number of logits; 0 or None returns the features before them.
    weight_decay: L2 penalty on the weights that the network regularizes.
    is_training: whether dropout is on and batch norm uses the batch's statistics.
    frozen_batch_norm_scopes: scopes whose batch norm keeps its moving statistics and
      uses them in training too, see `normalization.frozen_batch_norm`.
    compute_dtype: tf.float32, or tf.float16 or tf.bfloat16 with float32 variables, see
      `precision.build`.
    data_format: 'NHWC', or 'NCHW' for networks that support channels first. The images
      are channels last in both.
    with_feature_maps: whether the end points contain all of `feature_map_names`,
      including ResNet v2's postnorm, which TF-Slim does not have.
    quantize: whether weights and activations are rounded.
    quantize_delay: batches before they are.
    quantize_options: arguments of `fake_quantization.Quantization`.
    stochastic_depth: the share of images, 0 to below 1, for which training leaves out
      the last residual block; see `layers.drop_rates` for those before it.

  Returns:
    network_fn(images, **kwargs) -> (logits, end_points), with images float32 [batch,
    height, width, channels], kwargs of the network's function, and the attribute
    `default_image_size`. It raises UserError for images that are too small, see
    `catalog.networks.ImageSizes`. If images do not fit the network's last pool, the
    features are averaged, see `_fit_to_size`.

  Raises:
    UserError: the network does not exist, or does not support the data format or
      stochastic depth; it is a ValueError.
  """
  networks.get_network(name)
  if stochastic_depth:
    networks.check_stochastic_depth(name, stochastic_depth)
  network, arg_scope_fn = networks_map[name], arg_scopes_map[name]
  if data_format != 'NHWC':
    if data_format not in data_formats(name):
      raise diagnostics.unknown_name(
          'data format', data_format, data_formats(name), f' for {name}')
    network = _channels_first(network)
  if with_feature_maps and 'store_postnorm' in _parameters(name):
    network = functools.partial(network, store_postnorm=True)
  quantization = None
  if quantize:
    quantization = fake_quantization.Quantization(
        quantize_delay, **(quantize_options or {}))
    _check_quantizable(compute_dtype, data_format)

  @functools.wraps(networks_map[name])
  def network_fn(images, **kwargs):
    arg_scope = arg_scope_fn(weight_decay=weight_decay)
    if is_training and stochastic_depth:
      arg_scope = _with_stochastic_depth(arg_scope, stochastic_depth)
    build = functools.partial(
        network, num_classes=num_classes, is_training=is_training,
        **_fit_to_size(name, images, num_classes, is_training, kwargs))
    with (_explained_size(name, images, is_training, kwargs),
          normalization.frozen_batch_norm(frozen_batch_norm_scopes)):
      if compute_dtype != tf.float32:
        return precision.build(build, images, arg_scope, compute_dtype)
      with slim.arg_scope(arg_scope):
        if quantization is not None:
          return fake_quantization.build(build, images, is_training, quantization)
        return build(images)

  # Callers may read the size of any network function.
  network_fn.default_image_size = getattr(
      networks_map[name], 'default_image_size', None)
  return network_fn


def _with_stochastic_depth(arg_scope, rate):
  """Returns an arg scope in which blocks are left out at random."""
  with slim.arg_scope(arg_scope), slim.arg_scope(
      [resnet.stack_blocks_dense, mobilenet.mobilenet_base],
      stochastic_depth=rate) as scope:
    return scope


def _check_quantizable(compute_dtype, data_format):
  if compute_dtype != tf.float32:
    raise diagnostics.UserError(
        f'a network that is quantized computes in float32, not {compute_dtype.name}')
  if data_format != 'NHWC':
    raise diagnostics.UserError(
        f"a network that is quantized has the data format 'NHWC', not {data_format!r}")


def _parameters(name):
  """Returns the parameters of a network's function by name."""
  return inspect.signature(networks_map[name]).parameters


def _static_size(images) -> tuple[int, int] | None:
  """Returns the height and width of images or clips; None if they are unknown."""
  size = images.shape[-3:-1].as_list() if images.shape.rank in (4, 5) else [None]
  return None if None in size else tuple(size)


def _fit_to_size(name, images, num_classes, is_training, kwargs):
  """Returns the arguments for images of a size other than the default.

  For larger images the features are averaged before the logits; without that there are
  logits for each position. If the images are too small for the auxiliary head, it is
  left out in evaluation, where it is not used. The caller's arguments have priority.
  """
  size = _static_size(images)
  if size is None or not num_classes:
    return kwargs
  sizes = networks.get_network(name).sizes
  arguments = {}
  if sizes.fixed_pool and kwargs.get('spatial_squeeze', True):
    smallest, largest = sizes.fixed_pool
    if min(size) < smallest or max(size) > largest:
      arguments['global_pool'] = True
  if not is_training and min(size) < sizes.smallest_in_training and (
      'create_aux_logits' in _parameters(name)):
    arguments['create_aux_logits'] = False
  return arguments | kwargs


@contextlib.contextmanager
def _explained_size(name, images, is_training, kwargs):
  """Raises UserError with the smallest size if building fails on too small images."""
  try:
    yield
  except ValueError as error:
    size = _static_size(images)
    if size and 'final_endpoint' not in kwargs:
      try:
        networks.check_image_size(name, size, is_training)
      except diagnostics.UserError as size_error:
        raise size_error from error
    raise


def data_formats(name: str) -> tuple[str, ...]:
  """Returns the data formats that a network supports, 'NHWC' before 'NCHW'."""
  has_format = hasattr(networks_map[name], 'default_config') or (
      'data_format' in _parameters(name))
  return ('NHWC', 'NCHW') if has_format else ('NHWC',)


def _channels_first(network):
  """Returns a network that computes channels first, for images channels last."""
  if hasattr(network, 'default_config'):  # Searched cells, which transpose the images.
    config = network.default_config()
    config.data_format = 'NCHW'
    return functools.partial(network, config=config)

  def clip_network(images, **kwargs):
    return network(
        tf.transpose(images, [0, 4, 1, 2, 3]), data_format='NCDHW', **kwargs)

  return clip_network


def get_feature_maps_fn(name, strides, weight_decay=0.0, is_training=False,
                        end_points=None, frozen_batch_norm_scopes=()):
  """Returns the function that builds a network up to its feature maps.

  Later layers are not built, so there are no variables, weight decay or batch norm
  updates of them. The variables have the names of the whole network:
  `checkpoints.backbones.restore_fn` restores them from its checkpoints.

  Args:
    name: a name of `catalog.networks.NETWORKS`.
    strides: strides of the feature maps, from `feature_map_names(name)`.
    weight_decay: L2 penalty on the weights that the network regularizes.
    is_training: as in `get_network_fn`.
    end_points: by stride, end points in place of the feature maps, such as
      {32: 'vgg_16/fc7'}. The one of the largest stride must depend on all others. fc6
      and fc7 of VGG are built with 'SAME' padding.
    frozen_batch_norm_scopes: as in `get_network_fn`.

  Returns:
    feature_maps_fn(images, **kwargs) -> (maps, end_points): {stride: feature map}, the
    deepest first, and all end points up to it. Images and kwargs as in
    `get_network_fn`. It raises UserError if the images are too small, or if one of
    `end_points` does not exist or has another stride.

  Raises:
    UserError: the network does not exist or has no feature map at one of `strides`; it
      is a ValueError.
  """
  names = _chosen_names(name, strides, end_points or {})
  # The scopes below the network's own scope, which may be inside another scope.
  scopes = {stride: names[stride].removeprefix(f'{name}/')
            for stride in sorted(names, reverse=True)}
  stop = {'final_endpoint': next(iter(scopes.values()))}
  if 'final_endpoint' not in _parameters(name):
    stop['base_only'] = True  # MobileNet V2 and V3: leave out the head.
  if stop['final_endpoint'] in ('fc6', 'fc7') and (
      'fc_conv_padding' in _parameters(name)):
    stop['fc_conv_padding'] = 'SAME'
  network_fn = get_network_fn(
      name, None, weight_decay, is_training, frozen_batch_norm_scopes)

  def feature_maps_fn(images, **kwargs):
    try:
      _, built = network_fn(images, **{**stop, **kwargs})
    except ValueError as error:
      if 'Negative dimension' not in str(error):
        raise
      raise diagnostics.UserError(
          f'images of {images.shape[1]} x {images.shape[2]} are too small for the'
          f' feature map of {name} at stride {max(strides)}: give larger images'
      ) from error
    maps = {stride: _end_point(built, scope) for stride, scope in scopes.items()}
    for stride in end_points or {}:
      _check_stride(name, images, stride, maps[stride])
    return maps, built

  return feature_maps_fn


def _chosen_names(name, strides, end_points):
  """Returns the names of end points by stride."""
  known = feature_map_names(name)
  missing = sorted(set(strides) - set(known) - set(end_points))
  if missing or not strides:
    raise diagnostics.UserError(
        f'strides={tuple(strides)}, but {name} has feature maps at strides'
        f" {', '.join(map(str, known))}: give one or more of these")
  for stride, end_point in end_points.items():
    if stride not in strides:
      raise diagnostics.UserError(
          f"end_points has '{end_point}' at stride {stride}, but"
          f' strides={tuple(strides)}: add this stride')
  return {stride: {**known, **end_points}[stride] for stride in strides}


def _end_point(end_points, scope):
  """Returns the end point at a scope below the network's scope."""
  names = [name for name in end_points if f'/{name}'.endswith(f'/{scope}')]
  if not names:
    raise diagnostics.unknown_name(
        'end point', scope, end_points, ' up to the one of the largest stride')
  return end_points[min(names, key=len)]


def _check_stride(name, images, stride, features):
  """Raises UserError if features are not at a stride of the images."""
  lost = feature_maps.find_row(name).lost
  if features.shape.rank != 4:
    raise diagnostics.UserError(
        f'the end point {features.op.name} has the shape {features.shape}: expected'
        ' features [batch, height, width, depth]')
  for side, found in zip(images.shape[1:3].as_list(), features.shape[1:3].as_list(),
                         strict=True):
    if None not in (side, found) and not -lost <= found - -(-side // stride) <= 0:
      raise diagnostics.UserError(
          f'the end point {features.op.name} has {found} pixels for {side} pixels of an'
          f' image, but stride {stride} gives {-(-side // stride)}: give the stride of'
          ' the end point')


def feature_map_names(name: str) -> dict[int, str]:
  """Returns {stride: end point name} of a network; see `catalog.feature_maps`.

  Raises:
    UserError: the network does not exist, or has no feature maps.
  """
  return feature_maps.feature_map_names(name)
