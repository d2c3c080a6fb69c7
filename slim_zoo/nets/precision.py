"""Networks with casts to 16 bits, and variables of 32 bits.

    float16   Micikevicius et al. 2017, arXiv 1710.03740
    bfloat16  Kalamkar et al. 2019, arXiv 1905.12322: the range of float32

Variables are float32 under their usual names, so checkpoints do not depend on the
precision. A layer with 16-bit inputs gets its weights cast to 16 bits. Batch norm
requests float32, so its parameters, statistics and arithmetic are float32.

float16, and bfloat16 on GPUs, are trained by these casts. bfloat16 on CPUs, and all
16 bits of finished networks, are a rewrite of the graph by the session. The code:

    nets/precision.py                 the network: casts of images, weights and logits
    deployment/graph_rewrite.py       the session: the rewrite
    deployment/precision_trial.py     the faster type, for --precision=auto
    inference/precision_check.py      whether the answers in both types are alike
    training/updates/loss_scaling.py  the update: float16 gradients that are too small
    deployment/computation.py         the machine: whether it computes a type, how fast
"""

from collections.abc import Callable

from slim_zoo.tf_compat import slim, tf

# The end point that losses read besides the logits.
_AUXILIARY_LOGITS = 'AuxLogits'


def build(network: Callable, images: tf.Tensor, arg_scope: dict,
          dtype: tf.DType) -> tuple[tf.Tensor, dict]:
  """Builds a network in 16 bits.

  Args:
    network: called as network(images), returns (logits, end_points).
    images: float [batch, height, width, channels], cast to `dtype`.
    arg_scope: slim arg scope to build under. Its regularizers are applied to the
      float32 variables, once each, however many clones share them.
    dtype: tf.float16 or tf.bfloat16.

  Returns:
    (logits, end_points): float32 logits; end points in `dtype`, except 'AuxLogits',
    which is float32.

  Raises:
    ValueError: the network has a regularizer that is not in its arg scope.
  """
  weights = _Weights(dtype)
  penalties = tf.get_collection_ref(tf.GraphKeys.REGULARIZATION_LOSSES)
  before = len(penalties)
  with (slim.arg_scope(weights.penalized(arg_scope)),
        tf.variable_scope(tf.get_variable_scope(), custom_getter=weights.get)):
    logits, end_points = network(tf.cast(images, dtype))
  for penalty in penalties[before:]:
    if penalty.dtype != tf.float32:
      raise ValueError(
          f"the penalty '{penalty.name}' is {penalty.dtype.name}: set the regularizer"
          " in the network's arg scope, so that it reads float32 weights")
  if _AUXILIARY_LOGITS in end_points:
    end_points[_AUXILIARY_LOGITS] = tf.cast(end_points[_AUXILIARY_LOGITS], tf.float32)
  return tf.cast(logits, tf.float32), end_points


class _Weights:
  """Creates float32 variables, and returns casts of them to layers with 16-bit inputs.

  Args:
    dtype: the dtype of the layers.
  """

  def __init__(self, dtype):
    self._dtype = dtype
    # By cast: the variable, and whether this network created it or shares it.
    self._stored = {}

  def get(self, getter, name, *args, **kwargs):
    """A custom getter of tf.variable_scope."""
    if kwargs.get('dtype') != self._dtype:
      return getter(name, *args, **kwargs)
    variables = tf.get_collection_ref(tf.GraphKeys.GLOBAL_VARIABLES)
    before = len(variables)
    variable = getter(name, *args, **{**kwargs, 'dtype': tf.float32})
    cast = tf.cast(variable, self._dtype)
    self._stored[cast.ref()] = variable, len(variables) > before
    return cast

  def penalized(self, arg_scope):
    """Returns an arg scope whose regularizers read the float32 variables."""
    return {layer: {name: self._regularizer_of_variable(value)
                    if value is not None and name.endswith('_regularizer') else value
                    for name, value in arguments.items()}
            for layer, arguments in arg_scope.items()}

  def _regularizer_of_variable(self, regularizer):
    def penalty(weights):
      variable, is_new = weights, True
      if isinstance(weights, tf.Tensor):
        variable, is_new = self._stored.get(weights.ref(), (weights, True))
      # slim knows whether a variable is shared, but not whether a cast is.
      return regularizer(variable) if is_new else None

    return penalty
