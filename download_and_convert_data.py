"""Downloads a published data set and converts it into TFRecords.

`slim-zoo download` is the same command.
"""

from slim_zoo.commands import download

if __name__ == '__main__':
  download.run_command()
