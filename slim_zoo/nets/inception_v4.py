"""Inception v4 (Szegedy et al. 2017, arXiv 1602.07261), figures 3 to 9."""

from slim_zoo.nets import inception_blocks, inception_heads
from slim_zoo.nets.inception_blocks import Fork, Mixed
from slim_zoo.nets.inception_utils import inception_arg_scope
from slim_zoo.nets.rows import AvgPool, Conv, MaxPool
from slim_zoo.tf_compat import tf

STEM = (  # Figure 3.
    Conv('Conv2d_1a_3x3', 3, 32, stride=2, padding='VALID'),  # 149
    Conv('Conv2d_2a_3x3', 3, 32, padding='VALID'),            # 147
    Conv('Conv2d_2b_3x3', 3, 64),
    Mixed('Mixed_3a', (                                    # 73
        (MaxPool('MaxPool_0a_3x3', 3, stride=2, padding='VALID'),),
        (Conv('Conv2d_0a_3x3', 3, 96, stride=2, padding='VALID'),),
    )),
    Mixed('Mixed_4a', (                                    # 71
        (Conv('Conv2d_0a_1x1', 1, 64), Conv('Conv2d_1a_3x3', 3, 96, padding='VALID')),
        (Conv('Conv2d_0a_1x1', 1, 64), Conv('Conv2d_0b_1x7', (1, 7), 64),
         Conv('Conv2d_0c_7x1', (7, 1), 64),
         Conv('Conv2d_1a_3x3', 3, 96, padding='VALID')),
    )),
    Mixed('Mixed_5a', (                                    # 35
        (Conv('Conv2d_1a_3x3', 3, 192, stride=2, padding='VALID'),),
        (MaxPool('MaxPool_1a_3x3', 3, stride=2, padding='VALID'),),
    )),
)
INCEPTION_A = (  # Figure 4.
    (Conv('Conv2d_0a_1x1', 1, 96),),
    (Conv('Conv2d_0a_1x1', 1, 64), Conv('Conv2d_0b_3x3', 3, 96)),
    (Conv('Conv2d_0a_1x1', 1, 64), Conv('Conv2d_0b_3x3', 3, 96),
     Conv('Conv2d_0c_3x3', 3, 96)),
    (AvgPool('AvgPool_0a_3x3', 3), Conv('Conv2d_0b_1x1', 1, 96)),
)
REDUCTION_A = (  # Figure 7.
    (Conv('Conv2d_1a_3x3', 3, 384, stride=2, padding='VALID'),),
    (Conv('Conv2d_0a_1x1', 1, 192), Conv('Conv2d_0b_3x3', 3, 224),
     Conv('Conv2d_1a_3x3', 3, 256, stride=2, padding='VALID')),
    (MaxPool('MaxPool_1a_3x3', 3, stride=2, padding='VALID'),),
)
INCEPTION_B = (  # Figure 5.
    (Conv('Conv2d_0a_1x1', 1, 384),),
    (Conv('Conv2d_0a_1x1', 1, 192), Conv('Conv2d_0b_1x7', (1, 7), 224),
     Conv('Conv2d_0c_7x1', (7, 1), 256)),
    (Conv('Conv2d_0a_1x1', 1, 192), Conv('Conv2d_0b_7x1', (7, 1), 192),
     Conv('Conv2d_0c_1x7', (1, 7), 224), Conv('Conv2d_0d_7x1', (7, 1), 224),
     Conv('Conv2d_0e_1x7', (1, 7), 256)),
    (AvgPool('AvgPool_0a_3x3', 3), Conv('Conv2d_0b_1x1', 1, 128)),
)
REDUCTION_B = (  # Figure 8.
    (Conv('Conv2d_0a_1x1', 1, 192),
     Conv('Conv2d_1a_3x3', 3, 192, stride=2, padding='VALID')),
    (Conv('Conv2d_0a_1x1', 1, 256), Conv('Conv2d_0b_1x7', (1, 7), 256),
     Conv('Conv2d_0c_7x1', (7, 1), 320),
     Conv('Conv2d_1a_3x3', 3, 320, stride=2, padding='VALID')),
    (MaxPool('MaxPool_1a_3x3', 3, stride=2, padding='VALID'),),
)
INCEPTION_C = (  # Figure 6.
    (Conv('Conv2d_0a_1x1', 1, 256),),
    (Conv('Conv2d_0a_1x1', 1, 384),
     Fork((Conv('Conv2d_0b_1x3', (1, 3), 256), Conv('Conv2d_0c_3x1', (3, 1), 256)))),
    (Conv('Conv2d_0a_1x1', 1, 384), Conv('Conv2d_0b_3x1', (3, 1), 448),
     Conv('Conv2d_0c_1x3', (1, 3), 512),
     Fork((Conv('Conv2d_0d_1x3', (1, 3), 256), Conv('Conv2d_0e_3x1', (3, 1), 256)))),
    (AvgPool('AvgPool_0a_3x3', 3), Conv('Conv2d_0b_1x1', 1, 256)),
)
LAYERS = (  # Figure 9.
    *STEM,                                                      # 35
    *(Mixed(f'Mixed_5{letter}', INCEPTION_A) for letter in 'bcde'),
    Mixed('Mixed_6a', REDUCTION_A),                             # 17
    *(Mixed(f'Mixed_6{letter}', INCEPTION_B) for letter in 'bcdefgh'),
    Mixed('Mixed_7a', REDUCTION_B),                             # 8
    *(Mixed(f'Mixed_7{letter}', INCEPTION_C) for letter in 'bcd'),
)


