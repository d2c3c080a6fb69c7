"""Builds a MobileNet from a table of operations.

A table is a dict:

    spec       list of `op(function, **arguments)`, one per layer
    defaults   {(function, ...): arguments}, set as arg scopes around the layers
    overrides  like defaults, set inside of them; optional

Arguments in the spec have priority over both. The outputs of the layers are the end
points layer_1, layer_2, ... A tensor inside a layer whose name ends with 'output' is
the end point layer_N/NAME.
"""

import collections
import contextlib
import functools
import inspect

from slim_zoo import diagnostics
from slim_zoo.nets import layers, normalization
from slim_zoo.nets.resnet_utils import NoOpScope as NoOpScope
from slim_zoo.tf_compat import slim, tf

# A layer: its function, its arguments, and a function that scales the arguments.
Op = collections.namedtuple('Op', ('op', 'params', 'multiplier_func'))


@slim.add_arg_scope
def apply_activation(x, name=None, activation_fn=None):
  """Returns `activation_fn(x, name=name)`, or `x` without a function."""
  return activation_fn(x, name=name) if activation_fn else x


@slim.add_arg_scope
def depth_multiplier(output_params, multiplier, divisible_by=8, min_depth=8,
                     **unused_kwargs):
  """Scales output_params['num_outputs'] in place, if it exists.

  Args:
    output_params: the arguments of a layer.
    multiplier: factor of the number of outputs.
    divisible_by: the number of outputs is a multiple of this.
    min_depth: the smallest number of outputs.
    **unused_kwargs: ignored, for callers that support several multiplier functions.
  """
  if 'num_outputs' in output_params:
    output_params['num_outputs'] = layers.make_divisible(
        output_params['num_outputs'] * multiplier, divisible_by, min_depth)


def op(opfunc, multiplier_func=depth_multiplier, **params):
  """Returns a layer of a table, built by `opfunc(net, **params)`.

  `multiplier_func(params, multiplier)` changes a copy of `params` in place.
  """
  return Op(opfunc, params=params, multiplier_func=multiplier_func)


def safe_arg_scope(funcs, **kwargs):
  """Returns the arg scope of the `kwargs` that are not None, if any."""
  arguments = {name: value for name, value in kwargs.items() if value is not None}
  return slim.arg_scope(funcs, **arguments) if arguments else NoOpScope()


def wrapped_partial(func, *args, **kwargs):
  """Returns functools.partial with the name, docstring and attributes of `func`."""
  return functools.update_wrapper(functools.partial(func, *args, **kwargs), func)


@contextlib.contextmanager
def _arg_scopes(table):
  """Sets the defaults or overrides of a table."""
  with contextlib.ExitStack() as stack:
    for functions, arguments in table.items():
      stack.enter_context(slim.arg_scope(functions, **arguments))
    yield


def _has_parameter(function, argument):
  return argument in inspect.signature(function).parameters


def _is_block(layer):
  """Returns whether a layer is a block that may have a shortcut."""
  return _has_parameter(layer.op, 'drop_rate')


def _build_layer(net, layer, multiplier, stride, rate, use_explicit_padding,
                 drop_rate=0.0):
  """Calls the function of one `Op` with its scaled arguments."""
  params = dict(layer.params)
  layer.multiplier_func(params, multiplier)
  if 'stride' in params:
    params['stride'] = stride
  kernel_size = params.get('kernel_size')
  is_pointwise = kernel_size is not None and set(
      slim.utils.two_element_tuple(kernel_size)) == {1}
  if rate > 1 and not is_pointwise:
    params['rate'] = rate
  if drop_rate:
    params['drop_rate'] = drop_rate
  if use_explicit_padding:
    if _has_parameter(layer.op, 'use_explicit_padding'):
      params['use_explicit_padding'] = True
    elif kernel_size is not None and not is_pointwise:
      net = layers.fixed_padding(net, kernel_size, rate)
      params['padding'] = 'VALID'
  return layer.op(net, **params)


def _inner_end_points(layer_of_scope):
  """Returns the tensors named *output inside layers, by layer_N/NAME."""
  end_points = {}
  for operation in tf.get_default_graph().get_operations():
    scope, _, name = operation.name.rpartition('/')
    if name.endswith('output') and scope in layer_of_scope:
      end_points[f'{layer_of_scope[scope]}/{name}'] = operation.outputs[0]
  return end_points


