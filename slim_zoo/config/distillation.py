"""Options of distillation: the teacher, the temperature, the weights of the losses."""

import dataclasses
from typing import NamedTuple

from slim_zoo import diagnostics
from slim_zoo.catalog import losses as loss_catalog
from slim_zoo.checkpoints import checkpoint_names
from slim_zoo.config.options import Group, option, pairs

_FORM = 'END_POINT=END_POINT_OF_TEACHER:WEIGHT'


class Hint(NamedTuple):
  """An end point of the network that learns an end point of the teacher.

  Attributes:
    student: the end point of the network that is trained.
    teacher: the end point of the teacher.
    weight: weight of the loss, larger than 0.
  """

  student: str
  teacher: str
  weight: float


@dataclasses.dataclass(frozen=True)
class Distillation(Group):
  """The teacher, and the weights of the distillation losses."""

  teacher: str | None = option(
      None, 'Distillation: the network also learns the probabilities of a trained'
      ' network with the same classes, the teacher. The value is a checkpoint, a folder'
      ' of a run, or published:NAME. The teacher gets the same images, and its weights'
      ' do not change. Each step also computes the teacher.', str, is_path=True)
  teacher_moving_averages: bool = option(
      False, "Use the moving averages of the teacher's weights.")
  distillation_temperature: float = option(
      4.0, 'Number by which the logits of both networks are divided before the softmax;'
      ' 2 to 10 are usual. A higher number gives small probabilities more weight.',
      lower=0.1)
  distillation_weight: float = option(
      0.9, "Weight of the loss of the teacher's probabilities. The weight of the loss"
      ' of the labels is 1 minus this number.', lower=0, upper=1)
  distillation_hints: str | None = option(
      None, 'Feature hints, separated by commas, such as'
      ' Conv2d_11_pointwise=resnet_v1_50/block2:0.1, that is END_POINT of the network ='
      ' END_POINT of the teacher : WEIGHT in the loss. A learned 1x1 convolution of the'
      ' first end point learns the values of the second. Both must have the same height'
      ' and width.', str)

  @property
  def is_on(self) -> bool:
    """Whether there is a teacher."""
    return self.teacher is not None

  @property
  def hints(self) -> list[Hint]:
    """The feature hints.

    Raises:
      UserError: a hint has another form or weight 0, or occurs twice.
    """
    hints = []
    for names, weight in pairs('distillation_hints', self.distillation_hints, _FORM):
      student, _, teacher = (part.strip() for part in names.partition('='))
      if not student or not teacher or not weight:
        raise diagnostics.UserError(
            f"--distillation_hints: '{names}:{weight:g}' is not of the form {_FORM},"
            ' with a weight above 0; commas separate several')
      if (student, teacher) in [(hint.student, hint.teacher) for hint in hints]:
        raise diagnostics.UserError(
            f"--distillation_hints names '{names}' twice: give it one weight")
      hints.append(Hint(student, teacher, weight))
    return hints

  def check(self, spec, terms, user_options: frozenset[str]) -> None:
    """Refuses options that do not fit together, and a missing teacher.

    Args:
      spec: facts about the data set.
      terms: (name, weight) of each loss of the labels.
      user_options: names of the options that the user set.

    Raises:
      UserError: the first fault.
    """
    if not self.is_on:
      for name in ('teacher_moving_averages', 'distillation_temperature',
                   'distillation_weight', 'distillation_hints'):
        if name in user_options:
          raise diagnostics.UserError(
              f'--{name}={getattr(self, name)} has no effect without --teacher: name'
              ' the checkpoint of the teacher, or leave the flag out')
      return
    checkpoint_names.check_there(self.teacher)
    others = [name for name, _ in terms if name not in loss_catalog.SOFTMAX]
    if spec.multi_label or others:
      reason = (f'{spec.name} is multi-label' if spec.multi_label
                else f'--loss={others[0]} has no softmax')
      raise diagnostics.UserError(
          f'--teacher={self.teacher}: {reason}, but distillation needs a softmax loss'
          ' and one class for each image; leave out --teacher')
    hints = self.hints
    if not self.distillation_weight and not hints:
      raise diagnostics.UserError(
          f'--teacher={self.teacher} has no effect with --distillation_weight=0: give a'
          ' weight above 0, or --distillation_hints')

  def without_effect(self) -> dict[str, str]:
    """Returns the cause for each option that changes nothing."""
    if not self.is_on:
      return {}
    if self.distillation_weight == 1:
      return dict.fromkeys(('loss', 'label_smoothing', 'class_weights',
                            'auxiliary_loss_weight'), '--distillation_weight=1')
    return {} if self.distillation_weight else {
        'distillation_temperature': '--distillation_weight=0'}

  def weights_of_labels(self, terms) -> tuple[tuple[str, float], ...]:
    """Returns (name, weight) of each loss of the labels, with the teacher.

    Args:
      terms: (name, weight) of each loss of the labels without a teacher.
    """
    if not self.is_on:
      return terms
    return tuple((name, weight * (1.0 - self.distillation_weight))
                 for name, weight in terms)

  def describe(self) -> list[str]:
    """Returns the lines of the banner on the losses."""
    lines = []
    if self.distillation_weight:
      lines.append(f'{self.distillation_weight:g} times the divergence from its'
                   f' probabilities at temperature {self.distillation_temperature:g}')
    return lines + [f'{hint.weight:g} times the squared difference of {hint.student}'
                    f' and its {hint.teacher}' for hint in self.hints]
