"""Word formation: from order and character maps to text.

Wan et al. 2020, arXiv 1912.12422: the scores of position k are the sum over the cells
of the order map k times the character map; the text ends at the first empty order map.
"""

import dataclasses

import numpy as np

# An order map without a cell above this is empty.
_PRESENT = 0.15
# A local maximum of the localization above this is the centre of a digit.
_CENTRE = 0.3


@dataclasses.dataclass(frozen=True)
class Reading:
  """A line as the network reads it.

  Attributes:
    text: the digits.
    confidences: the score of each digit, 0 to 1.
  """

  text: str
  confidences: tuple[float, ...]

  @property
  def confidence(self) -> float:
    """The product of the scores; 1 for an empty text."""
    return float(np.prod(self.confidences))


def form(characters: np.ndarray, orders: np.ndarray) -> Reading:
  """Returns the text of a line.

  Args:
    characters: float [rows, columns, classes], probabilities; class 0 is the
      background, class 1 + d the digit d.
    orders: float [rows, columns, positions], how much each cell belongs to a position.
  """
  text, confidences = '', []
  for position in range(orders.shape[2]):
    order = orders[:, :, position]
    if order.max() < _PRESENT:
      break
    scores = np.tensordot(order, characters, 2) / order.sum()
    # The background around a digit says nothing of it.
    digit = int(np.argmax(scores[1:]))
    text += str(digit)
    confidences.append(float(scores[1 + digit] / scores[1:].sum()))
  return Reading(text, tuple(confidences))


def count_centres(localization: np.ndarray) -> int:
  """Returns how many digits the localization map shows, from its local maxima.

  Args:
    localization: float [rows, columns].
  """
  columns = np.pad(localization.max(0), 1)
  middle = columns[1:-1]
  return int(np.count_nonzero(
      (middle > _CENTRE) & (middle > columns[:-2]) & (middle >= columns[2:])))
