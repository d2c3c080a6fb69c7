"""The results of an evaluation as TensorBoard summaries."""

from evaluation.metrics import Metrics
from tf_compat import tf


def write(folder: str, metrics: Metrics, step: int) -> None:
  """Adds the accuracies and the loss at `step` to the events in `folder`.

  eval/Accuracy and eval/Recall_5 are the established tags; the second is the
  accuracy of the 5 (or of all, if fewer) most probable classes.
  """
  values = {'eval/Accuracy': metrics.top1.value, 'eval/Recall_5': metrics.topk.value,
            'eval/cross_entropy': metrics.cross_entropy}
  writer = tf.summary.FileWriter(folder)
  writer.add_summary(tf.Summary(value=[
      tf.Summary.Value(tag=tag, simple_value=value)
      for tag, value in values.items()]), step)
  writer.close()
