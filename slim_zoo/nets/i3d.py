"""I3D, the inflated Inception v1 (Carreira and Zisserman 2017, arXiv 1705.07750).

Figure 3 of the paper. As in the published network, Inception v1's 3x3 convolutions (5x5
in one branch of its paper) become 3x3x3.
"""

from slim_zoo.nets import i3d_utils, inception_heads
from slim_zoo.nets.i3d_utils import Conv, Pool
from slim_zoo.nets.rows import trunc_normal as trunc_normal
from slim_zoo.tf_compat import slim

ROOT = (  # Frames x size at 64 x 224.
    Conv('Conv2d_1a_7x7', 64, [7, 7, 7], stride=2),    # 32 x 112
    Pool('MaxPool_2a_3x3', [1, 3, 3], [1, 2, 2]),      # 32 x 56
    Conv('Conv2d_2b_1x1', 64, [1, 1, 1]),
    Conv('Conv2d_2c_3x3', 192, [3, 3, 3]),
    Pool('MaxPool_3a_3x3', [1, 3, 3], [1, 2, 2]),      # 32 x 28
)  # Then the modules: 16 x 14 from Mixed_4b on, 8 x 7 from Mixed_5b on.


def i3d_arg_scope(weight_decay=1e-7, batch_norm_decay=0.999, batch_norm_epsilon=0.001,
                  use_renorm=False, separable_conv3d=False):
  """Returns the arg scope of I3D.

  Args:
    weight_decay: L2 penalty on the weights.
    batch_norm_decay: decay of the moving mean and variance.
    batch_norm_epsilon: added to the variance.
    use_renorm: whether batch norm is batch renormalization (arXiv 1702.03275).
    separable_conv3d: whether convolutions are split into space and time.
  """
  return i3d_utils.arg_scope(
      weight_decay,
      {'decay': batch_norm_decay, 'epsilon': batch_norm_epsilon, 'fused': False,
       'renorm': use_renorm},
      separable=separable_conv3d)


def i3d_base(inputs, final_endpoint='Mixed_5c', scope='InceptionV1'):
  """Builds I3D up to an end point.

  Args:
    inputs: float [batch, frames, height, width, 3].
    final_endpoint: the last layer to build: the scope of a layer or module.
    scope: variable scope.

  Returns:
    (net, end_points): the output of that layer, [batch, frames / 8, height / 32,
    width / 32, 1024] for Mixed_5c, and all outputs by scope.

  Raises:
    UserError: the end point does not exist, or `inputs` are not clips; it is a
      ValueError.
  """
  rows = [*ROOT, *i3d_utils.modules(lambda scope: 3, lambda scope: None)]
  return i3d_utils.build(inputs, rows, final_endpoint, scope)


def i3d(inputs, num_classes=1000, dropout_keep_prob=0.8, is_training=True,
        prediction_fn=slim.softmax, spatial_squeeze=True, reuse=None,
        scope='InceptionV1', global_pool=False):
  """Builds I3D for the classification of clips.

  Args:
    inputs: float [batch, frames, height, width, 3] in [-1, 1]; 64 frames of 224 x
      224 in the paper's training. Without `global_pool`, a larger image gives
      logits for each position.
    num_classes: number of logits; 0 or None returns the pooled features.
    dropout_keep_prob: share of activations that dropout keeps.
    is_training: batch norm's mode, and whether dropout is on.
    prediction_fn: computes the end point 'Predictions' from the logits.
    spatial_squeeze: whether to remove the spatial dimensions of 1 x 1 logits.
    reuse: whether the variables exist already.
    scope: variable scope.
    global_pool: whether to average features over the whole images, of any size.

  Returns:
    (net, end_points): logits [batch, num_classes], the mean over time, or features
    [batch, frames / 8 - 1, 1, 1, 1024]; end_points by scope.

  Raises:
    UserError: no clips, or images too large for the squeeze; it is a ValueError.
  """
  with inception_heads.network_scope(
      scope, 'InceptionV1', inputs, reuse, is_training) as sc:
    net, end_points = i3d_base(inputs, scope=sc)
    return i3d_utils.classify(net, end_points, num_classes, dropout_keep_prob,
                              prediction_fn, spatial_squeeze, global_pool)


i3d.default_image_size = 224
