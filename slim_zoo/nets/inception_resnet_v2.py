"""Inception-ResNet v2 (Szegedy et al. 2017, arXiv 1602.07261), figure 15.

The stem is Inception v3's with another Mixed_5b. It is followed by 10, 20 and 10
residual blocks. A linear 1x1 convolution widens the branches of a block; the result is
scaled down and added to the block's input.
"""

from collections.abc import Callable
from typing import NamedTuple

from slim_zoo import diagnostics
from slim_zoo.nets import (
  inception_blocks,
  inception_heads,
  inception_utils,
  normalization,
)
from slim_zoo.nets.inception_blocks import Mixed
from slim_zoo.nets.rows import AvgPool, Conv, MaxPool
from slim_zoo.tf_compat import slim, tf

MIXED_5B = Mixed('Mixed_5b', (
    (Conv('Conv2d_1x1', 1, 96),),
    (Conv('Conv2d_0a_1x1', 1, 48), Conv('Conv2d_0b_5x5', 5, 64)),
    (Conv('Conv2d_0a_1x1', 1, 64), Conv('Conv2d_0b_3x3', 3, 96),
     Conv('Conv2d_0c_3x3', 3, 96)),
    (AvgPool('AvgPool_0a_3x3', 3), Conv('Conv2d_0b_1x1', 1, 64)),
))
BLOCK_35 = (  # Figure 16.
    (Conv('Conv2d_1x1', 1, 32),),
    (Conv('Conv2d_0a_1x1', 1, 32), Conv('Conv2d_0b_3x3', 3, 32)),
    (Conv('Conv2d_0a_1x1', 1, 32), Conv('Conv2d_0b_3x3', 3, 48),
     Conv('Conv2d_0c_3x3', 3, 64)),
)
BLOCK_17 = (  # Figure 17.
    (Conv('Conv2d_1x1', 1, 192),),
    (Conv('Conv2d_0a_1x1', 1, 128), Conv('Conv2d_0b_1x7', (1, 7), 160),
     Conv('Conv2d_0c_7x1', (7, 1), 192)),
)
BLOCK_8 = (  # Figure 19.
    (Conv('Conv2d_1x1', 1, 192),),
    (Conv('Conv2d_0a_1x1', 1, 192), Conv('Conv2d_0b_1x3', (1, 3), 224),
     Conv('Conv2d_0c_3x1', (3, 1), 256)),
)


@slim.add_arg_scope
def scaled_residual(net, branches, scale, activation_fn, scope, default_scope, reuse,
                    attention_fn=None):
  """Builds a residual block: activation_fn(net + scale * attention_fn(branches)).

  Args:
    net: float [batch, height, width, depth].
    branches: a tuple of branches; a linear 1x1 convolution widens them to the depth of
      `net`.
    scale: factor of the residual.
    activation_fn: of the sum; None is linear.
    scope: variable scope; None makes `default_scope` unique.
    default_scope: the name if `scope` is None.
    reuse: whether the variables exist already.
    attention_fn: applied to the residual before the scaling, such as
      `squeeze_excitation`; keeps the shape.

  Returns:
    float, same shape as `net`.
  """
  with tf.variable_scope(scope, default_scope, [net], reuse=reuse):
    residual = slim.conv2d(
        inception_blocks.join(net, branches), net.shape[3], 1, normalizer_fn=None,
        activation_fn=None, scope='Conv2d_1x1')
    if attention_fn is not None:
      residual = attention_fn(residual)
    residual = scale * residual
    if activation_fn is tf.nn.relu6:
      # A bounded activation is meant for quantized inference, which needs bounds on the
      # linear residual too.
      residual = tf.clip_by_value(residual, -6.0, 6.0)
    net += residual
    return activation_fn(net) if activation_fn else net


def block35(net, scale=1.0, activation_fn=tf.nn.relu, scope=None, reuse=None):
  """Builds the 35 x 35 residual block: activation_fn(net + scale * branches)."""
  return scaled_residual(net, BLOCK_35, scale, activation_fn, scope, 'Block35', reuse)


def block17(net, scale=1.0, activation_fn=tf.nn.relu, scope=None, reuse=None):
  """Builds the 17 x 17 residual block: activation_fn(net + scale * branches)."""
  return scaled_residual(net, BLOCK_17, scale, activation_fn, scope, 'Block17', reuse)


def block8(net, scale=1.0, activation_fn=tf.nn.relu, scope=None, reuse=None):
  """Builds the 8 x 8 residual block: activation_fn(net + scale * branches)."""
  return scaled_residual(net, BLOCK_8, scale, activation_fn, scope, 'Block8', reuse)


