"""Makes the modules of the programs importable, as PYTHONPATH would."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
