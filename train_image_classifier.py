"""Trains an image classification network with slim on TFRecords.

`slim-zoo train` is the same command.
"""

from slim_zoo.commands import train

if __name__ == '__main__':
  train.run_command()
