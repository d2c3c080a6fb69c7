"""Which network a checkpoint is to be read into, as far as the checkpoint tells it."""

import dataclasses

from slim_zoo import diagnostics
from slim_zoo.catalog import networks
from slim_zoo.checkpoints import (
    comparison,
    identify,
    restore,
    run_facts,
    trained_input,
    values,
)


@dataclasses.dataclass(frozen=True)
class Choice:
  """A network, and what its images are made of.

  Attributes:
    checkpoint: the prefix of the checkpoint.
    model_name: of the network.
    num_classes: of its logits.
    channels: of its images.
    image_size: of its images; None: the network's own.
    weights_size: of its images, where the weights depend on it; else None.
    facts: of its run; None without a run card that can be used.
    notes: what should be said of the checkpoint.
  """

  checkpoint: str
  model_name: str
  num_classes: int
  channels: int
  image_size: int | None
  weights_size: int | None = None
  facts: run_facts.RunFacts | None = None
  notes: tuple[str, ...] = ()


def choose(checkpoint: str, model_name: str | None = None,
           num_classes: int | None = None, image_size: int | None = None,
           moving_averages: bool = False) -> Choice:
  """Returns what is given, and what the checkpoint tells for the rest.

  Args:
    checkpoint: a prefix, or a folder, for its latest.
    model_name: None: the network that the checkpoint is of.
    num_classes: None: as many as the checkpoint has.
    image_size: None: the size that the checkpoint's weights are of.
    moving_averages: whether the weights' moving averages are used in their place.

  Raises:
    UserError: there is no checkpoint, it is of no network of the zoo that takes
      images, or not of the one that is given.
  """
  path = restore.find(checkpoint)
  shapes = values.shapes_of(path)
  facts, note = trained_input.facts_of(path, shapes)
  match = _match(path, shapes, model_name, facts and facts.model_name)
  row = networks.get_image_network(match.network)
  if match.num_classes is None:
    raise diagnostics.UserError(
        f"the checkpoint '{path}' has no logits of {match.network}: it can be"
        ' fine-tuned, but there is nothing to classify with')
  if num_classes not in (None, match.num_classes):
    raise diagnostics.UserError(
        f'--num_classes={num_classes}, but the checkpoint has {match.num_classes}'
        ' classes: leave the flag out')
  notes = (note, trained_input.averages_note(shapes, facts, moving_averages))
  return Choice(path, match.network, match.num_classes, match.channels or row.channels,
                image_size or match.image_size, match.image_size, facts,
                tuple(filter(None, notes)))


def _match(path, shapes, model_name, likely_name) -> comparison.Match:
  """Returns the match that fits: of `model_name`, or of whichever network does.

  Where several do, that is the one of `likely_name`.
  """
  if model_name:
    networks.get_image_network(model_name)
  found = identify.identify(shapes, limit=None)
  fitting = [match for match in found if match.fits and not match.renamed]
  fitting.sort(key=lambda match: match.network != likely_name)
  for match in fitting:
    if model_name in (None, match.network):
      return match
  if model_name:
    advice = identify.advice(shapes, model_name) or 'slim-zoo inspect shows why'
    raise diagnostics.UserError(
        f"the checkpoint '{path}' is not of {model_name}: {advice}")
  near = f' (it is most like {found[0].network})' if found else ''
  raise diagnostics.UserError(
      f"the checkpoint '{path}' is of no network of the zoo as it is{near}:"
      ' slim-zoo inspect shows what differs')
