"""Measures whether a graph runs faster in float32 or in bfloat16 on this machine.

The same graph runs in two sessions, one after the other, in several rounds. The median
of the ratios of the rounds decides. The answer is stored for the next command.
"""

import contextlib
import dataclasses
import datetime
import hashlib
import statistics
import time
from collections.abc import Callable, Sequence

from slim_zoo import diagnostics
from slim_zoo.deployment import (
    graph_rewrite,
    processor,
    session_settings,
    small_trials,
)
from slim_zoo.deployment.session_settings import SessionSettings
from slim_zoo.files.user_cache import UserCache
from slim_zoo.tf_compat import tf

FILE = small_trials.FILE
AUTO = 'auto'
# A smaller gain does not justify the rounding, and measurements differ by about 3%.
LEAST_FACTOR = 1.03
# After the fewest rounds, no round starts if the rounds have taken so many seconds.
_FEWEST_ROUNDS, _MOST_ROUNDS, _SECONDS = 3, 9, 8.0
# A graph whose run takes less than this runs several times in a round.
_SECONDS_OF_ROUND = 0.03
_WARM_UP = 2


@dataclasses.dataclass(frozen=True)
class Choice:
  """The type that a graph is computed in.

  Attributes:
    dtype: 'float32' or 'bfloat16'.
    factor: time of float32 divided by that of bfloat16; None: not measured.
    reason: what decided, in words.
  """

  dtype: str
  factor: float | None = None
  reason: str = ''

  def line(self) -> str:
    """Returns the line that says what was chosen, and why."""
    return f'--precision=auto: {self.dtype}, {self.reason}'


# Values are rounded to 8 bits, and both roundings together are not measured.
OF_QUANTIZED = Choice(graph_rewrite.FLOAT32, reason='because a quantized network rounds'
                      ' its values in float32')


def of_factor(factor: float, when: str = '') -> Choice:
  """Returns the choice for a measured factor.

  Args:
    factor: time of float32 divided by that of bfloat16.
    when: the day of the measurement if it is an earlier one.
  """
  is_faster = factor >= LEAST_FACTOR
  reason = (f'{factor:.2f} times as fast as float32' if is_faster else
            f'because bfloat16 is {factor:.2f} times as fast')
  return Choice(
      graph_rewrite.BFLOAT16 if is_faster else graph_rewrite.FLOAT32, factor,
      f'{reason} here' + (f' (measured on {when})' if when else ''))


def without_trial(instructions: Sequence[str] | None = None, device: str = ''
                  ) -> Choice | None:
  """Returns float32, with the reason, where bfloat16 needs no trial; else None.

  Args:
    instructions: of the processor; None: of this one.
    device: of the graph; '' for TensorFlow's choice.
  """
  if graph_rewrite.is_on_gpu(device):
    return Choice(graph_rewrite.FLOAT32, reason='because auto chooses on CPUs only; on'
                  ' this GPU name the precision yourself')
  if not processor.has_bfloat16(
      processor.instructions() if instructions is None else instructions):
    return Choice(graph_rewrite.FLOAT32, reason='because this processor has no'
                  ' instructions for bfloat16')
  try:
    graph_rewrite.check(graph_rewrite.BFLOAT16, device)
  except diagnostics.UserError as error:
    return Choice(graph_rewrite.FLOAT32, reason='because '
                  + str(error).partition(': ')[2].partition(';')[0])
  return None


def key_of(graph: tf.Graph, shape: Sequence[int], kind: str,
           settings: SessionSettings = session_settings.DEFAULTS) -> str:
  """Returns the key of a choice in the cache.

  It contains the machine, the version of TensorFlow, the flags of XLA, the numbers of
  threads, and a digest of the graph.

  Args:
    graph: of the network. Names and values of weights do not count.
    shape: of the batch of images.
    kind: the operation, such as 'step', with the number of clones.
    settings: of the sessions; only the numbers of threads count.
  """
  threads = [session_settings.as_flag(settings, name)
             for name in session_settings.OF_THREADS
             if getattr(settings, name) != getattr(session_settings.DEFAULTS, name)]
  digest = hashlib.sha256()
  for operation in graph.get_operations():
    shapes = [str(output.shape) for output in operation.outputs]
    digest.update(f'{operation.type} {shapes}\n'.encode())
  return '; '.join([small_trials.machine_key(kind), *threads,
                    'x'.join(map(str, shape)), digest.hexdigest()[:24]])


def find(key: str, cache: UserCache) -> Choice | None:
  """Returns the choice that an earlier trial led to; None if there was none."""
  stored = cache.find(key) or {}
  factor = stored.get('factor')
  if not isinstance(factor, (int, float)) or not factor > 0:
    return None
  return of_factor(factor, str(stored.get('when', '')))


def choose(key: str, open_run: Callable[[str], contextlib.AbstractContextManager],
           cache: UserCache) -> Choice:
  """Returns the choice for a graph, from the cache or by a trial.

  Args:
    key: of `key_of`.
    open_run: open_run(dtype) is a context with a function that runs the graph once in
      that type.
    cache: of earlier choices.
  """
  stored = find(key, cache)
  if stored:
    return stored
  with (open_run(graph_rewrite.FLOAT32) as usual,
        open_run(graph_rewrite.BFLOAT16) as reduced):
    times = seconds_in_turn(usual, reduced)
  factor = statistics.median(one / other for one, other in times)
  cache.add(key, {
      'factor': round(factor, 3), 'rounds': len(times),
      'float32_seconds': statistics.median(one for one, _ in times),
      'bfloat16_seconds': statistics.median(other for _, other in times),
      'when': datetime.date.today().isoformat()})
  return of_factor(round(factor, 3))


def seconds_in_turn(usual: Callable, reduced: Callable,
                    clock: Callable[[], float] = time.perf_counter
                    ) -> list[tuple[float, float]]:
  """Returns the seconds of a call of both functions in each round.

  Args:
    usual: called without arguments.
    reduced: likewise; the functions take turns in being the first of a round.
    clock: returns seconds.
  """
  for function in (usual, reduced) * _WARM_UP:
    function()
  calls = max(1, round(_SECONDS_OF_ROUND / max(_seconds(usual, 1, clock), 1e-6)))
  times, begin = [], clock()
  while len(times) < _MOST_ROUNDS and (
      len(times) < _FEWEST_ROUNDS or clock() - begin < _SECONDS):
    if len(times) % 2:
      other, one = (_seconds(reduced, calls, clock), _seconds(usual, calls, clock))
    else:
      one, other = (_seconds(usual, calls, clock), _seconds(reduced, calls, clock))
    times.append((one, other))
  return times


def _seconds(function, calls, clock):
  start = clock()
  for _ in range(calls):
    function()
  return (clock() - start) / calls
