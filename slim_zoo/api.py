"""The Python interface: functions whose arguments are the flags of the commands.

  import slim_zoo
  result = slim_zoo.train(model_name='lenet', dataset_name='digits',
                          dataset_dir='data/digits', train_dir='runs/lenet',
                          max_number_of_steps=1000)
"""

import os

from slim_zoo.config.adopted import adopt_run_facts
from slim_zoo.config.clusters import adopt_cluster
from slim_zoo.config.training import TrainConfig


def train(**options):
  """Trains a network; the arguments are those of `slim-zoo train --help`.

  The first call turns TensorFlow's eager mode off for the whole process: slim's loop
  needs graph mode. Use a process of its own beside code for TensorFlow 2.

  It works several times in one process; only the first call can turn XLA on. In the
  main thread, Ctrl-C and SIGTERM save a checkpoint and raise the error that ends the
  run.

  Args:
    **options: `model_name='lenet'`, `train_dir='runs/lenet'` and so on.

  Returns:
    The `slim_zoo.tasks.train.TrainResult`.

  Raises:
    UserError: a ValueError; an option, the data or the checkpoint does not fit, or the
      run failed. Its text is one line that says what to do.
  """
  config = TrainConfig.from_options(options)
  config.precision.set_environment()
  if config.run.smoke:
    from slim_zoo.tasks import smoke  # Imports TensorFlow.
    return smoke.smoke_test(config)
  config, note = adopt_run_facts(adopt_cluster(config, os.environ))
  if note:
    print(f'note: {note}', flush=True)
  config.check()
  if config.distribution.is_worker:
    config.run.make_train_dir()
  from slim_zoo.tasks import train as task  # Imports TensorFlow.
  return task.train(config, lambda seed: _call('train', {**options, 'seed': seed}))


def _call(function, options):
  """Returns the Python code that calls a function of this module."""
  arguments = ', '.join(f'{name}={value!r}' for name, value in options.items())
  return f'slim_zoo.{function}({arguments})'
