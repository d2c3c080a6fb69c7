"""Connections that tell whether another process of a job has ended."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from slim_zoo.deployment import peers, server_connections

_SERVER = '''
import sys
from slim_zoo.tf_compat import tf
server = tf.train.Server({'worker': [f'localhost:{sys.argv[1]}']})
print('ready', flush=True)
server.join()
'''


def free_port():
  with socket.socket() as probe:
    probe.bind(('localhost', 0))
    return probe.getsockname()[1]


def start_server(port):
  process = subprocess.Popen([sys.executable, '-c', _SERVER, str(port)],
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
  assert process.stdout.readline() == b'ready\n'
  return process


def until(condition, seconds=60):
  end = time.monotonic() + seconds
  while not condition() and time.monotonic() < end:
    time.sleep(0.1)
  return condition()


def test_a_server_that_ended_is_lost_even_if_another_has_its_port():
  port = free_port()
  server = start_server(port)
  connections = server_connections.ServerConnections(
      {'worker 1': f'localhost:{port}', 'worker 2': f'localhost:{free_port()}'})
  try:
    # The handshake of HTTP/2 has a time limit in the server, of a few seconds or more.
    time.sleep(2)
    # One that has ended before the connections are made is lost, too.
    assert connections.lost() == ['worker 2']
    os.kill(server.pid, signal.SIGKILL)
    server.wait()
    server = start_server(port)
    assert peers.answers(f'localhost:{port}')
    assert until(lambda: connections.lost() == ['worker 2', 'worker 1'])
  finally:
    server.kill()
    server.wait()


@pytest.mark.parametrize(('received', 'answers', 'rest'), [
    (b'', b'', b''),
    (b'\0\0\0\x04\0\0\0\0\0', b'\0\0\0\x04\x01\0\0\0\0', b''),
    (b'\0\0\0\x04\x01\0\0\0\0', b'', b''),
    (b'\0\0\x08\x06\0\0\0\0\0abcdefgh', b'\0\0\x08\x06\x01\0\0\0\0abcdefgh', b''),
    (b'\0\0\x08\x06\0\0\0\0\0abcd', b'', b'\0\0\x08\x06\0\0\0\0\0abcd'),
    (b'\0\0\x04\x08\0\0\0\0\0\0\0\0\1\0\0', b'', b'\0\0'),
], ids=['nothing', 'settings', 'answered', 'ping', 'half a ping', 'another frame'])
def test_frames_that_want_an_answer_get_one(received, answers, rest):
  assert server_connections._answers(received) == (answers, rest)
