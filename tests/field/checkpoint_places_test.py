"""A run's folder that was copied, moved or linked: nobody reads or deletes another."""

import os
import shutil

import pytest

from slim_zoo import diagnostics
from slim_zoo.checkpoints import checkpoint_names, restore, run_checkpoints, state_file
from slim_zoo.tf_compat import tf
from slim_zoo.training import savers
from tests import checkpoint_files

STEPS = [20, 40, 60]


@pytest.fixture
def run_a(tmp_path):
  """Returns a folder of checkpoints whose state file has absolute paths."""
  folder = tmp_path / 'runA'
  folder.mkdir()
  checkpoint_files.write_run(folder, STEPS)
  absolute(folder, folder)
  return folder


def absolute(folder, named, steps=STEPS):
  """Writes the state file that savers wrote before: with absolute paths."""
  tf.train.update_checkpoint_state(
      str(folder), str(named / f'model.ckpt-{steps[-1]}'),
      [str(named / f'model.ckpt-{step}') for step in steps])


def stated(folder):
  return (folder / 'checkpoint').read_text()


def steps_in(folder):
  return sorted(checkpoint_names.step_of(name)
                for name in checkpoint_names.names_in(str(folder)))


def resume_and_save(folder, steps):
  """Goes on with a run as the training loop does, and saves at some steps."""
  newest = run_checkpoints.newest_complete(str(folder), restore.damage_of)
  newest.record()
  with tf.Graph().as_default():
    step = tf.train.get_or_create_global_step()
    tf.get_variable('w', [100])
    saver = savers.CheckpointSaver(str(folder))
    manager = tf.train.SessionManager()
    with manager.prepare_session(
        '', init_op=tf.global_variables_initializer(), saver=saver,
        checkpoint_dir=str(folder)) as session:
      resumed = int(session.run(step))
      for number in steps:
        session.run(step.assign(number))
        saver.save(session, os.path.join(folder, 'model.ckpt'))
  return newest, resumed


def test_a_copy_goes_on_and_the_original_stays(run_a, tmp_path):
  copy = tmp_path / 'runB'
  shutil.copytree(run_a, copy)
  newest, resumed = resume_and_save(copy, range(70, 130, 10))
  assert (newest.path, resumed) == (str(copy / 'model.ckpt-60'), 60)
  assert str(run_a) in newest.warning
  assert steps_in(run_a) == STEPS
  assert steps_in(copy) == [80, 90, 100, 110, 120]
  assert 'runA' not in stated(copy)


def test_a_moved_run_is_read_though_a_new_one_took_its_place(run_a, tmp_path, capfd):
  old = tmp_path / 'runA_old'
  shutil.move(run_a, old)
  run_a.mkdir()
  checkpoint_files.write_run(run_a, STEPS)
  assert restore.find(str(old)) == str(old / 'model.ckpt-60')
  assert checkpoint_names.latest(str(old)) == str(old / 'model.ckpt-60')
  assert next(run_checkpoints.new_ones(str(old))) == str(old / 'model.ckpt-60')
  line, same = capfd.readouterr().err.splitlines()
  assert line == same
  assert line.startswith(f"WARNING: '{old}/checkpoint' lists checkpoints in another"
                         f' folder ({run_a}/model.ckpt-60, and ')
  assert line.endswith(f"Files with the same names in '{old}' are used instead.")


@pytest.mark.parametrize('spell', [
    str, lambda folder: f'{folder}/', lambda folder: f'{folder}//',
    os.path.relpath, lambda folder: f'{folder}/../{folder.name}',
    lambda folder: f'./{os.path.relpath(folder)}/'],
    ids=['absolute', 'slash', 'slashes', 'relative', 'dots', 'dot'])
def test_new_state_files_have_relative_names(spell, tmp_path):
  folder = tmp_path / 'run (1) é'
  folder.mkdir()
  checkpoint_files.write_run(folder, STEPS)
  absolute(folder, folder)
  spelled = spell(folder)
  assert state_file.elsewhere(spelled) == []
  newest, resumed = resume_and_save(spelled, range(70, 130, 10))
  assert (newest.warning, resumed) == (None, 60)
  assert stated(folder).splitlines() == [
      'model_checkpoint_path: "model.ckpt-120"',
      *(f'all_model_checkpoint_paths: "model.ckpt-{step}"'
        for step in range(80, 130, 10))]
  assert steps_in(folder) == [80, 90, 100, 110, 120]


