"""Networks that compute in 16 bits, with variables of 32 bits.

    float16   Micikevicius et al. 2017, arXiv 1710.03740
    bfloat16  Kalamkar et al. 2019, arXiv 1905.12322: the range of float32

Variables are float32 under their usual names, so checkpoints do not depend on the
precision. A layer with 16-bit inputs gets its weights cast to 16 bits. Batch norm
requests float32, so its parameters, statistics and arithmetic are float32.

The code for 16 bits has three parts, which meet in the training graph only:

    nets/precision.py                 the network: casts of images, weights and logits
    training/updates/loss_scaling.py  the update: float16 gradients that are too small
    deployment/computation.py         the machine: whether it computes a type, how fast
"""

from collections.abc import Callable

from slim_zoo.tf_compat import slim, tf

# What losses read besides the logits.
_AUXILIARY_LOGITS = 'AuxLogits'


def build(network: Callable, images: tf.Tensor, arg_scope: dict,
          dtype: tf.DType) -> tuple[tf.Tensor, dict]:
  """Builds a network in 16 bits.

  Args:
    network: called as network(images), returns (logits, end_points).
    images: float [batch, height, width, channels], cast to `dtype`.
    arg_scope: of slim, to build it under. Its regularizers are given the float32
      variables, each once, however many clones share them.
    dtype: tf.float16 or tf.bfloat16.

  Returns:
    (logits, end_points): float32 logits; end points in `dtype`, but for 'AuxLogits',
    which are float32.

  Raises:
    ValueError: the network penalizes weights otherwise than by its arg scope.
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
          f"the penalty '{penalty.name}' is {penalty.dtype.name}: give the regularizer"
          " by the network's arg scope, where it is made to see float32 weights")
  if _AUXILIARY_LOGITS in end_points:
    end_points[_AUXILIARY_LOGITS] = tf.cast(end_points[_AUXILIARY_LOGITS], tf.float32)
  return tf.cast(logits, tf.float32), end_points


class _Weights:
  """Makes float32 variables, and returns casts of them to layers of 16 bits.

  Args:
    dtype: what layers ask for.
  """

  def __init__(self, dtype):
    self._dtype = dtype
    # By the cast: the variable, and whether this network made it or shares it.
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
    """Returns an arg scope with regularizers of the float32 variables."""
    return {layer: {name: self._of_stored(value)
                    if value is not None and name.endswith('_regularizer') else value
                    for name, value in arguments.items()}
            for layer, arguments in arg_scope.items()}

  def _of_stored(self, regularizer):
    def penalty(weights):
      variable, is_new = weights, True
      if isinstance(weights, tf.Tensor):
        variable, is_new = self._stored.get(weights.ref(), (weights, True))
      # Of a variable a layer knows whether it is shared; of a cast it cannot.
      return regularizer(variable) if is_new else None

    return penalty
