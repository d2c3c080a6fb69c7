"""Of damaged checkpoints a whole one is taken, or the answer is one line."""

import shutil

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from slim_zoo import diagnostics
from slim_zoo.checkpoints import inspection, restore, run_checkpoints
from slim_zoo.tf_compat import tf
from tests.field.fuzzing import cases, check_reason, damages

_STEPS = (3, 5)
_WEIGHTS = {'LeNet/conv1/weights': (5, 5, 1, 4), 'LeNet/conv1/biases': (4,),
            'LeNet/fc4/weights': (8, 10), 'LeNet/fc4/biases': (10,)}
_SUFFIXES = ('.index', '.data-00000-of-00001')
_NAMES = ('checkpoint', *(f'model.ckpt-{step}{suffix}' for step in _STEPS
                          for suffix in _SUFFIXES))


def _value(name, step):
  return np.random.default_rng(len(name) + step).normal(
      size=_WEIGHTS[name]).astype(np.float32)


@pytest.fixture(scope='module')
def files(tmp_path_factory):
  """Returns the files of a run's folder with two checkpoints, {name: bytes}."""
  folder = tmp_path_factory.mktemp('whole')
  with tf.Graph().as_default() as graph:
    variables = {name: tf.get_variable(name, shape)
                 for name, shape in _WEIGHTS.items()}
    step = tf.train.get_or_create_global_step()
    saver = tf.train.Saver(save_relative_paths=True)
  session = tf.Session(graph=graph)
  for number in _STEPS:
    for name, variable in variables.items():
      variable.load(_value(name, number), session)
    step.load(number, session)
    saver.save(session, str(folder / 'model.ckpt'), number, write_meta_graph=False)
  session.close()
  return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  return tmp_path_factory.mktemp('damaged') / 'run'


def _write(folder, files, name, change):
  """Writes a run's files, one of them changed; None in place of data: left out."""
  shutil.rmtree(folder, ignore_errors=True)
  folder.mkdir()
  for other, data in files.items():
    data = change(data) if other == name else data
    if data is not None:
      (folder / other).write_bytes(data)


def _check_values(prefix):
  """Checks that a checkpoint that counts as whole has its own values."""
  step = restore.global_step_of(prefix)
  assert prefix.endswith(f'-{step}')
  for name, value in restore.read_values(prefix, _WEIGHTS).items():
    np.testing.assert_array_equal(value, _value(name, step))


# The name of a file, and what becomes of its data; None: it is left out.
_CHANGES = st.tuples(st.sampled_from(_NAMES), st.one_of(
    damages(), damages(), damages(),
    st.binary(max_size=300).map(lambda noise: lambda data: noise),
    st.just(lambda data: None)))


@example(change=('checkpoint', lambda data: b'\xff\xfe' + data))
@cases(0.1)
@given(change=_CHANGES)
def test_a_run_continues_from_a_whole_checkpoint(change, files, folder):
  _write(folder, files, *change)
  newest = run_checkpoints.newest_complete(str(folder), restore.damage_of)
  _check_values(newest.path)
  newest.describe_damage()
  newest.record()
  assert restore.find(str(folder)) == newest.path


@cases(0.1)
@given(change=_CHANGES, target=st.sampled_from(['', 'model.ckpt-3', 'model.ckpt-5']))
def test_a_checkpoint_that_is_read_has_its_own_values(change, target, files, folder):
  _write(folder, files, *change)
  try:
    prefix = restore.find(str(folder / target) if target else str(folder))
    restore.verify(prefix)
    _check_values(prefix)
  except diagnostics.UserError as error:
    check_reason(error)


def _build(*unused_arguments, **unused_names):
  raise AssertionError('no network of the zoo is like this one')


@cases(0.05)
@given(change=_CHANGES, target=st.sampled_from(['', *_NAMES]))
def test_an_inspection_answers_in_one_line(change, target, files, folder):
  _write(folder, files, *change)
  try:
    found = inspection.inspect(str(folder / target) if target else str(folder), _build)
  except diagnostics.UserError as error:
    check_reason(error)
  else:
    assert found.step in _STEPS
