"""Times the forward pass and the training step of networks.

`slim-zoo benchmark` is the same command.
"""

from slim_zoo.commands import benchmark

if __name__ == '__main__':
  benchmark.run_command()
