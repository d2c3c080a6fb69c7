"""The losses: what is minimized."""

import dataclasses
import math

from slim_zoo import diagnostics
from slim_zoo.catalog import losses as loss_catalog
from slim_zoo.catalog import networks
from slim_zoo.config.options import Group, comma_separated, option

COUNTED = ('inverse_frequency', 'effective_number')


@dataclasses.dataclass(frozen=True)
class Loss(Group):
  """Which losses are added up, and how much each class counts in them."""

  loss: str = option(
      'softmax',
      'softmax, softmax_focal, sigmoid or sigmoid_focal; or a sum of several with their'
      ' weights, such as softmax:1,softmax_focal:0.5. Sigmoids are for images of'
      ' several classes, or of none.')
  weight_decay: float = option(0.00004, 'L2 penalty on the weights.', lower=0)
  label_smoothing: float = option(
      0.0, 'Share of each target that is spread over all classes.', lower=0, upper=1)
  focal_gamma: float = option(
      2.0, 'Focal losses: how strongly the loss of well-classified images is reduced. 0'
      ' is cross entropy.', lower=0)
  focal_alpha: float | None = option(
      None, 'sigmoid_focal: the weight of true classes, against 1 - alpha of the'
      ' others; 0.25 is usual. By default both weigh 1.', float, lower=0, upper=1)
  class_weights: str = option(
      'none', 'Weights of the classes in the loss. inverse_frequency and'
      ' effective_number are counted from the records; or one number for each class,'
      ' separated by commas.')
  effective_number_beta: float = option(
      0.999, 'For --class_weights=effective_number, from 0 (all classes alike) to less'
      ' than 1 (inverse frequency). 0.9 to 0.9999 are usual.', lower=0)
  auxiliary_loss_weight: float = option(
      0.4, 'Weight of the same loss of the auxiliary head, for networks that have one.',
      lower=0)

  @property
  def terms(self) -> tuple[tuple[str, float], ...]:
    """The (name, weight) of each loss.

    Raises:
      UserError: a name is unknown or a weight is not a number above 0.
    """
    return loss_catalog.parse(self.loss)

  @property
  def counts_labels(self) -> bool:
    """Whether the weights of the classes are counted from the records."""
    return self.class_weights in COUNTED

  def check(self, spec, labels_offset: int, user_options: frozenset[str]) -> None:
    """Refuses options that make no sense.

    Args:
      spec: facts of the data set.
      labels_offset: taken off every label.
      user_options: names of the options that the user set.

    Raises:
      UserError: the first fault.
    """
    names = [name for name, _ in self.terms]
    loss_catalog.check(self.terms, spec.name, spec.multi_label)
    for option_name, users in (('focal_gamma', loss_catalog.FOCAL),
                               ('focal_alpha', ('sigmoid_focal',))):
      if option_name in user_options and not set(users) & set(names):
        raise diagnostics.UserError(
            f'--{option_name}={getattr(self, option_name):g} has no effect with'
            f' --loss={self.loss}: it is for {" and ".join(users)}')
    if 'effective_number_beta' in user_options and (
        self.class_weights != 'effective_number'):
      raise diagnostics.UserError(
          f'--effective_number_beta={self.effective_number_beta:g} has no effect with'
          f' --class_weights={self.class_weights}: it is for effective_number')
    if self.effective_number_beta >= 1:
      raise diagnostics.UserError(
          f'--effective_number_beta={self.effective_number_beta:g}: expected 0 or more'
          ' and less than 1')
    if self.class_weights != 'none' and not self.counts_labels:
      self.listed_weights(spec.num_classes - labels_offset)

  def notes(self, model_name: str, user_options: frozenset[str]) -> list[str]:
    """Returns a line for every option without effect."""
    heads = networks.get_network(model_name).head_scopes
    if len(heads) > 1 or 'auxiliary_loss_weight' not in user_options:
      return []
    return [f'--auxiliary_loss_weight={self.auxiliary_loss_weight} has no effect with'
            f' {model_name}, which has no auxiliary head']

  def listed_weights(self, num_classes: int) -> list[float]:
    """Returns the numbers of class_weights, one for each class.

    Raises:
      UserError: they are not so many numbers from 0 on.
    """
    try:
      weights = [float(part) for part in comma_separated(self.class_weights)]
    except ValueError:
      raise diagnostics.unknown_name(
          '--class_weights', self.class_weights,
          ['none', *COUNTED, 'numbers such as 1,2.5,1']) from None
    if len(weights) != num_classes or not any(weights) or not all(
        0 <= weight < math.inf for weight in weights):
      raise diagnostics.UserError(
          f'--class_weights={self.class_weights}: expected {num_classes} numbers from 0'
          f' on, one for each class, not all of them 0; got {len(weights)}')
    return weights
