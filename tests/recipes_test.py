"""Recipes: each says what it is for, and runs on generated images."""

import os
import re

import pytest

from tests import scripts
from tests.conftest import ROOT

RECIPES = sorted((ROOT / 'recipes').glob('*.flags'))
# The networks of the others take longer to build and to compute.
QUICK = ('digits_lenet', 'digits_lenet_quantized',
         'visual_wake_words_mobilenet_v1_025')


@pytest.mark.parametrize('path', RECIPES, ids=lambda path: path.stem)
def test_recipe_says_what_it_is_for(path):
  text = path.read_text()
  comment = text[:text.index('\n--')]
  assert all(line.startswith('#') for line in comment.splitlines())
  for words in (f'slim-zoo train --flagfile=recipes/{path.name}', '# Hardware: ',
                '# Result here: ', '# Published result: '):
    assert words in comment
  assert re.search(r'\((.+ )?(19|20)\d\d', comment), 'the paper is missing'


@pytest.mark.parametrize('path', [
    pytest.param(path, marks=pytest.mark.skipif(
        path.stem not in QUICK and not os.environ.get('EVERY_NETWORK'),
        reason='on demand: EVERY_NETWORK=1')) for path in RECIPES],
    ids=lambda path: path.stem)
def test_recipe_runs_on_generated_images(path):
  done = scripts.run('train', flagfile=path, smoke=True)
  assert done.returncode == 0, done.stderr
  assert done.stdout.splitlines()[-1] == (
      'smoke test passed: 2 steps on generated images; nothing is kept')
