"""slim's `preprocessing` in this checkout: an alias of slim_zoo.preprocessing."""

import sys

import slim_zoo.preprocessing

sys.modules[__name__] = slim_zoo.preprocessing
