"""slim's `datasets` in this checkout: an alias of slim_zoo.datasets."""

import sys

import slim_zoo.datasets

sys.modules[__name__] = slim_zoo.datasets