def block_inception_a(inputs, scope=None, reuse=None):
  """Builds the 35 x 35 module: [..., 384] to [..., 384]."""
  return inception_blocks.mixed(
      inputs, INCEPTION_A, scope, 'BlockInceptionA', reuse)


def block_reduction_a(inputs, scope=None, reuse=None):
  """Builds the module from 35 x 35 x 384 to 17 x 17 x 1024."""
  return inception_blocks.mixed(
      inputs, REDUCTION_A, scope, 'BlockReductionA', reuse)


def block_inception_b(inputs, scope=None, reuse=None):
  """Builds the 17 x 17 module: [..., 1024] to [..., 1024]."""
  return inception_blocks.mixed(
      inputs, INCEPTION_B, scope, 'BlockInceptionB', reuse)


def block_reduction_b(inputs, scope=None, reuse=None):
  """Builds the module from 17 x 17 x 1024 to 8 x 8 x 1536."""
  return inception_blocks.mixed(
      inputs, REDUCTION_B, scope, 'BlockReductionB', reuse)


def block_inception_c(inputs, scope=None, reuse=None):
  """Builds the 8 x 8 module: [..., 1536] to [..., 1536]."""
  return inception_blocks.mixed(
      inputs, INCEPTION_C, scope, 'BlockInceptionC', reuse)


def inception_v4_base(inputs, final_endpoint='Mixed_7d', scope=None):
  """Builds Inception v4 up to an end point.

  Args:
    inputs: float [batch, height, width, 3], of at least 75 x 75.
    final_endpoint: the last layer to build: a scope of `LAYERS`.
    scope: variable scope.

  Returns:
    (net, end_points): the output of that layer, [batch, 8, 8, 1536] for Mixed_7d
    at 299, and all outputs by scope.

  Raises:
    UserError: the end point does not exist; it is a ValueError.
  """
  with tf.variable_scope(scope, 'InceptionV4', [inputs]):
    return inception_blocks.build(inputs, LAYERS, final_endpoint)


def auxiliary_logits(net, num_classes):
  """Returns the auxiliary logits, see `inception_heads.auxiliary_dense_logits`."""
  return inception_heads.auxiliary_dense_logits(
      net, num_classes, pool_scope='AvgPool_1a_5x5', conv_scope='Conv2d_2a',
      logits_scope='Aux_logits')


def classify(net, end_points, num_classes, dropout_keep_prob):
  """Builds the head, see `inception_heads.classify_dense`."""
  return inception_heads.classify_dense(
      net, end_points, num_classes, dropout_keep_prob, pool_scope='AvgPool_1a',
      dropout_scope='Dropout_1b')


def inception_v4(inputs, num_classes=1001, is_training=True, dropout_keep_prob=0.8,
                 reuse=None, scope='InceptionV4', create_aux_logits=True,
                 final_endpoint=None):
  """Builds Inception v4 for classification.

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
    final_endpoint: the last layer to build and return, see `inception_v4_base`;
      None builds all.

  Returns:
    (net, end_points): logits [batch, num_classes], or features [batch, 1, 1,
    1536]; end_points by scope.

  Raises:
    UserError: the image is too small or its size not known for the auxiliary
      logits; it is a ValueError.
  """
  with inception_heads.network_scope(
      scope, 'InceptionV4', inputs, reuse, is_training) as sc:
    if final_endpoint is not None:
      return inception_v4_base(inputs, final_endpoint, scope=sc)
    net, end_points = inception_v4_base(inputs, scope=sc)
    if create_aux_logits and num_classes:
      end_points['AuxLogits'] = auxiliary_logits(end_points['Mixed_6h'], num_classes)
    return classify(net, end_points, num_classes, dropout_keep_prob)


inception_v4.default_image_size = 299
inception_v4_arg_scope = inception_arg_scope
