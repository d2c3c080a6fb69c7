"""What a kill leaves between two files is completed, undone or removed."""

import os
import pathlib
import shutil

import pytest

from slim_zoo.evaluation import report_files
from slim_zoo.files import staging
from tests import scripts, stored_images
from tests.conftest import on_digits
from tests.field import whole_files


def _states_between_files(folder, convert, monkeypatch):
  """Returns copies of a folder before every move of a file: what a kill would leave."""
  states, rename = [], os.rename

  def copy_and_rename(source, destination):
    states.append(shutil.copytree(
        folder, folder.with_name(f'{folder.name}_state_{len(states)}')))
    rename(source, destination)

  with monkeypatch.context() as patched:
    patched.setattr(os, 'rename', copy_and_rename)
    convert()
  return states


def test_a_conversion_continues_after_a_kill_between_any_two_files(
    tmp_path, monkeypatch):
  few = stored_images.plain_folder(tmp_path / 'few', 6)
  more = stored_images.plain_folder(tmp_path / 'more', 8, ('cat', 'dog', 'owl'))
  target = tmp_path / 'pets'
  stored_images.convert(few, target, num_shards=3)
  states = _states_between_files(
      target, lambda: stored_images.convert(more, target, num_shards=2), monkeypatch)
  assert len(states) >= 12
  for state in states:
    stored_images.convert(more, state, num_shards=2)
    assert whole_files.visible(state) == whole_files.visible(target)
    assert not list(state.glob('.*'))


def test_an_earlier_conversion_comes_back_where_a_kill_stopped_its_replacement(
    tmp_path, monkeypatch):
  later = stored_images.plain_folder(tmp_path / 'more', 8)
  target = tmp_path / 'pets'
  stored_images.convert(stored_images.plain_folder(tmp_path / 'few', 6), target)
  before = whole_files.visible(target)
  for state in _states_between_files(
      target, lambda: stored_images.convert(later, target), monkeypatch):
    staging.remove_abandoned(str(state), 'dataset.json')
    assert whole_files.visible(state) == before


def test_what_killed_evaluations_left_in_a_report_goes(tmp_path):
  folder = tmp_path / 'report'
  (folder / '.unfinished-abc').mkdir(parents=True)
  (folder / '.unfinished-abc' / 'report.json').write_text('{"half')
  with report_files.replacing(folder) as new:
    (new / 'report.json').write_text('{}')
  assert [path.name for path in folder.iterdir()] == ['report.json']


def test_what_killed_runs_left_in_their_folders_goes(digits_dir, tmp_path):
  left = ['checkpoint.tmp0123', 'graph.pbtxt.tmp0123', 'model.ckpt-7.meta.tmp0123',
          'model.ckpt-7.data-00000-of-00001.tempstate0123', 'best/checkpoint.tmp0123',
          'best/.model.ckpt-7.json.0123ab-99999.part', 'best/model.ckpt-7.meta.tmp0123']
  flags = dict(on_digits(digits_dir), train_dir=tmp_path, batch_size=2,
               validation_share=0.1)
  assert scripts.run('train_image_classifier', max_number_of_steps=1,
                     **flags).returncode == 0
  for name in left:
    (tmp_path / name).write_bytes(b'half')
  done = scripts.run('train_image_classifier', max_number_of_steps=60,
                     learning_rate_decay_type='fixed', **flags)
  assert done.returncode == 0, done.stderr
  assert ', the best so far' in done.stdout
  whole_files.check_run_folder(tmp_path)


def test_a_signal_while_unfinished_files_are_removed_does_not_keep_them(
    tmp_path, monkeypatch):
  remove, calls = shutil.rmtree, []

  def remove_until_a_signal_comes(path, **arguments):
    calls.append(path)
    if len(calls) == 1:
      raise SystemExit(143)
    remove(path, **arguments)

  monkeypatch.setattr(shutil, 'rmtree', remove_until_a_signal_comes)
  with pytest.raises(SystemExit), staging.replacing(str(tmp_path), 'a') as new:
    (pathlib.Path(new) / 'a').write_bytes(b'whole')
  assert [path.name for path in tmp_path.iterdir()] == ['a']


def test_what_a_dying_process_still_writes_is_not_published(tmp_path):
  with staging.resumable(str(tmp_path), 'flowers') as work:
    for name in ('flowers_train.tfrecord.123.partial', 'flowers_train.tfrecord'):
      (pathlib.Path(work.new) / name).write_bytes(b'record')
    work.publish('flowers_train.tfrecord')
  assert [path.name for path in tmp_path.iterdir()] == ['flowers_train.tfrecord']
