"""The names of the losses, for which records each is, and sums of them as text."""

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
    UserError: there is none, a name is unknown or twice there, or a weight is no
      number above 0.
  """
  terms = {}
  for part in filter(None, (part.strip() for part in text.split(','))):
    name, _, weight = part.partition(':')
    if name not in NAMES:
      raise diagnostics.unknown_name('loss', name, NAMES)
    if name in terms:
      raise diagnostics.UserError(
          f"--loss={text} names '{name}' twice: add up its weights")
    terms[name] = _weight(weight, text) if weight else 1.0
  if not terms:
    raise diagnostics.UserError(f'--loss is empty: name one of {", ".join(NAMES)}')
  return tuple(terms.items())


def _weight(text, flag):
  try:
    value = float(text)
  except ValueError:
    value = math.nan
  if not 0 < value < math.inf:
    raise diagnostics.UserError(
        f"--loss={flag}: the weight '{text}' is no number above 0")
  return value


def check(terms, dataset_name: str, multi_label: bool) -> None:
  """Raises UserError where a loss is not for the records of a data set.

  A sigmoid loss on records with one label is legal: it learns each class against
  the rest.
  """
  wrong = [name for name, _ in terms if name in SOFTMAX]
  if multi_label and wrong:
    instead = 'sigmoid_focal' if wrong[0] in FOCAL else 'sigmoid'
    raise diagnostics.UserError(
        f'--loss={wrong[0]} is for images of one class each, but those of'
        f' {dataset_name} have several, or none: use --loss={instead}')


def describe(terms) -> str:
  """Returns a sum of losses in words."""
  if len(terms) == 1 and terms[0][1] == 1:
    return terms[0][0]
  return ' + '.join(f'{weight:g} {name}' for name, weight in terms)
