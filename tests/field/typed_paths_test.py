"""Paths that cannot be used are refused before any work, from flags and from Python."""

import os

import pytest

import slim_zoo
from slim_zoo import paths
from slim_zoo.catalog import networks
from slim_zoo.config import options
from tests import scripts


@pytest.mark.parametrize('path', ['dbfs:/r', 'abfss:/a/b', 'gs:/b', 'memory:/x'])
def test_any_scheme_is_remote(path):
  with pytest.raises(ValueError, match='is a remote path'):
    paths.expand(path)


@pytest.mark.parametrize('path', ['C:/data', 'a:b', 'runs/a:/b', './dbfs:/r'])
def test_a_colon_alone_is_no_scheme(path):
  assert paths.expand(path) == path


@pytest.mark.parametrize('path', ['$HOME/r', '${HOME}/r', 'a/$HOME'])
def test_variables_that_the_shell_left_are_refused(path, monkeypatch):
  monkeypatch.setenv('HOME', '/home/x')
  with pytest.raises(ValueError, match='variables such as'):
    paths.expand(path)
  assert paths.expand('$no_such_variable/r') == '$no_such_variable/r'


def test_a_path_that_is_not_utf8_is_one_line(digits_dir, tmp_path):
  path = os.fsdecode(os.fsencode(tmp_path) + b'/caf\xe9')
  line = scripts.answer(
      scripts.run_anew('train', dataset_name='digits', dataset_dir=digits_dir,
                       model_name='lenet', train_dir=path, max_number_of_steps=1),
      'is not UTF-8', 'rename the file or folder', code=2)
  assert r'caf\xe9' in line
  with pytest.raises(slim_zoo.UserError, match='is not UTF-8'):
    slim_zoo.train(train_dir=path)
  assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('size', [20_000, 100_000])
def test_a_size_that_no_machine_holds_is_refused(size):
  with pytest.raises(slim_zoo.UserError, match='too large'):
    networks.check_image_size('lenet', size, flag='train_image_size')


@pytest.mark.parametrize('name', ['x.jpg', 'x.svg', 'x.foo'])
def test_pictures_are_png(name):
  with pytest.raises(slim_zoo.UserError, match=r'name a file that ends in \.png'):
    options.check_png(name, 'output')
  options.check_png('x.PNG', 'output')
  options.check_png('x', 'output')
