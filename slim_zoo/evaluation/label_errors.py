"""Confident learning: finds images whose label is probably wrong.

Northcutt, Jiang and Chuang 2021, Confident Learning: Estimating Uncertainty in Dataset
Labels, JAIR 70, arXiv 1911.00068.
"""

import dataclasses

import numpy as np

from slim_zoo.evaluation.predictions import Records


@dataclasses.dataclass(frozen=True, eq=False)
class LabelErrors:
  """Images whose label is probably wrong, the most probable errors first.

  Attributes:
    rows: int64 [images], rows of the records.
    classes: int64 [images], the probable class of each image.
  """

  rows: np.ndarray
  classes: np.ndarray


def find(records: Records, num_classes: int) -> LabelErrors:
  """Returns the images off the diagonal of the confident joint.

  The threshold of a class is the mean probability of the class over its images. An
  image is assigned to the most probable class whose threshold it reaches. If this class
  differs from the label, the label is probably wrong. The images are ordered by the
  probability of the label minus the probability of the class. Only the five most
  probable classes of an image are considered. The network must not be trained on these
  images.

  Args:
    records: records of the evaluation.
    num_classes: number of classes of the network.
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
  return LabelErrors(readable[wrong][order], chosen[wrong][order].astype(np.int64))
