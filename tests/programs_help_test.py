"""The programs of examples/ and benchmarks/: their help, their names, their flags."""

import re
import subprocess
import sys

import pytest
from absl import flags

from examples import command_flags
from slim_zoo import diagnostics
from tests.conftest import ROOT

PROGRAMS = sorted(
    '.'.join(path.relative_to(ROOT).with_suffix('').parts).removesuffix('.__main__')
    for folder in ('examples', 'benchmarks') for path in (ROOT / folder).rglob('*.py')
    if 'running.run(main' in path.read_text())

# Runs `python -m MODULE ARGUMENTS` in a fork for each module: Python starts once.
ALL_CALLS = '''
import os, runpy, sys
os.dup2(1, 2)
for module, *arguments in [line.split() for line in sys.argv[1:]]:
  print(f'==== {module} {" ".join(arguments)}', flush=True)
  if os.fork() == 0:
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name='__main__', alter_sys=True)
    os._exit(9)
  print(f'==== {os.waitstatus_to_exitcode(os.wait()[1])}', flush=True)
'''


def results(calls):
  """Returns {call: (output, exit code)}."""
  done = subprocess.run([sys.executable, '-c', ALL_CALLS, *calls], cwd=ROOT, text=True,
                        capture_output=True, check=True)
  return {call: (text, int(code)) for call, text, code in re.findall(
      r'^==== (\w.*)\n((?:.*\n)*?)==== (\d+)\n', done.stdout, re.MULTILINE)}


def source_of(program):
  folder = ROOT.joinpath(*program.split('.'))
  return (folder / '__main__.py' if folder.is_dir()
          else folder.with_suffix('.py')).read_text()


@pytest.fixture(scope='module')
def helps():
  return results([*(f'{program} --help' for program in PROGRAMS),
                  'examples.read_text train --help', 'examples.optical_flow -h'])


@pytest.mark.parametrize('call', [
    *(f'{program} --help' for program in PROGRAMS),
    'examples.read_text train --help', 'examples.optical_flow -h'])
def test_the_help_has_the_text_of_the_program_and_its_flags(helps, call):
  text, code = helps[call]
  assert code == 0, text
  assert 'Traceback' not in text
  source = source_of(call.split()[0])
  assert text.startswith(source.split('"""')[1].splitlines()[0])
  for name in re.findall(r"flags\.DEFINE_\w+\(\s*'(\w+)'", source):
    assert re.search(rf'^  --(\[no\])?{name}:', text, re.MULTILINE)
    # Its definition, and the commands that use it.
    assert 'command_flags' not in source or source.count(f"'{name}'") > 1


def test_a_flag_without_effect_is_refused():
  values = flags.FlagValues()
  for name in ('seed', 'steps'):
    flags.DEFINE_integer(name, 0, '', flag_values=values)
  values(['program', '--seed=3'])
  used = {'data': ('seed',), 'train': ('seed', 'steps'), 'evaluate': ()}
  command_flags.check('train', used, values)
  with pytest.raises(diagnostics.UserError, match=(
      '--seed has no effect on evaluate: it is for data and train; leave it out')):
    command_flags.check('evaluate', used, values)
  values.unparse_flags()
  values(['program', '--steps=3'])
  with pytest.raises(diagnostics.UserError, match='it is for train; leave it out'):
    command_flags.check('data', {**used, 'data': ()}, values)


def test_benchmarks_refuse_an_unknown_network_in_one_line(tmp_path):
  calls = []
  for program in PROGRAMS:
    defined = re.findall(r"DEFINE_(\w+)\(\s*'(\w+)'", source_of(program))
    networks = [name for kind, name in defined if name in ('network', 'networks')]
    if program.startswith('benchmarks.') and networks:
      # Paths of this program alone; it may not create them.
      paths = [f'--{name}={tmp_path}/{program}/{name}'
               for kind, name in defined if kind == 'path' and name != 'torch_python']
      calls.append(' '.join([program, f'--{networks[0]}=mobilnet_v2', *paths]))
  assert len(calls) > 8
  for call, (text, code) in results(calls).items():
    assert code, call
    assert 'mobilnet_v2' in text, call
    assert len(text.splitlines()) == 1, text
  assert not list(tmp_path.iterdir())
