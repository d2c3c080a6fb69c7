"""Table of the networks that can be converted, with the reasons for the others."""

from slim_zoo.catalog import networks
from slim_zoo.weight_conversion import layers, pairs

HEADINGS = ('network', 'Keras 3', 'from', 'to', 'timm, torchvision', 'from', 'to')
_NONE, _YES = '-', 'yes'


def rows() -> list[tuple[str, ...]]:
  """Returns a text for each of `HEADINGS`, for each network of images.

  'yes' stands for networks that compute the same, 'nearly' for a known difference at
  borders, 'start' for weights that need training. '(1)' refers to `notes`.
  """
  numbers = {text: number for number, text in enumerate(notes(), 1)}
  return [(f'`{name}`', *_cells(name, layers.KERAS, numbers),
           *_cells(name, layers.PYTORCH, numbers))
          for name, row in networks.NETWORKS.items() if not row.frames]


def notes() -> list[str]:
  """Returns the differences and reasons that the rows refer to, by their numbers."""
  texts = [text for framework in layers.FRAMEWORKS.values()
           for name, row in networks.NETWORKS.items() if not row.frames
           for text in [_text(name, framework)] if text]
  return list(dict.fromkeys(texts))


def _pair(name, framework):
  return next((pair for pair in pairs.PAIRS
               if pair.model_name == name and pair.framework is framework), None)


def _text(name, framework):
  pair = _pair(name, framework)
  return pair.difference if pair else pairs.REFUSED[framework.name].get(name, '')


def _cells(name, framework, numbers):
  """Returns (model, from, to) of a framework."""
  pair, text = _pair(name, framework), _text(name, framework)
  reference = f' ({numbers[text]})' if text else ''
  if pair is None:
    return _NONE + reference, _NONE, _NONE
  kind = 'start' if pair.needs_training else 'nearly' if pair.slim_variant else _YES
  return f'`{pair.framework_name}`{reference}', kind, kind
