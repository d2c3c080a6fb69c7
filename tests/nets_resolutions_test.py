"""Resolutions in the tables of MobileNet and NASNet, compared with the contracts."""

import json
import re

import pytest

from slim_zoo.nets.mobilenet import mobilenet_v2
from slim_zoo.nets.nasnet import nasnet, pnasnet
from tests.conftest import ROOT
from tests.nets_contract_test import CONTRACTS


def sides(name):
  """Returns the side of each end point of a network at its default size."""
  contract = json.loads((CONTRACTS / 'nets' / f'{name}.json').read_text())
  return {end_point: shape[1] for end_point, shape, *_ in contract['end_points']}


def documented_sides(filename, table):
  """Returns the number behind each row of a table; rows without one repeat the last."""
  text = (ROOT / 'slim_zoo/nets' / filename).read_text()
  rows = re.search(rf'^{table} = [(\[]\n(.*?)^[)\]]', text, re.MULTILINE | re.DOTALL)[1]
  numbers = []
  for row in rows.splitlines():
    if not row.strip().startswith('#'):
      comment = re.search(r'# (\d+)$', row)
      numbers.append(int(comment[1]) if comment else numbers[-1])
  return numbers


def test_documented_resolutions_of_mobilenet_v1():
  expected = sides('mobilenet_v1')
  assert documented_sides('mobilenet_v1.py', 'MOBILENETV1_CONV_DEFS') == [
      expected['Conv2d_0'],
      *(expected[f'Conv2d_{number}_pointwise'] for number in range(1, 14))]


def test_documented_resolutions_of_mobilenet_v2():
  expected = sides('mobilenet_v2')
  layers = [expected[f'layer_{number}'] for number in range(2, 19)]
  rows = documented_sides('mobilenet/mobilenet_v2.py', '_BOTTLENECKS')
  assert layers == [
      side for side, (_, _, repetitions, _) in zip(
          rows, mobilenet_v2._BOTTLENECKS, strict=True) for _ in range(repetitions)]


@pytest.mark.parametrize(('name', 'table'), [
    ('mobilenet_v3_large', '_LARGE'), ('mobilenet_v3_small', '_SMALL'),
    ('mobilenet_edgetpu', '_EDGETPU')])
def test_documented_resolutions_of_mobilenet_v3(name, table):
  expected = sides(name)
  rows = documented_sides('mobilenet/mobilenet_v3.py', table)
  assert rows == [expected[f'layer_{number}'] for number in range(2, len(rows) + 2)]


@pytest.mark.parametrize(('name', 'module', 'size'), [
    ('nasnet_cifar', nasnet, 32), ('nasnet_mobile', nasnet, 224),
    ('nasnet_large', nasnet, 331), ('pnasnet_mobile', pnasnet, 224),
    ('pnasnet_large', pnasnet, 331)])
def test_documented_resolutions_of_nasnet(name, module, size):
  table = module.__doc__[module.__doc__.index('resolution at'):]
  (row,) = re.findall(rf'^(?:resolution at)? *{size} +(\d+) +(\d+) +(\d+)$', table,
                      re.MULTILINE)
  cells = [side for end_point, side in sides(name).items()
           if re.fullmatch(r'Cell_\d+', end_point)]
  assert [int(number) for number in row] == list(dict.fromkeys(cells))
