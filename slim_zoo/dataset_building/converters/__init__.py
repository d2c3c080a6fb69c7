"""Converters of the published data sets: from their archives to a plan of records.

Each module has
  FILES        the files to download if the user names no source; () if none can be
  OPTIONS      the names of the options that `plan` takes
  plan(source, scratch, **options)
               returns the `conversion_plan.Plan` of what `source` holds; `scratch` is
               a folder for decompressed copies
Needs no TensorFlow.
"""

import importlib
import types

_NAMES = ('cifar10', 'flowers', 'imagenet', 'mnist', 'visualwakewords')


def find(name: str) -> types.ModuleType | None:
  """Returns the converter of a data set, or None."""
  return (importlib.import_module(f'slim_zoo.dataset_building.converters.{name}')
          if name in _NAMES else None)
