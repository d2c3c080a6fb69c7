"""README.md and docs/: links have targets, commands have their flags, tables agree."""

import re

import pytest

from slim_zoo.__main__ import COMMANDS
from slim_zoo.catalog.datasets import DATASETS
from slim_zoo.config import classification, evaluation, export, segmentation
from slim_zoo.config.options import options_of
from tests.config_test import CONFIGS
from tests.conftest import ROOT

DOCS = ROOT / 'docs'
PAGES = {str(path.relative_to(ROOT)): path
         for path in [*sorted(ROOT.glob('*.md')), *sorted(DOCS.glob('*.md'))]}
# Flags of absl, and the second name of --framework.
COMMON = {'flagfile', 'help', 'from'}


def flags_of(command):
  """Returns the names of the flags of a command of slim-zoo."""
  names = set(COMMON)
  for group in CONFIGS[COMMANDS[command][0]].groups().values():
    for name, option in options_of(group).items():
      names |= {name, f'no{name}'} if option.kind is bool else {name}
  return names


def unknown_flags(text):
  """Returns (command, flag) for each flag in a command line that its command lacks."""
  lines = re.findall(r'slim-zoo ([a-z-]+)([^`|\n;]*)', text.replace('\\\n', ' '))
  return [(command, flag) for command, rest in lines if command in COMMANDS
          for flag in re.findall(r'--([a-z_0-9]+)', rest)
          if flag not in flags_of(command)]


def anchors_of(text):
  """Returns the anchors of the headings of a page, as GitHub makes them."""
  headings = re.findall(r'^#+ (.*)$', text, re.MULTILINE)
  return {re.sub(r'[^\w\- ]', '', heading.strip().lower()).replace(' ', '-')
          for heading in headings}


def broken_links(path):
  """Returns the links of a page to files or headings that do not exist."""
  broken = []
  for target in re.findall(r'\]\(([^)\s]+)\)', path.read_text()):
    name, _, anchor = target.partition('#')
    other = path.parent / name if name else path
    if '://' not in target and not (other.exists() and (
        not anchor or anchor in anchors_of(other.read_text()))):
      broken.append(target)
  return broken


def flags_in_row(page, first_cell):
  """Returns the flags in the row of a table that begins with a cell."""
  row, = re.findall(rf'^\| `{first_cell}` \|.*--.*$', page, re.MULTILINE)
  return set(re.findall(r'--([a-z_0-9]+)', row))


@pytest.mark.parametrize('name', PAGES)
def test_links_have_targets(name):
  assert broken_links(PAGES[name]) == []


@pytest.mark.parametrize('name', PAGES)
def test_commands_have_the_flags_of_a_page(name):
  assert unknown_flags(PAGES[name].read_text()) == []


def test_the_checks_find_faults(tmp_path):
  assert unknown_flags('slim-zoo eval \\\n  --watch --no_such=3') == [
      ('eval', 'no_such')]
  page = tmp_path / 'page.md'
  page.write_text('# A heading\n[a](#a-heading) [b](#another) [c](none.md)')
  assert broken_links(page) == ['#another', 'none.md']


@pytest.mark.parametrize(('command', 'refused'), [
    ('train', segmentation.NOT_TRAINED_WITH), ('eval', evaluation.NOT_WITH_MASKS),
    ('classify', classification.NOT_WITH_MASKS), ('export', export.NOT_WITH_MASKS)])
def test_the_page_on_segmentation_names_all_refused_flags(command, refused):
  page = (DOCS / 'segmentation.md').read_text()
  # The page names the flags of --quantize_... together.
  named = flags_in_row(page, command)
  assert [name for name in refused if name not in named
          and not name.startswith('quantize_')] == []


def test_the_table_of_data_sets():
  page = (DOCS / 'data_sets.md').read_text()
  for name, spec in DATASETS.items():
    row, = re.findall(rf'^\| `{name}` \|.*$', page, re.MULTILINE)
    for split, count in spec.splits.items():
      assert f'`{split}` {count:,}' in row
    assert row.endswith(f'| {spec.num_classes:,} |')
