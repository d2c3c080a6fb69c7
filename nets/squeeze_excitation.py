"""Squeeze-and-excitation (Hu et al. 2018, arXiv 1709.01507), for any unit.

    with slim.arg_scope([resnet_v2.bottleneck], attention_fn=squeeze_excitation):
      net, end_points = resnet_v2.resnet_v2_50(images)

These units take an `attention_fn`, and call it on what the block is to scale:

    resnet_v1.bottleneck, resnet_v2.bottleneck  the residual, before the addition
    inception_blocks.mixed                      the joined branches of a module
    inception_resnet_v2.scaled_residual         the residual, before it is scaled

Any function from features to features of the same shape will do in its place.
"""

from nets.mobilenet import conv_blocks
from tf_compat import slim


@slim.add_arg_scope
def squeeze_excitation(inputs, reduction: int = 16):
  """Scales each channel by a gate in (0, 1) that sees the whole map.

  The gates are sigmoid(W2 relu(W1 average + b1) + b2), equations 2 to 4, in the
  variables 'squeeze_excite/Conv' and 'squeeze_excite/Conv_1', the names that
  MobileNet V3 gave them; the weights are penalized as the arg scope's convolutions.

  Args:
    inputs: float [batch, height, width, channels].
    reduction: how many times fewer units there are between the two layers.

  Returns:
    float, of the shape of `inputs`.
  """
  return conv_blocks.squeeze_excite(inputs, divisible_by=1, squeeze_factor=reduction)
