"""Reads the run card beside checkpoints; needs no TensorFlow.

A conversion writes a card of one checkpoint, PREFIX.card.json, with a few facts.

`training.callbacks.run_card` writes it: run_card.json in the folder of the checkpoints.
`read` returns the complete card, for a resumed run; `facts_of` returns the facts about
one checkpoint.
"""

import dataclasses
import json
import os
import re
from collections.abc import Mapping
from typing import Any

from slim_zoo.catalog import networks, preprocessing_families
from slim_zoo.files import atomic

JSON_NAME = 'run_card.json'
FORMAT = 1
OF_ONE_CHECKPOINT = '.card.json'
# The end of a session that was killed by signal 9 or a power failure.
UNDER_WAY = 'still under way, or killed'
# The folder of the best checkpoint is inside that of the run.
BEST_FOLDER = 'best'
_PUT_ASIDE = re.compile(rf'{BEST_FOLDER}-before-\d+')

# Names that training, validation, averages and recalibration write.
_OF_A_RUN = re.compile(r'model\.ckpt(?:-again)?-(\d+)(?:-averaged)?(?:-recalibrated)?')


@dataclasses.dataclass(frozen=True)
class RunFacts:
  """Facts about the network of a run's checkpoints.

  Attributes:
    path: path of the run card.
    model_name: the network.
    num_classes: number of logits; None if an older card lacks it.
    image_size: height and width of its images; None: the network's own.
    preprocessing_name: a family or a network.
    use_grayscale: whether images were converted to gray.
    labels_offset: number that was subtracted from every label.
    moving_average_decay: decay of the moving averages; None without averages.
    dataset_name: the data set.
    dataset_dir: its folder, as the user typed it.
    weight_bits: bits of the weights of a quantized network.
    activation_bits: bits of its activations.
    quantize_delay: steps before values were rounded; None if they were not.
    is_segmentation: whether the network gives a class for each pixel.
    strides: of segmentation: the strides that are scored.
    class_names: of segmentation: the names of the classes.
  """

  path: str
  model_name: str
  num_classes: int | None
  image_size: int | None
  preprocessing_name: str
  use_grayscale: bool
  labels_offset: int
  moving_average_decay: float | None
  dataset_name: str | None
  dataset_dir: str | None
  weight_bits: int = 8
  activation_bits: int = 8
  quantize_delay: int | None = None
  is_segmentation: bool = False
  strides: tuple[int, ...] = ()
  class_names: tuple[str, ...] = ()


def read(folder: str) -> dict | None:
  """Returns the card of a run, or None.

  A card that cannot be read is renamed to run_card.json.damaged.
  """
  path = os.path.join(folder, JSON_NAME)
  try:
    card = _load(path)
    if card['format'] == FORMAT and isinstance(card['sessions'], list):
      return card
  except FileNotFoundError:
    return None
  except (ValueError, KeyError, TypeError):
    pass
  os.replace(path, path + '.damaged')
  print(f'{path} cannot be read as a run card: it is renamed to {path}.damaged, and a'
        ' new one is started', flush=True)
  return None


def facts_of(checkpoint: str) -> tuple[RunFacts | None, str | None]:
  """Returns the facts in the run card beside a checkpoint.

  Args:
    checkpoint: its prefix.

  Returns:
    (facts, note): both are None without a run card; for a card that cannot be used, the
    note has the reason.
  """
  if os.path.exists(checkpoint + OF_ONE_CHECKPOINT):
    return _facts_of_one(checkpoint + OF_ONE_CHECKPOINT)
  folder, name = os.path.split(checkpoint)
  own = os.path.basename(os.path.abspath(folder))
  if own == BEST_FOLDER or _PUT_ASIDE.fullmatch(own):
    folder = os.path.dirname(os.path.abspath(folder))
  path = os.path.join(folder, JSON_NAME)
  if _PUT_ASIDE.fullmatch(own) and os.path.exists(path):
    return None, (f"the run card '{path}' is not used: '{own}' may be of an earlier run"
                  ' in that folder')
  try:
    card = _load(path)
    if card['format'] != FORMAT:
      return None, (f"the run card '{path}' has the format {card['format']}, this"
                    f' program reads {FORMAT}: it is not used')
    reason = _other_run(card['sessions'], name)
    if reason:
      return None, f"the run card '{path}' is not used: {reason}"
    return _facts(path, card, int(_OF_A_RUN.fullmatch(name)[1])), None
  except FileNotFoundError:
    return None, None
  except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError):
    return None, f"the run card '{path}' cannot be read: it is not used"


