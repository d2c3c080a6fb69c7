"""Layers that several networks share: padding, strides, grouped convolution, SE.

    conv2d_or_product     a convolution, computed as a matrix product if it is one
    conv2d_same           a strided convolution; its padding depends on the kernel only
    grouped_conv2d        a convolution of separate groups of channels
    max_pool2d_symmetric  a max pool with equal padding on all sides
    fixed_padding         the padding of conv2d_same as a separate op
    subsample             every n-th pixel
    atrous_strides        strides up to an output stride, then dilation
    squeeze_excite        scales channels by gates computed from the whole feature map
    squeeze_excitation    the same as an `attention_fn` of units
    drop_residual         leaves a residual out for some images: stochastic depth
"""

import functools

from slim_zoo import diagnostics
from slim_zoo.tf_compat import slim, tf

# A layer with fewer weights stays a convolution; VGG's smallest has 4,096,000.
_MANY_WEIGHTS = 4_000_000
# The arguments of slim.conv2d that `_product` supports.
_PRODUCT_ARGUMENTS = {
    'stride', 'padding', 'activation_fn', 'normalizer_fn', 'weights_initializer',
    'weights_regularizer', 'biases_initializer', 'biases_regularizer',
    'outputs_collections', 'scope'}


def make_divisible(value, divisor, min_value=None):
  """Returns the multiple of `divisor` nearest to `value`, never 10% below it.

  Args:
    value: a float or int.
    divisor: the result is a multiple of this.
    min_value: the smallest result; None means `divisor`.
  """
  nearest = int(value + divisor / 2) // divisor * divisor
  result = max(divisor if min_value is None else min_value, nearest)
  return result if result >= 0.9 * value else result + divisor


