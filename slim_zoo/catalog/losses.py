"""The names of the losses, the records that each fits, and parsing of weighted sums."""

import math

from slim_zoo import diagnostics

SOFTMAX = ('softmax', 'softmax_focal')
SIGMOID = ('sigmoid', 'sigmoid_focal')
FOCAL = ('softmax_focal', 'sigmoid_focal')
NAMES = SOFTMAX + SIGMOID
DEFAULT = (('softmax', 1.0),)


def parse(text: str) -> tuple[tuple[str, float], ...]:
  """Returns the (name, weight) of each loss in NAME or NAME:WEIGHT,NAME:WEIGHT...

  Raises:
    UserError: the text is empty, a name is unknown or occurs twice, or a weight is not
      a number above 0.
  """
  terms = {}
  for part in filter(None, (part.strip() for part in text.split(','))):
    name, _, weight = part.partition(':')
    if name not in NAMES:
      raise diagnostics.unknown_name('loss', name, NAMES)
    if name in terms:
      raise diagnostics.UserError(
          f"--loss={text} has '{name}' twice: add up its weights")
    terms[name] = _weight(weight, text) if weight else 1.0
  if not terms:
    raise diagnostics.UserError(f'--loss is empty: give one of {", ".join(NAMES)}')
  return tuple(terms.items())


def _weight(text, flag):
  try:
    value = float(text)
  except ValueError:
    value = math.nan
  if not 0 < value < math.inf:
    raise diagnostics.UserError(
        f"--loss={flag}: the weight '{text}' is not a number above 0")
  return value


def check(terms, dataset_name: str, multi_label: bool) -> None:
  """Raises UserError if a loss does not fit the records of a data set.

  A sigmoid loss on records with one label is allowed: it learns each class against the
  rest.
  """
  softmax_names = [name for name, _ in terms if name in SOFTMAX]
  if multi_label and softmax_names:
    instead = 'sigmoid_focal' if softmax_names[0] in FOCAL else 'sigmoid'
    raise diagnostics.UserError(
        f'--loss={softmax_names[0]} is for images with one class each, but images of'
        f' {dataset_name} have several or none: use --loss={instead}')


def describe(terms) -> str:
  """Returns a weighted sum of losses as text."""
  if len(terms) == 1 and terms[0][1] == 1:
    return terms[0][0]
  return ' + '.join(f'{weight:g} {name}' for name, weight in terms)
