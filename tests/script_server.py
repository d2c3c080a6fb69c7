"""Runs scripts in forks of a process that has TensorFlow imported already.

To import it takes several seconds of every run of a script, and the suite has some
hundred. `tests/scripts.py` starts one server per test process and talks to it in
lines of JSON: {"command": [...], "stdout": PATH, "stderr": PATH} is answered by
{"pid": PID}, and then {"returncode": CODE}. No session is ever opened in the server,
so there are no threads that a fork would lose.
"""

import json
import os
import runpy
import sys
import traceback


def run_script(command: list[str], stdout: str, stderr: str) -> int:
  """Runs `python command...` in this process, a fork; returns the exit code."""
  for path, descriptor in ((stdout, 1), (stderr, 2)):
    os.dup2(os.open(path, os.O_WRONLY), descriptor)
  try:
    if command[:2] == ['-m', 'slim_zoo']:
      sys.argv = command[1:]
      runpy.run_module('slim_zoo', run_name='__main__')
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
    pid = os.fork()
    if pid == 0:
      replies.close()
      code = run_script(**json.loads(line))
      sys.stdout.flush()
      sys.stderr.flush()
      os._exit(code)
    print(json.dumps({'pid': pid}), file=replies)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    print(json.dumps({'returncode': status}), file=replies)


if __name__ == '__main__':
  sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
  import matplotlib.pyplot  # noqa: F401

  from slim_zoo import tf_compat  # noqa: F401
  serve()
