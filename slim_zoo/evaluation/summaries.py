"""The results of an evaluation as TensorBoard summaries."""

from collections.abc import Mapping

from slim_zoo.evaluation import metrics as metrics_lib
from slim_zoo.evaluation import multi_label
from slim_zoo.tf_compat import tf


def values_of(metrics: metrics_lib.Metrics | multi_label.Metrics) -> dict[str, float]:
  """Returns the main numbers by tag.

  eval/Accuracy and eval/Recall_5 are the established tags; the second is the
  accuracy of the 5 (or of all, if fewer) most probable classes.
  """
  if isinstance(metrics, multi_label.Metrics):
    return {'eval/mean_average_precision': metrics.mean_average_precision,
            'eval/micro_precision': metrics.micro.precision,
            'eval/micro_recall': metrics.micro.recall,
            'eval/micro_f1': metrics.micro.f1}
  return {'eval/Accuracy': metrics.top1.value, 'eval/Recall_5': metrics.topk.value,
          'eval/cross_entropy': metrics.cross_entropy}


def write_values(folder: str, values: Mapping[str, float], step: int) -> None:
  """Adds numbers by tag at `step` to the events in `folder`."""
  writer = tf.summary.FileWriter(folder)
  writer.add_summary(tf.Summary(value=[
      tf.Summary.Value(tag=tag, simple_value=value)
      for tag, value in values.items()]), step)
  writer.close()
