"""FCN: semantic segmentation on any backbone (Long, Shelhamer and Darrell 2015,
Fully convolutional networks for semantic segmentation, arXiv 1411.4038).

    features at stride 32 -> score -> 2x up -+
    features at stride 16 -> score --------- + -> 2x up -+
    features at stride 8  -> score --------------------- + -> 8x up -> logits

This is FCN-8s, strides (8, 16, 32); (16, 32) is FCN-16s and (32,) is FCN-32s. Any
network with `nets_factory.feature_map_names` can be the backbone. On VGG the last
feature map is pool5, without the 120 million weights of fc6 and fc7. The paper scores
fc7, with dropout before the score, and pool4 and pool3:

    fcn(images, 21, 'vgg_16', scored_end_points=PAPER_END_POINTS, score_keep_prob=0.5)
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from slim_zoo import diagnostics
from slim_zoo.nets import nets_factory
from slim_zoo.tf_compat import slim, tf

# The scope of the layers that are added to a backbone.
SCOPE = 'FCN'
# The end points of VGG 16 that the paper scores, by stride.
PAPER_END_POINTS = {8: 'vgg_16/pool3', 16: 'vgg_16/pool4', 32: 'vgg_16/fc7'}


def bilinear_initializer(factor: int):
  """Returns an initializer for a transposed convolution that resizes bilinearly.

  Args:
    factor: stride of the transposed convolution. The kernel size must be
      `bilinear_kernel_size(factor)`, and the input and output depths equal.
  """
  def initialize(shape, dtype=tf.float32, partition_info=None):
    del partition_info
    size = bilinear_kernel_size(factor)
    height, width, outputs, inputs = [int(side) for side in shape]
    if (height, width) != (size, size) or outputs != inputs:
      raise ValueError(
          f'bilinear weights for factor {factor} have the shape [{size}, {size}, depth,'
          f' depth], not {list(shape)}')
    # A triangle over the kernel with the maximum at the centre.
    line = 1 - np.abs(np.arange(size) - (size - 1) / 2) / factor
    plane = line[:, None] * line
    return tf.constant(plane[:, :, None, None] * np.eye(inputs), dtype)

  return initialize


def bilinear_kernel_size(factor: int) -> int:
  """Returns the kernel size of bilinear upsampling by `factor`."""
  return 2 * factor - factor % 2


def fcn(images: tf.Tensor, num_classes: int, backbone_name: str,
        is_training: bool = True, strides: tuple[int, ...] = (8, 16, 32),
        weight_decay: float = 0.0, reuse: bool | None = None, scope: str = SCOPE,
        scored_end_points: Mapping[int, str] | None = None,
        score_keep_prob: float = 1.0, frozen_batch_norm_scopes: Sequence[str] = (),
        **backbone_arguments) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
  """Builds a fully convolutional network for segmentation.

  The backbone's variables keep the names of its classification checkpoint; all other
  variables are below `scope`. The skip scores are initialized with zeros, so at first
  the prediction depends on the deepest features only.

  Args:
    images: float32 [batch, height, width, channels]; height and width may be
      unknown where the backbone allows it.
    num_classes: the number of classes of a pixel.
    backbone_name: a network with feature maps at all `strides`. It is built up to the
      deepest of them.
    is_training: the mode of the backbone's batch norm and dropout.
    strides: strides of the scored feature maps, in any order.
    weight_decay: L2 penalty on the weights of the backbone and of the scores.
    reuse: whether the variables below `scope` exist already. Sharing the backbone's
      variables needs `reuse` of the caller's variable scope or of the backbone.
    scope: variable scope of the layers added to the backbone.
    scored_end_points: end points to score in place of the feature maps at some of the
      strides, see `nets_factory.get_feature_maps_fn`.
    score_keep_prob: share of the deepest features that dropout keeps before the score
      in training.
    frozen_batch_norm_scopes: of the backbone, see `nets_factory.get_network_fn`.
    **backbone_arguments: go to the backbone.

  Returns:
    (logits, end_points): logits float32 [batch, height, width, num_classes]; end_points
    of the backbone and, below `scope`, 'score_STRIDE', 'fused_STRIDE', 'Logits' and
    'Predictions' (class probabilities).

  Raises:
    UserError: the network does not exist or has no feature map at one of `strides`; an
      end point does not exist or has another stride; the images are too small; or
      `num_classes` is less than 1.
  """
  if num_classes < 1:
    raise diagnostics.UserError(
        f'num_classes is {num_classes}: fcn needs 1 or more classes for a pixel')
  backbone = nets_factory.get_feature_maps_fn(
      backbone_name, strides, weight_decay, is_training, scored_end_points,
      frozen_batch_norm_scopes)
  maps, end_points = backbone(images, **backbone_arguments)
  end_points = dict(end_points)
  with tf.variable_scope(scope, values=[images], reuse=reuse):
    if score_keep_prob < 1:
      deepest = next(iter(maps))
      maps[deepest] = slim.dropout(
          maps[deepest], score_keep_prob, is_training=is_training)
    with slim.arg_scope([slim.conv2d, slim.conv2d_transpose], activation_fn=None,
                        normalizer_fn=None,
                        weights_regularizer=slim.l2_regularizer(weight_decay)):
      net = _fuse(maps, num_classes, end_points, scope)
    # The last upsampling is not trained, as in the paper.
    net = _resize_like(net, images)
  end_points[f'{scope}/Logits'] = net
  end_points[f'{scope}/Predictions'] = tf.nn.softmax(net)
  return net, end_points


def get_network_fn(backbone_name: str, num_classes: int,
                   strides: Sequence[int] = (8, 16, 32), weight_decay: float = 0.0,
                   is_training: bool = False,
                   frozen_batch_norm_scopes: Sequence[str] = ()) -> Callable:
  """Returns the function that builds FCN, as `nets_factory.get_network_fn` does.

  Arguments are those of `fcn`.

  Returns:
    network_fn(images) -> (logits, end_points), with the attribute `default_image_size`,
    the one of the backbone.
  """
  def network_fn(images):
    return fcn(images, num_classes, backbone_name, is_training, tuple(strides),
               weight_decay, frozen_batch_norm_scopes=frozen_batch_norm_scopes)

  network_fn.default_image_size = getattr(
      nets_factory.networks_map[backbone_name], 'default_image_size', None)
  return network_fn


def _fuse(maps, num_classes, end_points, scope):
  """Scores each feature map and adds up the scores, from the deepest on."""
  net, previous_stride = None, None
  for stride, features in maps.items():
    deepest = net is None
    score = slim.conv2d(
        features, num_classes, 1, scope=f'score_{stride}',
        weights_initializer=(tf.truncated_normal_initializer(stddev=0.01) if deepest
                             else tf.zeros_initializer()))
    end_points[f'{scope}/score_{stride}'] = score
    if deepest:
      net = score
    else:
      factor = previous_stride // stride
      net = slim.conv2d_transpose(
          net, num_classes, bilinear_kernel_size(factor), factor,
          biases_initializer=None, scope=f'up_{stride}',
          weights_initializer=bilinear_initializer(factor))
      net = end_points[f'{scope}/fused_{stride}'] = _resize_like(net, score) + score
    previous_stride = stride
  return net


def _resize_like(net, other):
  """Resizes `net` to the height and width of `other`.

  Upsampling by 2 gives one pixel too many if a size was odd, and a few pixels more or
  less after convolutions without padding.
  """
  if net.shape[1:3].is_fully_defined() and net.shape[1:3] == other.shape[1:3]:
    return net
  size = other.shape[1:3]
  if not size.is_fully_defined():
    size = tf.shape(other)[1:3]
  return tf.image.resize_bilinear(net, size, half_pixel_centers=True)
