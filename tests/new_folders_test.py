"""Folders that commands create: none of them stays when a command is refused."""

import pytest

import slim_zoo
from slim_zoo import diagnostics, paths
from slim_zoo.exporting import exporting
from slim_zoo.files import staging
from tests import scripts
from tests.conftest import on_digits


def contents(folder):
  """Returns the paths of all files and folders below a folder."""
  return sorted(str(path.relative_to(folder)) for path in folder.rglob('*'))


@pytest.fixture
def damaged(tmp_path_factory):
  """Returns the prefix of a checkpoint that is found, but cannot be read."""
  prefix = tmp_path_factory.mktemp('damaged') / 'model.ckpt-7'
  for suffix in ('.index', '.data-00000-of-00001'):
    prefix.with_name(prefix.name + suffix).write_bytes(b'damaged')
  return prefix


DATA = {'dataset_name': 'digits', 'dataset_split_name': 'test'}


@pytest.mark.parametrize(('function', 'options', 'words'), [
    ('train', {'init': 'resume', 'train_dir': 'new/deep/run'}, 'holds no run'),
    ('train', {'checkpoint_path': '{damaged}', 'train_dir': 'new/run'}, 'damaged'),
    ('train', {'layer_devices': 'nowhere:0', 'train_dir': 'new/run'}, 'nowhere'),
    ('train', {'checkpoint_path': '{damaged}', 'find_learning_rate': True,
               'train_dir': 'new/run'}, 'damaged'),
    ('evaluate', {**DATA, 'eval_dir': 'new/eval'}, 'damaged'),
    ('robustness', {**DATA, 'output_dir': 'new/results'}, 'damaged'),
    ('probe', {**DATA, 'chart': 'new/chart.png', 'cache_dir': 'cache'}, 'damaged'),
    ('classify', {'images': ['{digits}/labels.txt'], 'output': 'new/answers.csv',
                  'features': 'other/features.npz'}, 'damaged'),
    ('export', {'export_dir': 'new/exports', 'check': False}, 'damaged'),
    ('inspect', {'dump': 'new/values.npz'}, 'damaged')])
def test_a_refused_command_leaves_no_folder(
    function, options, words, digits_dir, damaged, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  options = dict(options)
  if function == 'train':
    options = {**on_digits(digits_dir), 'max_number_of_steps': 60, **options}
  else:
    options = {'checkpoint_path': str(damaged), **options}
  if 'dataset_name' in options:
    options['dataset_dir'] = digits_dir
  named = {'damaged': damaged, 'digits': digits_dir}
  for name, value in options.items():
    if isinstance(value, str):
      options[name] = value.format(**named)
  if 'images' in options:
    options['images'] = [path.format(**named) for path in options['images']]
  with pytest.raises(diagnostics.UserError, match=words):
    getattr(slim_zoo, function)(**options)
  assert contents(tmp_path) == []


def test_a_refused_process_of_slurm_leaves_no_folder(
    digits_dir, tmp_path, monkeypatch):
  for name, value in {'SLURM_PROCID': '3', 'SLURM_STEP_NUM_TASKS': '4',
                      'SLURM_STEP_NODELIST': 'n[1-2]', 'SLURM_JOB_ID': '7',
                      'SLURM_STEP_TASKS_PER_NODE': '2(x2)',
                      'SLURMD_NODENAME': 'n2'}.items():
    monkeypatch.setenv(name, value)
  with pytest.raises(diagnostics.UserError, match='--deterministic with 4 workers'):
    slim_zoo.train(**on_digits(digits_dir), cluster='slurm', deterministic=True,
                   train_dir=tmp_path / 'new' / 'run')
  assert contents(tmp_path) == []


def test_curves_of_a_folder_without_numbers_leave_no_folder(tmp_path):
  (tmp_path / 'run').mkdir()
  done = scripts.run('curves', tmp_path / 'run', output=tmp_path / 'new' / 'curves.png')
  assert done.returncode == 1, done.stderr
  assert contents(tmp_path) == ['run']


def test_an_export_that_cannot_be_written_leaves_no_folder(
    trained_dir, tmp_path, monkeypatch):
  def fail(*unused):
    raise diagnostics.UserError('the disk is full')

  monkeypatch.setattr(exporting, '_write', fail)
  with pytest.raises(diagnostics.UserError, match='the disk is full'):
    slim_zoo.export(checkpoint_path=trained_dir, export_dir=tmp_path / 'new' / 'a',
                    check=False)
  assert contents(tmp_path) == []


@pytest.mark.parametrize(('function', 'option'), [
    ('train', 'train_dir'), ('evaluate', 'eval_dir')])
def test_a_folder_that_cannot_be_written_is_named_before_any_work(
    function, option, digits_dir, trained_dir, tmp_path, monkeypatch):
  (tmp_path / 'file').write_text('text')
  options = dict(on_digits(digits_dir)) if function == 'train' else {
      **DATA, 'dataset_dir': digits_dir, 'checkpoint_path': trained_dir}
  monkeypatch.setattr(slim_zoo.api.start_up, 'load_without_notes', None)
  folder = str(tmp_path / 'file' / 'new')
  with pytest.raises(NotADirectoryError) as error:
    getattr(slim_zoo, function)(**options, **{option: folder})
  assert diagnostics.explain_os_error(error.value) == (
      f"cannot use '{folder}': a part of this path is a file, not a folder: check the"
      ' path')


def write_and_end(path):
  path.write_text('text')
  raise SystemExit


def test_created_folders_stay_only_with_content(tmp_path):
  one, two = tmp_path / 'a' / 'b', tmp_path / 'a' / 'c'
  with staging.created(str(one), str(two)):
    assert contents(tmp_path) == ['a', 'a/b', 'a/c']
  assert contents(tmp_path) == ['a', 'a/b', 'a/c']
  with pytest.raises(SystemExit), staging.created(str(one), str(one / 'd' / 'e')):
    raise SystemExit
  assert contents(tmp_path) == ['a', 'a/b', 'a/c']
  with pytest.raises(SystemExit), staging.created(str(two / 'd'), str(two / 'e')):
    write_and_end(two / 'd' / 'file')
  assert contents(tmp_path) == ['a', 'a/b', 'a/c', 'a/c/d', 'a/c/d/file']
  with pytest.raises(NotADirectoryError), staging.created(
      str(tmp_path / 'new'), str(two / 'd' / 'file' / 'f')):
    pass
  assert not (tmp_path / 'new').exists()


def test_the_check_of_a_folder_leaves_nothing(tmp_path, monkeypatch):
  paths.check_writable(str(tmp_path / 'a' / 'b'))
  assert contents(tmp_path) == []
  monkeypatch.chdir(tmp_path)
  paths.check_writable('a')
  with pytest.raises(OSError, match='/proc/a'):
    paths.check_writable('/proc/a')
