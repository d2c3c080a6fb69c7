"""VGG, configurations A, D and E (Simonyan and Zisserman 2015, arXiv 1409.1556).

Five groups of 3x3 convolutions, each with a pool after it. `catalog.architectures` has
the number of convolutions per group of vgg_a, vgg_16 and vgg_19.

    scope       conv1  conv2  conv3  conv4  conv5
    depth        64     128    256    512    512
    after pool  112      56     28     14      7    at 224
    then fc6 and fc7 of 4096, and fc8 of the classes
"""

from slim_zoo.catalog import architectures
from slim_zoo.nets import conv_stack
from slim_zoo.nets.conv_stack import Head
from slim_zoo.nets.rows import Conv, MaxPool
from slim_zoo.tf_compat import tf

_DEPTHS = (64, 128, 256, 512, 512)


def vgg_arg_scope(weight_decay=0.0005):
  """Returns the arg scope of all VGG networks."""
  return conv_stack.arg_scope(weight_decay, tf.zeros_initializer())


def _layers(name):
  """Yields the rows of a network: its convolutions and pools."""
  counts = architectures.VGG_CONVOLUTIONS[name]
  for group, (depth, count) in enumerate(zip(_DEPTHS, counts, strict=True), 1):
    for number in range(1, count + 1):
      yield Conv(f'conv{group}/conv{group}_{number}', 3, depth)
    yield MaxPool(f'pool{group}', 2, 2, padding=None)


def _vgg(name, inputs, fc_conv_padding, **arguments):
  """Builds a VGG; arguments and returns as in `conv_stack.conv_stack`.

  `fc_conv_padding` is fc6's padding: 'VALID' reads all of 7 x 7; 'SAME' keeps the size
  of the feature map, for dense prediction.
  """
  return conv_stack.conv_stack(
      inputs, tuple(_layers(name)), Head(7, (4096, 4096), fc_conv_padding),
      default_scope=name, **arguments)


def vgg_a(inputs, num_classes=1000, is_training=True, dropout_keep_prob=0.5,
          spatial_squeeze=True, reuse=None, scope='vgg_a',
          fc_conv_padding='VALID', global_pool=False, final_endpoint=None):
  """VGG with 11 weight layers; arguments and returns as in `conv_stack`."""
  return _vgg(
      'vgg_a', inputs, fc_conv_padding, num_classes=num_classes,
      is_training=is_training, dropout_keep_prob=dropout_keep_prob,
      spatial_squeeze=spatial_squeeze, global_pool=global_pool, scope=scope,
      reuse=reuse, final_endpoint=final_endpoint)


def vgg_16(inputs, num_classes=1000, is_training=True, dropout_keep_prob=0.5,
           spatial_squeeze=True, reuse=None, scope='vgg_16',
           fc_conv_padding='VALID', global_pool=False, final_endpoint=None):
  """VGG with 16 weight layers; arguments and returns as in `conv_stack`."""
  return _vgg(
      'vgg_16', inputs, fc_conv_padding, num_classes=num_classes,
      is_training=is_training, dropout_keep_prob=dropout_keep_prob,
      spatial_squeeze=spatial_squeeze, global_pool=global_pool, scope=scope,
      reuse=reuse, final_endpoint=final_endpoint)


def vgg_19(inputs, num_classes=1000, is_training=True, dropout_keep_prob=0.5,
           spatial_squeeze=True, reuse=None, scope='vgg_19',
           fc_conv_padding='VALID', global_pool=False, final_endpoint=None):
  """VGG with 19 weight layers; arguments and returns as in `conv_stack`."""
  return _vgg(
      'vgg_19', inputs, fc_conv_padding, num_classes=num_classes,
      is_training=is_training, dropout_keep_prob=dropout_keep_prob,
      spatial_squeeze=spatial_squeeze, global_pool=global_pool, scope=scope,
      reuse=reuse, final_endpoint=final_endpoint)


for _network in (vgg_a, vgg_16, vgg_19):
  _network.default_image_size = 224

vgg_d = vgg_16
vgg_e = vgg_19
