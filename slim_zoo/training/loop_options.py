"""How a training run is carried out: the options of the loop."""

import dataclasses
from collections.abc import Mapping

from slim_zoo.deployment import graph_rewrite
from slim_zoo.training import sessions


@dataclasses.dataclass(frozen=True)
class LoopOptions:
  """How a run is carried out.

  Attributes:
    train_dir: where checkpoints and summaries go.
    max_number_of_steps: the global step to stop at; None: no end.
    log_every_n_steps: steps between progress lines; 0: none.
    save_summaries_secs: seconds between summaries; 0: none. The curves are written
      after the first step of this process and after its last one, too.
    save_interval_secs: seconds between checkpoints; 0: only at the end.
    images_per_step: images that are read while the global step rises by one.
    place: where the sessions are, and whether this process is the chief.
    memory_options: the options of the run by name. A message about too little memory
      names the options that reduce it.
    precision: of `graph_rewrite.set_precision`, for the sessions.
    input_servers: addresses, by name, of the servers that the images come from.
    input_timeout_secs: how long a step waits for such a server that does not answer.
  """

  train_dir: str
  max_number_of_steps: int | None
  log_every_n_steps: int
  save_summaries_secs: float
  save_interval_secs: float
  images_per_step: int
  place: sessions.Place = dataclasses.field(default_factory=sessions.Place)
  memory_options: Mapping[str, object] = dataclasses.field(default_factory=dict)
  precision: str = graph_rewrite.FLOAT32
  input_servers: Mapping[str, str] = dataclasses.field(default_factory=dict)
  input_timeout_secs: float = 0

  @property
  def is_chief(self) -> bool:
    """Whether this process initializes, saves and summarizes."""
    return self.place.is_chief
