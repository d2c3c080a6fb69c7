"""Converters of published data sets: from their archives to a plan of records.

Each module has
  FILES        the files to download if the user gives no source; () if impossible
  OPTIONS      the names of the options of `plan`
  plan(source, scratch, **options)
               returns the `conversion_plan.Plan` of `source`; `scratch` is a folder for
               decompressed copies
Needs no TensorFlow.
"""

import importlib
import types

_NAMES = ('cifar10', 'flowers', 'imagenet', 'mnist', 'visualwakewords')


def find(name: str) -> types.ModuleType | None:
  """Returns the converter of a data set, or None."""
  return (importlib.import_module(f'slim_zoo.dataset_building.converters.{name}')
          if name in _NAMES else None)
