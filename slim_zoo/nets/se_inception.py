"""Inception v4 and Inception-ResNet v2 with squeeze-and-excitation.

Hu et al. 2018, arXiv 1709.01507, figures 2 and 3. The tables are those of
`inception_v4` and `inception_resnet_v2`. Every module (also in stem and reductions) and
every residual block gets one SE block with additional variables. Built under the scope
of the plain network, all other variables can be restored from its checkpoint.
"""

from slim_zoo.nets import inception_blocks, inception_resnet_v2, inception_v4
from slim_zoo.nets.inception_resnet_v2 import (
    inception_resnet_v2_arg_scope as inception_resnet_v2_arg_scope,
)
from slim_zoo.nets.inception_v4 import inception_v4_arg_scope as inception_v4_arg_scope
from slim_zoo.nets.layers import squeeze_excitation
from slim_zoo.tf_compat import slim, tf


def _attention():
  """Returns the arg scope that adds an SE block to modules and residuals."""
  return slim.arg_scope(
      [inception_blocks.mixed, inception_resnet_v2.scaled_residual],
      attention_fn=squeeze_excitation)


def se_inception_v4(inputs, num_classes=1001, is_training=True, dropout_keep_prob=0.8,
                    reuse=None, scope='SeInceptionV4', create_aux_logits=True,
                    final_endpoint=None):
  """SE-Inception v4; arguments, returns and errors as in `inception_v4`."""
  with _attention():
    return inception_v4.inception_v4(
        inputs, num_classes, is_training, dropout_keep_prob, reuse, scope,
        create_aux_logits, final_endpoint)


def se_inception_resnet_v2(inputs, num_classes=1001, is_training=True,
                           dropout_keep_prob=0.8, reuse=None,
                           scope='SeInceptionResnetV2', create_aux_logits=True,
                           activation_fn=tf.nn.relu, final_endpoint=None):
  """SE-Inception-ResNet v2; arguments as in `inception_resnet_v2`."""
  with _attention():
    return inception_resnet_v2.inception_resnet_v2(
        inputs, num_classes, is_training, dropout_keep_prob, reuse, scope,
        create_aux_logits, activation_fn, final_endpoint)


se_inception_v4.default_image_size = 299
se_inception_resnet_v2.default_image_size = 299
