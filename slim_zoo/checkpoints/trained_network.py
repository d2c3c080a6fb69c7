"""A trained network: the network of a checkpoint, and the form of its images.

The options of a command have priority, then the run card beside the checkpoint, then
the facts of published checkpoints, then the defaults of the catalog. One line shows
which of them were used. Needs no TensorFlow; `identified_network` reads checkpoints.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from slim_zoo import diagnostics
from slim_zoo.catalog import complexity, datasets, networks, published
from slim_zoo.checkpoints import (
    comparison,
    contents,
    identify,
    quantization,
    run_card,
)

# Any decay reads the averages; this is the usual one.
_USUAL_DECAY = 0.9999


@dataclasses.dataclass(frozen=True)
class NetworkOptions:
  """The options of a command that describe a network; None: not set.

  Attributes:
    model_name: a name of `catalog.networks.NETWORKS`.
    num_classes: number of classes of its logits.
    image_size: height and width of the images.
    preprocessing_name: a preprocessing family or a network.
    use_grayscale: whether images are converted to gray.
    labels_offset: number that is subtracted from every label.
    moving_averages: whether the moving averages of the weights are used.
    quantize: whether values are rounded; None: if the checkpoint has ranges.
  """

  model_name: str | None = None
  num_classes: int | None = None
  image_size: int | None = None
  preprocessing_name: str | None = None
  use_grayscale: bool | None = None
  labels_offset: int | None = None
  moving_averages: bool = False
  quantize: bool | None = None


@dataclasses.dataclass(frozen=True)
class TrainedNetwork:
  """A network with the weights of a checkpoint, and the form of its images.

  Attributes:
    checkpoint: the prefix of the checkpoint.
    model_name: a name of `catalog.networks.NETWORKS`.
    num_classes: number of classes; None for a checkpoint without logits.
    image_size: height and width of the images; None: the network's default.
    channels: channels of the network's input; None: those of its images.
    preprocessing_name: a preprocessing family or a network.
    use_grayscale: whether images are converted to gray.
    labels_offset: number that is subtracted from every label.
    moving_averages: whether the moving averages of the weights are used.
    multi_label: whether an image may have several classes or none: then probabilities
      are from sigmoids instead of the softmax.
    quantized: how its values are rounded; None if they are not.
    class_names: name of each class; None if not looked up yet.
    card: the facts of its run; None without a usable run card.
    adopted: options, by name, that come neither from the command nor from defaults.
    differing_options: options, by name, that a command needs without the run card,
      because they differ from the network's defaults.
    notes: lines on adopted options, contradictions and unused moving averages.
  """

  checkpoint: str
  model_name: str
  num_classes: int | None
  image_size: int | None = None
  channels: int | None = None
  preprocessing_name: str = ''
  use_grayscale: bool = False
  labels_offset: int = 0
  moving_averages: bool = False
  multi_label: bool = False
  quantized: quantization.Quantized | None = None
  class_names: tuple[str, ...] | None = None
  card: run_card.RunFacts | None = None
  adopted: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  differing_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  notes: tuple[str, ...] = ()


def card_of(checkpoint: str, shapes: Mapping[str, Sequence[int]]
            ) -> tuple[run_card.RunFacts | None, str | None]:
  """Returns `run_card.facts_of`, without facts if they are of another network.

  Args:
    checkpoint: prefix of the checkpoint.
    shapes: shapes of its variables, by name.
  """
  card, note = run_card.facts_of(checkpoint)
  if card is None:
    return None, note
  for match in identify.identify(shapes, limit=None):
    if match.fits and match.network == card.model_name and (
        None in (card.num_classes, match.num_classes)
        or card.num_classes == match.num_classes):
      return card, None
  classes = '' if card.num_classes is None else f' with {card.num_classes} classes'
  return None, (f"the run card '{card.path}' is not used: it is of {card.model_name}"
                f'{classes}, the checkpoint is not')


def resolve(checkpoint: str, model_name: str, num_classes: int | None,
            card: run_card.RunFacts | None = None,
            options: NetworkOptions = NetworkOptions(), *,
            channels: int | None = None, weights_size: int | None = None,
            size_option: str = 'eval_image_size',
            default_model_name: str | None = None,
            num_labels: int | None = None) -> TrainedNetwork:
  """Returns the network of a checkpoint, with all known options.

  Args:
    checkpoint: prefix of the checkpoint, or 'published:NAME'.
    model_name: a name of `catalog.networks.NETWORKS`.
    num_classes: number of classes of its logits.
    card: facts of its run; None without a run card.
    options: the options of the command.
    channels: channels of the network's input.
    weights_size: the image size if the weights depend on it.
    size_option: the name of the command's option for the size.
    default_model_name: the default network of the command; None: it has no default.
    num_labels: number of labels of the data set; None: it is unknown.
  """
  defaults = _defaults(model_name, size_option, default_model_name)
  chosen = {'model_name': options.model_name, size_option: options.image_size,
            'preprocessing_name': options.preprocessing_name,
            'use_grayscale': options.use_grayscale,
            'labels_offset': options.labels_offset}
  recorded, source = (
      _of_card(card, size_option, defaults) if card else _of_published(
          published.find(model_name, num_classes, checkpoint), size_option, defaults,
          num_labels))
  if weights_size:
    recorded[size_option] = weights_size
  values = {name: _first(chosen[name], recorded.get(name), default)
            for name, default in defaults.items()}
  differing = {name: value for name, value in values.items()
               if not _same(name, value, defaults[name])}
  adopted = {name: value for name, value in recorded.items()
             if chosen[name] is None and not _same(name, value, defaults[name])}
  contradicted = {name: value for name, value in recorded.items()
                  if card is not None and chosen[name] is not None
                  and not _same(name, value, chosen[name])}
  lines = []
  if adopted and not (weights_size and set(adopted) == {size_option}):
    lines.append(f'{source} {as_flags(adopted)}')
  if contradicted:
    used = as_flags({name: chosen[name] for name in contradicted})
    lines.append(f'using {used}; the run card says {as_flags(contradicted)}')
  return TrainedNetwork(
      checkpoint, model_name, num_classes, values[size_option], channels,
      values['preprocessing_name'], values['use_grayscale'], values['labels_offset'],
      options.moving_averages, _is_multi_label(card), card=card, adopted=adopted,
      differing_options=differing, notes=('; '.join(lines),) if lines else ())


def _defaults(model_name, size_option, default_model_name):
  """Returns the default options of a network, by name."""
  cost = complexity.load().get(model_name)
  return {'model_name': default_model_name,
          size_option: cost and cost.input_shape[-2], 'preprocessing_name': model_name,
          'use_grayscale': False, 'labels_offset': 0}


def _of_card(card, size_option, defaults):
  """Returns (options by name, text of their source) of a run card."""
  network_option = {'model_name': card.model_name} if defaults['model_name'] else {}
  return {**network_option, size_option: card.image_size or defaults[size_option],
          'preprocessing_name': card.preprocessing_name,
          'use_grayscale': card.use_grayscale, 'labels_offset': card.labels_offset
          }, 'from the run card beside the checkpoint:'


def _of_published(row, size_option, defaults, num_labels):
  """Returns (options by name, text of their source) of published facts, if any."""
  if row is None:
    return {}, ''
  network_option = {'model_name': row.network} if defaults['model_name'] else {}
  return {**network_option, size_option: row.image_size,
          'preprocessing_name': row.preprocessing,
          'labels_offset': row.labels_offset(num_labels)
          }, f'no run card; assuming the published {row.name}:'


def _first(*values):
  return next((value for value in values if value is not None), None)


def _same(name, value, other):
  if name == 'preprocessing_name':
    return family(value) == family(other)
  return value == other


def _is_multi_label(card):
  """Returns whether the data set of a run card is multi-label; False without it."""
  if card is None or card.dataset_name is None:
    return False
  try:
    return datasets.find_dataset(card.dataset_name, card.dataset_dir).multi_label
  except diagnostics.UserError:
    return False


def averages_note(shapes: Mapping[str, Sequence[int]],
                  card: run_card.RunFacts | None, are_used: bool) -> str | None:
  """Returns a note about moving averages that are not used, or None.

  Args:
    shapes: shapes of the checkpoint's variables, by name.
    card: facts of its run; None without a run card.
    are_used: whether they are used.
  """
  content = contents.sort(shapes)
  if are_used or not comparison.averages_complete(content):
    return None
  return ('the checkpoint keeps moving averages of the weights, which are not used:'
          f' --moving_average_decay={decay_of(card):g} uses them')


def decay_of(card: run_card.RunFacts | None) -> float:
  """Returns the decay of moving averages; a usual one if unknown."""
  return (card and card.moving_average_decay) or _USUAL_DECAY


def as_flags(values: Mapping[str, object]) -> str:
  """Returns values as flags: '--eval_image_size=64 --use_grayscale'."""
  return ' '.join(
      (f'--{name}' if value else f'--no{name}') if isinstance(value, bool)
      else f'--{name}={value}' for name, value in values.items())


def family(preprocessing_name: str) -> str:
  """Returns the preprocessing family of a family or network."""
  row = networks.NETWORKS.get(preprocessing_name)
  return row.preprocessing if row else preprocessing_name
