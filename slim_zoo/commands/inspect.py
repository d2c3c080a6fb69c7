"""Says which network of the zoo a checkpoint is of, and prints commands that fit it.

  slim-zoo inspect --checkpoint_path=inception_v3.ckpt
  slim-zoo inspect --checkpoint_path=runs/pets --json
  slim-zoo inspect --checkpoint_path=model.ckpt-18 --dump=model.npz

Knows the network by its variables, whatever its class count, with and without
auxiliary head, moving averages and optimizer slots. Reads every value. --dump writes
the values of any checkpoint of TensorFlow 1 to a file that NumPy or safetensors reads.

Exit codes: 0, a network of the zoo and sound; 1, no checkpoint, or a damaged one,
values that are not finite, or flags that do not fit together; 2, an unknown flag or a
wrong value; 3, no network of the zoo: the nearest and what differs are shown. With
--dump, the code is 0 for any network.
"""

import json

from slim_zoo import start_up
from slim_zoo.commands import option_flags, running
from slim_zoo.config.inspection import InspectConfig

option_flags.define(InspectConfig)

_NO_NETWORK = 3


def main(unused_argv):
  """Reads the flags into a config, checks it, inspects; returns the exit code."""
  config = InspectConfig.from_options(option_flags.given_options(InspectConfig))
  config.check()
  # Takes seconds: only now, when the flags are right.
  start_up.load_tensorflow()
  from slim_zoo.tasks import inspect
  facts = inspect.inspect(config)
  if config.checkpoint.json:
    print(json.dumps(facts.values(), indent=2))
  else:
    print('\n'.join(facts.description))
    for purpose, command in facts.commands.items():
      print(f'\n{purpose}:\n{command}')
  facts.check_finite()
  return 0 if facts.network or config.checkpoint.dump else _NO_NETWORK


def run_command() -> None:
  """Runs the command with the flags of the command line."""
  running.run(main)
