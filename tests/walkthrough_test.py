"""The notebook docs/walkthrough.ipynb runs from its first cell to its last."""

import json
import sys

import pytest

from tests import scripts
from tests.conftest import ROOT

NOTEBOOK = ROOT / 'docs' / 'walkthrough.ipynb'


@pytest.fixture(scope='module')
def cells():
  """Returns the code of each code cell."""
  return [''.join(cell['source']) for cell in json.loads(NOTEBOOK.read_text())['cells']
          if cell['cell_type'] == 'code']


def test_the_notebook_runs(cells, tmp_path):
  pytest.importorskip('matplotlib')
  program = tmp_path / 'walkthrough.py'
  program.write_text('\n'.join([
      f'import sys; sys.path.insert(0, {str(ROOT)!r})',
      'import matplotlib; matplotlib.use("Agg")', *cells]))
  done = scripts.run_in(tmp_path, [sys.executable, str(program)])
  assert done.returncode == 0, done.stderr
  assert 'of 355 images are right' in done.stdout
  # Twice: by the checkpoint and by its export.
  assert done.stdout.count('one: ') == 2
  assert 'parity  wrong' not in done.stdout


def test_the_notebook_keeps_its_results():
  cells = json.loads(NOTEBOOK.read_text())['cells']
  outputs = [output for cell in cells for output in cell.get('outputs', ())]
  assert sum('image/png' in output.get('data', {}) for output in outputs) == 3
  assert not [output for output in outputs if output['output_type'] == 'error']
