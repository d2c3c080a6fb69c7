"""The wheel: one top-level package, one command, and slim's names after an import."""

import os
import shutil
import subprocess
import sys
import zipfile

import pytest

from tests import scripts
from tests.conftest import ROOT

_SOURCES = ('slim_zoo', 'pyproject.toml', 'README.md', 'LICENSE', 'NOTICE')


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
  """Returns the path of the wheel, built from a copy without build folders."""
  folder = tmp_path_factory.mktemp('wheel')
  for name in _SOURCES:
    source = ROOT / name
    if source.is_dir():
      shutil.copytree(source, folder / name,
                      ignore=shutil.ignore_patterns('__pycache__'))
    else:
      shutil.copy(source, folder)
  done = subprocess.run(
      [sys.executable, '-m', 'pip', 'wheel', '--quiet', '--no-deps', '--wheel-dir',
       str(folder / 'dist'), str(folder)], text=True, capture_output=True, check=False,
      timeout=scripts.TIMEOUT_SECS)
  assert done.returncode == 0, done.stderr
  return next((folder / 'dist').glob('*.whl'))


@pytest.fixture(scope='module')
def installed(wheel, tmp_path_factory):
  """Returns a folder into which the wheel is installed, alone."""
  folder = tmp_path_factory.mktemp('installed')
  subprocess.run(
      [sys.executable, '-m', 'pip', 'install', '--quiet', '--no-deps', '--target',
       str(folder), str(wheel)], check=True, timeout=scripts.TIMEOUT_SECS)
  return folder


def run(folder, *arguments, **more):
  """Runs Python from another folder, with the installed package first on its path."""
  path = os.pathsep.join([str(folder), *map(str, more.get('path', ()))])
  return subprocess.run(
      [sys.executable, *arguments], text=True, capture_output=True, check=False,
      cwd=folder.parent, env={**os.environ, 'PYTHONPATH': path},
      timeout=scripts.TIMEOUT_SECS)


def test_the_wheel_has_one_package_and_one_command(wheel):
  with zipfile.ZipFile(wheel) as archive:
    names = archive.namelist()
    entry_points = next(name for name in names if name.endswith('entry_points.txt'))
    text = archive.read(entry_points).decode()
  top = {name.split('/')[0] for name in names}
  assert {name for name in top if not name.endswith('.dist-info')} == {'slim_zoo'}
  assert text.split() == [
      '[console_scripts]', 'slim-zoo', '=', 'slim_zoo.__main__:main']
  for part in ('LICENSE', 'NOTICE', 'catalog/complexity.json',
               'catalog/imagenet_labels.txt', 'evaluation/page/page.js'):
    assert any(name.endswith(part) for name in names), part


def test_every_module_of_the_package_is_in_the_wheel(wheel):
  with zipfile.ZipFile(wheel) as archive:
    names = set(archive.namelist())
  files = {str(path.relative_to(ROOT)) for path in (ROOT / 'slim_zoo').rglob('*')
           if path.is_file() and path.suffix not in ('.pyc',)}
  assert files <= names


def test_the_command_runs_from_any_folder(installed):
  done = run(installed, '-m', 'slim_zoo', 'networks', '--filter=lenet')
  assert done.returncode == 0, done.stderr
  assert 'LeNet/fc4' in done.stdout
  script = installed / 'bin' / 'slim-zoo'
  assert run(installed, str(script), '--version').stdout.startswith('slim-zoo ')


def own_lines(done):
  """Returns our lines on stderr: a library leaves those of TensorFlow as they are."""
  return [line for line in done.stderr.splitlines() if line.startswith('slim_zoo')]


def test_slims_names_are_the_packages_modules(installed):
  done = run(installed, '-c', '''
import slim_zoo
from datasets import dataset_factory
from nets import vgg
import deployment.model_deploy, preprocessing.preprocessing_factory
import slim_zoo.datasets.dataset_factory, slim_zoo.nets.vgg
assert vgg is slim_zoo.nets.vgg and vgg.__name__ == 'slim_zoo.nets.vgg'
assert dataset_factory is slim_zoo.datasets.dataset_factory
print(vgg.__file__)
''')
  assert done.returncode == 0, done.stderr
  assert not own_lines(done)
  assert done.stdout.startswith(str(installed))


@pytest.mark.parametrize('first', [True, False])
def test_another_package_named_datasets_keeps_working(installed, tmp_path, first):
  (tmp_path / 'datasets').mkdir()
  (tmp_path / 'datasets' / '__init__.py').write_text('whose = "another"\n')
  imports = ['import datasets', 'import slim_zoo'][::1 if first else -1]
  done = run(installed, '-c', '; '.join([
      *imports, 'import slim_zoo.datasets.labels', 'from nets import vgg',
      'print(getattr(datasets, "whose", "ours"), slim_zoo.datasets.labels.__name__)']),
             path=[tmp_path])
  assert done.returncode == 0, done.stderr
  assert done.stdout.split() == [
      'another' if first else 'ours', 'slim_zoo.datasets.labels']
  lines = own_lines(done)
  assert len(lines) == int(first)
  if first:
    assert "another package 'datasets'" in lines[0]
    assert 'write slim_zoo.datasets' in lines[0]


def test_another_package_in_the_same_folder_keeps_its_modules(installed, tmp_path):
  """As in site-packages, where both packages have one parent."""
  (tmp_path / 'slim_zoo').symlink_to(installed / 'slim_zoo')
  (tmp_path / 'datasets' / 'io').mkdir(parents=True)
  for name in ('__init__', 'io/__init__', 'io/sql'):
    (tmp_path / 'datasets' / f'{name}.py').write_text('whose = "another"\n')
  done = run(tmp_path, '-c', 'import datasets; import slim_zoo; import datasets.io.sql;'
             ' print(datasets.io.sql.whose)')
  assert done.stdout == 'another\n', done.stderr
  assert len(own_lines(done)) == 1


def test_a_users_own_module_of_a_slim_package_is_found(installed, tmp_path):
  (tmp_path / 'nets').mkdir()
  (tmp_path / 'nets' / 'mynet.py').write_text('from nets import vgg\nlayers = 3\n')
  done = run(installed, '-c', 'import slim_zoo; from nets import mynet, vgg;'
             ' print(mynet.layers, mynet.vgg is vgg, vgg.__name__)', path=[tmp_path])
  assert done.returncode == 0, done.stderr
  assert done.stdout.split() == ['3', 'True', 'slim_zoo.nets.vgg']
