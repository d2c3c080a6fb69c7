"""The TF-Slim image model zoo on today's TensorFlow.

  import slim_zoo                     # Now slim's own package names can be imported:
  from nets import nets_factory       # the same module as slim_zoo.nets.nets_factory

`slim_zoo.nets` and the other packages can be imported under their full names as well.
Importing `slim_zoo` itself does not import TensorFlow.
"""

from slim_zoo import slim_names
from slim_zoo.api import (
  classify,
  evaluate,
  export,
  inspect,
  probe,
  robustness,
  train,
  weights,
)
from slim_zoo.diagnostics import UserError

__version__ = '0.2.0'

slim_names.install()

__all__ = ['UserError', '__version__', 'classify', 'evaluate', 'export', 'inspect',
           'probe', 'robustness', 'train', 'weights']
