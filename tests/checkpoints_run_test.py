"""The checkpoints of a run, after it was killed, cut, moved or tampered with."""

import os
import re
import shutil

import pytest

from slim_zoo import diagnostics
from slim_zoo.checkpoints import checkpoint_names, restore, run_checkpoints
from slim_zoo.tf_compat import tf
from tests import checkpoint_files, scripts


@pytest.fixture(scope='module')
def written(tmp_path_factory):
  folder = tmp_path_factory.mktemp('run')
  checkpoint_files.write_run(folder, [20, 40, 60])
  return folder


@pytest.fixture
def run(written, tmp_path):
  """Returns a copy of a run with checkpoints at 20, 40 and 60, as if never moved."""
  folder = tmp_path / 'run'
  shutil.copytree(written, folder)
  state(folder, 60, [20, 40, 60])
  return folder


def state(folder, latest, steps):
  tf.train.update_checkpoint_state(
      str(folder), str(folder / f'model.ckpt-{latest}'),
      [str(folder / f'model.ckpt-{step}') for step in steps])


def newest(folder):
  return run_checkpoints.newest_complete(str(folder), restore.damage_of)


def steps(paths):
  return [checkpoint_names.step_of(path) for path in paths]


def listed(folder):
  return steps(tf.train.get_checkpoint_state(
      str(folder)).all_model_checkpoint_paths)


def test_a_sound_run_goes_on_from_its_latest_and_nothing_is_written(run):
  before = (run / 'checkpoint').stat().st_mtime_ns
  found = newest(run)
  found.record()
  assert (steps([found.path]), found.damaged, found.recorded) == ([60], [], True)
  assert (run / 'checkpoint').stat().st_mtime_ns == before


def restore_into_session(path):
  with tf.Graph().as_default(), tf.Session() as session:
    restore.restore_fn(restore.plan_restore(path, [tf.get_variable('w', [100])]))(
        session)


@pytest.mark.parametrize('damage', [lambda path: checkpoint_files.cut(path, 100),
                                    os.remove], ids=['cut', 'gone'])
@pytest.mark.parametrize('read', [
    restore.verify, lambda path: restore.read_values(path, ['w']),
    restore_into_session], ids=['verify', 'read_values', 'restore_fn'])
def test_damage_is_answered_wherever_values_are_read(read, damage, run):
  path = str(run / 'model.ckpt-60')
  damage(checkpoint_files.data(path))
  with pytest.raises(diagnostics.UserError) as raised:
    read(path)
  assert re.search("'.*-60' is damaged: .*(Read less|No such file).*; '.*' holds"
                   ' model.ckpt-20, model.ckpt-40$', str(raised.value))


@pytest.mark.parametrize('named', [True, False])
def test_a_run_of_single_files_is_found_and_the_newest_file_taken(tmp_path, named):
  for step in (9, 10):
    checkpoint_files.write(tmp_path / f'model.ckpt-{step}', {'w': [1.0]},
                           tf.train.SaverDef.V1)
  if named:
    state(tmp_path, 10, [9, 10])
  assert steps([restore.find(str(tmp_path)), newest(tmp_path).path]) == [10, 10]


def test_a_published_single_file_is_named_where_its_folder_was(tmp_path):
  checkpoint_files.write(tmp_path / 'vgg_16.ckpt', {'w': [1.0]}, tf.train.SaverDef.V1)
  with pytest.raises(diagnostics.UserError, match=r'it holds vgg_16\.ckpt: name'):
    restore.find(str(tmp_path))


@pytest.mark.parametrize('damage', [
    lambda run: checkpoint_files.cut(checkpoint_files.data(run / 'model.ckpt-60'), 100),
    lambda run: checkpoint_files.cut(checkpoint_files.data(run / 'model.ckpt-60'), 0),
    lambda run: checkpoint_files.cut(run / 'model.ckpt-60.index', 50),
    lambda run: checkpoint_files.cut(run / 'model.ckpt-60.index', 0),
    lambda run: os.remove(checkpoint_files.data(run / 'model.ckpt-60')),
    lambda run: os.remove(run / 'model.ckpt-60.index'),
], ids=['cut', 'empty', 'cut index', 'empty index', 'no data', 'no index'])
def test_a_torn_checkpoint_gives_way_to_the_one_before(run, damage, capfd):
  damage(run)
  left = sorted(os.listdir(run))
  found = newest(run)
  assert steps([found.path]) == [40]
  line, = found.describe_damage()
  assert 'model.ckpt-60 is newer but damaged' in line
  assert '20 steps are lost' in line
  assert 'its files are kept' in line
  found.record()
  assert tf.train.latest_checkpoint(str(run)).endswith('model.ckpt-40')
  # The saver deletes what is listed: the whole ones in turn, the torn one never.
  assert listed(run) == [20, 40]
  assert sorted(os.listdir(run)) == left
  assert newest(run).recorded
  assert capfd.readouterr().err == ''


def test_bytes_that_changed_are_noticed(run):
  with open(checkpoint_files.data(run / 'model.ckpt-60'), 'r+b') as file:
    file.seek(200)
    file.write(b'\xff\xff\xff\xff')
  assert steps([newest(run).path]) == [40]


def test_when_none_is_whole_the_answer_names_all(run):
  for step in (20, 40, 60):
    checkpoint_files.cut(checkpoint_files.data(run / f'model.ckpt-{step}'), step)
  with pytest.raises(diagnostics.UserError) as caught:
    newest(run)
  for words in ('model.ckpt-60', 'model.ckpt-40', 'model.ckpt-20', 'is complete',
                '--train_dir'):
    assert words in str(caught.value)


@pytest.mark.parametrize('content', [
    None, b'', b'model_checkpoint_path: "mod', b'\xff\xfe\x00garbage'])
