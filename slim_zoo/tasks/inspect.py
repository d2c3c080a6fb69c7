"""Inspection: `inspect(config)` returns the facts of a checkpoint.

It also writes the values to a file, if the config names one.
"""

import dataclasses
import sys
from typing import Any

from slim_zoo import diagnostics
from slim_zoo.checkpoints import described, dumping, inspection, trained_network
from slim_zoo.checkpoints.inspection import Inspection
from slim_zoo.config.inspection import InspectConfig
from slim_zoo.nets import fcn, variables
from slim_zoo.tasks import suggested_commands


@dataclasses.dataclass(frozen=True)
class CheckpointFacts:
  """The facts of a checkpoint. Most are None if no network of the zoo fits.

  Attributes:
    checkpoint: prefix of the checkpoint.
    bytes: size of its files.
    network: the network that fits its variables; of a segmentation network, its
      backbone.
    arguments: arguments of the network's function for a width without a name.
    depth_multiplier: the width; None for networks without widths.
    scope: scope of the variables.
    num_classes: number of classes; None without logits.
    labels_offset: number that is subtracted from the labels of ImageNet.
    head_scopes: the scopes to leave out when the class count changes.
    auxiliary_head: whether the checkpoint has an auxiliary head; None for networks
      without one.
    preprocessing: the preprocessing family.
    image_size: height and width of the images; None for images of any size.
    segmentation_strides: the scored strides of a segmentation network; else None.
    run_card: path of the run card; None without one that can be used.
    channels: channels of the images.
    beside: names of variables that do not belong to the network.
    quantized: how values are rounded: num_ranges, per_channel, weight_bits,
      activation_bits; None if the checkpoint has no ranges.
    global_step: global step; None if it is not in the checkpoint.
    variables: number of weight variables.
    parameters: number of their values, without the statistics of batch norm.
    moving_averages: number of weights with a moving average.
    only_averages: number of weights of which only the moving average is stored.
    optimizers: names of the optimizers with slots.
    slots: number of weights with a slot, by name of the slot.
    not_finite: names of variables with NaN or infinite values; None if the values were
      not read.
    statistics_never_updated: number of batch norm statistics with their initial values;
      None if the values were not read.
    nearest: differences from the nearest networks, if no network fits.
    commands: command lines for the checkpoint by purpose.
    description: all facts as lines of text.
  """

  checkpoint: str
  bytes: int
  network: str | None
  arguments: dict[str, Any] | None
  depth_multiplier: float | None
  scope: str | None
  num_classes: int | None
  labels_offset: int | None
  head_scopes: list[str] | None
  auxiliary_head: bool | None
  preprocessing: str | None
  image_size: int | None
  segmentation_strides: list[int] | None
  run_card: str | None
  channels: int | None
  beside: list[str] | None
  quantized: dict | None
  global_step: int | None
  variables: int
  parameters: int
  moving_averages: int
  only_averages: int
  optimizers: list[str]
  slots: dict[str, int]
  not_finite: list[str] | None
  statistics_never_updated: int | None
  nearest: list[dict[str, Any]]
  commands: dict[str, str]
  description: tuple[str, ...]

  def values(self) -> dict[str, Any]:
    """Returns the facts as plain values, for JSON; without the description."""
    return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)
            if field.name != 'description'}

  def check_finite(self) -> None:
    """Refuses weights that cannot be used.

    Raises:
      UserError: a value is NaN or infinite.
    """
    if self.not_finite:
      names = self.not_finite
      more = f' and {len(names) - 1} more' if len(names) > 1 else ''
      raise diagnostics.UserError(
          f"'{self.checkpoint}' cannot be used: NaN or infinite values in"
          f' {names[0]}{more}; take an earlier checkpoint')


def inspect(config: InspectConfig) -> CheckpointFacts:
  """Returns the facts of a checkpoint.

  Args:
    config: what to do; `config.check()` has been called.

  Raises:
    UserError: there is none, or it is damaged.
    OSError: the file of the values cannot be written.
  """
  options = config.checkpoint
  inspected = inspection.inspect(
      options.checkpoint_path, variables.measure, options.check_values)
  if options.dump:
    dump = dumping.write(inspected.path, options.dump)
    print('\n'.join(dump.lines), file=sys.stderr, flush=True)
  return facts_of(inspected)


def facts_of(inspected: Inspection) -> CheckpointFacts:
  """Returns the facts of an inspection as plain values."""
  match, kept, read = inspected.match, inspected.contents, inspected.values
  segmentation = inspected.segmentation
  network = segmentation or (match and inspected.network)
  return CheckpointFacts(
      checkpoint=inspected.path, bytes=inspected.num_bytes,
      network=network and network.model_name,
      arguments=match and match.arguments,
      depth_multiplier=match and match.depth_multiplier,
      scope=match and match.scope,
      num_classes=network and network.num_classes,
      labels_offset=match and inspection.labels_offset(match.num_classes),
      head_scopes=[fcn.SCOPE] if segmentation else (
          match and inspection.head_scopes(match)),
      auxiliary_head=match and match.auxiliary,
      preprocessing=network and trained_network.family(network.preprocessing_name),
      image_size=match and network.image_size,
      segmentation_strides=segmentation and list(segmentation.strides),
      run_card=inspected.card and inspected.card.path,
      channels=network and network.channels,
      beside=match and match.beside,
      quantized=inspected.quantized and dataclasses.asdict(inspected.quantized),
      global_step=inspected.step,
      variables=len(kept.weights), parameters=inspected.parameters,
      moving_averages=len(kept.averages), only_averages=len(kept.only_averages),
      optimizers=kept.optimizers,
      slots={slot: len(names) for slot, names in kept.slots.items()},
      not_finite=read and read.not_finite,
      statistics_never_updated=read and read.initial_statistics,
      nearest=[] if match else list(map(described.difference, inspected.nearest)),
      commands=suggested_commands.commands(inspected) if network else {},
      description=tuple(_description(inspected)))


def _description(inspected):
  """Returns the facts as lines of text, with differences from the nearest network."""
  lines = [inspected.path, *(
      f'  {heading:<10} {text}' for heading, text in described.rows(inspected))]
  if not inspected.match and inspected.nearest:
    lines += ['', *described.difference_lines(inspected.nearest[0])]
  return lines
