"""The loss of a classification network."""

from tf_compat import tf

# Szegedy et al. 2016 (arXiv 1512.00567) and the checkpoints trained since.
AUXILIARY_WEIGHT = 0.4


def classification_loss(logits, end_points, labels, num_classes, label_smoothing):
  """Adds the softmax cross entropies of a network to the losses of the graph.

  Args:
    logits: float32 [batch, num_classes].
    end_points: the network's; logits at 'AuxLogits' count 0.4 times as much.
    labels: int64 [batch].
    num_classes: how many classes there are.
    label_smoothing: share of each target that is spread over all classes.
  """
  targets = tf.one_hot(labels, num_classes)
  if 'AuxLogits' in end_points:
    tf.losses.softmax_cross_entropy(
        targets, end_points['AuxLogits'], weights=AUXILIARY_WEIGHT,
        label_smoothing=label_smoothing, scope='aux_loss')
  tf.losses.softmax_cross_entropy(
      targets, logits, label_smoothing=label_smoothing)
