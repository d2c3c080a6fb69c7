"""What every test starts from."""

import fcntl
import os
import pathlib
import shutil
import sys
import tempfile

import pytest

# The tests compare numbers of a CPU, and start processes by forks, which CUDA does not
# survive. So a GPU is hidden from all but tests/gpu_test.py; with USE_GPU=1 it is not.
VISIBLE_GPUS = os.environ.get('CUDA_VISIBLE_DEVICES')
if not os.environ.get('USE_GPU'):
  os.environ['CUDA_VISIBLE_DEVICES'] = '-1'
# The processes of a parallel run share a GPU: none may take all of its memory.
os.environ['TF_FORCE_GPU_ALLOW_GROWTH'] = 'true'
# Hundreds of processes import the same modules: they find them compiled.
os.environ.pop('PYTHONDONTWRITEBYTECODE', None)
sys.dont_write_bytecode = False
# Nothing of an earlier run, nor of the user.
os.environ['SLIM_ZOO_CACHE'] = tempfile.mkdtemp(prefix='slim_zoo_cache_')
ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
# Programs for TensorFlow 1 and their tests, which `slim_zoo.contrib` runs.
collect_ignore = ['data']


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
  """Returns how many processes `-n auto` starts: one more than there are processors.

  Tests of jobs and of signals wait for other processes.
  """
  return len(os.sched_getaffinity(0) if hasattr(os, 'sched_getaffinity') else range(
      os.cpu_count() or 1)) + 1


@pytest.fixture(autouse=True)
def fresh_graph():
  """Gives each test an empty default graph: names and collections start anew."""
  from slim_zoo.tf_compat import tf
  tf.reset_default_graph()


def shared_folder(tmp_path_factory, name, fill):
  """Returns a folder that one process of a parallel run fills, for all to read.

  Args:
    tmp_path_factory: pytest's.
    name: of the folder.
    fill: called with the path of the empty folder.
  """
  root = tmp_path_factory.getbasetemp()
  if 'PYTEST_XDIST_WORKER' in os.environ:
    root = root.parent
  folder, is_whole = root / name, root / f'{name}.whole'
  with open(root / f'{name}.lock', 'w') as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    if not is_whole.exists():
      shutil.rmtree(folder, ignore_errors=True)
      folder.mkdir()
      fill(folder)
      is_whole.touch()
  return folder


@pytest.fixture(scope='session')
def digits_dir(tmp_path_factory):
  """Returns a folder with the digits data set. Write nothing into it."""
  from slim_zoo.datasets import digits
  return shared_folder(
      tmp_path_factory, 'digits', lambda folder: digits.convert(str(folder)))


@pytest.fixture(scope='session')
def trained_dir(digits_dir, tmp_path_factory):
  """Returns a folder in which LeNet was trained for 60 steps on digits.

  Write nothing into it.
  """
  def train(folder):
    from tests import scripts
    done = scripts.run('train_image_classifier', train_dir=folder,
                       max_number_of_steps=60, **on_digits(digits_dir))
    assert done.returncode == 0, done.stderr

  return shared_folder(tmp_path_factory, 'trained', train)


def on_digits(digits_dir):
  """Returns the flags that train LeNet on digits quickly."""
  return {'dataset_name': 'digits', 'dataset_dir': digits_dir, 'model_name': 'lenet',
          'optimizer': 'adam', 'opt_epsilon': 1e-8, 'learning_rate': 0.001, 'seed': 7,
          # A fifth of the time of a short run; summaries_test has pictures.
          'sample_predictions': 0}