class Residual(NamedTuple):
  """A row of residual blocks.

  Attributes:
    end_point: name of the output, or None.
    block: a block function.
    scale: factor of the residuals.
    activation_fn: after each block, or None.
    count: the number of blocks, under 'Repeat/BLOCK_N'; None: one block under its own
      name.
    rate: dilation of the convolutions.
  """

  end_point: str | None
  block: Callable
  scale: float
  activation_fn: Callable | None
  count: int | None = None
  rate: int = 1

  def build(self, net, options):
    """Builds the blocks on `net`."""
    del options
    arguments = {'scale': self.scale, 'activation_fn': self.activation_fn}
    with slim.arg_scope([slim.conv2d], rate=self.rate):
      if self.count is None:
        return self.block(net, **arguments)
      return slim.repeat(net, self.count, self.block, **arguments)


def layers(output_stride, align_feature_maps, activation_fn):
  """Returns the table of figure 15; the resolutions in comments are for 299."""
  padding = 'SAME' if align_feature_maps else 'VALID'
  stride_6a, rate = (2, 1) if output_stride == 16 else (1, 2)
  return (
      Conv('Conv2d_1a_3x3', 3, 32, stride=2, padding=padding),     # 149
      Conv('Conv2d_2a_3x3', 3, 32, padding=padding),               # 147
      Conv('Conv2d_2b_3x3', 3, 64),
      MaxPool('MaxPool_3a_3x3', 3, stride=2, padding=padding),     # 73
      Conv('Conv2d_3b_1x1', 1, 80, padding=padding),
      Conv('Conv2d_4a_3x3', 3, 192, padding=padding),              # 71
      MaxPool('MaxPool_5a_3x3', 3, stride=2, padding=padding),     # 35
      MIXED_5B,
      Residual(None, block35, 0.17, activation_fn, count=10),
      Mixed('Mixed_6a', (  # 17; figure 7.
          (Conv('Conv2d_1a_3x3', 3, 384, stride=stride_6a, padding=padding),),
          (Conv('Conv2d_0a_1x1', 1, 256), Conv('Conv2d_0b_3x3', 3, 256),
           Conv('Conv2d_1a_3x3', 3, 384, stride=stride_6a, padding=padding)),
          (MaxPool('MaxPool_1a_3x3', 3, stride=stride_6a, padding=padding),),
      )),
      Residual('PreAuxLogits', block17, 0.10, activation_fn, count=20, rate=rate),
      Mixed('Mixed_7a', (  # 8; figure 18.
          (Conv('Conv2d_0a_1x1', 1, 256),
           Conv('Conv2d_1a_3x3', 3, 384, stride=2, padding=padding)),
          (Conv('Conv2d_0a_1x1', 1, 256),
           Conv('Conv2d_1a_3x3', 3, 288, stride=2, padding=padding)),
          (Conv('Conv2d_0a_1x1', 1, 256), Conv('Conv2d_0b_3x3', 3, 288),
           Conv('Conv2d_1a_3x3', 3, 320, stride=2, padding=padding)),
          (MaxPool('MaxPool_1a_3x3', 3, stride=2, padding=padding),),
      )),
      Residual(None, block8, 0.20, activation_fn, count=9),
      Residual(None, block8, 1.0, activation_fn=None),
      Conv('Conv2d_7b_1x1', 1, 1536),
  )


def inception_resnet_v2_base(inputs, final_endpoint='Conv2d_7b_1x1',
                             output_stride=16, align_feature_maps=False, scope=None,
                             activation_fn=tf.nn.relu):
  """Builds Inception-ResNet v2 up to an end point.

  Args:
    inputs: float [batch, height, width, 3], of at least 75 x 75.
    final_endpoint: the last layer to build, a named row of `layers`.
    output_stride: ratio of input resolution to that of PreAuxLogits: 16, or 8
      with dilated convolutions, which ends at PreAuxLogits.
    align_feature_maps: whether all padding is 'SAME', so that features of all
      resolutions are aligned, for dense prediction.
    scope: variable scope.
    activation_fn: after each residual block; the arg scope sets the activation of the
      other convolutions.

  Returns:
    (net, end_points): the output of that row, [batch, 8, 8, 1536] for
    Conv2d_7b_1x1 at 299, and all outputs by name.

  Raises:
    UserError: the end point or output stride does not exist; it is a ValueError.
  """
  if output_stride not in (8, 16):
    raise diagnostics.UserError(
        f'output_stride {output_stride} cannot be reached: give 8 or 16')
  table = layers(output_stride, align_feature_maps, activation_fn)
  if output_stride == 8:
    names = [name for name, *_ in table]
    later_names = names[names.index('PreAuxLogits') + 1:]
    if final_endpoint in later_names:
      raise diagnostics.UserError(
          f"output_stride 8 ends at PreAuxLogits, before '{final_endpoint}': give"
          ' an earlier final_endpoint, or output_stride 16')
  with tf.variable_scope(scope, 'InceptionResnetV2', [inputs]):
    return inception_blocks.build(inputs, table, final_endpoint)


