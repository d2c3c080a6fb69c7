"""Distillation: a network (student) learns the outputs of a trained one (teacher).

    soft loss  T^2 * KL(softmax(teacher / T) || softmax(student / T))
               Hinton et al. 2015, Distilling the knowledge in a neural network,
               arXiv 1503.02531. T^2 keeps the size of the gradients about the same.
    hints      the mean squared difference of an end point of the teacher and a 1x1
               convolution of one of the student: Romero et al. 2014, FitNets: Hints for
               thin deep nets, arXiv 1412.6550. There the hint is a first stage of
               training; here it is added to the loss.

The teacher gets the images of the student's batch, after augmentation and mixing. It is
in evaluation mode. Its variables are local variables: each process restores them when
its session starts, no optimizer changes them, and checkpoints do not contain them.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from slim_zoo import diagnostics
from slim_zoo.checkpoints import contents, restore
from slim_zoo.checkpoints.trained_network import TrainedNetwork
from slim_zoo.nets import nets_factory
from slim_zoo.tf_compat import slim, tf
from slim_zoo.training import eval_network, named_losses

# The scope of the convolutions of hints.
SCOPE = contents.DISTILLATION
SOFT_LOSS = 'distillation'
_TEACHER = 'teacher'


def soft_loss(logits: tf.Tensor, teacher_logits: tf.Tensor, temperature: float
              ) -> tf.Tensor:
  """Returns the KL divergence from the teacher's probabilities, averaged over a batch.

  Args:
    logits: float32 [batch, classes], logits of the student.
    teacher_logits: float32 [batch, classes], logits of the teacher; they get no
      gradient.
    temperature: T in the formula above, larger than 0.

  Returns:
    float32 scalar, 0 or more; 0 if both have the same probabilities.
  """
  wanted = tf.nn.log_softmax(tf.stop_gradient(teacher_logits) / temperature)
  found = tf.nn.log_softmax(logits / temperature)
  divergences = tf.reduce_sum(tf.exp(wanted) * (wanted - found), 1)
  return temperature ** 2 * tf.reduce_mean(divergences)


def hint_loss(features: tf.Tensor, wanted: tf.Tensor, scope: str) -> tf.Tensor:
  """Returns the mean squared difference after a trained 1x1 convolution.

  The variables of the convolution do not belong to the network.

  Args:
    features: float [batch, height, width, channels] or [batch, channels], features of
      the student.
    wanted: features of the teacher; the number of channels may differ. They get no
      gradient.
    scope: variable scope of the convolution.

  Returns:
    float32 scalar.
  """
  features, wanted = tf.cast(features, tf.float32), tf.cast(wanted, tf.float32)
  inputs, outputs = features.shape.as_list()[-1], wanted.shape.as_list()[-1]
  with tf.variable_scope(scope):
    weights = slim.variable(
        'weights', [inputs, outputs], initializer=slim.xavier_initializer())
    biases = slim.variable('biases', [outputs], initializer=tf.zeros_initializer())
  values = tf.tensordot(features, weights, 1) + biases
  return tf.reduce_mean(tf.math.squared_difference(values, tf.stop_gradient(wanted)))


class Teacher:
  """A trained network in evaluation mode, in the graph of the student.

  Args:
    trained: the network and its checkpoint.
    prepare: converts the input of the student to the input of the teacher, see
      `preprocessing.value_ranges.converted`.
    compute_dtype: type of its layers, see `nets_factory.get_network_fn`.

  Attributes:
    parameters: number of parameters; 0 before `build`.
  """

  def __init__(self, trained: TrainedNetwork, prepare: Callable,
               compute_dtype: tf.DType = tf.float32):
    self._trained, self._prepare = trained, prepare
    self._network_fn = nets_factory.get_network_fn(
        trained.model_name, trained.num_classes, compute_dtype=compute_dtype)
    self.parameters = 0

  def build(self, images: tf.Tensor, index: int = 0, device: str = ''
            ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """Builds the teacher of one clone.

    Args:
      images: float32 [batch, height, width, channels], the input of the student.
      index: index of the clone; each clone has its own variables.
      device: device of the clone.

    Returns:
      (logits, end_points), as a network function returns them.

    Raises:
      UserError: a variable is not in the checkpoint, or has another shape or type.
    """
    scope = f'{_TEACHER}_{index}' if index else _TEACHER
    created = {}

    def frozen(getter, name, **options):
      variable = getter(name, **{**options, 'trainable': False, 'collections': []})
      created[name.removeprefix(f'{scope}/')] = variable
      return variable

    # The scope of the clone is not used: its variables are shared, or are copies.
    with (eval_network.unchanged_collections(), tf.name_scope(scope),
          slim.arg_scope([slim.model_variable, slim.variable], device=device),
          tf.variable_scope(tf.VariableScope(tf.AUTO_REUSE, scope,
                                             custom_getter=frozen),
                            auxiliary_name_scope=False)):
      logits, end_points = self._network_fn(self._prepare(images))
    self._restore(created)
    self.parameters = sum(
        variable.shape.num_elements() for variable in created.values())
    return logits, {name.removeprefix(f'{scope}/'): end_point
                    for name, end_point in end_points.items()}

  def _restore(self, created):
    """Sets the values of the checkpoint as initial values."""
    path, suffix = self._trained.checkpoint, ''
    if self._trained.moving_averages:
      suffix = f'/{contents.AVERAGE}'
    variables = {name + suffix: variable for name, variable in created.items()}
    plan = restore.plan_restore(path, variables)
    unfit = plan.missing + [name for name, *_ in plan.mismatched]
    if unfit:
      raise diagnostics.UserError(
          f"--teacher: '{path}' lacks {diagnostics.some(unfit)} of"
          f' {self._trained.model_name}, or has them in other shapes')
    types = restore.open_reader(path).get_variable_to_dtype_map()
    for name, variable in variables.items():
      if types[name] != variable.dtype.base_dtype:
        raise diagnostics.UserError(
            f"--teacher: '{path}' has '{name}' as {types[name].name}: expected"
            f' {variable.dtype.base_dtype.name}')
    tf.train.init_from_checkpoint(path, variables)
    for variable in variables.values():
      tf.add_to_collection(tf.GraphKeys.LOCAL_VARIABLES, variable)


@dataclasses.dataclass(frozen=True)
class Distillation:
  """The losses of distillation of a run.

  Attributes:
    teacher: the trained network.
    temperature: temperature of `soft_loss`.
    weight: weight of `soft_loss`; 0 leaves it out.
    hints: (end point of the student, end point of the teacher, weight) of each
      `hint_loss`.
    devices: devices of the clones.
  """

  teacher: Teacher
  temperature: float
  weight: float
  hints: Sequence[tuple[str, str, float]] = ()
  devices: Sequence[str] = ('',)

  def add(self, index: int, images: tf.Tensor, logits: tf.Tensor,
          end_points: Mapping[str, tf.Tensor]) -> None:
    """Adds the losses of one clone, see `named_losses`.

    Their names are 'distillation', 'hint_1', 'hint_2' and so on.

    Args:
      index: index of the clone.
      images: float32 [batch, height, width, channels], the input of the student.
      logits: float32 [batch, classes], logits of the student.
      end_points: end points of the student by name.

    Raises:
      UserError: the checkpoint does not fit, or an end point of a hint does not exist
        or has another size.
    """
    teacher_logits, teacher_end_points = self.teacher.build(
        images, index, self.devices[index])
    if self.weight:
      with tf.name_scope('distillation_terms'):
        value = soft_loss(logits, teacher_logits, self.temperature)
      named_losses.add(SOFT_LOSS, value, self.weight)
    for number, (student, teacher, weight) in enumerate(self.hints, 1):
      features = _end_point('end point', student, end_points)
      wanted = _end_point('end point of the teacher', teacher, teacher_end_points)
      _check_fits(student, features, teacher, wanted)
      with tf.name_scope(f'hint_{number}_terms'):
        value = hint_loss(features, wanted, f'{SCOPE}/hint_{number}')
      named_losses.add(f'hint_{number}', value, weight)


def _end_point(kind, name, end_points):
  if name not in end_points:
    raise diagnostics.unknown_name(kind, name, end_points, ' in --distillation_hints')
  return end_points[name]


def _check_fits(student, features, teacher, wanted):
  shape, wanted_shape = features.shape.as_list(), wanted.shape.as_list()
  if len(shape) not in (2, 4) or shape[1:-1] != wanted_shape[1:-1]:
    raise diagnostics.UserError(
        f'--distillation_hints: {student} has the shape {shape}, but {teacher} of the'
        f' teacher has {wanted_shape}: name end points of the same height and width')
