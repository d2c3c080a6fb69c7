"""Paths as users write them: ~, ~user, file:// and remote ones, in every flag."""

import ast
import getpass
import os
import pathlib
import re

import pytest
from absl import flags

from slim_zoo import diagnostics
from slim_zoo.__main__ import COMMANDS
from slim_zoo.commands import path_flags
from slim_zoo.config import options
from tests import scripts
from tests.config_test import CONFIGS
from tests.conftest import ROOT

# How flags are called that name files or folders, and how their help begins.
NAMES = re.compile(r'.*_(dir|path|paths|file|files|folder|python)|output|plot|docs'
                   r'|source|target|export|explain|features|contact_sheet'
                   r'|transfer_classes_from')
HELP = re.compile(r'(The )?(PNG |NPZ )?(File|Folder|file|folder)s? |Checkpoint,')
# What the established interface and others call a path that is none.
NO_PATHS = {'recalibration_split_name'}
REMOTE = ['gs://bucket/run', 's3://bucket/run', 'hdfs://host/run', 'hdfs:/run',
          'gs:/bucket', 'http://host/a.tar.gz', 'https://host/a', 'ftp://host/a',
          'GS://bucket', 'abfs://container/run', 'file://host/run']


def defined():
  """Returns (file, function, name, help) of every flag of a command."""
  found = [('config', 'DEFINE_path' if option.is_path else 'DEFINE_string', name,
            option.help) for config in CONFIGS.values()
           for group in config.groups().values()
           for name, option in options.options_of(group).items() if option.kind is str]
  for path in [*(ROOT / 'slim_zoo' / 'commands').glob('*.py'),
               *ROOT.glob('benchmarks/*.py')]:
    if path.stem == 'option_flags':
      continue  # It defines the options of the configs.
    for node in ast.walk(ast.parse(path.read_text())):
      if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and (
          node.func.attr.startswith('DEFINE_')):
        name, *rest = [argument.value for argument in node.args
                       if isinstance(argument, ast.Constant)]
        found.append((path.name, node.func.attr, name, str(rest[-1]) if rest else ''))
  return found


PATHS = sorted({name for _, function, name, _ in defined()
                if function.startswith('DEFINE_path')})


def test_every_flag_that_names_a_file_or_folder_is_parsed_as_a_path():
  assert len(PATHS) > 20
  others = [(file, name) for file, function, name, help_text in defined()
            if function in ('DEFINE_string', 'DEFINE_list', 'DEFINE_multi_string')
            and (NAMES.fullmatch(name) or HELP.match(help_text))
            and name not in NO_PATHS]
  assert others == []


def parse(*arguments):
  values = flags.FlagValues()
  path_flags.DEFINE_path('dir', '~/default', '', values)
  path_flags.DEFINE_path_list('images', [], '', values)
  values(['script', *arguments])
  return values


def test_home_folders_are_expanded(monkeypatch, tmp_path):
  monkeypatch.setenv('HOME', str(tmp_path))
  assert parse().dir == f'{tmp_path}/default'
  assert parse('--dir=~').dir == str(tmp_path)
  assert parse('--dir=~/a b/').dir == f'{tmp_path}/a b/'
  # Run cards keep flags in this form.
  assert parse('--dir=~/x')['dir'].serialize() == f'--dir={tmp_path}/x'
  assert parse('--images=~/x,y')['images'].serialize() == f'--images={tmp_path}/x,y'
  assert parse('--dir', '~/run').dir == f'{tmp_path}/run'
  assert parse('--images=~/a.png,b/*.png,~/c').images == [
      f'{tmp_path}/a.png', 'b/*.png', f'{tmp_path}/c']
  assert options.expanded_paths(['-', '~/a*.png']) == ['-', f'{tmp_path}/a*.png']
  user = getpass.getuser()
  assert parse(f'--dir=~{user}/run').dir == os.path.expanduser(f'~{user}/run')


@pytest.mark.parametrize(('path', 'expected'), [
    ('', ''), ('-', '-'), ('./~', './~'), ('a~b', 'a~b'), ('a/~', 'a/~'),
    ('run:1', 'run:1'), ('/a:/b', '/a:/b'), ('C:/data', 'C:/data'),
    ('file:///tmp/run', '/tmp/run'), ('file://localhost/tmp', '/tmp'),
    ('dir/gs://b', 'dir/gs://b')])
def test_other_paths_stay(path, expected):
  assert parse(f'--dir={path}').dir == expected


@pytest.mark.parametrize('path', REMOTE)
def test_remote_paths_are_refused_in_one_line(path):
  for argument in (f'--dir={path}', f'--images=a.png,{path}'):
    with pytest.raises(flags.IllegalFlagValueError) as raised:
      parse(argument)
    assert 'is a remote path' in str(raised.value)
    assert '\n' not in str(raised.value)
  with pytest.raises(diagnostics.UserError, match='is a remote path'):
    options.expanded_paths(['a.png', path])


def test_an_unknown_user_is_refused(monkeypatch, tmp_path):
  monkeypatch.chdir(tmp_path)
  with pytest.raises(flags.IllegalFlagValueError, match="no user 'nobody-here'"):
    parse('--dir=~nobody-here/x')
  pathlib.Path('~odd').mkdir()
  assert parse('--dir=~odd').dir == '~odd'


@pytest.mark.parametrize('script', COMMANDS)
def test_scripts_refuse_remote_paths_before_any_work(script, monkeypatch):
  before = sorted(os.listdir(ROOT))
  known = scripts.run(script, '--help').stdout
  names = [name for name in PATHS if re.search(rf'--{name}:', known)]
  # By the test above they are all of one type.
  for name in {*names[:1], *names[-1:]}:
    scripts.answer(scripts.run(script, f'--{name}=gs://bucket/x'),
                   f"--{name}=gs://bucket/x: 'gs://bucket/x' is a remote path (gs)",
                   'mount it, or copy it', code=2)
  assert sorted(os.listdir(ROOT)) == before
  assert names or script == 'networks'


def test_positional_arguments_are_paths():
  for script in ('classify', 'curves'):
    scripts.answer(scripts.run(script, 'https://host/a.jpg'),
                   'is a remote path (https)', 'download it')


@pytest.mark.parametrize('name', ['run [1]', 'a*', 'what?', 'back\\slash'])
def test_a_train_dir_that_tensorflow_takes_for_a_pattern_is_refused(
    name, digits_dir, tmp_path):
  scripts.answer(scripts.run(
      'train_image_classifier', dataset_name='digits', dataset_dir=digits_dir,
      model_name='lenet', train_dir=tmp_path / name), 'choose a name without')
  assert list(tmp_path.iterdir()) == []
