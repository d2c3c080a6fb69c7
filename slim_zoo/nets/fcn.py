"""FCN: one class for each pixel, on any backbone (Long, Shelhamer and Darrell 2015,
Fully convolutional networks for semantic segmentation, arXiv 1411.4038).

    features at stride 32 -> score -> 2x up -+
    features at stride 16 -> score --------- + -> 2x up -+
    features at stride 8  -> score --------------------- + -> 8x up -> logits

That is FCN-8s, strides (8, 16, 32); (16, 32) is FCN-16s and (32,) is FCN-32s. The
feature maps are those of `nets_factory.feature_map_names`, so any network that has them
can be the backbone. On VGG the paper scores fc7 at stride 32; here it is pool5, the
last feature map, so that the 120 million weights of fc6 and fc7 are not needed.
"""

import numpy as np

from slim_zoo import diagnostics
from slim_zoo.nets import nets_factory
from slim_zoo.tf_compat import slim, tf


def bilinear_initializer(factor: int):
  """Returns an initializer that makes a transposed convolution a bilinear resize.

  Args:
    factor: stride of the transposed convolution. Its kernel must be
      `bilinear_kernel_size(factor)` wide, and its input and output equally deep.
  """
  def initialize(shape, dtype=tf.float32, partition_info=None):
    del partition_info
    size = bilinear_kernel_size(factor)
    height, width, outputs, inputs = [int(side) for side in shape]
    if (height, width) != (size, size) or outputs != inputs:
      raise ValueError(
          f'bilinear weights for factor {factor} have the shape [{size}, {size}, depth,'
          f' depth], not {list(shape)}')
    # A triangle over the kernel, with its top at the centre.
    line = 1 - np.abs(np.arange(size) - (size - 1) / 2) / factor
    plane = line[:, None] * line
    return tf.constant(plane[:, :, None, None] * np.eye(inputs), dtype)

  return initialize


def bilinear_kernel_size(factor: int) -> int:
  """Returns the width of the bilinear kernel that enlarges `factor` times."""
  return 2 * factor - factor % 2


def fcn(images: tf.Tensor, num_classes: int, backbone_name: str,
        is_training: bool = True, strides: tuple[int, ...] = (8, 16, 32),
        weight_decay: float = 0.0, reuse: bool | None = None, scope: str = 'FCN',
        **backbone_arguments) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
  """Builds a fully convolutional network for segmentation.

  The backbone's variables keep the names of its classification checkpoint; all
  that is new stands below `scope`. Its skip scores start at zero, so that at first
  the deepest features decide alone.

  Args:
    images: float32 [batch, height, width, channels]; height and width may be
      unknown where the backbone allows it.
    num_classes: the number of classes of a pixel.
    backbone_name: a network with feature maps at all `strides`. It is built up to the
      deepest of them.
    is_training: the mode of the backbone's batch norm and dropout.
    strides: of the feature maps that are scored, in any order.
    weight_decay: L2 penalty on the backbone's and the scores' weights.
    reuse: whether the variables below `scope` exist already. The backbone's are
      shared by the caller's own variable scope, or by a `reuse` of the backbone.
    scope: variable scope of the layers behind the backbone.
    **backbone_arguments: passed to the backbone.

  Returns:
    (logits, end_points): logits float32 [batch, height, width, num_classes];
    end_points are the backbone's and, below `scope`, 'score_STRIDE' and
    'fused_STRIDE', then 'Logits' and 'Predictions' (class probabilities).

  Raises:
    UserError: there is no such network, it has no feature maps, or none at one of
      `strides`; the images are too small for them; or `num_classes` is less than 1.
  """
  if num_classes < 1:
    raise diagnostics.UserError(
        f'num_classes is {num_classes}: fcn needs 1 or more classes for a pixel')
  backbone = nets_factory.get_feature_maps_fn(
      backbone_name, strides, weight_decay, is_training)
  maps, end_points = backbone(images, **backbone_arguments)
  end_points = dict(end_points)
  with tf.variable_scope(scope, values=[images], reuse=reuse):
    with slim.arg_scope([slim.conv2d, slim.conv2d_transpose], activation_fn=None,
                        normalizer_fn=None,
                        weights_regularizer=slim.l2_regularizer(weight_decay)):
      net = _fuse(maps, num_classes, end_points, scope)
    # The last step is not learned, as in the paper.
    net = _resize_like(net, images)
  end_points[f'{scope}/Logits'] = net
  end_points[f'{scope}/Predictions'] = tf.nn.softmax(net)
  return net, end_points


def _fuse(maps, num_classes, end_points, scope):
  """Scores each feature map and adds the scores up, the deepest first."""
  net, above = None, None
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
      factor = above // stride
      net = slim.conv2d_transpose(
          net, num_classes, bilinear_kernel_size(factor), factor,
          biases_initializer=None, scope=f'up_{stride}',
          weights_initializer=bilinear_initializer(factor))
      net = end_points[f'{scope}/fused_{stride}'] = _resize_like(net, score) + score
    above = stride
  return net


def _resize_like(net, other):
  """Returns `net` at the height and width of `other`.

  Twice a map is a pixel more than the next where a size was odd, and a pixel or
  more less where convolutions ate the border.
  """
  if net.shape[1:3].is_fully_defined() and net.shape[1:3] == other.shape[1:3]:
    return net
  size = other.shape[1:3]
  if not size.is_fully_defined():
    size = tf.shape(other)[1:3]
  return tf.image.resize_bilinear(net, size, half_pixel_centers=True)
