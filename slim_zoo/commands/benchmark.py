"""Times networks: forward, forward and backward, or whole steps on records.

  slim-zoo benchmark --networks=resnet_v2_50,mobilenet_v2 --batch_sizes=1,32
  slim-zoo benchmark --networks='resnet_v?_50' --frozen --output=times.jsonl
  slim-zoo benchmark --networks=resnet_v1_50 --compare=precision,xla,data_format
  slim-zoo benchmark --networks=lenet --dataset_name=digits \\
      --dataset_dir=demo/data

Images are random and stay in memory. With --dataset_name the images come from records,
and the output names the slowest part of a step: input, forward pass, backward pass or
update. A forward pass counts two operations for each multiply-add of `slim-zoo
networks`, a forward and backward pass six. Auxiliary heads are not counted.
"""

from slim_zoo import start_up
from slim_zoo.commands import option_flags, running
from slim_zoo.config.benchmark import BenchmarkConfig

option_flags.define(BenchmarkConfig)


def main(unused_argv):
  """Reads the flags into a config, checks it, and times the networks."""
  config = BenchmarkConfig.from_options(option_flags.given_options(BenchmarkConfig))
  config.check()
  if config.comparison.compare:
    # It loads TensorFlow in processes of its own, one with XLA and one without.
    from slim_zoo.tasks import comparison
    comparison.compare(config)
    return
  config.check_folders()
  config.precision.set_environment()
  # Takes seconds: only now, when the flags are right.
  start_up.load_tensorflow(config.session_settings)
  from slim_zoo.tasks import benchmark
  benchmark.benchmark(config)


def run_command() -> None:
  """Runs the command with the flags of the command line."""
  running.run(main)
