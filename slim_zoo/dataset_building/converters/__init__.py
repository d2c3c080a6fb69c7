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

from slim_zoo import diagnostics

NAMES = ('cifar10', 'flowers', 'imagenet', 'mnist', 'visualwakewords')


def find(name: str) -> types.ModuleType:
  """Returns the converter of a data set.

  Raises:
    UserError: there is none.
  """
  if name not in NAMES:
    raise diagnostics.UserError(
        f"--dataset_name={name}: there is no converter from a published archive (there"
        f" is one for {', '.join(NAMES)}): write the TFRecords with slim-zoo"
        ' convert-images, or add a module to slim_zoo/dataset_building/converters')
  return importlib.import_module(f'slim_zoo.dataset_building.converters.{name}')
