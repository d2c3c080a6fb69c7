"""The benchmark of the training loop."""

import inspect

from benchmarks.peers import bare_steps
from slim_zoo.training import whole_run


def test_bare_steps_take_the_place_of_a_run():
  run = inspect.signature(whole_run.run)
  bare = inspect.signature(bare_steps.bare_run({}))
  bare.bind(*run.parameters)
  bare.bind(**{name: None for name in run.parameters})