def _check_arguments(multiplier, output_stride, last_layer, num_layers):
  if multiplier <= 0:
    raise diagnostics.UserError(
        f'the depth multiplier is {multiplier}: it must be greater than 0')
  if output_stride is not None and output_stride != 1 and (
      output_stride < 1 or output_stride % 2):
    raise diagnostics.UserError(
        f'output_stride is {output_stride}: it must be None, 1 or a multiple of 2')
  known = [f'layer_{number}' for number in range(1, num_layers + 1)]
  if last_layer is not None and last_layer not in known:
    raise diagnostics.unknown_name('end point', last_layer, known)


@slim.add_arg_scope
def mobilenet_base(inputs, conv_defs, multiplier=1.0, final_endpoint=None,
                   output_stride=None, use_explicit_padding=False, scope=None,
                   is_training=False, stochastic_depth=0.0):
  """Builds the layers of a table, without pooling and logits.

  Args:
    inputs: float [batch, height, width, channels].
    conv_defs: the table, see above.
    multiplier: the width of the network, argument of each layer's multiplier_func.
    final_endpoint: the last layer to build, such as 'layer_14', or a tensor inside it,
      such as 'layer_14/expansion_output'; None builds all.
    output_stride: ratio of input to output resolution: None, 1 or a multiple of 2.
      Later layers are dilated in place of their strides.
    use_explicit_padding: whether to pad with `layers.fixed_padding`.
    scope: variable scope; None means Mobilenet, made unique.
    is_training: batch norm's mode; None keeps the mode of the caller's arg scope.
    stochastic_depth: the drop rate of the last block; that of the others rises to it,
      see `layers.drop_rates`. Blocks without a shortcut count, but are never dropped.
      For training only, as `get_network_fn` sets it.

  Returns:
    (net, end_points): the features, float [batch, height / 32, width / 32, depth]
    for the tables here, and all end points by name.

  Raises:
    ValueError: `multiplier` is not above 0, `output_stride` cannot be reached, or
      `final_endpoint` does not exist.
  """
  spec = conv_defs['spec']
  last_layer = None if final_endpoint is None else final_endpoint.partition('/')[0]
  _check_arguments(multiplier, output_stride, last_layer, len(spec))
  strides = layers.atrous_strides(
      (layer.params.get('stride', 1) for layer in spec), output_stride)
  drop_rates = iter(layers.drop_rates(stochastic_depth, sum(map(_is_block, spec))))
  net, end_points, layer_of_scope = inputs, {}, {}
  with tf.variable_scope(scope, 'Mobilenet', [inputs]) as sc, \
      tf.name_scope(sc.original_name_scope), \
      safe_arg_scope([slim.batch_norm], is_training=is_training), \
      _arg_scopes(conv_defs.get('defaults', {})), \
      _arg_scopes(conv_defs.get('overrides', {})):
    for number, (layer, (stride, rate)) in enumerate(
        zip(spec, strides, strict=True), 1):
      drop_rate = next(drop_rates) if _is_block(layer) else 0.0
      net = _build_layer(net, layer, multiplier, stride, rate, use_explicit_padding,
                         drop_rate)
      name = f'layer_{number}'
      end_points[name] = net
      layer_of_scope[net.op.name.rpartition('/')[0]] = name
      if name == last_layer:
        break
  end_points.update(_inner_end_points(layer_of_scope))
  if final_endpoint is None:
    return net, end_points
  if final_endpoint not in end_points:
    raise diagnostics.unknown_name('end point', final_endpoint, end_points)
  return end_points[final_endpoint], end_points


def global_pool(input_tensor, use_reduce_mean_for_pooling=False,
                pool_op=tf.nn.avg_pool):
  """Pools [batch, height, width, depth] to [batch, 1, 1, depth].

  Args:
    input_tensor: the features; height and width may be unknown.
    use_reduce_mean_for_pooling: whether to use one reduction.
    pool_op: the pool otherwise, called like tf.nn.avg_pool. An average over an unknown
      size is always a reduction: a pool needs a known kernel.
  """
  _, height, width, depth = input_tensor.get_shape().as_list()
  known = height is not None and width is not None
  if use_reduce_mean_for_pooling or (pool_op is tf.nn.avg_pool and not known):
    return tf.reduce_mean(input_tensor, [1, 2], keepdims=True, name='ReduceMean')
  if not known:
    height, width = tf.unstack(tf.shape(input_tensor)[1:3])
  net = pool_op(input_tensor, ksize=[1, height, width, 1], strides=[1, 1, 1, 1],
                padding='VALID')
  net.set_shape([None, 1, 1, depth])
  return net


