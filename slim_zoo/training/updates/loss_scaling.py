"""Loss scaling: it keeps the gradients of float16 networks within the range of float16.

Micikevicius et al. 2017, Mixed precision training, arXiv 1710.03740. Half of the
gradients of a network may be smaller than any float16 number. So the loss is multiplied
by a power of two before the backward pass, and the gradients are divided by it after
that, in float32. Training adjusts the factor: an update whose gradients overflow is
skipped and the factor halved; after many finite updates in a row it is doubled.
`nets/precision.py` lists the other code for 16 bits.
"""

from slim_zoo.deployment.optimizer_wrapper import OptimizerWrapper
from slim_zoo.tf_compat import tf
from slim_zoo.training.callbacks.callback import Callback
from slim_zoo.training.updates import numerics

# Below this scope are the variables, which checkpoints keep for the run to continue.
SCOPE = 'loss_scaling'
FIRST_SCALE, LARGEST_SCALE = 2.0**15, 2.0**24
UPDATES_BEFORE_GROWTH = 2000


class LossScaling(OptimizerWrapper):
  """Any optimizer, made to scale the loss and to leave out updates that overflow.

  An update that is left out changes neither weights nor slots, but it is a step: the
  global step counts it, and batch norm's moving averages see its batch.

  Args:
    optimizer: a tf.train.Optimizer whose compute_gradients takes `grad_loss`.
    updates_before_growth: sound ones in a row that double the scale.

  Attributes:
    scale: float32 variable, the factor of the loss.
    skipped: int64 variable, how many updates were left out.
  """

  def __init__(self, optimizer: tf.train.Optimizer,
               updates_before_growth: int = UPDATES_BEFORE_GROWTH):
    super().__init__(optimizer)
    self._updates_before_growth = updates_before_growth
    with tf.variable_scope(SCOPE):
      self.scale, self._sound, self.skipped = [
          tf.get_variable(name, initializer=tf.constant(first, dtype), trainable=False)
          for name, first, dtype in (('scale', FIRST_SCALE, tf.float32),
                                     ('sound_updates', 0, tf.int64),
                                     ('skipped_updates', 0, tf.int64))]
    self._scale_of_step = self.scale.read_value()
    tf.summary.scalar('loss_scale', self._scale_of_step)

  def compute_gradients(self, loss, *args, **kwargs) -> list:
    """Returns (gradient, variable) pairs: float32, of the loss as it is.

    Args:
      loss: float32 scalar.
      *args: for the wrapped optimizer's compute_gradients, after its loss.
      **kwargs: likewise.
    """
    pairs = self._optimizer.compute_gradients(
        loss, *args, grad_loss=self._scale_of_step, **kwargs)
    with tf.name_scope('unscale_gradients'):
      # Exact, as the scale is a power of two.
      factor = 1.0 / self._scale_of_step
      return [(tf.convert_to_tensor(gradient) * factor, variable)
              for gradient, variable in pairs if gradient is not None]

  def apply_gradients(self, grads_and_vars, global_step=None, name=None):
    """Returns the op that applies gradients that are finite, or else only counts.

    It fails, as a `numerics.Guard` does, if they are not finite and the scale is 1.
    """
    pairs = list(grads_and_vars)
    with tf.name_scope(f'{SCOPE}_update'):
      finite = tf.reduce_all(tf.stack(
          [tf.reduce_all(tf.math.is_finite(gradient)) for gradient, _ in pairs]))
      hopeless = numerics.failing_unless(
          finite | (self._scale_of_step > 1), numerics.GRADIENTS)
      with tf.control_dependencies([hopeless]):
        # Not tf.cond: no optimizer makes its slots within one.
        overflown, sound = map(tf.identity, tf.raw_ops.Switch(data=finite, pred=finite))
    with tf.control_dependencies([sound]):
      updated = self._optimizer.apply_gradients(pairs, global_step)
      with tf.control_dependencies([updated]):
        applied = tf.identity(sound)
    with tf.control_dependencies([overflown]):
      counted = [] if global_step is None else [
          global_step.assign_add(1, read_value=False)]
      with tf.control_dependencies(counted):
        left_out = tf.identity(overflown)
    return tf.group(*self._adjusted(
        tf.raw_ops.Merge(inputs=[left_out, applied]).output), name=name)

  def _adjusted(self, finite):
    """Returns the ops that seek the scale."""
    scale, sound = self._scale_of_step, self._sound.read_value() + 1
    grows = sound >= self._updates_before_growth
    larger = tf.where(grows, tf.minimum(scale * 2, LARGEST_SCALE), scale)
    sound_updates = tf.where(grows, tf.zeros_like(sound), sound)
    return [
        self.scale.assign(
            tf.where(finite, larger, tf.maximum(scale / 2, 1.0)), read_value=False),
        self._sound.assign(
            tf.where(finite, sound_updates, tf.zeros_like(sound)), read_value=False),
        self.skipped.assign_add(
            1 - tf.cast(finite, tf.int64), read_value=False)]


class Report(Callback):
  """Reports the scale in the run card, and prints how many updates were skipped.

  Args:
    scaling: of the run.
  """

  def __init__(self, scaling: LossScaling):
    self._values = [scaling.scale, scaling.skipped]
    self._found = {}

  def report(self) -> dict:
    """Returns the entry of the run card."""
    return {'loss_scaling': self._found} if self._found else {}

  def after_save(self, session, step, path):
    """Reads the variables."""
    self._read(session)

  def end(self, session, step):
    """Prints how many updates were skipped, if any."""
    scale, skipped = self._read(session)
    if skipped:
      print(f'{skipped:,} of {step:,} updates were left out, as gradients went beyond'
            f' float16: the loss scale is {scale:,.0f} now', flush=True)

  def _read(self, session):
    scale, skipped = session.run(self._values)
    self._found = {'scale': float(scale), 'skipped_updates': int(skipped)}
    return scale, skipped
