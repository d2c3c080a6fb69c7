"""Times this project's networks in float32, bfloat16 and auto, in turn.

Each type has its own session on the same graph. The control is a second float32
session. If the task has 'casts', a training step in bfloat16 with casts also runs, in a
graph of its own.
"""

import contextlib
import dataclasses
import os
import tempfile

from benchmarks.peers import reports
from slim_zoo.deployment import precision_trial
from slim_zoo.files import user_cache
from slim_zoo.tf_compat import tf
from slim_zoo.timing import measured_network, network_timing

_KINDS = {'frozen': ('frozen', 'forward'), 'step': ('training', 'step')}
_BUILDERS = {'frozen': measured_network.frozen_operations,
             'step': measured_network.training_operations}


def measure(task) -> dict:
  """Returns the seconds of each round by type, and what auto chose."""
  setting = measured_network.Setting(task['network'], task['batch_size'])
  chosen = _choice(setting, task['what'])
  with contextlib.ExitStack() as stack:
    stack.enter_context(tf.Graph().as_default())
    operations = _operations(setting, task['what'])
    runs = {}
    for name, dtype in (('float32', 'float32'), ('bfloat16', 'bfloat16'),
                        ('auto', chosen.dtype), ('control', 'float32')):
      session = stack.enter_context(measured_network.session(
          dataclasses.replace(setting, precision=dtype),
          is_frozen=task['what'] == 'frozen'))
      runs[name] = session.make_callable(operations)
    if task.get('casts') and task['what'] == 'step':
      runs['casts'] = _casts(stack, setting)
    return {'rounds': reports.in_turn(runs, task), 'tensorflow': tf.__version__,
            'chosen': chosen.dtype, 'factor': chosen.factor}


def _operations(setting, what):
  return _BUILDERS[what](setting, measured_network.synthetic_batches(setting))[
      _KINDS[what][1]]


def _casts(stack, setting):
  """Returns a step in bfloat16 by casts, in a graph of its own."""
  setting = dataclasses.replace(setting, precision='bfloat16', casts=True)
  stack.enter_context(tf.Graph().as_default())
  operations = _operations(setting, 'step')
  return stack.enter_context(
      measured_network.session(setting)).make_callable(operations)


def _choice(setting, what):
  """Returns what auto chooses, by a trial of its own."""
  choice = precision_trial.without_trial()
  if choice is None:
    with tempfile.TemporaryDirectory() as folder:
      os.environ[user_cache.VARIABLE] = folder
      choice = network_timing.choose_precision(
          setting, *_KINDS[what], user_cache.UserCache(precision_trial.FILE))
  return choice


if __name__ == '__main__':
  reports.print_result(measure)
