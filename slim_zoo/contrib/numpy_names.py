"""Names that NumPy removed and that programs of 2017 use: np.int, np.float, np.Inf.

They are put back where they are absent. Programs read them from NumPy's own module, so
there is no other place for them.
"""

import numpy as np

_REMOVED = {
    'Inf': np.inf, 'NaN': np.nan, 'alltrue': np.all,
    'asscalar': lambda array: array.item(), 'bool': bool, 'complex': complex,
    'complex_': np.complex128, 'cumproduct': np.cumprod,
    'float': float, 'float_': np.float64, 'infty': np.inf, 'int': int, 'long': int,
    'object': object, 'product': np.prod, 'round_': np.round, 'sometrue': np.any,
    'str': str, 'string_': np.bytes_, 'unicode': str, 'unicode_': np.str_,
}


def restore() -> None:
  """Puts the absent names back into the module numpy of this process."""
  for name, value in _REMOVED.items():
    # vars() and not hasattr(): NumPy answers a removed name by an error with advice.
    vars(np).setdefault(name, value)
