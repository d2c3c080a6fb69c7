"""Evaluates an image classification network on every image of a split.

`slim-zoo eval` is the same command.
"""

from slim_zoo.commands import eval as eval_command

if __name__ == '__main__':
  eval_command.run_command()
