"""Which package imports which: only from layers to its left."""

import ast
import pathlib
import subprocess
import sys

import pytest

from tests.conftest import ROOT

MIDDLE = {'nets', 'datasets', 'preprocessing', 'deployment', 'images', 'input'}
LEFT = {'diagnostics', 'drawing', 'progress', 'files', 'tf_compat', 'catalog'}
# Packages of which config imports only these modules, which need no TensorFlow.
MODULES_OF_CONFIG = {
    'checkpoints': {'checkpoint_names', 'renaming', 'run_card', 'run_checkpoints',
                    'trained_network'},
    'deployment': {'cluster', 'session_settings'}, 'exporting': {'formats'},
    'prediction': {'class_names', 'sources'}}
# Each module or package of slim_zoo, and those that it may import besides itself.
LAYERS = {
    'slim_names': set(),
    'diagnostics': set(),
    'paths': set(),
    'drawing': {'diagnostics', 'files'},
    'progress': set(),
    'files': {'diagnostics', 'progress'},
    'tracking': {'files'},
    'tf_compat': set(),
    'start_up': {'tf_compat', 'deployment'},
    'image_ops': {'diagnostics', 'tf_compat'},
    'catalog': {'diagnostics', 'files'},
    'checkpoints': LEFT,
    'nets': LEFT,
    'preprocessing': LEFT,
    'deployment': LEFT,
    'images': LEFT,
    'datasets': LEFT | {'images'},
    'input': LEFT | {'images', 'datasets'},
    'dataset_building': LEFT | {'images', 'datasets', 'input'},
    'inference': LEFT | {'nets', 'checkpoints', 'preprocessing', 'deployment'},
    'training': LEFT | MIDDLE | {'checkpoints', 'tracking'},
    'evaluation': LEFT | MIDDLE | {'checkpoints', 'inference'},
    'exporting': LEFT | MIDDLE | {'checkpoints', 'inference'},
    'weight_conversion': LEFT | MIDDLE | {'checkpoints', 'inference'},
    'prediction': LEFT | MIDDLE | {'checkpoints', 'inference', 'exporting'},
    'serving': LEFT | MIDDLE | {'exporting', 'prediction'},
    'timing': LEFT | MIDDLE | {'checkpoints', 'inference', 'training'},
    'config': {'diagnostics', 'paths', 'catalog', *MODULES_OF_CONFIG},
    'tasks': LEFT | MIDDLE | {'checkpoints', 'inference', 'training', 'evaluation',
                              'exporting', 'prediction', 'serving', 'timing',
                              'weight_conversion', 'config', 'start_up', 'tracking'},
    'api': {'config', 'diagnostics', 'start_up', 'tasks'},
    'contrib': {'diagnostics', 'nets', 'slim_names', 'start_up', 'tf_compat'},
}
# Names and flags are checked before TensorFlow, which takes seconds, is imported.
WITHOUT_TENSORFLOW = {'diagnostics', 'drawing', 'files', 'progress', 'catalog',
                      'slim_names', 'paths', 'config', 'tracking'}
# Run in processes of their own, which have nothing of the project in them: the runtime
# is TensorFlow 2's, and Keras needs eager mode, which tf_compat turns off for good.
ALONE = ('slim_zoo/exporting/exported_runtime.py',
         'slim_zoo/exporting/keras_model/builder.py',
         'slim_zoo/exporting/openvino_writer.py',
         'slim_zoo/weight_conversion/runners/keras_runner.py',
         'slim_zoo/weight_conversion/runners/pytorch_runner.py',
         'benchmarks/peers/keras_applications.py', 'benchmarks/peers/torch_timm.py',
         'benchmarks/peers/keras_precisions.py', 'benchmarks/peers/torch_precisions.py')


def project_files():
  return [path for path in sorted(ROOT.rglob('*.py'))
          if not {'.venv', 'build', 'tests'} & set(path.relative_to(ROOT).parts)]


def layer_of(path: pathlib.Path) -> str | None:
  """Returns the module or package of slim_zoo that a file belongs to."""
  parts = path.relative_to(ROOT).parts
  return parts[1].removesuffix('.py') if parts[0] == 'slim_zoo' else None


def imports(tree) -> set[str]:
  """Returns the full names of the imported modules."""
  names = set()
  for node in ast.walk(tree):
    if isinstance(node, ast.Import):
      names |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
      assert node.level == 0, 'imports are absolute'
      names |= {f'{node.module}.{alias.name}' for alias in node.names}
  return names


def imported_layers(names: set[str]) -> set[str]:
  return {name.split('.')[1] for name in names if name.startswith('slim_zoo.')}


@pytest.mark.parametrize('path', project_files(), ids=lambda path: str(
    path.relative_to(ROOT)))
def test_imports_go_to_the_left(path):
  layer, names = layer_of(path), imports(ast.parse(path.read_text()))
  layers, top = imported_layers(names), {name.split('.')[0] for name in names}
  if layer in LAYERS:
    assert layers <= LAYERS[layer] | {layer}
  if str(path.relative_to(ROOT)) in ALONE:
    # The benchmarks' own harness imports nothing of the project either.
    assert not layers - {layer}
  elif layer != 'tf_compat':
    assert not top & {'tensorflow', 'tf_slim', 'tf_keras', 'keras', 'torch', 'timm'}
  if layer in WITHOUT_TENSORFLOW:
    assert 'tf_compat' not in layers


@pytest.mark.parametrize('path', project_files(), ids=lambda path: str(
    path.relative_to(ROOT)))
def test_flags_stay_in_the_commands(path):
  layer = layer_of(path)
  if layer in LAYERS:
    assert 'absl' not in {
        name.split('.')[0] for name in imports(ast.parse(path.read_text()))}


def test_the_package_imports_nothing_of_the_checkout():
  """The wheel has neither benchmarks nor tests."""
  for path in (ROOT / 'slim_zoo').rglob('*.py'):
    top = {name.split('.')[0] for name in imports(ast.parse(path.read_text()))}
    assert not top & {'benchmarks', 'tests', *MIDDLE}, path


def test_every_module_and_package_has_a_layer():
  layers = {layer_of(path) for path in (ROOT / 'slim_zoo').rglob('*.py')}
  assert layers - {'__init__', '__main__', 'commands'} == set(LAYERS)


def test_config_imports_no_module_that_imports_tensorflow():
  """Of some packages it imports a few modules only; WORKSPACE.md lists them."""
  names = set()
  for path in (ROOT / 'slim_zoo' / 'config').glob('*.py'):
    names |= imports(ast.parse(path.read_text()))
  for package, modules in MODULES_OF_CONFIG.items():
    prefix = f'slim_zoo.{package}.'
    assert {name.removeprefix(prefix).split('.')[0] for name in names
            if name.startswith(prefix)} == modules
  code = ('import sys, pkgutil, importlib, slim_zoo.config as config\n'
          'for module in pkgutil.iter_modules(config.__path__, "slim_zoo.config."):\n'
          '  importlib.import_module(module.name)\n'
          'print([name for name in sys.modules if "tensorflow" in name])')
  done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True,
                        text=True, check=True)
  assert done.stdout.strip() == '[]'
  text = (ROOT / 'WORKSPACE.md').read_text()
  assert all(f'`{package}/{module}`' in text
             for package, modules in MODULES_OF_CONFIG.items() for module in modules)
