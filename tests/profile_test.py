"""--profile_steps: a trace of the steps that were asked for, and of no others."""

import contextlib

import pytest

from slim_zoo import diagnostics
from slim_zoo.config.run import Logging
from slim_zoo.tf_compat import tf
from slim_zoo.training.callbacks import profile
from tests import small_runs


@pytest.mark.parametrize(('first', 'last', 'shown'), [
    (1, 1, 'steps 1 to 1 '), (2, 3, 'steps 2 to 3 '), (4, 4, 'steps 4 to 4 '),
    (3, 9, 'steps 3 to 4 ')])
def test_the_steps_are_traced(tmp_path, capsys, first, last, shown):
  small_runs.run(tmp_path, [profile.Profile(str(tmp_path), first, last)])
  (trace,) = tmp_path.glob('plugins/profile/*/*.xplane.pb')
  assert b'fully_connected' in trace.read_bytes()
  assert f'profile of {shown}' in capsys.readouterr().out


def test_a_run_that_ends_before_is_told(tmp_path, capsys):
  small_runs.run(tmp_path, [profile.Profile(str(tmp_path), 5, 9)])
  assert not list(tmp_path.glob('plugins/**/*.pb'))
  assert 'there is no profile: the run ended before step 5' in capsys.readouterr().out


def test_a_failure_leaves_no_profiler_running(tmp_path):
  def fail():
    raise diagnostics.UserError('full')

  failing = small_runs.Recorder('after_step', 2, fail)
  with pytest.raises(diagnostics.UserError, match='full'):
    small_runs.run(tmp_path / 'a', [profile.Profile(str(tmp_path), 1, 9), failing])
  tf.reset_default_graph()
  small_runs.run(tmp_path / 'b', [profile.Profile(str(tmp_path / 'b'), 1, 2)])
  assert list((tmp_path / 'b').glob('plugins/profile/*/*.xplane.pb'))


@pytest.mark.parametrize('text', ['10', '10:', ':5', '0:5', '6:5', 'a:b', '1-5', ''])
def test_other_steps_are_refused_in_one_line(text):
  with pytest.raises(diagnostics.UserError, match='such as 10:15'):
    Logging(profile_steps=text).check()


@pytest.mark.parametrize(('step', 'is_noted'), [(4, False), (5, True)])
def test_a_resumed_run_says_at_its_start_that_it_is_too_short(capsys, step, is_noted):
  profile.Profile('', 6, 7, end=10).begin(None, step, None)
  assert ('this process has 5 steps to do' in capsys.readouterr().out) == is_noted


@pytest.mark.parametrize(('text', 'last_step', 'is_refused'), [
    ('100:200', 60, True), ('61:61', 60, True), ('60:200', 60, False),
    ('100:200', None, False)])
def test_steps_behind_the_end_of_the_run_are_refused(text, last_step, is_refused):
  with (pytest.raises(diagnostics.UserError, match='the run ends before step')
        if is_refused else contextlib.nullcontext()):
    Logging(profile_steps=text).check(last_step)


def test_steps_are_read():
  assert Logging().profiled_steps is None
  assert Logging(profile_steps='10:15').profiled_steps == (10, 15)
