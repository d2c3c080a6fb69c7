"""A process that times combinations of a comparison for its parent process.

The parent, `comparison.py`, writes one JSON object in a line for each request, and
reads one in a line for each answer. The first request is the options of the process;
XLA and logical GPUs are chosen when TensorFlow is loaded. Others:

  {'prepare': KEY, 'options': {...}, 'kind': GRAPH, 'what': OPERATION, 'burn_in': N}
  {'run': KEY, 'batches': N}      the answer has 'seconds', of each batch
  {'release': true}               closes all that is prepared

A request that fails is answered by {'reason': LINE}.
"""

import contextlib
import json
import os
import sys
from collections.abc import Callable, Mapping

from slim_zoo import diagnostics, start_up
from slim_zoo.config.benchmark import BenchmarkConfig


class _Prepared:
  """The combinations that are built and have run once."""

  def __init__(self):
    self._stack, self._functions = contextlib.ExitStack(), {}

  def answer(self, request: Mapping) -> dict:
    """Returns the answer to a request."""
    try:
      if 'prepare' in request:
        self._prepare(request)
        return {}
      if 'run' in request:
        return {'seconds': self._seconds(request['run'], request['batches'])}
      self._functions.clear()
      self._stack.close()
      return {}
    except Exception as error:
      # After any error of one combination, the others are still timed.
      line = (diagnostics.explain_memory_error(error, request.get('options', {}))
              or str(error).strip() or repr(error)).splitlines()[0]
      return {'reason': line}

  def _prepare(self, request):
    from slim_zoo.tasks import benchmark
    from slim_zoo.tf_compat import tf
    from slim_zoo.timing import network_timing
    config = BenchmarkConfig.from_options(request['options'])
    config.check()
    setting, = benchmark.settings(
        config, benchmark.planned_precision(config, refuses_slow=True))
    benchmark.check_data_format(config, setting)
    with contextlib.ExitStack() as opened:
      opened.enter_context(tf.Graph().as_default())
      function = opened.enter_context(network_timing.prepared(
          setting, request['kind']))(request['what'])
      for _ in range(request['burn_in']):
        function()
      # After an error it is closed here, else when it is released.
      self._stack.push(opened.pop_all())
    self._functions[request['prepare']] = function

  def _seconds(self, key, batches):
    from slim_zoo.timing import timings
    if key not in self._functions:
      raise diagnostics.UserError('the process that had prepared it has ended')
    return list(timings.timed(self._functions[key], batches).seconds)


def serve(requests, answer: Callable[[dict], None]) -> None:
  """Answers requests until the last one.

  Args:
    requests: an iterator of lines.
    answer: takes an answer.
  """
  config = BenchmarkConfig.from_options(json.loads(next(requests)))
  config.precision.set_environment()
  start_up.load_tensorflow(config.session_settings)
  from slim_zoo.deployment import unused_gpus
  answer({'notes': unused_gpus.notes(), 'gpus': unused_gpus.used()})
  prepared = _Prepared()
  for line in requests:
    answer(prepared.answer(json.loads(line)))


def main() -> None:
  """Serves the parent by stdin and stdout."""
  # Other output must not be mixed with the answers, so stdout becomes stderr.
  answers = os.fdopen(os.dup(1), 'w', encoding='utf-8')
  os.dup2(2, 1)
  serve(sys.stdin, lambda answer: print(json.dumps(answer), file=answers, flush=True))


if __name__ == '__main__':
  main()
