"""What the run card beside a checkpoint tells of how its images were made ready."""

import json
import os
from typing import Any

_NAME = 'run_card.json'


def read_flags(checkpoint: str) -> dict[str, Any]:
  """Returns the flags that a checkpoint's run was trained with, by name.

  They are empty where there is no card, or none that can be read.
  """
  path = os.path.join(os.path.dirname(checkpoint), _NAME)
  try:
    with open(path, encoding='utf-8') as file:
      card = json.load(file)
    return {name: flag['value'] for name, flag in card['flags'].items()}
  except (OSError, ValueError, KeyError, TypeError, AttributeError):
    return {}
