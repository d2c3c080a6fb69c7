"""Files of Keras 2 and 3 with a network in them become checkpoints."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import h5py
import numpy as np
import pytest

from slim_zoo import diagnostics
from slim_zoo.checkpoints import run_card
from slim_zoo.weight_conversion import (
  converting,
  pairs,
  recognizing,
  runners,
  slim_networks,
)
from tests import scripts

PROGRAM = pathlib.Path(__file__).with_name('keras_files_program.py')
RUNNERS = os.path.dirname(runners.__file__)
SMALL = converting.Options(image_size=32)


@pytest.fixture(scope='module')
def files(tmp_path_factory):
  """Returns the folder of the files, and what the program says of each."""
  folder = tmp_path_factory.mktemp('files')
  done = subprocess.run(
      [sys.executable, str(PROGRAM), RUNNERS, str(folder)],
      capture_output=True, text=True, check=False)
  assert done.returncode == 0, done.stderr
  return folder, json.loads(done.stdout.splitlines()[-1])


def test_weights_come_back_by_the_names_of_layers(files):
  _, results = files
  other = results.pop('another width')
  assert other == (
      'the weights of its layer conv1 have the shapes [3, 3, 3, 8], expected'
      ' [3, 3, 3, 16]: leave out --model_name to find its network, or name another one')
  assert results.pop('half a file') == (
      'it is not a whole HDF5 file: copy or download it again')
  assert [name for name, result in results.items() if not result['same']] == []
  without = {'oldest_no_top.h5', 'old_no_top.h5', 'no_top.weights.h5', 'no_top.keras',
             'hidden.keras', 'largest.keras'}
  for name, result in results.items():
    assert result['absent'] == (['conv_preds'] if name in without else []), name
    assert bool(result['note']) == (name in without), name
    assert result['classes'] == (10 if 'no_top' in name else 5), name
  assert results['no_top.keras']['note'] == 'the file has no top layers'
  assert re.fullmatch(
      r'its own layers behind the network are left out: dense\w* \[\[256, 7\], \[7\]\],'
      r' dense\w* \[\[7, 5\], \[5\]\]', results['hidden.keras']['note'])


def test_a_network_without_its_top_becomes_a_checkpoint_without_a_head(files, tmp_path):
  folder, _ = files
  pair = pairs.find('mobilenet_v1_025', 'keras')
  lines = converting.to_slim(
      pair, str(folder / 'old_no_top.h5'), f'{tmp_path}/a', SMALL)
  assert "mobilenet_v1_025, without a head, from Keras MobileNet" in lines[0]
  text = '\n'.join(lines)
  assert '--checkpoint_exclude_scopes=MobilenetV1/Logits/Conv2d_1c_1x1' in text
  assert 'top-1 agrees on 4 of 4 images' in text
  with pytest.raises(diagnostics.UserError, match='lacks 2 variables'):
    slim_networks.read(f'{tmp_path}/a', pair)
  card, _ = run_card.facts_of(f'{tmp_path}/a')
  assert (card.model_name, card.num_classes, card.image_size) == (
      pair.model_name, None, 32)


@pytest.mark.parametrize('name', [
    'oldest_no_top.h5', 'old_nested.h5', 'no_top.weights.h5', 'hidden.keras'])
def test_the_network_in_a_file_is_found(name, files):
  folder, _ = files
  found = recognizing.find(str(folder / name), 'keras')
  assert found.model_name == 'mobilenet_v1_025'


def test_a_model_of_keras_2_with_a_head_of_its_own_is_converted(files, tmp_path):
  folder, _ = files
  done = scripts.run('convert-weights', image_size=32,
                     source=folder / 'old_nested.keras', target=tmp_path / 'b')
  assert done.returncode == 0, done.stderr
  assert 'mobilenet_v1_025, 5 classes' in done.stdout
  assert 'top-1 agrees on 4 of 4 images' in done.stdout


def test_another_network_is_named_in_one_line(files, tmp_path):
  folder, _ = files
  scripts.answer(scripts.run(
      'convert-weights', model_name='mobilenet_v2_035', image_size=32,
      source=folder / 'nested.h5', target=tmp_path / 'b'),
      'cannot read', 'as MobileNetV2', 'it has no layer Conv1: leave out --model_name')


def test_weights_that_are_not_finite_are_named(files, tmp_path):
  folder, _ = files
  damaged = tmp_path / 'nan.h5'
  shutil.copy(folder / 'old_nested.h5', damaged)
  with h5py.File(damaged, 'r+') as file:
    kernels = []
    file.visititems(lambda name, item: kernels.append(item) if (
        'conv1/' in name and isinstance(item, h5py.Dataset)) else None)
    kernels[0][0] = np.nan
  pair = pairs.find('mobilenet_v1_025', 'keras')
  with pytest.raises(diagnostics.UserError, match='not finite in conv1/kernel: its'):
    converting.to_slim(pair, str(damaged), f'{tmp_path}/a', SMALL)
  assert list(tmp_path.iterdir()) == [damaged]
