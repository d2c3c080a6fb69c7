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
  """With fewer steps."""
  pytest.importorskip('matplotlib')
  code = '\n'.join(cells)
  for steps, fewer in (('max_number_of_steps=200', 'max_number_of_steps=80'),
                       ('number_of_steps=60', 'number_of_steps=10')):
    assert code.count(steps) == 1
    code = code.replace(steps, fewer)
  program = tmp_path / 'walkthrough.py'
  program.write_text(
      f'import sys; sys.path.insert(0, {str(ROOT)!r})\n'
      f'import matplotlib; matplotlib.use("Agg")\n{code}')
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
