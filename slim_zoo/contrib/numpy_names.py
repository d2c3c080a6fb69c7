"""Restores names that NumPy removed and old programs use: np.int, np.float, np.Inf.

Only absent names are restored. They have to be in NumPy's own module, because programs
read them from there.
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
