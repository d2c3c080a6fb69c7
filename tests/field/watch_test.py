"""Evaluation of each new checkpoint while training writes and removes them."""

import os
import shutil
import signal
import sys
import time

from tests import scripts
from tests.conftest import ROOT
from tests.eval_script_test import summaries_of

# Runs the script, and removes a checkpoint as soon as its evaluation has finished.
SCRIPT = '''
import glob, os, runpy, sys
sys.path.insert(0, {root!r})
sys.argv = [{root!r} + '/eval_image_classifier.py', *sys.argv[1:]]
from slim_zoo.evaluation import over_split
evaluate = over_split.evaluate

def then_remove(*arguments, **options):
  found = evaluate(*arguments, **options)
  for path in glob.glob(os.path.join({folder!r}, 'model.ckpt-*')):
    os.remove(path)
  return found

over_split.evaluate = then_remove
runpy.run_path(sys.argv[0], run_name='__main__')
'''


def put(trained_dir, folder, step, suffixes=('.data-00000-of-00001', '.index')):
  """Copies a checkpoint as one of another step, and names it as the latest."""
  for suffix in suffixes:
    shutil.copy(trained_dir / f'model.ckpt-60{suffix}',
                folder / f'model.ckpt-{step}{suffix}')
  state = folder / 'checkpoint.part'
  state.write_text(f'model_checkpoint_path: "model.ckpt-{step}"\n')
  os.replace(state, folder / 'checkpoint')


def test_results_are_reported_and_the_watch_goes_on(digits_dir, trained_dir, tmp_path):
  folder = tmp_path / 'run'
  folder.mkdir()
  put(trained_dir, folder, 1)
  program = tmp_path / 'then_remove.py'
  program.write_text(SCRIPT.format(root=str(ROOT), folder=str(folder)))
  process = scripts.Started(tmp_path, [
      sys.executable, str(program), '--watch', f'--checkpoint_path={folder}',
      '--dataset_name=digits', '--model_name=lenet', f'--dataset_dir={digits_dir}',
      f'--eval_dir={tmp_path}/eval'])
  seen = 0

  def until(words):
    """Returns the next line with some words."""
    nonlocal seen
    while True:
      has_ended = process.poll() is not None
      lines = process.stdout.splitlines(keepends=True)
      for number, line in enumerate(lines[seen:], seen + 1):
        if words in line and line.endswith('\n'):
          seen = number
          return line
      assert not has_ended, f'{words}: {process.stderr}'
      time.sleep(0.02)

  # Removed as soon as it was evaluated.
  until('checkpoint ')
  assert '355 images' in until('accuracy')
  # Removed in part before it is read; the next one is whole.
  put(trained_dir, folder, 2, ('.index',))
  assert until('skipped').startswith(f'{folder}/model.ckpt-2 is skipped: ')
  put(trained_dir, folder, 3)
  assert until('checkpoint ') == f'checkpoint {folder}/model.ckpt-3\n'
  until('accuracy')
  report = tmp_path / 'eval/report/report.json'
  while not report.exists() or 'model.ckpt-3' not in report.read_text():
    assert process.poll() is None
    time.sleep(0.05)
  process.signal(signal.SIGINT)
  done = process.wait()
  assert done.returncode == 130
  assert done.stderr.splitlines()[-1] == 'eval_image_classifier.py: stopped by SIGINT'
  assert 'Traceback' not in done.stderr
  # The step that is in the checkpoints, whatever they are called.
  assert [step for step, _ in summaries_of(tmp_path / 'eval')['eval/Accuracy']] == [
      60, 60]