def fixed_padding(inputs, kernel_size, rate=1):
  """Pads [batch, height, width, depth] with zeros, by the size of the kernel.

  A 'VALID' convolution of the result has the output size of a 'SAME' convolution of
  `inputs`, but its alignment does not depend on whether the size is even.
  """
  paddings = [(0, 0)]
  for size in slim.utils.two_element_tuple(kernel_size):
    total = (size - 1) * rate
    paddings.append((total // 2, total - total // 2))
  return tf.pad(inputs, [*paddings, (0, 0)]) if any(map(any, paddings)) else inputs


def atrous_strides(strides, output_stride):
  """Yields the (stride, rate) at which to build layers with nominal `strides`.

  When the product of the strides reaches `output_stride`, later layers have stride 1
  and are dilated by the strides that they lose. None keeps all strides.

  Raises:
    ValueError: a stride exceeds `output_stride`.
  """
  current = rate = 1
  for stride in strides:
    if current == output_stride:
      yield 1, rate
      rate *= stride
    else:
      if output_stride is not None and current * stride > output_stride:
        raise diagnostics.UserError(
            f'output_stride {output_stride} cannot be kept: the network goes from'
            f' {current} to {current * stride}')
      current *= stride
      yield stride, 1


def subsample(inputs, factor, scope=None):
  """Returns every `factor`-th pixel of [batch, height, width, depth]."""
  if factor == 1:
    return inputs
  return slim.max_pool2d(inputs, [1, 1], stride=factor, scope=scope)


def conv2d_or_product(inputs, num_outputs, kernel_size, **arguments):
  """Convolves like slim.conv2d; a large kernel of the input's size becomes a matmul.

  A convolution reorders its weights at every step, which takes longer than the matrix
  product: 0.2 s and 0.025 s for fc6 of VGG and 8 images on two cores. Small layers stay
  convolutions, so that code that looks for convolutions in a graph finds them.

  Args:
    inputs: float [batch, height, width, channels].
    num_outputs: depth of the output.
    kernel_size: an int, or height and width.
    **arguments: of slim.conv2d; missing ones come from its arg scope.

  Returns:
    float [batch, height, width, num_outputs], as from slim.conv2d.
  """
  scoped = slim.current_arg_scope().get(slim.arg_scope_func_key(slim.conv2d), {})
  options = {'padding': 'SAME', **scoped, **arguments}
  kernel = slim.utils.two_element_tuple(kernel_size)
  channels = inputs.shape[3]
  if (channels is None or set(options) - _PRODUCT_ARGUMENTS
      or options.get('normalizer_fn')
      or options.get('biases_initializer', True) is None
      or tuple(inputs.shape[1:3].as_list()) != kernel
      or (options['padding'] != 'VALID' and kernel != (1, 1))
      or kernel[0] * kernel[1] * channels * num_outputs < _MANY_WEIGHTS):
    return slim.conv2d(inputs, num_outputs, kernel_size, **arguments)
  return _product(inputs, num_outputs, kernel, options)


def _product(inputs, num_outputs, kernel, options):
  """Multiplies by the weights of slim.conv2d; `options` are its arguments."""
  size = kernel[0] * kernel[1] * inputs.shape[3]
  activation_fn = options.get('activation_fn', tf.nn.relu)
  dtype = inputs.dtype.base_dtype
  with tf.variable_scope(options.get('scope'), 'Conv', [inputs]) as sc:
    weights = slim.model_variable(
        'weights', [*kernel, inputs.shape[3], num_outputs], dtype,
        options.get('weights_initializer', slim.xavier_initializer()),
        options.get('weights_regularizer'))
    biases = slim.model_variable(
        'biases', [num_outputs], dtype,
        options.get('biases_initializer', tf.zeros_initializer()),
        options.get('biases_regularizer'))
    net = tf.matmul(tf.reshape(inputs, [-1, size]),
                    tf.reshape(weights, [size, num_outputs]))
    net = tf.reshape(net, [-1, 1, 1, num_outputs], name='Conv2D')
    net = tf.nn.bias_add(net, biases, name='BiasAdd')
    if activation_fn is not None:
      net = activation_fn(net)
    return slim.utils.collect_named_outputs(
        options.get('outputs_collections'), sc.name, net)


@slim.add_arg_scope
def grouped_conv2d(inputs, num_outputs: int, kernel_size: int, groups: int,
                   stride: int = 1, padding: str = 'SAME', rate: int = 1,
                   activation_fn=tf.nn.relu, normalizer_fn=None,
                   normalizer_params=None, weights_initializer=None,
                   weights_regularizer=None, outputs_collections=None, scope=None):
  """Convolves each group of channels separately, in one op.

  A filter reads 1 / groups of the input channels (Krizhevsky 2012; Xie et al. 2017,
  arXiv 1611.05431). The layer has its own arg scope, separate from slim.conv2d's. All
  groups share one variable, 'weights' of [kernel, kernel, channels / groups,
  num_outputs], the transpose of PyTorch's. Group g reads the g-th slice of the inputs
  and writes the g-th slice of the outputs.

  Args:
    inputs: float [batch, height, width, channels].
    num_outputs: depth of the output.
    kernel_size: height and width of the kernel.
    groups: the number of groups, a divisor of both depths.
    stride: stride in height and width.
    padding: 'SAME' or 'VALID'.
    rate: dilation.
    activation_fn: applied after the normalization; None is linear.
    normalizer_fn: replaces the biases.
    normalizer_params: arguments of `normalizer_fn`.
    weights_initializer: None means slim's variance scaling.
    weights_regularizer: penalty on the weights.
    outputs_collections: collection that receives the output.
    scope: variable scope.

  Returns:
    float [batch, height / stride, width / stride, num_outputs].

  Raises:
    UserError: `groups` does not divide a depth; it is a ValueError.
  """
  channels = slim.utils.last_dimension(inputs.get_shape(), min_rank=4)
  if channels % groups or num_outputs % groups:
    raise diagnostics.UserError(
        f'groups {groups} does not divide {channels} input and {num_outputs} output'
        ' channels: give a divisor of both')
  with tf.variable_scope(scope, 'GroupedConv', [inputs]) as sc:
    weights = slim.model_variable(
        'weights', [kernel_size, kernel_size, channels // groups, num_outputs],
        dtype=inputs.dtype.base_dtype,
        initializer=weights_initializer or slim.variance_scaling_initializer(),
        regularizer=weights_regularizer)
    # tf.nn.conv2d infers the number of groups from the depth of the weights.
    net = tf.nn.conv2d(inputs, weights, strides=stride, padding=padding,
                       dilations=rate)
    if normalizer_fn is not None:
      net = normalizer_fn(net, **(normalizer_params or {}))
    else:
      net = tf.nn.bias_add(net, slim.model_variable(
          'biases', [num_outputs], dtype=inputs.dtype.base_dtype,
          initializer=tf.zeros_initializer()))
    if activation_fn is not None:
      net = activation_fn(net)
    return slim.utils.collect_named_outputs(outputs_collections, sc.name, net)


def conv2d_same(inputs, num_outputs, kernel_size, stride, rate=1, scope=None,
                groups=1):
  """Convolves with 'SAME' padding that does not depend on the image size.

  TensorFlow's 'SAME' padding of a strided convolution depends on the image size, so a
  crop is sampled at other pixels than the image. Here the padding depends on the kernel
  only: conv2d_same at stride s equals the convolution at stride 1 followed by
  `subsample` by s.

  Args:
    inputs: float [batch, height, width, channels].
    num_outputs: depth of the output.
    kernel_size: height and width of the kernel, an int.
    stride: output stride.
    rate: dilation.
    scope: variable scope.
    groups: the number of groups of channels; more than 1 is a `grouped_conv2d`.

  Returns:
    float [batch, ceil(height / stride), ceil(width / stride), num_outputs].
  """
  convolve = slim.conv2d if groups == 1 else functools.partial(
      grouped_conv2d, groups=groups)
  if stride == 1:
    return convolve(inputs, num_outputs, kernel_size, stride=1, rate=rate,
                    padding='SAME', scope=scope)
  return convolve(fixed_padding(inputs, kernel_size, rate), num_outputs, kernel_size,
                  stride=stride, rate=rate, padding='VALID', scope=scope)


def max_pool2d_symmetric(inputs, kernel_size, stride, scope=None):
  """Pools like 'SAME', with equal padding on all sides at every size.

  Args:
    inputs: float [batch, height, width, channels].
    kernel_size: height and width of the kernel, an odd number.
    stride: output stride.
    scope: name of the op.

  Returns:
    float [batch, ceil(height / stride), ceil(width / stride), channels].
  """
  sides = [kernel_size // 2] * 2
  # Padding must never be the maximum. After a ReLU 0 never is, and the range of the
  # values stays small enough for 8 bits.
  lowest = 0 if inputs.op.type in ('Relu', 'Relu6') else inputs.dtype.min
  inputs = tf.pad(inputs, [[0, 0], sides, sides, [0, 0]], constant_values=lowest)
  return slim.max_pool2d(inputs, kernel_size, stride, padding='VALID', scope=scope)


@slim.add_arg_scope
def squeeze_excite(input_tensor, divisible_by=8, squeeze_factor=3,
                   inner_activation_fn=tf.nn.relu, gating_fn=tf.sigmoid,
                   squeeze_input_tensor=None, pool=None):
  """Scales each channel by a gate computed from the whole feature map.

  Squeeze-and-excitation, Hu et al. 2018, arXiv 1709.01507.

  Args:
    input_tensor: float [batch, height, width, channels], the features to scale.
    divisible_by: the depth of the squeezed layer is a multiple of this.
    squeeze_factor: the depth of the input divided by the depth of the squeezed layer.
    inner_activation_fn: activation of the squeezed layer.
    gating_fn: activation of the gates.
    squeeze_input_tensor: the input of the gates; None means `input_tensor`.
    pool: height and width, an int or a pair, of average pooling windows in place of the
      whole feature map. The gates of all windows are resized bilinearly to the input's
      size.

  Returns:
    float, same shape as `input_tensor`.
  """
  with tf.variable_scope('squeeze_excite', values=[input_tensor]):
    gate_input = input_tensor if squeeze_input_tensor is None else squeeze_input_tensor
    _, height, width, depth = gate_input.get_shape().as_list()
    if pool is None:
      net = tf.reduce_mean(gate_input, [1, 2], keepdims=True)
    else:
      window = [min(side, size or side) for side, size in zip(
          slim.utils.two_element_tuple(pool), (height, width), strict=True)]
      net = slim.avg_pool2d(gate_input, window, stride=1, padding='VALID')
    net = slim.conv2d(net, make_divisible(depth / squeeze_factor, divisible_by),
                      [1, 1], normalizer_fn=None, activation_fn=inner_activation_fn)
    channels = input_tensor.get_shape().as_list()[3]
    gates = slim.conv2d(net, channels, [1, 1], normalizer_fn=None,
                        activation_fn=gating_fn)
    if pool is not None:
      gates = tf.image.resize_bilinear(
          gates, tf.shape(input_tensor)[1:3], align_corners=True)
    return input_tensor * gates


@slim.add_arg_scope
def squeeze_excitation(inputs, reduction: int = 16):
  """Scales each channel by a gate in (0, 1): an `attention_fn` for any unit.

      with slim.arg_scope([resnet_v2.bottleneck], attention_fn=squeeze_excitation):
        net, end_points = resnet_v2.resnet_v2_50(images)

  These units have an argument `attention_fn`, a function from features to features of
  the same shape, and apply it to the features that the block scales:

      resnet_v1.bottleneck, resnet_v2.bottleneck  the residual, before the addition
      inception_blocks.mixed                      the joined branches of a module
      inception_resnet_v2.scaled_residual         the residual, before it is scaled

  The gates are sigmoid(W2 relu(W1 average + b1) + b2), equations 2 to 4 of the paper.
  The variables are 'squeeze_excite/Conv' and 'squeeze_excite/Conv_1', as in MobileNet
  V3; the arg scope of convolutions sets their weight decay.

  Args:
    inputs: float [batch, height, width, channels].
    reduction: the depth of `inputs` divided by the depth of the first layer.

  Returns:
    float, same shape as `inputs`.
  """
  return squeeze_excite(inputs, divisible_by=1, squeeze_factor=reduction)


def drop_residual(residual, drop_rate):
  """Sets the residual of each image to 0 with a probability; for training only.

  The kept residuals are divided by their probability, so the expected value does not
  change, and evaluation takes every residual as it is. Stochastic depth: Huang et al.
  2016, Deep networks with stochastic depth, arXiv 1603.09382.

  Args:
    residual: float [batch, height, width, channels].
    drop_rate: the probability, from 0 to below 1; 0 adds no operation.

  Returns:
    A tensor of the same shape and dtype.
  """
  if not drop_rate:
    return residual
  with tf.name_scope('stochastic_depth'):
    # A known batch size, so that a deterministic run can repeat the random numbers.
    batch = residual.shape.as_list()[0] or tf.shape(residual)[0]
    is_kept = tf.random_uniform([batch, 1, 1, 1]) >= drop_rate
    factors = tf.cast(is_kept, tf.float32) / (1.0 - drop_rate)
    return residual * tf.cast(factors, residual.dtype)


def drop_rates(last_rate, num_blocks):
  """Returns the drop rate of each block: l / num_blocks * last_rate for the l-th.

  The linear rule of Huang et al. 2016: the image itself, block 0, is never dropped.

  Args:
    last_rate: of the last block, from 0 to below 1.
    num_blocks: the number of blocks.
  """
  return [last_rate * number / num_blocks for number in range(1, num_blocks + 1)]
