"""tf.contrib.quantize: rounds a whole graph as an 8-bit program does.

Jacob et al. 2018, arXiv 1712.05877. Names and values of the variables are those of
TensorFlow 1, see `nets.quantization`.
"""

from slim_zoo.nets.quantization import fake_quantization
from slim_zoo.tf_compat import tf


def create_training_graph(input_graph=None, quant_delay=0):
  """Changes a graph for training with rounding. Call it before the gradients.

  The ranges are learned by operations in tf.GraphKeys.UPDATE_OPS, which
  slim.learning.create_train_op runs.

  Args:
    input_graph: a tf.Graph; None: the default graph.
    quant_delay: steps before values are rounded, 0 or more.

  Raises:
    UserError: the graph has no 2-D convolution or product.
  """
  _quantize(input_graph, True, delay=quant_delay)


def create_eval_graph(input_graph=None):
  """Changes a graph so that it rounds by the learned ranges.

  Args:
    input_graph: a tf.Graph; None: the default graph.

  Raises:
    UserError: the graph has no 2-D convolution or product.
  """
  _quantize(input_graph, False)


def experimental_create_training_graph(
    input_graph=None, weight_bits=8, activation_bits=8, symmetric=False, quant_delay=0,
    freeze_bn_delay=None, scope=None):
  """Does the same as `create_training_graph`, with more options.

  Args:
    input_graph: a tf.Graph; None: the default graph.
    weight_bits: bits of weights, 2 to 16.
    activation_bits: bits of activations, 2 to 16.
    symmetric: whether the ranges of weights are symmetric about 0.
    quant_delay: steps before values are rounded.
    freeze_bn_delay: steps before batch norm keeps its statistics; None: it never does.
    scope: changes only operations whose names begin with it; None: all.

  Raises:
    UserError: a number of bits is wrong, or nothing can be quantized.
  """
  _quantize(input_graph, True, scope, weight_bits=weight_bits, symmetric=symmetric,
            activation_bits=activation_bits, delay=quant_delay or 0,
            batch_norm_freeze_delay=freeze_bn_delay)


def experimental_create_eval_graph(
    input_graph=None, weight_bits=8, activation_bits=8, symmetric=False,
    quant_delay=None, scope=None):
  """Does the same as `create_eval_graph`, with more options.

  Args:
    input_graph: a tf.Graph; None: the default graph.
    weight_bits: bits of weights, 2 to 16.
    activation_bits: bits of activations, 2 to 16.
    symmetric: whether the ranges of weights are symmetric about 0.
    quant_delay: ignored, as learned ranges are always used.
    scope: changes only operations whose names begin with it; None: all.
  """
  _quantize(input_graph, False, scope, weight_bits=weight_bits, symmetric=symmetric,
            activation_bits=activation_bits)


def _quantize(graph, is_training, scope=None, **options):
  graph = graph or tf.get_default_graph()
  with graph.as_default():
    fake_quantization.quantize_operations(
        [operation for operation in graph.get_operations()
         if operation.name.startswith(scope or '')],
        is_training, fake_quantization.Quantization(**options))
