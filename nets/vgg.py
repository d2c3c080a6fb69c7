"""VGG, configurations A, D and E (Simonyan and Zisserman 2015, arXiv 1409.1556).

    scope     conv1  conv2  conv3  conv4  conv5   output at 224
    vgg_a       1      1      2      2      2
    vgg_16      2      2      3      3      3
    vgg_19      2      2      4      4      4
    depth      64    128    256    512    512
    after pool 112    56     28     14      7     fc6 4096, fc7 4096, fc8 classes
"""

from nets import conv_stack
from nets.conv_stack import Conv, Head, Pool
from tf_compat import tf

_DEPTHS = (64, 128, 256, 512, 512)
_COUNTS = {
    'vgg_a': (1, 1, 2, 2, 2),
    'vgg_16': (2, 2, 3, 3, 3),
    'vgg_19': (2, 2, 4, 4, 4),
}


def vgg_arg_scope(weight_decay=0.0005):
  """Returns the arg scope of all VGG networks."""
  return conv_stack.arg_scope(weight_decay, tf.zeros_initializer())


def _vgg(name, inputs, num_classes, is_training, dropout_keep_prob,
         spatial_squeeze, reuse, scope, fc_conv_padding, global_pool, final_endpoint):
  """Builds the row `name` of the table; see `conv_stack.conv_stack`.

  `fc_conv_padding` is fc6's padding: 'VALID' sees 7 x 7 whole, 'SAME' keeps the
  map's size, for dense prediction.
  """
  layers = []
  for block, (depth, count) in enumerate(zip(_DEPTHS, _COUNTS[name], strict=True), 1):
    layers += [Conv(f'conv{block}/conv{block}_{unit}', 3, depth)
               for unit in range(1, count + 1)]
    layers.append(Pool(f'pool{block}', 2, 2))
  return conv_stack.conv_stack(
      inputs, layers, Head(7, (4096, 4096), fc_conv_padding), num_classes,
      is_training, dropout_keep_prob, spatial_squeeze, global_pool,
      scope, name, reuse, final_endpoint)


def vgg_a(inputs, num_classes=1000, is_training=True, dropout_keep_prob=0.5,
          spatial_squeeze=True, reuse=None, scope='vgg_a',
          fc_conv_padding='VALID', global_pool=False, final_endpoint=None):
  """VGG with 11 weight layers; arguments and returns as in `conv_stack`."""
  return _vgg('vgg_a', inputs, num_classes, is_training, dropout_keep_prob,
              spatial_squeeze, reuse, scope, fc_conv_padding, global_pool,
              final_endpoint)


def vgg_16(inputs, num_classes=1000, is_training=True, dropout_keep_prob=0.5,
           spatial_squeeze=True, reuse=None, scope='vgg_16',
           fc_conv_padding='VALID', global_pool=False, final_endpoint=None):
  """VGG with 16 weight layers; arguments and returns as in `conv_stack`."""
  return _vgg('vgg_16', inputs, num_classes, is_training, dropout_keep_prob,
              spatial_squeeze, reuse, scope, fc_conv_padding, global_pool,
              final_endpoint)


def vgg_19(inputs, num_classes=1000, is_training=True, dropout_keep_prob=0.5,
           spatial_squeeze=True, reuse=None, scope='vgg_19',
           fc_conv_padding='VALID', global_pool=False, final_endpoint=None):
  """VGG with 19 weight layers; arguments and returns as in `conv_stack`."""
  return _vgg('vgg_19', inputs, num_classes, is_training, dropout_keep_prob,
              spatial_squeeze, reuse, scope, fc_conv_padding, global_pool,
              final_endpoint)


for _network in (vgg_a, vgg_16, vgg_19):
  _network.default_image_size = 224

vgg_d = vgg_16
vgg_e = vgg_19
