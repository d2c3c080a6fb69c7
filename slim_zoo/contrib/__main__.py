"""The command `python -m slim_zoo.contrib PROGRAM.py`, see `program`."""

import sys

from slim_zoo.contrib import program

if __name__ == '__main__':
  sys.exit(program.main(sys.argv[1:]))
