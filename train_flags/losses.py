"""The losses: what is minimized."""

from absl import flags

FLAGS = flags.FLAGS


def define() -> None:
  """Defines the flags of this group."""
  flags.DEFINE_float('weight_decay', 0.00004, 'L2 penalty on the weights.',
                     lower_bound=0)
  flags.DEFINE_float('label_smoothing', 0.0,
                     'Share of each target that is spread over all classes.',
                     lower_bound=0, upper_bound=1)


def check() -> None:
  """Refuses flags that make no sense."""


def notes() -> list[str]:
  """Returns a line for every flag that changes nothing."""
  return []


def loss_fn(num_classes: int):
  """Returns loss_fn(logits, end_points, labels), which adds the losses of a clone."""
  from training import losses

  def add_losses(logits, end_points, labels):
    losses.classification_loss(
        logits, end_points, labels, num_classes, FLAGS.label_smoothing)

  return add_losses
