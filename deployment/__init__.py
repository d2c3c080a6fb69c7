"""slim's `deployment` in this checkout: an alias of slim_zoo.deployment."""

import sys

import slim_zoo.deployment

sys.modules[__name__] = slim_zoo.deployment
