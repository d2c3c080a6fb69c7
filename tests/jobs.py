"""Jobs of several processes on this machine, for tests: real servers on loopback."""

import contextlib
import json
import os
import signal
import socket

import pytest

from tests import scripts

# One short case of each kind is always tested.
on_demand = pytest.mark.skipif(
    'JOB_CASES' not in os.environ, reason='takes minutes: set JOB_CASES=1')


def free_addresses(count):
  """Returns 'localhost:PORT' with ports that are free now."""
  with contextlib.ExitStack() as stack:
    sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
    for one in sockets:
      one.bind(('localhost', 0))
    return [f'localhost:{one.getsockname()[1]}' for one in sockets]


class Job:
  """The processes of a cluster, each with its TF_CONFIG; a context that ends them.

  Args:
    folder: for the output of the processes.
    script: what each runs.
    counts: processes of each job of TF_CONFIG, such as {'chief': 1, 'worker': 1}.
    **flags: of each.
  """

  def __init__(self, folder, script, counts, **flags):
    self._folder, self._script, self._flags = folder, script, flags
    addresses = free_addresses(sum(counts.values()))
    self.cluster = {
        job: [addresses.pop() for _ in range(count)] for job, count in counts.items()}
    self.processes = {}

  def __enter__(self):
    return self

  def __exit__(self, *unused):
    for process in self.processes.values():
      process.signal(signal.SIGKILL)
      process.wait()

  def start(self, job, index=0, **flags):
    """Starts a process, or starts it again; returns its `scripts.Started`."""
    return self._start(job, index, scripts.command(
        self._script, **{**self._flags, **flags}))

  def start_as(self, job, program, index=0):
    """Starts another program, by its path, as a process of the job."""
    line = scripts.command(self._script, **self._flags)
    return self._start(job, index, [line[0], str(program), *line[2:]])

  def _start(self, job, index, line):
    environment = {'TF_CONFIG': json.dumps(
        {'cluster': self.cluster, 'task': {'type': job, 'index': index}})}
    self.processes[job, index] = process = scripts.Started(
        self._folder, line, environment)
    return process

  def start_all(self):
    """Starts every process; returns them by (job, index)."""
    for job, addresses in self.cluster.items():
      for index in range(len(addresses)):
        self.start(job, index)
    return self.processes

  def run(self, seconds=scripts.TIMEOUT_SECS):
    """Starts every process and waits for all; returns them completed."""
    return {key: process.wait(seconds) for key, process in self.start_all().items()}