def write_facts(checkpoint: str, model_name: str, num_classes: int | None,
                image_size: int, channels: int,
                preprocessing_name: str | None = None) -> None:
  """Writes the card of one converted checkpoint; a card that is there is replaced.

  Args:
    checkpoint: its prefix.
    model_name: the network.
    num_classes: number of logits; None: it has no head.
    image_size: height and width of its images.
    channels: of its images.
    preprocessing_name: a family or a network; None: that of the network.
  """
  facts = {'format': FORMAT, 'model_name': model_name, 'classes': num_classes,
           'image_size': image_size,
           'preprocessing_name': preprocessing_name or model_name,
           'use_grayscale': channels == 1 != networks.NETWORKS[model_name].channels}
  atomic.write_text(
      checkpoint + OF_ONE_CHECKPOINT, json.dumps(facts, indent=1) + '\n')


def _facts_of_one(path):
  """Returns `facts_of` of the card of one checkpoint."""
  try:
    card = _load(path)
    if card['format'] != FORMAT or card['model_name'] not in networks.NETWORKS:
      raise ValueError(card)
    preprocessing_name = card.get('preprocessing_name', card['model_name'])
    preprocessing_families.check(preprocessing_name)
    return RunFacts(
        path, card['model_name'], _typed(card['classes'], int),
        _typed(card['image_size'], int), preprocessing_name,
        bool(_typed(card['use_grayscale'], bool)), 0, None, None, None), None
  except (OSError, ValueError, KeyError, TypeError):
    return None, f"the card '{path}' cannot be read: it is not used"


def _load(path):
  with open(path, encoding='utf-8') as file:
    return json.load(file)


def _other_run(sessions, name) -> str | None:
  """Returns the reason why a checkpoint is not of the card's run, or None."""
  match = _OF_A_RUN.fullmatch(name)
  if not match:
    return f"the checkpoint is '{name}', expected a name such as model.ckpt-1000"
  last = sessions[-1]
  # A killed run may have saved after it wrote its card.
  if int(match[1]) > last['step'] and last['stopped_by'] != UNDER_WAY:
    return f"'{name}' is of a later step than its run, which ended at {last['step']}"
  return None


def _facts(path, card, step) -> RunFacts:
  """Returns the facts of the checkpoint of a step; raises on unexpected values."""
  values = {name: flag['value'] for name, flag in card['flags'].items()}
  size = card['run'].get('image_size', values.get('train_image_size'))
  for name, value in _flags_before(card['sessions'], step).items():
    values[name] = value
    if name == 'train_image_size':
      size = value
  model_name = values['model_name']
  preprocessing_name = values.get('preprocessing_name') or model_name
  if model_name not in networks.NETWORKS or not (
      preprocessing_name in networks.NETWORKS
      or preprocessing_name in preprocessing_families.NAMES):
    raise ValueError(model_name, preprocessing_name)
  delay = _typed(values.get('quantize_delay'), int)
  return RunFacts(
      path, model_name, _typed(card['run'].get('classes'), int), _typed(size, int),
      preprocessing_name, bool(_typed(values.get('use_grayscale'), bool)),
      _typed(values.get('labels_offset'), int) or 0,
      _typed(values.get('moving_average_decay'), int, float),
      _typed(values.get('dataset_name'), str), _typed(values.get('dataset_dir'), str),
      *(_typed(values.get(name), int) or 8 for name in (
          'quantize_weight_bits', 'quantize_activation_bits')),
      None if delay is None or delay < 0 else delay, *_segmentation(card, values))


def _segmentation(card, values):
  """Returns the facts of a card about segmentation."""
  if not values.get('segmentation'):
    return False, (), ()
  names = card['run'].get('class_names', [])
  return (True, tuple(map(int, values['segmentation_strides'])),
          tuple(_typed(name, str) for name in names))


def _flags_before(sessions, step) -> Mapping[str, Any]:
  """Returns the flags that had other values when a step's checkpoint was saved."""
  before = {}
  for session in reversed(sessions):
    if session.get('first_step', 0) < step or not session.get('resumed'):
      break
    for name, (value, _) in session.get('changed', {}).items():
      if name.startswith('flags.'):
        before[name.removeprefix('flags.')] = value
  return before


def _typed(value, *types):
  if value is not None and type(value) not in types:
    raise TypeError(value)
  return value
