"""The interface of the trackers: MLflow and Weights & Biases."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import ClassVar

# The status of a run at its end.
FINISHED, STOPPED, FAILED = 'finished', 'stopped', 'failed'
PROJECT = 'slim-zoo'


@dataclasses.dataclass(frozen=True)
class RunFacts:
  """The facts about a run at its start.

  Attributes:
    name: name of the run; None: the name in the environment variables of the library,
      else `default_name`.
    project: experiment of MLflow, project of Weights & Biases; None: the name in the
      environment variables of the library, else 'slim-zoo'.
    folder: folder of the local files.
    folder_is_given: whether the user named the folder.
    parameters: values by name.
    step: global step at the start of this process.
    default_name: name of the run if no other name is set.
    parent: id of the training run whose checkpoint is evaluated; None if it was not
      logged.
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
  """Metrics of one step.

  Attributes:
    step: global step.
    kind: kind of the metrics, such as 'progress'.
    values: values by tag, as in TensorBoard.
    seconds: time of the measurement, in seconds since 1970.
  """

  step: int
  kind: str
  values: Mapping[str, float]
  seconds: float


class Tracker:
  """Base class. All methods run in one thread, may be slow and may raise any error.

  Args:
    facts: facts about the run.
    variables: environment variables.

  Attributes:
    name: name of the tracker, as in --log_to.
  """

  name: ClassVar[str] = ''

  def __init__(self, facts: RunFacts, variables: Mapping[str, str]):
    self.facts, self.variables = facts, variables

  @property
  def folder(self) -> str:
    """The absolute path of the folder of local files."""
    return os.path.abspath(self.facts.folder)

  @property
  def store(self) -> str:
    """A text that identifies where runs are stored.

    It needs neither the library nor a connection.
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
    """Returns a line for the user: where the run is, and how to show it."""
    raise NotImplementedError

  def log(self, records: Sequence[Record]) -> None:
    """Sends the metrics of some steps, in order."""
    raise NotImplementedError

  def add(self, path: str, folder: str) -> None:
    """Sends a file, or all files of a folder, to a folder of the run's files."""
    raise NotImplementedError

  def end(self, status: str) -> None:
    """Ends the run; `status` is FINISHED, STOPPED or FAILED."""
    raise NotImplementedError
