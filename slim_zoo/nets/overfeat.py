"""OverFeat, the fast model (Sermanet et al. 2014, arXiv 1312.6229)."""

from slim_zoo.nets import conv_stack
from slim_zoo.nets.rows import Conv, MaxPool
from slim_zoo.nets.rows import trunc_normal as trunc_normal
from slim_zoo.tf_compat import tf

_LAYERS = (
    # 231
    Conv('conv1', 11, 64, 4, 'VALID'),  # 56
    MaxPool('pool1', 2, 2, None),  # 28
    Conv('conv2', 5, 256, 1, 'VALID'),  # 24
    MaxPool('pool2', 2, 2, None),  # 12
    Conv('conv3', 3, 512),
    Conv('conv4', 3, 1024),
    Conv('conv5', 3, 1024),
    MaxPool('pool5', 2, 2, None),  # 6
)


def overfeat_arg_scope(weight_decay=0.0005):
  """Returns the arg scope of OverFeat."""
  return conv_stack.arg_scope(weight_decay, tf.zeros_initializer(), padding='VALID')


def overfeat(inputs, num_classes=1000, is_training=True, dropout_keep_prob=0.5,
             spatial_squeeze=True, scope='overfeat', global_pool=False,
             final_endpoint=None):
  """OverFeat; arguments and returns as in `conv_stack`."""
  return conv_stack.conv_stack(
      inputs, _LAYERS, conv_stack.narrow_head(6, (3072, 4096)), num_classes=num_classes,
      is_training=is_training, dropout_keep_prob=dropout_keep_prob,
      spatial_squeeze=spatial_squeeze, global_pool=global_pool, scope=scope,
      default_scope='overfeat', final_endpoint=final_endpoint)


overfeat.default_image_size = 231