def auxiliary_logits(net, num_classes):
  """Returns the auxiliary logits, see `inception_heads.auxiliary_dense_logits`."""
  return inception_heads.auxiliary_dense_logits(
      net, num_classes, pool_scope='Conv2d_1a_3x3', conv_scope='Conv2d_2a_5x5',
      logits_scope='Logits')


def classify(net, end_points, num_classes, dropout_keep_prob):
  """Builds the head, see `inception_heads.classify_dense`."""
  return inception_heads.classify_dense(
      net, end_points, num_classes, dropout_keep_prob, pool_scope='AvgPool_1a_8x8',
      dropout_scope='Dropout')


def inception_resnet_v2(inputs, num_classes=1001, is_training=True,
                        dropout_keep_prob=0.8, reuse=None, scope='InceptionResnetV2',
                        create_aux_logits=True, activation_fn=tf.nn.relu,
                        final_endpoint=None):
  """Builds Inception-ResNet v2 for classification.

  Args:
    inputs: float [batch, height, width, 3]. The features are averaged over the whole
      image; the size may be unknown without `create_aux_logits`.
    num_classes: number of logits; 0 or None returns the pooled features.
    is_training: batch norm's mode, and whether dropout is on.
    dropout_keep_prob: share of activations that dropout keeps.
    reuse: whether the variables exist already.
    scope: variable scope.
    create_aux_logits: whether to add the end point 'AuxLogits', of the shape of the
      logits, computed from the 17 x 17 features; it helps training.
    activation_fn: see `inception_resnet_v2_base`.
    final_endpoint: the last layer to build and return, see `inception_resnet_v2_base`;
      None builds all.

  Returns:
    (net, end_points): logits [batch, num_classes], or features [batch, 1, 1,
    1536]; end_points by name.

  Raises:
    UserError: the image is too small or its size not known for the auxiliary
      logits; it is a ValueError.
  """
  with inception_heads.network_scope(
      scope, 'InceptionResnetV2', inputs, reuse, is_training) as sc:
    if final_endpoint is not None:
      return inception_resnet_v2_base(
          inputs, final_endpoint, scope=sc, activation_fn=activation_fn)
    net, end_points = inception_resnet_v2_base(
        inputs, scope=sc, activation_fn=activation_fn)
    if create_aux_logits and num_classes:
      end_points['AuxLogits'] = auxiliary_logits(
          end_points['PreAuxLogits'], num_classes)
    return classify(net, end_points, num_classes, dropout_keep_prob)


inception_resnet_v2.default_image_size = 299


def inception_resnet_v2_arg_scope(
    weight_decay=0.00004, batch_norm_decay=0.9997, batch_norm_epsilon=0.001,
    activation_fn=tf.nn.relu, batch_norm_updates_collections=tf.GraphKeys.UPDATE_OPS,
    batch_norm_scale=False):
  """Returns the arg scope of Inception-ResNet v2; biases have weight decay too.

  Args:
    weight_decay: L2 penalty on weights and biases.
    batch_norm_decay: decay of the moving mean and variance.
    batch_norm_epsilon: added to the variance.
    activation_fn: after each normalized convolution.
    batch_norm_updates_collections: collection of the updates of the moving averages.
    batch_norm_scale: whether batch norm has a gamma.
  """
  penalty = slim.l2_regularizer(weight_decay)
  with slim.arg_scope([slim.conv2d, slim.fully_connected],
                      weights_regularizer=penalty, biases_regularizer=penalty):
    with slim.arg_scope(
        [slim.conv2d], activation_fn=activation_fn,
        normalizer_fn=normalization.batch_norm,
        normalizer_params=inception_utils.batch_norm_params(
            batch_norm_decay, batch_norm_epsilon, batch_norm_updates_collections,
            batch_norm_scale)) as scope:
      return scope