def test_a_link_to_a_folder_is_that_folder(run_a, tmp_path):
  link = tmp_path / 'link'
  link.symlink_to(run_a, target_is_directory=True)
  newest, resumed = resume_and_save(link, range(70, 130, 10))
  assert (newest.warning, resumed) == (None, 60)
  assert steps_in(run_a) == [80, 90, 100, 110, 120]
  assert restore.find(str(link)) == str(link / 'model.ckpt-120')


def test_a_copy_made_of_links_leaves_the_files_of_the_original(run_a, tmp_path):
  links = tmp_path / 'links'
  links.mkdir()
  for file in run_a.iterdir():
    (links / file.name).symlink_to(file)
  resume_and_save(links, range(70, 130, 10))
  assert steps_in(run_a) == STEPS


@pytest.mark.parametrize('entry', [
    '/home/somebody/train/model.ckpt-{}', 'gs://bucket/run/model.ckpt-{}',
    'C:\\\\runs\\\\model.ckpt-{}', '../other/model.ckpt-{}', 'train/model.ckpt-{}',
    './model.ckpt-{}', 'model.ckpt-{}'])
def test_entries_of_another_machine_name_files_here(entry, run_a, capfd):
  (run_a / 'checkpoint').write_text(
      f'model_checkpoint_path: "{entry.format(40)}"\n'
      f'all_model_checkpoint_paths: "{entry.format(20)}"\n'
      f'all_model_checkpoint_paths: "{entry.format(40)}"\n')
  past = os.path.getmtime(run_a / 'checkpoint') - 100
  for file in run_a.glob('model.ckpt-60*'):
    os.utime(file, (past, past))
  assert restore.find(str(run_a)) == str(run_a / 'model.ckpt-40')
  lines = capfd.readouterr().err.splitlines()
  assert len(lines) == (not entry.startswith(('model', './')))
  newest, resumed = resume_and_save(run_a, [50])
  assert (newest.path, resumed) == (str(run_a / 'model.ckpt-40'), 40)
  assert stated(run_a).splitlines()[0] == 'model_checkpoint_path: "model.ckpt-50"'


@pytest.mark.parametrize('content', [
    b'', b'\n', b'garbage', b'\xff\xfe\x00', b'model_checkpoint_path: ""',
    b'model_checkpoint_path: "mod', b'model_checkpoint_path: "/nowhere/"',
    b'model_checkpoint_path: "\\q\\0"', b'all_model_checkpoint_paths: "a"',
    b'model_checkpoint_path: "model.ckpt-60"\nall_model_checkpoint_paths: "mod',
    b'model_checkpoint_path: "model.ckpt-99"\n'])
def test_a_run_never_begins_anew_beside_its_checkpoints(content, run_a, capfd):
  (run_a / 'checkpoint').write_bytes(content)
  assert restore.find(str(run_a)) == str(run_a / 'model.ckpt-60')
  assert resume_and_save(run_a, [70])[1] == 60
  assert 'Traceback' not in capfd.readouterr().err


def test_a_state_file_written_by_hand_may_have_any_form(run_a):
  (run_a / 'checkpoint').write_text(
      "# back to 20\n model_checkpoint_path:'/x/model.ckpt\\05520'"
      ' all_model_checkpoint_paths : "model.ckpt-20"\n')
  assert state_file.names(str(run_a)) == ['model.ckpt-20']


def test_a_state_file_that_names_another_folder_is_not_followed(run_a, tmp_path):
  other = tmp_path / 'other'
  other.mkdir()
  shutil.copy(run_a / 'checkpoint', other)
  assert checkpoint_names.latest(str(other)) is None
  for refuse in (checkpoint_names.check_there, restore.find,
                 lambda path: run_checkpoints.newest_complete(path, restore.damage_of)):
    with pytest.raises(diagnostics.UserError, match=f'names .{run_a}/model.ckpt-60'):
      refuse(str(other))
  assert list(run_checkpoints.new_ones(str(other), timeout_secs=0.1)) == []


def test_the_folder_of_a_state_file_is_none_of_a_saver_to_delete(run_a, tmp_path):
  """Even where a list with other folders comes past all checks before."""
  mine = tmp_path / 'mine'
  mine.mkdir()
  with tf.Session() as session:
    step = tf.train.get_or_create_global_step()
    saver = savers.CheckpointSaver(str(mine))
    session.run(tf.global_variables_initializer())
    saver.recover_last_checkpoints([str(run_a / f'model.ckpt-{step}')
                                    for step in STEPS])
    for number in range(70, 130, 10):
      session.run(step.assign(number))
      saver.save(session, str(mine / 'model.ckpt'))
  assert steps_in(run_a) == STEPS
