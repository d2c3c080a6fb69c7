"""The losses of a classification network: one, or a weighted sum of several.

The labels are int64 [batch]; or targets, float32 [batch, classes]: the soft targets of
mixed images, or zeros and ones for records with any number of labels.

    softmax        one class is true: cross entropy of the softmax
    softmax_focal  the same, with less weight where the network is right and sure
    sigmoid        each class is true or not: cross entropy of each sigmoid
    sigmoid_focal  the same, with less weight where the network is right and sure

Focal losses: Lin et al. 2017, Focal loss for dense object detection, arXiv 1708.02002.

Class weights count rare classes more. Their sum is the number of classes that have
images, as in Cui et al. 2019; a class without images has the weight 0.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from slim_zoo import diagnostics
from slim_zoo.catalog import losses as catalog
from slim_zoo.catalog.datasets import IGNORED
from slim_zoo.tf_compat import tf
from slim_zoo.training import named_losses


def inverse_frequency(counts) -> np.ndarray:
  """Returns weights in proportion to 1 / images.

  Args:
    counts: int [classes], the images of each class.

  Returns:
    float64 [classes].

  Raises:
    UserError: no class has an image.
  """
  counts = np.asarray(counts, np.float64)
  return _scaled(np.divide(1.0, counts, where=counts > 0, out=np.zeros_like(counts)))


def effective_number(counts, beta: float) -> np.ndarray:
  """Returns weights in proportion to (1 - beta) / (1 - beta ** images).

  The effective number of images: Cui et al. 2019, Class-balanced loss based on
  effective number of samples, arXiv 1901.05555.

  Args:
    counts: int [classes], the images of each class.
    beta: from 0, which weighs all classes alike, to below 1, which comes near
      `inverse_frequency`.

  Returns:
    float64 [classes].

  Raises:
    UserError: no class has an image, or beta is out of range.
  """
  if not 0 <= beta < 1:
    raise diagnostics.UserError(
        f'beta is {beta:g}: expected 0 or more and less than 1, such as 0.999')
  counts = np.asarray(counts, np.float64)
  # expm1 keeps the digits that 1 - beta ** images loses where that is near 0.
  numbers = (-np.expm1(counts * np.log(beta)) if beta else np.ones_like(counts))
  return _scaled(np.divide(
      1.0 - beta, numbers, where=counts > 0, out=np.zeros_like(counts)))


def _scaled(weights: np.ndarray) -> np.ndarray:
  if not weights.any():
    raise diagnostics.UserError('there are no images to weigh the classes by')
  return weights * np.count_nonzero(weights) / weights.sum()


# Szegedy et al. 2016 (arXiv 1512.00567) and the checkpoints trained since.
AUXILIARY_WEIGHT = 0.4
# Below what 1 - p can be in float32, unless it is 0.
_TINY = 1e-20


@dataclasses.dataclass(frozen=True)
class Recipe:
  """The losses of a run and their weights.

  Attributes:
    num_classes: how many classes there are.
    terms: (name, weight) of each loss; the names are those of `catalog.losses`.
    label_smoothing: share of each target that is spread over all classes; for
      sigmoids, over both answers.
    gamma: of the focal losses; 0 makes them cross entropies.
    alpha: of the sigmoid focal loss: the weight of true classes, against 1 - alpha of
      the others; None weighs both 1.
    class_weights: of each class; None weighs all 1. A softmax loss weighs each image
      by its class, or by the mean over its target; a sigmoid loss weighs each class's
      own share, since an image may be of several.
    auxiliary_weight: of the same losses of the logits at the end point 'AuxLogits'.
  """

  num_classes: int
  terms: Sequence[tuple[str, float]] = catalog.DEFAULT
  label_smoothing: float = 0.0
  gamma: float = 2.0
  alpha: float | None = None
  class_weights: Sequence[float] | None = None
  auxiliary_weight: float = AUXILIARY_WEIGHT

  def add(self, logits, end_points, labels) -> None:
    """Adds the losses of one clone to tf.GraphKeys.LOSSES.

    The plain softmax goes by its established names, 'aux_loss' and
    'softmax_cross_entropy_loss'; others by theirs, with '_auxiliary'. What is added is
    weighted already, so TensorBoard's losses add up to the total.

    Args:
      logits: float32 [batch, classes], or [batch, height, width, classes].
      end_points: the network's, by name.
      labels: int64 [batch], or float32 [batch, classes] targets; of pixels, masks,
        uint8 [batch, height, width], see `pixels`.
    """
    if logits.shape.rank == 4:
      logits, labels = pixels(logits, labels)
    targets = as_targets(labels, self.num_classes)
    auxiliary = end_points.get('AuxLogits') if self.auxiliary_weight else None
    if tuple(self.terms) == catalog.DEFAULT and self.class_weights is None:
      self._add_established(logits, auxiliary, targets)
      return
    for name, weight in self.terms:
      if auxiliary is not None:
        self._add_term(
            f'{name}_auxiliary', name, auxiliary, targets,
            weight * self.auxiliary_weight)
      self._add_term(name, name, logits, targets, weight)

  def cross_entropy(self, logits, labels):
    """Returns the loss that evaluation reports for the same logits, a float32 scalar.

    The cross entropy of the softmax or, without a softmax loss, of the sigmoids: of
    the labels or targets as they are, not smoothed, with no weights of classes,
    auxiliary logits or penalty.

    Args:
      logits: float32 [batch, classes].
      labels: as for `add`.
    """
    if logits.shape.rank == 4:
      logits, labels = pixels(logits, labels)
    has_softmax = any(name.startswith('softmax') for name, _ in self.terms)
    return (softmax if has_softmax else sigmoid)(
        logits, as_targets(labels, self.num_classes))

  def _add_established(self, logits, auxiliary, targets):
    if auxiliary is not None:
      tf.losses.softmax_cross_entropy(
          targets, auxiliary, weights=self.auxiliary_weight,
          label_smoothing=self.label_smoothing, scope='aux_loss')
    tf.losses.softmax_cross_entropy(
        targets, logits, label_smoothing=self.label_smoothing)

  def _add_term(self, title, name, logits, targets, weight):
    with tf.name_scope(f'{title}_terms'):
      value = self._function(name)(logits, targets)
    named_losses.add(title, value, weight)

  def _function(self, name: str) -> Callable:
    more = {'label_smoothing': self.label_smoothing,
            'class_weights': self.class_weights}
    if name in catalog.FOCAL:
      more['gamma'] = self.gamma
    if name == 'sigmoid_focal':
      more['alpha'] = self.alpha
    function = {'softmax': softmax, 'softmax_focal': softmax_focal,
                'sigmoid': sigmoid, 'sigmoid_focal': sigmoid_focal}[name]
    return lambda logits, targets: function(logits, targets, **more)


def pixels(logits, masks):
  """Returns the logits and labels of all pixels that have a class, as of images.

  Args:
    logits: float32 [batch, height, width, classes].
    masks: uint8 [batch, height, width], 255 at pixels without a class.

  Returns:
    (float32 [pixels, classes], int32 [pixels]).
  """
  has_class = tf.not_equal(masks, IGNORED)
  return (tf.boolean_mask(logits, has_class),
          tf.cast(tf.boolean_mask(masks, has_class), tf.int32))


def as_targets(labels, num_classes: int):
  """Returns float32 [batch, classes] targets of labels, or of targets."""
  if labels.dtype.is_integer:
    return tf.one_hot(labels, num_classes)
  return tf.cast(labels, tf.float32)


def softmax(logits, targets, label_smoothing: float = 0.0, class_weights=None):
  """Returns the cross entropy of the softmax, the mean over a batch.

  Args:
    logits: float32 [batch, classes].
    targets: float32 [batch, classes], of the sum 1.
    label_smoothing: see `Recipe`.
    class_weights: see `Recipe`.

  Returns:
    float32 scalar.
  """
  entropies = tf.nn.softmax_cross_entropy_with_logits_v2(
      labels=_smooth(targets, label_smoothing, _num_classes(logits)), logits=logits)
  return _mean_of_images(entropies, targets, class_weights)


def softmax_focal(logits, targets, gamma: float = 2.0, label_smoothing: float = 0.0,
                  class_weights=None):
  """Returns the focal loss of the softmax, the mean over a batch.

  That of an image is the sum over classes of -target * (1 - p) ** gamma * log(p).
  Arguments and result are those of `softmax`; gamma is 0 or more.
  """
  targets_of_loss = _smooth(targets, label_smoothing, _num_classes(logits))
  log_p = tf.nn.log_softmax(logits)
  # The bound keeps the gradient of the power finite where p is rounded to 1.
  others = tf.maximum(-tf.math.expm1(log_p), _TINY)
  of_images = -tf.reduce_sum(targets_of_loss * others ** gamma * log_p, 1)
  return _mean_of_images(of_images, targets, class_weights)


def sigmoid(logits, targets, label_smoothing: float = 0.0, class_weights=None):
  """Returns the cross entropy of the sigmoids, the mean over a batch and its classes.

  Args:
    logits: float32 [batch, classes].
    targets: float32 [batch, classes], each from 0 to 1.
    label_smoothing: see `Recipe`.
    class_weights: see `Recipe`.

  Returns:
    float32 scalar.
  """
  entropies = tf.nn.sigmoid_cross_entropy_with_logits(
      labels=_smooth(targets, label_smoothing, 2), logits=logits)
  return _mean_of_classes(entropies, class_weights)


def sigmoid_focal(logits, targets, gamma: float = 2.0, alpha: float | None = None,
                  label_smoothing: float = 0.0, class_weights=None):
  """Returns the focal loss of the sigmoids, the mean over a batch and its classes.

  That of a true class is -alpha * (1 - p) ** gamma * log(p), that of another one is
  -(1 - alpha) * p ** gamma * log(1 - p); without alpha both are weighted 1. Other
  arguments and the result are those of `sigmoid`; gamma is 0 or more.
  """
  targets = _smooth(targets, label_smoothing, 2)
  # -log(p) and -log(1 - p), which no rounding of p can make infinite.
  miss, alarm = tf.nn.softplus(-logits), tf.nn.softplus(logits)
  positive = targets * tf.exp(-gamma * alarm) * miss
  negative = (1.0 - targets) * tf.exp(-gamma * miss) * alarm
  if alpha is not None:
    positive, negative = alpha * positive, (1.0 - alpha) * negative
  return _mean_of_classes(positive + negative, class_weights)


def _num_classes(logits) -> int:
  return logits.shape.as_list()[1]


def _smooth(targets, share, outcomes):
  targets = tf.stop_gradient(targets)
  return targets * (1.0 - share) + share / outcomes if share else targets


def _mean_of_images(values, targets, class_weights):
  if class_weights is not None:
    # By the targets as they were: smoothing says nothing of what an image is.
    weights = tf.constant(class_weights, values.dtype)
    values *= tf.linalg.matvec(tf.stop_gradient(targets), weights)
  # A batch of masks may have no pixel with a class.
  count = tf.cast(tf.size(values), values.dtype)
  return tf.math.divide_no_nan(tf.reduce_sum(values), count)


def _mean_of_classes(values, class_weights):
  if class_weights is not None:
    values *= tf.constant(class_weights, values.dtype)
  return tf.reduce_mean(values)
