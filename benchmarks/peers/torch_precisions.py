"""Times PyTorch with timm's networks in float32 and by autocast, in turn."""

from benchmarks.peers import reports, torch_timm


def measure(task) -> dict:
  """Returns the seconds of each round by type."""
  runs = {}
  for dtype in ('float32', 'bfloat16'):
    runs[dtype], facts = torch_timm.make_run(task, dtype == 'bfloat16')
  return {'rounds': reports.in_turn(runs, task), **facts}


if __name__ == '__main__':
  reports.print_result(measure)
