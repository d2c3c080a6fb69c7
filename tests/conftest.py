"""What every test starts from."""

import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))


@pytest.fixture(autouse=True)
def fresh_graph():
  """Gives each test an empty default graph: names and collections start anew."""
  from tf_compat import tf
  tf.reset_default_graph()
