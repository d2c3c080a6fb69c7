"""Images whose label is probably wrong, by the predictions for all images.

Northcutt, Jiang and Chuang 2021, Confident Learning: Estimating Uncertainty in Dataset
Labels, JAIR 70, arXiv 1911.00068.
"""

import dataclasses

import numpy as np

from slim_zoo.evaluation.predictions import Records


@dataclasses.dataclass(frozen=True, eq=False)
class Suspects:
  """Images that probably belong to another class than their label; the surest first.

  Attributes:
    rows: int64 [suspects], of the records.
    classes: int64 [suspects], the class that each probably belongs to.
  """

  rows: np.ndarray
  classes: np.ndarray


def suspects(records: Records, num_classes: int) -> Suspects:
  """Returns the images off the diagonal of the confident joint.

  The threshold of a class is the mean probability of the class over its images. An
  image is counted for the most probable class whose threshold it reaches. It is a
  suspect if this class is not its label. They are ordered by the probability of the
  label minus that of the class. Classes after the five most probable ones of an image
  are not considered. The network must not be trained on these images.

  Args:
    records: of the evaluation.
    num_classes: of the network.
  """
  readable = np.flatnonzero(records.readable)
  labels = records.labels[readable]
  sums = np.bincount(labels, records.label_probabilities[readable], num_classes)
  counts = np.bincount(labels, minlength=num_classes)
  # No image reaches the threshold of a class without images.
  thresholds = np.divide(sums, counts, out=np.full(num_classes, np.inf),
                         where=counts > 0)
  top = records.top_classes[readable]
  reached = records.top_probabilities[readable] >= thresholds[top]
  first = np.argmax(reached, axis=1)
  at = np.arange(len(readable))
  chosen = top[at, first]
  wrong = reached[at, first] & (chosen != labels)
  margins = (records.label_probabilities[readable]
             - records.top_probabilities[readable][at, first])[wrong]
  order = np.argsort(margins, kind='stable')
  return Suspects(readable[wrong][order], chosen[wrong][order].astype(np.int64))
