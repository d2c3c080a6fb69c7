"""Runs scripts in forks of a process that has TensorFlow imported already.

To import it takes several seconds of every run of a script, and the suite has some
hundred; to import the modules of this project takes half a second more.
`tests/scripts.py` starts one server per test process and talks to it in lines of JSON:
{"command": [...], "stdout": PATH, "stderr": PATH} is answered by {"pid": PID}; "folder"
may name where the command runs. Then {"wait": PID} is answered by {"returncode": CODE}
when the script has ended, and {"poll": PID} at once, with null while it runs.
No session is ever opened in the server, so there are no threads that a fork would lose.
"""

import gc
import importlib
import json
import os
import pkgutil
import runpy
import sys
import traceback

# Set in the environment of a fork, it draws no pictures of evaluations.
WITHOUT_PICTURES = 'TEST_WITHOUT_PICTURES'


def run_script(command: list[str], stdout: str, stderr: str,
               environment: dict[str, str] | None = None,
               folder: str | None = None) -> int:
  """Runs `python command...` in this process, a fork; returns the exit code."""
  os.environ.update(environment or {})
  if folder:
    os.chdir(folder)
  if WITHOUT_PICTURES in os.environ:
    from slim_zoo.evaluation import figures
    figures.write_figures = lambda *unused: None
  for path, descriptor in ((stdout, 1), (stderr, 2)):
    os.dup2(os.open(path, os.O_WRONLY), descriptor)
  try:
    if command[0] == '-m':
      sys.argv = command[1:]
      runpy.run_module(command[1], run_name='__main__')
    else:
      sys.argv = command
      sys.path[0] = os.path.dirname(command[0])
      runpy.run_path(command[0], run_name='__main__')
  except SystemExit as end:
    if isinstance(end.code, str):
      print(end.code, file=sys.stderr)
    return end.code if isinstance(end.code, int) else int(end.code is not None)
  except BaseException:
    traceback.print_exc()
    return 1
  return 0


def serve() -> None:
  """Answers requests until stdin ends."""
  replies = os.fdopen(os.dup(1), 'w', buffering=1)
  for line in sys.stdin:
    request = json.loads(line)
    if 'command' in request:
      reply = {'pid': _start(request, replies)}
    else:
      reply = {'returncode': _returncode(request)}
    print(json.dumps(reply), file=replies)


def _start(request, replies):
  """Returns the id of a fork that runs a script."""
  pid = os.fork()
  if pid:
    return pid
  replies.close()
  code = run_script(**request)
  sys.stdout.flush()
  sys.stderr.flush()
  os._exit(code)


def _returncode(request):
  """Returns the exit code of a fork; None if it runs and is not to be waited for."""
  waits = 'wait' in request
  pid, status = os.waitpid(
      request['wait' if waits else 'poll'], 0 if waits else os.WNOHANG)
  return os.waitstatus_to_exitcode(status) if pid else None


def import_tasks() -> None:
  """Imports what the commands do, but not the commands: these define flags."""
  from slim_zoo import tasks
  for module in pkgutil.iter_modules(tasks.__path__):
    importlib.import_module(f'{tasks.__name__}.{module.name}')
  gc.freeze()


if __name__ == '__main__':
  sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
  import matplotlib.pyplot  # noqa: F401

  from slim_zoo import start_up
  start_up.import_tensorflow()
  import_tasks()
  serve()
