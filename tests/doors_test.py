"""Who may enter which room: imports go from the left to the right of the map."""

import ast
import pathlib

import pytest

from tests.conftest import ROOT

MIDDLE = {'nets', 'datasets', 'preprocessing', 'deployment'}
LEFT = {'misspelt_flags', 'diagnostics', 'pictures', 'progress', 'tf_compat', 'catalog'}
# Each room, and the rooms it may import besides itself.
DOORS = {
    'misspelt_flags': set(),
    'diagnostics': {'misspelt_flags'},
    'pictures': {'diagnostics'},
    'progress': set(),
    'tf_compat': set(),
    'catalog': {'diagnostics'},
    'checkpoints': LEFT,
    **{room: LEFT for room in MIDDLE},
    'training': LEFT | MIDDLE | {'checkpoints'},
    'evaluation': LEFT | MIDDLE | {'checkpoints'},
    'export': LEFT | MIDDLE | {'checkpoints'},
    'prediction': LEFT | MIDDLE | {'checkpoints', 'export'},
    'conversion': LEFT | MIDDLE | {'checkpoints'},
}
# Names and flags are checked before TensorFlow, which takes seconds, is imported.
WITHOUT_TENSORFLOW = {
    'misspelt_flags', 'diagnostics', 'pictures', 'progress', 'catalog'}
# Run in processes of their own, which have nothing of the project in them: the runtime
# is TensorFlow 2's, and Keras needs eager mode, which tf_compat turns off for good.
ALONE = ('export/exported_runtime.py', 'conversion/runners/keras_runner.py',
         'conversion/runners/pytorch_runner.py',
         'benchmarks/peers/keras_applications.py', 'benchmarks/peers/torch_timm.py')


def project_files():
  return [path for path in sorted(ROOT.rglob('*.py'))
          if not {'.venv', 'build', 'tests'} & set(path.relative_to(ROOT).parts)]


def room_of(path: pathlib.Path) -> str:
  return path.relative_to(ROOT).parts[0].removesuffix('.py')


def imports(tree) -> set[str]:
  found = set()
  for node in ast.walk(tree):
    if isinstance(node, ast.Import):
      found |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
      assert node.level == 0, 'imports are absolute'
      found.add(node.module)
  return {name.split('.')[0] for name in found}


@pytest.mark.parametrize('path', project_files(), ids=lambda path: str(
    path.relative_to(ROOT)))
def test_imports_keep_the_doors(path):
  room, found = room_of(path), imports(ast.parse(path.read_text()))
  rooms = set(DOORS) | {file.stem for file in ROOT.glob('*.py')} | {
      'benchmarks', 'train_flags'}
  if room in DOORS:
    assert found & rooms <= DOORS[room] | {room}
  if str(path.relative_to(ROOT)) in ALONE:
    # The benchmarks' own harness imports nothing of the project either.
    assert not found & (rooms - {room})
  elif room != 'tf_compat':
    assert not found & {
        'tensorflow', 'tf_slim', 'tf_keras', 'keras', 'torch', 'timm'}
  if room in WITHOUT_TENSORFLOW:
    assert 'tf_compat' not in found


@pytest.mark.parametrize('path', project_files(), ids=lambda path: str(
    path.relative_to(ROOT)))
def test_flags_stop_at_the_scripts(path):
  if room_of(path) in DOORS and room_of(path) != 'diagnostics':
    assert 'absl' not in imports(ast.parse(path.read_text()))