@slim.add_arg_scope
def mobilenet(inputs, num_classes=1001, prediction_fn=slim.softmax, reuse=None,
              scope='Mobilenet', base_only=False, use_reduce_mean_for_pooling=False,
              **mobilenet_args):
  """Builds a MobileNet from a table. Inference mode is created by default.

  To train, build it under `training_scope`.

  Args:
    inputs: float [batch, height, width, channels].
    num_classes: number of logits; 0 or None returns the pooled features.
    prediction_fn: computes the end point 'Predictions' from the logits, called with a
      scope; None leaves it out.
    reuse: whether the variables exist already.
    scope: variable scope.
    base_only: whether to build only the layers of the table.
    use_reduce_mean_for_pooling: see `global_pool`.
    **mobilenet_args: go to `mobilenet_base`: conv_defs, multiplier and others.

  Returns:
    (net, end_points): logits, float [batch, num_classes]; or features [batch, 1,
    1, depth], or, for base_only, the features of `mobilenet_base`.

  Raises:
    ValueError: `inputs` is not of rank 4; or as `mobilenet_base`.
  """
  if inputs.get_shape().ndims != 4:
    raise diagnostics.UserError(
        'images must be of rank 4, [batch, height, width, channels]: the shape is'
        f' {inputs.get_shape()}')
  is_training = mobilenet_args.get('is_training', False)
  with tf.variable_scope(scope, 'Mobilenet', reuse=reuse) as sc:
    inputs = tf.identity(inputs, 'input')
    net, end_points = mobilenet_base(inputs, scope=sc, **mobilenet_args)
    if base_only:
      return net, end_points
    with tf.variable_scope('Logits'):
      net = end_points['global_pool'] = global_pool(net, use_reduce_mean_for_pooling)
      if not num_classes:
        return net, end_points
      with safe_arg_scope([slim.dropout], is_training=is_training):
        net = slim.dropout(net, scope='Dropout')
      logits = slim.conv2d(
          net, num_classes, [1, 1], activation_fn=None, normalizer_fn=None,
          biases_initializer=tf.zeros_initializer(), scope='Conv2d_1c_1x1')
      logits = tf.identity(tf.squeeze(logits, [1, 2]), name='output')
    end_points['Logits'] = logits
    if prediction_fn:
      end_points['Predictions'] = prediction_fn(logits, 'Predictions')
  return logits, end_points


def scaled_mobilenet(input_tensor, conv_defs, depth_multiplier,
                     finegrain_classification_mode, **kwargs):
  """Builds `mobilenet` at a width, with an optional full-width last layer.

  Args:
    input_tensor: float [batch, height, width, channels].
    conv_defs: the table.
    depth_multiplier: factor of the number of channels.
    finegrain_classification_mode: whether a multiplier below 1 leaves the last layer of
      the table unchanged (section 5 of arXiv 1801.04381).
    **kwargs: go to `mobilenet`.
  """
  if 'multiplier' in kwargs:
    raise diagnostics.UserError(
        "'multiplier' is not an argument of this function: use depth_multiplier")
  if finegrain_classification_mode and depth_multiplier < 1:
    *layers, last = conv_defs['spec']
    last = last._replace(multiplier_func=lambda params, multiplier: None)
    conv_defs = dict(conv_defs, spec=[*layers, last])
  return mobilenet(input_tensor, conv_defs=conv_defs, multiplier=depth_multiplier,
                   **kwargs)


def training_scope(is_training=True, weight_decay=0.00004, stddev=0.09,
                   dropout_keep_prob=0.8, bn_decay=0.997):
  """Returns the arg scope of any of these networks.

  Args:
    is_training: mode of batch norm and dropout; None sets neither.
    weight_decay: L2 penalty on all weights except depthwise ones.
    stddev: standard deviation of the initial weights (truncated normal); below 0 means
      Xavier's initializer.
    dropout_keep_prob: share of activations that dropout keeps.
    bn_decay: decay of batch norm's moving averages.
  """
  initializer = (slim.xavier_initializer() if stddev < 0
                 else tf.truncated_normal_initializer(stddev=stddev))
  with slim.arg_scope(
      [slim.conv2d, slim.fully_connected, slim.separable_conv2d],
      weights_initializer=initializer, normalizer_fn=normalization.batch_norm), \
      slim.arg_scope([mobilenet_base, mobilenet], is_training=is_training), \
      safe_arg_scope([slim.batch_norm], decay=bn_decay, is_training=is_training), \
      safe_arg_scope([slim.dropout], keep_prob=dropout_keep_prob,
                     is_training=is_training), \
      slim.arg_scope([slim.conv2d],
                     weights_regularizer=slim.l2_regularizer(weight_decay)), \
      slim.arg_scope([slim.separable_conv2d], weights_regularizer=None) as scope:
    return scope
