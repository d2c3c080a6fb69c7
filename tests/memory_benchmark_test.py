"""The benchmark of memory: its table, and the plain graph that is its measure."""

import json
import subprocess
import sys

import pytest

from benchmarks import paired_runs
from benchmarks.peers import plain_graph
from tests.conftest import ROOT

TASK = {'network': 'lenet', 'what': 'step', 'batch_size': 2, 'num_batches': 1,
        'burn_in': 1}


def test_memory_is_beside_each_peer(tmp_path):
  peaks = {'this project': [1000, 1010, 990, 1000, 1000], 'plain graph': [1000] * 5,
           'tf_slim wheel': [900] * 5, 'Keras 3': [2000] * 5,
           'PyTorch, timm': [500] * 5, paired_runs.CONTROL: [1000] * 5}
  (tmp_path / 'runs').write_text('\n'.join(
      json.dumps({'task': TASK, 'contender': name, 'round': number, 'peak_mib': peak})
      for name, found in peaks.items() for number, peak in enumerate(found)))
  done = subprocess.run(
      [sys.executable, '-m', 'benchmarks.memory', '--networks=lenet', '--what=step',
       '--batch_size=2', '--num_batches=1', f'--output={tmp_path}/runs'],
      cwd=ROOT, text=True, capture_output=True, check=True)
  assert ('| lenet, train step | 1,000 | 1,000: equal (0.99 to 1.01) |'
          ' 900: 1.11 (1.10 to 1.12) | 2,000: 0.50 (0.49 to 0.51) |'
          ' 500: 2.00 (1.98 to 2.02) | 1,000: equal (0.99 to 1.01) |') in done.stdout


@pytest.mark.parametrize('what', ['step', 'forward', 'frozen'])
def test_a_plain_graph_runs(what):
  assert len(plain_graph.measure({**TASK, 'what': what})['seconds']) == 1
