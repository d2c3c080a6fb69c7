"""Evaluates a network on corrupted images of a split.

  slim-zoo robustness --dataset_name=pets --dataset_dir=data/pets \\
      --dataset_split_name=validation --checkpoint_path=runs/pets \\
      --output_dir=runs/pets/robustness

There are 15 kinds of corruption (noise, blur, weather, digital) in 5 severities. Every
image counts in each. The kinds are those of Hendrycks and Dietterich 2019, but the
algorithms are different, so accuracies cannot be compared with published ones on
ImageNet-C. The command prints a table, and writes all counts and two pictures to
--output_dir. A test that was stopped continues with the next kind.
"""

import shlex
import sys

from slim_zoo import start_up
from slim_zoo.catalog.corruptions import SEVERITIES
from slim_zoo.commands import option_flags, running, tables
from slim_zoo.config.robustness import RobustnessConfig

option_flags.define(RobustnessConfig)

_HEADINGS = ('corruption', *(f'severity {number}' for number in SEVERITIES), 'mean')


def lines(result) -> list[str]:
  """Returns the table of a result, and the main numbers."""
  counts = result.counts
  rows = [(kind, *(counts.accuracy(kind, severity).percent for severity in SEVERITIES),
           f'{counts.mean_of(kind):.2%}') for kind in counts.corrupted]
  clean = counts.accuracy()
  return [
      tables.as_text(_HEADINGS, _HEADINGS[1:], rows), '',
      f'without corruption: {clean.percent}, {clean.correct} of {clean.total} images',
      f'mean over {len(rows)} corruptions and {len(SEVERITIES)} severities:'
      f' {counts.mean:.2%}',
      f'results: {result.output_dir}']


def main(unused_argv):
  """Reads the flags into a config, checks it, and prints the table."""
  config = RobustnessConfig.from_options(option_flags.given_options(RobustnessConfig))
  config.check()
  config.check_folders()
  # Takes seconds: only now, when the flags are right.
  start_up.load_tensorflow(config.devices.settings)
  from slim_zoo.tasks import robustness
  result = robustness.test(config, shlex.join(running.command_line(sys.argv)))
  print('\n'.join(lines(result)), flush=True)


def run_command() -> None:
  """Runs the command with the flags of the command line."""
  running.run(main, when_stopped='finished kinds stay, the same command continues')
