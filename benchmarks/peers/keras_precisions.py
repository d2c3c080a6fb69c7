"""Times Keras 3's applications in float32 and mixed_bfloat16, in turn."""

from benchmarks.peers import keras_applications, reports


def measure(task) -> dict:
  """Returns the seconds of each round by type."""
  runs = {}
  for dtype, policy in (('float32', 'float32'), ('bfloat16', 'mixed_bfloat16')):
    runs[dtype], facts = keras_applications.make_run(task, policy)
  return {'rounds': reports.in_turn(runs, task), **facts}


if __name__ == '__main__':
  reports.print_result(measure)
