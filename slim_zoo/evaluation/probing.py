"""Classifiers on the features of a network, with cross-validated accuracy.

Logistic regression on frozen features is the linear probe of Alain and Bengio 2016,
Understanding intermediate layers using linear classifier probes, arXiv 1610.01644.
"""

import dataclasses
import math
import warnings
from collections.abc import Callable, Mapping

import numpy as np

from slim_zoo import diagnostics
from slim_zoo.evaluation.metrics import Accuracy

LOGISTIC_REGRESSION = 'logistic regression'
NEAREST_NEIGHBOURS = 'k-nearest neighbours'
# Inverse strengths of the regularization, for features of variance 1. The best one is
# chosen within the training images of each part.
_STRENGTHS = (0.001, 0.01, 0.1, 1.0)
_INNER_FOLDS = 5
_MOST_ITERATIONS = 300
_Z_95 = 1.96
# Of fewer products, threads take longer to wait for one another than to multiply.
_FEWEST_PRODUCTS = 10**8


@dataclasses.dataclass(frozen=True, eq=False)
class Probed:
  """The cross-validated answers of one kind of classifier.

  Attributes:
    correct: bool [images].
  """

  correct: np.ndarray

  @property
  def accuracy(self) -> Accuracy:
    """How many images are right."""
    return Accuracy(1, int(self.correct.sum()), len(self.correct))

  def behind(self, best: 'Probed') -> tuple[float, float, float]:
    """Returns (difference, low, high): the accuracy of `best` minus this one.

    The interval is of 95%, by the normal approximation for the same images.
    """
    differences = best.correct.astype(float) - self.correct
    mean, spread = differences.mean(), differences.std() / math.sqrt(len(differences))
    return mean, mean - _Z_95 * spread, mean + _Z_95 * spread


def check(labels: np.ndarray, folds: int, neighbours: int,
          names: Mapping[int, str] | None = None) -> list[str]:
  """Checks that images can be divided; returns a line for what is too small.

  Args:
    labels: int [images].
    folds: number of parts.
    neighbours: see `cross_validate`.
    names: of the classes, by label; None: their numbers are shown.

  Raises:
    UserError: there are fewer than two classes of at least two images, or of the
      largest class there are fewer images than parts.
  """
  classes, counts = np.unique(labels, return_counts=True)
  if (counts > 1).sum() < 2:
    raise diagnostics.UserError(
        f'{len(labels)} images of {len(counts)} classes: a probe needs two classes or'
        ' more, of at least two images each')
  if counts.max() < folds:
    largest = _described(classes, counts, counts.argmax(), names)
    raise diagnostics.UserError(
        f'--folds={folds}, but the largest class, {largest}: use'
        f' --folds={counts.max()}')
  notes = []
  if counts.min() < folds:
    notes.append(_note_of_small(classes, counts, folds, names))
  # Each part is compared with the images of the others.
  training = len(labels) - -(-len(labels) // folds)
  if neighbours > training:
    notes.append(f'--neighbours={neighbours} is more than the {training} training'
                 ' images of a part: all of them count')
  return notes


def _described(classes, counts, place, names):
  """Returns the name of a class, and how many images it has."""
  label, count = int(classes[place]), int(counts[place])
  name = f"'{diagnostics.printable(names[label])}'" if label in (names or {}) else label
  return f'{name}, has {count} image{"s" * (count > 1)}'


def _note_of_small(classes, counts, folds, names):
  """Returns the line on classes with fewer images than parts."""
  least, others = int(counts.min()), int((counts < folds).sum()) - 1
  smallest = _described(classes, counts, counts.argmin(), names)
  unit = 'class has' if others == 1 else 'classes have'
  more = f', and {others} more {unit} fewer than {folds}' if others else ''
  advice = (f'--folds={least} puts images of every class into each part'
            if least > 1 else 'add images, or leave out the classes of one image')
  return (f'--folds={folds}, but the smallest class, {smallest}{more}: some parts have'
          f' none of them; {advice}')


def fits(folds: int) -> int:
  """Returns how often `cross_validate` calls `report`."""
  return folds * 2


def cross_validate(features: np.ndarray, labels: np.ndarray, folds: int,
                   neighbours: int, seed: int, report: Callable[[int], None]
                   ) -> dict[str, Probed]:
  """Trains both classifiers on the features without a part, and tests them on it.

  Args:
    features: float32 [images, features].
    labels: int64 [images].
    folds: number of parts; each has the same share of each class.
    neighbours: number of neighbours; at most the training images.
    seed: of the parts.
    report: called with the number of finished classifiers.

  Returns:
    The answers by `LOGISTIC_REGRESSION` and `NEAREST_NEIGHBOURS`.
  """
  from threadpoolctl import threadpool_limits  # Scikit-learn needs it, too.
  classifiers = {
      LOGISTIC_REGRESSION: lambda train, test: _regression(train, test, seed),
      NEAREST_NEIGHBOURS: lambda train, test: _neighbours(train, test, neighbours)}
  correct = {kind: np.zeros(len(labels), bool) for kind in classifiers}
  done, threads = 0, _threads(features, labels)
  with warnings.catch_warnings(), threadpool_limits(threads):
    # Of classes with few images, and of solutions that are only nearly found.
    warnings.simplefilter('ignore')
    for train, test in _parts(labels, folds, seed):
      for kind, classify in classifiers.items():
        answers = classify((features[train], labels[train]), features[test])
        correct[kind][test] = answers == labels[test]
        done += 1
        report(done)
  return {kind: Probed(values) for kind, values in correct.items()}


def _threads(features, labels):
  """Returns the number of threads of a matrix product; None: the usual one."""
  products = features.size * len(np.unique(labels))
  return 1 if products < _FEWEST_PRODUCTS else None


def _parts(labels, folds, seed):
  """Returns (positions for training, positions for the test) of each part."""
  from sklearn.model_selection import StratifiedKFold
  return StratifiedKFold(folds, shuffle=True, random_state=seed).split(labels, labels)


def _regression(train, test, seed):
  """Returns the answers of a logistic regression for the features `test`."""
  from sklearn.linear_model import LogisticRegression
  from sklearn.pipeline import make_pipeline
  from sklearn.preprocessing import StandardScaler

  def fitted(features, labels, strength):
    return make_pipeline(StandardScaler(), LogisticRegression(
        C=strength, max_iter=_MOST_ITERATIONS)).fit(features, labels)

  features, labels = train
  strength = _best_strength(features, labels, fitted, seed)
  return fitted(features, labels, strength).predict(test)


def _best_strength(features, labels, fitted, seed):
  """Returns the strength that is best for a part of the training images."""
  most = np.unique(labels, return_counts=True)[1].max()
  folds = min(_INNER_FOLDS, most)
  if folds < 2:
    return _STRENGTHS[1]
  part, rest = next(iter(_parts(labels, folds, seed)))
  if len(np.unique(labels[part])) < 2:
    return _STRENGTHS[1]
  # Of equal ones the first, which regularizes most.
  return max(_STRENGTHS, key=lambda strength: fitted(
      features[part], labels[part], strength).score(features[rest], labels[rest]))


def _neighbours(train, test, count):
  """Returns the answers of the nearest neighbours by the cosine of the angle."""
  from sklearn.neighbors import KNeighborsClassifier
  features, labels = train
  return KNeighborsClassifier(
      min(count, len(labels)), metric='cosine').fit(features, labels).predict(test)
