"""AlexNet v2, the "one weird trick" variant (Krizhevsky 2014, arXiv 1404.5997).

Unlike the network of 2012, it has no two towers and no response normalization. It has
dropout, and conv1 has no padding at 224.
"""

from slim_zoo.nets import conv_stack
from slim_zoo.nets.rows import Conv, MaxPool
from slim_zoo.nets.rows import trunc_normal as trunc_normal
from slim_zoo.tf_compat import tf

_LAYERS = (
    # 224
    Conv('conv1', 11, 64, 4, 'VALID'),  # 54
    MaxPool('pool1', 3, 2, None),  # 26
    Conv('conv2', 5, 192),
    MaxPool('pool2', 3, 2, None),  # 12
    Conv('conv3', 3, 384),
    Conv('conv4', 3, 384),
    Conv('conv5', 3, 256),
    MaxPool('pool5', 3, 2, None),  # 5
)


def alexnet_v2_arg_scope(weight_decay=0.0005):
  """Returns the arg scope of AlexNet v2."""
  return conv_stack.arg_scope(
      weight_decay, tf.constant_initializer(0.1), padding='VALID')


def alexnet_v2(inputs, num_classes=1000, is_training=True, dropout_keep_prob=0.5,
               spatial_squeeze=True, scope='alexnet_v2', global_pool=False,
               final_endpoint=None):
  """AlexNet v2; arguments and returns as in `conv_stack`."""
  return conv_stack.conv_stack(
      inputs, _LAYERS, conv_stack.narrow_head(5, (4096, 4096)), num_classes=num_classes,
      is_training=is_training, dropout_keep_prob=dropout_keep_prob,
      spatial_squeeze=spatial_squeeze, global_pool=global_pool, scope=scope,
      default_scope='alexnet_v2', final_endpoint=final_endpoint)


alexnet_v2.default_image_size = 224
