"""How the images of a trained network are made ready, and who says so.

A flag of the command counts first, then the run card beside the checkpoint, then the
facts of the published checkpoints, then the defaults of the network. One line says
which of them were used.
"""

import dataclasses
from collections.abc import Mapping, Sequence

from slim_zoo.catalog import complexity, networks, published
from slim_zoo.checkpoints import comparison, contents, identify, run_facts

# Any decay reads the averages; this is the one that most were kept with.
_USUAL_DECAY = 0.9999


@dataclasses.dataclass(frozen=True)
class Given:
  """What the flags of a command say; None: nothing.

  Attributes:
    image_size: height and width of the images.
    preprocessing_name: a family or a network.
    use_grayscale: whether images are turned to gray.
    labels_offset: what is taken off every label.
    model_name: the network, for commands that have one by default.
  """

  image_size: int | None = None
  preprocessing_name: str | None = None
  use_grayscale: bool | None = None
  labels_offset: int | None = None
  model_name: str | None = None


@dataclasses.dataclass(frozen=True)
class TrainedInput:
  """How images are made ready.

  Attributes:
    image_size: height and width; None: the network's own.
    preprocessing_name: a family or a network.
    use_grayscale: whether images are turned to gray.
    labels_offset: what is taken off every label.
    flags: the flags that say, to a command without the run card, what differs from the
      defaults of the network.
    taken: those of them that neither the flags of the command nor its defaults say.
    note: says what does not come from flags or defaults, and which flags contradict
      the run card; None where nothing is to be said.
  """

  image_size: int | None
  preprocessing_name: str
  use_grayscale: bool
  labels_offset: int
  flags: Mapping[str, object]
  taken: Mapping[str, object]
  note: str | None


def facts_of(checkpoint: str, shapes: Mapping[str, Sequence[int]]
             ) -> tuple[run_facts.RunFacts | None, str | None]:
  """Returns what `run_facts.read` does, if the checkpoint is of the card's network.

  Args:
    checkpoint: its prefix.
    shapes: of its variables, by name.
  """
  facts, note = run_facts.read(checkpoint)
  if facts is None:
    return facts, note
  for match in identify.identify(shapes, limit=None):
    if match.fits and match.network == facts.model_name and (
        None in (facts.num_classes, match.num_classes)
        or facts.num_classes == match.num_classes):
      return facts, None
  classes = '' if facts.num_classes is None else f' with {facts.num_classes} classes'
  return None, (f"the run card '{facts.path}' is not used: it is of {facts.model_name}"
                f'{classes}, the checkpoint is not')


def choose(model_name: str, num_classes: int | None, checkpoint: str,
           facts: run_facts.RunFacts | None, given: Given = Given(),
           weights_size: int | None = None, size_flag: str = 'eval_image_size',
           default_model_name: str | None = None) -> TrainedInput:
  """Returns how the images of a checkpoint's network are made ready.

  Args:
    model_name: a name of `catalog.networks.NETWORKS`.
    num_classes: of its logits.
    checkpoint: its prefix.
    facts: of its run; None without a run card.
    given: what the flags say.
    weights_size: the size of the images that the weights depend on, where they do.
    size_flag: the name of the flag for the size.
    default_model_name: the network that the command takes by default; None: it has no
      default.
  """
  cost = complexity.load().get(model_name)
  own_size = cost and cost.input_shape[-2]
  if facts is not None:
    known = {size_flag: facts.image_size or own_size,
            'preprocessing_name': facts.preprocessing_name,
            'use_grayscale': facts.use_grayscale, 'labels_offset': facts.labels_offset}
    begin = 'from the run card beside the checkpoint:'
  else:
    row = published.find(model_name, num_classes, checkpoint)
    known = {} if row is None else {
        size_flag: row.image_size, 'preprocessing_name': row.preprocessing}
    begin = f'no run card; assuming the published {model_name}:'
  if weights_size:
    known[size_flag] = weights_size
  if facts is not None and default_model_name:
    known = {'model_name': facts.model_name, **known}
  wanted = {size_flag: given.image_size, 'preprocessing_name': given.preprocessing_name,
            'use_grayscale': given.use_grayscale, 'labels_offset': given.labels_offset,
            'model_name': given.model_name}
  plain = {size_flag: own_size, 'preprocessing_name': model_name,
           'use_grayscale': False, 'labels_offset': 0,
           'model_name': default_model_name}
  values = {name: next((value for value in (wanted[name], known.get(name))
                        if value is not None), default)
            for name, default in plain.items()}
  taken = {name: value for name, value in known.items() if wanted[name] is None
           and not _same(name, value, plain[name])}
  against = {name: value for name, value in known.items() if facts is not None
             and wanted[name] is not None and not _same(name, value, wanted[name])}
  parts = [f'{begin} {as_flags(taken)}'] if taken and not (
      set(taken) == {size_flag} and weights_size) else []
  if against:
    used = as_flags({name: wanted[name] for name in against})
    parts.append(f'using {used}; the run card says {as_flags(against)}')
  return TrainedInput(
      values[size_flag], values['preprocessing_name'], values['use_grayscale'],
      values['labels_offset'],
      {name: value for name, value in values.items()
       if not _same(name, value, plain[name])}, taken, '; '.join(parts) or None)


def averages_note(shapes: Mapping[str, Sequence[int]],
                  facts: run_facts.RunFacts | None, are_used: bool) -> str | None:
  """Returns a line on moving averages that training kept and nobody uses, or None.

  Args:
    shapes: of the variables in the checkpoint, by name.
    facts: of its run; None without a run card.
    are_used: whether they are used.
  """
  kept = contents.sort(shapes)
  if are_used or not comparison.averages_complete(kept):
    return None
  return ('the checkpoint keeps moving averages of the weights, which are not used:'
          f' --moving_average_decay={decay_of(facts):g} uses them')


def decay_of(facts: run_facts.RunFacts | None) -> float:
  """Returns the decay that moving averages were kept with, as far as it is known."""
  return (facts and facts.moving_average_decay) or _USUAL_DECAY


def as_flags(values: Mapping[str, object]) -> str:
  """Returns values as they are typed: '--eval_image_size=64 --use_grayscale'."""
  return ' '.join(
      (f'--{name}' if value else f'--no{name}') if isinstance(value, bool)
      else f'--{name}={value}' for name, value in values.items())


def _same(name, value, other):
  if name == 'preprocessing_name':
    return family(value) == family(other)
  return value == other


def family(preprocessing_name: str) -> str:
  """Returns the preprocessing family that a name stands for."""
  row = networks.NETWORKS.get(preprocessing_name)
  return row.preprocessing if row else preprocessing_name
