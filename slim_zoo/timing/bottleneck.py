"""What a step on records spends its time on: input, forward, backward, update."""

from collections.abc import Mapping, Sequence

from slim_zoo.timing.timings import Timings

# Nested parts of a step, each with what it has more than the one before it.
PARTS = {'forward': 'forward', 'forward_backward': 'backward', 'step': 'update'}


def shares(parts: Mapping[str, Timings], whole: Timings) -> dict[str, float]:
  """Returns the share of each part in the median time of a step; their sum is 1.

  The input works beside the network, so what counts as its share is what reading
  records adds to a step: all of it on cores that both need, nothing where it is
  hidden behind the network. What is below nothing by the noise of the timing is 0.

  Args:
    parts: of steps on images that stay in memory, nested, from the smallest:
      'forward', then 'forward_backward', then 'step'; or only the first of them.
    whole: the largest of the parts, on records.
  """
  found, before = {}, 0.0
  for name in PARTS:
    if name in parts:
      found[PARTS[name]] = max(0.0, parts[name].median - before)
      before = max(before, parts[name].median)
  found = {'input': max(0.0, whole.median - before), **found}
  total = sum(found.values())
  return {name: seconds / total for name, seconds in found.items()}


def in_words(found: Mapping[str, float], num_images: int, input_alone: Timings,
             whole: Timings) -> Sequence[str]:
  """Returns the lines that name the bottleneck.

  Args:
    found: of `shares`.
    num_images: of a step.
    input_alone: batches of records without any network.
    whole: steps on records.
  """
  largest = max(found, key=found.get)
  parts = '  '.join(f'{name} {share:.0%}' for name, share in found.items())
  return [
      f'of a step on records: {parts}',
      f'the bottleneck: {largest} (the input alone gives'
      f' {num_images / input_alone.median:,.1f} images/s, the step takes'
      f' {num_images / whole.median:,.1f})']
