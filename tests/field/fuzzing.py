"""What fuzz tests share: the number of cases, and changes of bytes.

  python -m pytest tests/field                     # 100 cases in all, always the same
  FUZZ=2000 python -m pytest tests/field           # 2,000 cases, others each time
"""

import os

import hypothesis
from hypothesis import strategies as st

FUZZ = int(os.environ.get('FUZZ', '100'))


def cases(share: float) -> hypothesis.settings:
  """Returns the settings of a test that has a share of all cases."""
  return hypothesis.settings(
      max_examples=max(1, round(FUZZ * share)), deadline=None, database=None,
      derandomize='FUZZ' not in os.environ, print_blob=True,
      suppress_health_check=list(hypothesis.HealthCheck))


# Where a change begins, as a share of the data; headers are hit more often.
_PLACES = st.one_of(st.floats(0, 1, exclude_max=True), st.floats(0, 0.02))


def _flip(place, mask):
  def change(data):
    if not data:
      return data
    index = int(place * len(data))
    return data[:index] + bytes([data[index] ^ mask]) + data[index + 1:]
  return change


def _overwrite(place, values):
  def change(data):
    index = int(place * len(data))
    return data[:index] + values + data[index + len(values):]
  return change


def _cut(place):
  return lambda data: data[:int(place * len(data))]


def _insert(place, values):
  def change(data):
    index = int(place * len(data))
    return data[:index] + values + data[index:]
  return change


_CHANGES = st.lists(st.one_of(
    st.builds(_flip, _PLACES, st.integers(1, 255)),
    st.builds(_overwrite, _PLACES, st.binary(min_size=1, max_size=8)),
    st.builds(_cut, st.floats(0, 1)),
    st.builds(_insert, _PLACES, st.binary(min_size=1, max_size=8))),
    min_size=1, max_size=4)


def _apply(changes, data):
  for change in changes:
    data = change(data)
  return data


def damages() -> st.SearchStrategy:
  """Returns a strategy for functions that flip, overwrite, cut or insert bytes."""
  return _CHANGES.map(lambda changes: lambda data: _apply(changes, data))


def damaged(data: bytes) -> st.SearchStrategy[bytes]:
  """Returns a strategy for data with bytes flipped, overwritten, cut or inserted."""
  return _CHANGES.map(lambda changes: _apply(changes, data))


def check_reason(error: Exception) -> None:
  """Checks that an error is one line for a user."""
  text = str(error)
  assert text.strip()
  assert '\n' not in text, text
