"""What a tracker of experiments gets of a run, and the interface of the trackers."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import ClassVar

# How a run ended.
FINISHED, STOPPED, FAILED = 'finished', 'stopped', 'failed'
PROJECT = 'slim-zoo'


@dataclasses.dataclass(frozen=True)
class Facts:
  """What is known of a run before its first number.

  Attributes:
    name: that the tracker shows; None: `default_name`, or as its variables say.
    project: the experiment of MLflow, the project of Weights & Biases; None: as the
      variables of the library say, else 'slim-zoo'.
    folder: of local files.
    folder_is_given: whether the user named it.
    parameters: values by name.
    step: the global step that this process begins at.
    default_name: the name without another one.
    parent: the id of the run whose checkpoint is evaluated, if it was logged.
  """

  name: str | None
  project: str | None
  folder: str
  folder_is_given: bool
  parameters: Mapping[str, bool | int | float | str]
  step: int = 0
  default_name: str = 'run'
  parent: str | None = None


@dataclasses.dataclass(frozen=True)
class Record:
  """Numbers of one step.

  Attributes:
    step: the global step that they are of.
    kind: what they are of, such as 'progress'.
    values: by tag, as in TensorBoard.
    seconds: when they were measured, since 1970.
  """

  step: int
  kind: str
  values: Mapping[str, float]
  seconds: float


class Tracker:
  """Base class. All methods run in one thread, and may take long or raise any error.

  Args:
    facts: of the run.
    variables: environment variables.

  Attributes:
    name: of the tracker, as in --log_to.
  """

  name: ClassVar[str] = ''

  def __init__(self, facts: Facts, variables: Mapping[str, str]):
    self.facts, self.variables = facts, variables

  @property
  def folder(self) -> str:
    """The absolute path of the folder of local files."""
    return os.path.abspath(self.facts.folder)

  @property
  def store(self) -> str:
    """Where runs are stored, in words that differ for other places.

    It is known without the library, and without a connection.
    """
    raise NotImplementedError

  def start(self, run: str | None) -> str:
    """Begins a run, or continues one.

    Args:
      run: the id of the run to continue; None: a new one.

    Returns:
      The id of the run.
    """
    raise NotImplementedError

  def describe(self) -> str:
    """Returns in words where the run is, and how to look at it."""
    raise NotImplementedError

  def log(self, records: Sequence[Record]) -> None:
    """Sends the numbers of some steps, in order."""
    raise NotImplementedError

  def add(self, path: str, folder: str) -> None:
    """Sends a file, or all files of a folder, to a folder of the run's files."""
    raise NotImplementedError

  def end(self, status: str) -> None:
    """Ends the run; `status` is FINISHED, STOPPED or FAILED."""
    raise NotImplementedError
