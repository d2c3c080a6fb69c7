"""The measured cost of each network: complexity.json, without TensorFlow.

Building all networks takes minutes, so the counts are stored. `slim-zoo networks
--measure` writes the file, and a test counts again.
"""

import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping

from slim_zoo import diagnostics
from slim_zoo.catalog import networks
from slim_zoo.files import atomic

PATH = pathlib.Path(__file__).with_name('complexity.json')


@dataclasses.dataclass(frozen=True)
class Complexity:
  """The cost of a network on one image, or one clip of a video.

  Attributes:
    input_shape: (height, width, channels), for video (frames, height, width, channels),
      of the network's default size.
    num_classes: the number of logits of the measured network.
    parameters: number of trainable values that the logits depend on.
    multiply_adds: of convolutions and matrix products that the logits depend on.
  """

  input_shape: tuple[int, ...]
  num_classes: int
  parameters: int
  multiply_adds: int


def measure_command(name: str) -> str:
  """Returns the command that measures a network and stores the result."""
  return f'slim-zoo networks --measure --filter={name}'


def load(path: os.PathLike = PATH) -> dict[str, Complexity]:
  """Returns the stored costs by network name, for networks in the table.

  Raises:
    UserError: the file is damaged.
    OSError: it cannot be read.
  """
  try:
    with open(path, encoding='utf-8') as file:
      values = json.load(file)
    return {name: Complexity(tuple(value.pop('input_shape')), **value)
            for name, value in values.items() if name in networks.NETWORKS}
  except FileNotFoundError:
    return {}
  except (ValueError, KeyError, TypeError, AttributeError) as error:
    raise diagnostics.UserError(
        f"'{path}' is damaged ({error}): remove it and write it again with"
        ' slim-zoo networks --measure') from error


def save(costs: Mapping[str, Complexity], path: os.PathLike = PATH) -> None:
  """Writes costs, one network per line, in the order of the table.

  Raises:
    OSError: the file cannot be written.
  """
  lines = [f'  {json.dumps(name)}: {json.dumps(dataclasses.asdict(costs[name]))}'
           for name in networks.NETWORKS if name in costs]
  atomic.write_text(path, '{\n' + ',\n'.join(lines) + '\n}\n')
