"""Kills commands at random moments, runs them again and counts what was lost."""

import dataclasses
import random
import re
import signal
import statistics
import time
from collections.abc import Callable

from tests import scripts

# A process that a signal ends is reported with the signal's number below zero; one
# that ends itself because of it exits with 128 and the number.
_EXIT_CODES = {signal.SIGKILL: (-9,), signal.SIGTERM: (-15, 143)}
# The share of kills that wait for a file to be under way.
_WHILE_WRITING = 0.5


@dataclasses.dataclass(frozen=True)
class Killed:
  """A command that was ended by a signal.

  Attributes:
    number: the signal.
    returncode: of the process.
    output: what it printed.
    step: the last training step it printed, or None.
    time: when it had ended, in seconds since the epoch.
  """

  number: signal.Signals
  returncode: int
  output: str
  step: int | None
  time: float


class Command:
  """A command line, the folder it writes to, and what must hold around a kill.

  Attributes:
    name: of this kind of work.
    unit: of what a kill may lose.
    seconds: how long the last run without a kill took; None before the first.
  """

  name = unit = ''

  def __init__(self):
    self.seconds = None

  def begin(self) -> None:
    """Prepares a folder in which nothing was done yet."""

  def line(self) -> list[str]:
    """Returns the command line; it is the same for every run in a folder."""
    raise NotImplementedError

  def unfinished(self) -> set[str]:
    """Returns the names of files that are under way now."""
    raise NotImplementedError

  def while_running(self, printed: str) -> None:
    """Is called every few milliseconds with what the command has printed."""

  def check_killed(self, killed: Killed) -> float:
    """Checks what a kill left; returns how much must be done again."""
    raise NotImplementedError

  def check_finished(self, output: str) -> None:
    """Checks what is there after a run to the end."""
    raise NotImplementedError


@dataclasses.dataclass
class Tally:
  """What the kills of one kind of work cost.

  Attributes:
    name: of the kind.
    unit: of the losses.
    losses: (signal, what was lost) of every kill.
    continued: runs of the same command after kills that came to the right end.
  """

  name: str
  unit: str
  losses: list[tuple[signal.Signals, float]] = dataclasses.field(default_factory=list)
  continued: int = 0

  def row(self) -> str:
    """Returns the tally as one line of a table."""
    cells = [self.name]
    for number in (signal.SIGKILL, signal.SIGTERM):
      lost = [loss for other, loss in self.losses if other == number]
      cells += [f'{len(lost)} {number.name}',
                f'max {max(lost):g}, median {statistics.median(lost):g} {self.unit}'
                if lost else '-']
    return ' | '.join([*cells, f'{self.continued} continued'])


def kill_repeatedly(command: Command, kills: int, chance: random.Random,
                    tally: Tally) -> None:
  """Kills a command `kills` times; after one to five kills it runs to its end.

  Args:
    command: what to run.
    kills: how often it is killed.
    chance: chooses the signals and the moments.
    tally: counts the kills and what they cost.
  """
  if kills:
    _run_to_the_end(command, begins_anew=True)
  while len(tally.losses) < kills:
    command.begin()
    ended_by_itself = False
    for _ in range(min(chance.randint(1, 5), kills - len(tally.losses))):
      killed = _run_and_kill(command, chance)
      if killed is None:
        ended_by_itself = True
        break
      tally.losses.append((killed.number, command.check_killed(killed)))
    _run_to_the_end(command)
    tally.continued += not ended_by_itself


def _run_to_the_end(command, begins_anew=False):
  if begins_anew:
    command.begin()
  start = time.monotonic()
  done = scripts.run_with_signal(
      signal.SIGKILL, lambda printed: command.while_running(printed), command.line())
  if begins_anew:
    command.seconds = time.monotonic() - start
  assert done.returncode == 0, done.stdout[-2000:] + done.stderr
  command.check_finished(done.stdout)


def _run_and_kill(command, chance) -> Killed | None:
  """Runs a command and kills it; returns None if it came to its end before."""
  number = chance.choice([signal.SIGKILL, signal.SIGTERM])
  is_time = (_while_writing if chance.random() < _WHILE_WRITING else _at_a_time)(
      command, chance)

  def when(printed):
    command.while_running(printed)
    return is_time()

  done = scripts.run_with_signal(number, when, command.line())
  ended = time.time()
  if done.returncode == 0:
    command.check_finished(done.stdout)
    return None
  assert done.returncode in _EXIT_CODES[number], (
      done.returncode, done.stdout[-2000:] + done.stderr)
  assert 'Traceback' not in done.stderr, done.stderr
  steps = re.findall(r'^step (\d+)(?:/\d+)?  loss.*\n', done.stdout, re.MULTILINE)
  return Killed(number, done.returncode, done.stdout,
                int(steps[-1]) if steps else None, ended)


def _at_a_time(command, chance) -> Callable[[], bool]:
  """Waits for a random share of the time of a run without a kill."""
  end = time.monotonic() + chance.random() * command.seconds
  return lambda: time.monotonic() >= end


def _while_writing(command, chance) -> Callable[[], bool]:
  """Waits until a random number of files were under way, and up to 20 ms longer."""
  seen, count = command.unfinished(), chance.randint(1, 6)
  last = len(seen) + count
  pause, end = chance.random() * 0.02, None
  give_up = time.monotonic() + command.seconds * (1 + chance.random())

  def is_time():
    nonlocal end
    seen.update(command.unfinished())
    if end is None and len(seen) >= last:
      end = time.monotonic() + pause
    return time.monotonic() >= (give_up if end is None else end)

  return is_time
