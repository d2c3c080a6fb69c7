"""slim's `nets` in this checkout: an alias of slim_zoo.nets."""

import sys

import slim_zoo.nets

sys.modules[__name__] = slim_zoo.nets