def test_without_a_state_file_the_files_decide(run, content, capfd):
  if content is None:
    os.remove(run / 'checkpoint')
  else:
    (run / 'checkpoint').write_bytes(content)
  found = newest(run)
  assert steps([found.path]) == [60]
  found.record()
  assert listed(run) == [20, 40, 60]
  assert capfd.readouterr().err == ''


def test_a_run_that_was_moved_is_found(run, tmp_path):
  moved = tmp_path / 'elsewhere'
  shutil.move(run, moved)
  found = newest(moved)
  assert found.path == str(moved / 'model.ckpt-60')
  found.record()
  assert tf.train.latest_checkpoint(str(moved)) == found.path
  assert listed(moved) == [20, 40, 60]


def test_a_folder_named_from_where_one_stands(run, monkeypatch):
  monkeypatch.chdir(run.parent)
  found = newest('run')
  assert (steps([found.path]), found.recorded, steps(found.kept)) == (
      [60], True, [20, 40, 60])
  checkpoint_files.cut(checkpoint_files.data('run/model.ckpt-60'), 10)
  found = newest('run')
  found.record()
  assert (len(found.damaged), steps([found.path]), newest('run').recorded) == (
      1, [40], True)
  assert tf.train.latest_checkpoint(str(run)) == str(run / 'model.ckpt-40')


def test_a_kill_between_the_checkpoint_and_the_state_file_loses_nothing(run):
  state(run, 40, [20, 40])
  later = os.path.getmtime(run / 'checkpoint') + 1
  os.utime(run / 'model.ckpt-60.index', (later, later))
  found = newest(run)
  assert steps([found.path]) == [60]
  assert steps(found.kept) == [20, 40, 60]
  assert not found.recorded


def test_a_state_file_written_by_hand_is_obeyed(run):
  """People go back to an older checkpoint by naming it there."""
  past = os.path.getmtime(run / 'checkpoint') - 100
  for name in os.listdir(run):
    os.utime(run / name, (past, past))
  state(run, 20, [20])
  found = newest(run)
  assert (steps([found.path]), found.damaged) == ([20], [])


def test_a_checkpoint_deleted_by_hand_is_said_to_be_gone(run):
  for name in os.listdir(run):
    if name.startswith('model.ckpt-60'):
      os.remove(run / name)
  found = newest(run)
  assert steps([found.path]) == [40]
  assert found.describe_damage() == [
      'WARNING: model.ckpt-60 is missing, 20 steps are lost']


def test_a_state_file_alone_is_not_taken_for_a_new_run(tmp_path):
  state(tmp_path, 60, [60])
  with pytest.raises(diagnostics.UserError, match='but no checkpoint'):
    newest(tmp_path)


def test_a_folder_without_a_run(tmp_path):
  assert newest(tmp_path) is None
  assert newest(tmp_path / 'nothing') is None
  # A published checkpoint that lies there is nobody's run.
  checkpoint_files.write(tmp_path / 'inception_v3.ckpt', {'w': [1.0]})
  # The remains of a first checkpoint that a kill cut short.
  (tmp_path / 'model.ckpt-5.data-00000-of-00001.tempstate123').write_bytes(b'x')
  assert newest(tmp_path) is None
  with pytest.raises(diagnostics.UserError, match=r'inception_v3\.ckpt: name one'):
    restore.find(str(tmp_path))


def test_a_saver_goes_on_deleting_after_a_resume(run):
  """The list of the state file is what a saver deletes from."""
  checkpoint_files.cut(checkpoint_files.data(run / 'model.ckpt-60'), 10)
  newest(run).record()
  with tf.Session() as session:
    step = tf.train.get_or_create_global_step()
    tf.get_variable('w', [100])
    saver = tf.train.Saver(max_to_keep=3)
    saver.restore(session, tf.train.latest_checkpoint(str(run)))
    saver.recover_last_checkpoints(
        tf.train.get_checkpoint_state(str(run)).all_model_checkpoint_paths)
    assert session.run(step) == 40
    for number in (50, 70):
      saver.save(session, str(run / 'model.ckpt'), number)
  assert {name for name in os.listdir(run) if name.endswith('.index')} == {
      f'model.ckpt-{number}.index' for number in (40, 50, 60, 70)}


def test_what_is_nowhere_is_refused_without_tensorflow(tmp_path):
  (tmp_path / 'empty').mkdir()
  checkpoint = tmp_path / 'a.ckpt-7'
  for suffix in ('.index', '.data-00000-of-00001'):
    checkpoint.with_name(checkpoint.name + suffix).touch()
  for there in (checkpoint, f'{checkpoint}.index', tmp_path):
    checkpoint_names.check_there(str(there))
  for wanted, answer in (
      (tmp_path / 'a.ckpt-8', r"no checkpoint '.*a.ckpt-8'; '.*' holds a.ckpt-7"),
      ('gs://bucket/a.ckpt-1', "no checkpoint 'gs://bucket/a.ckpt-1': name one such"),
      (tmp_path / 'empty' / 'b', r"no checkpoint '.*b': name one such as"),
      (tmp_path / 'empty', r"no checkpoint in '.*empty': name a folder")):
    with pytest.raises(diagnostics.UserError, match=answer):
      checkpoint_names.check_there(str(wanted))


def test_a_run_goes_on_though_what_it_began_from_is_gone(
    digits_dir, trained_dir, tmp_path):
  folder = tmp_path / 'run'
  shutil.copytree(trained_dir, folder)
  done = scripts.run(
      'train_image_classifier', train_dir=folder, dataset_name='digits',
      dataset_dir=digits_dir, model_name='lenet', max_number_of_steps=1,
      checkpoint_path=tmp_path / 'gone', sample_predictions=0)
  assert done.returncode == 0, done.stderr
