"""Malformed requests to slim-zoo serve: one line each, and the server continues.

  REQUESTS=10000 python -m pytest tests/field/malformed_requests_test.py
"""

import collections
import concurrent.futures
import json
import os
import random

import pytest

from slim_zoo.checkpoints.trained_network import TrainedNetwork
from slim_zoo.prediction import checkpoint_model
from slim_zoo.serving import signatures
from tests import served
from tests.field import malformed_requests

REQUESTS = int(os.environ.get('REQUESTS', '300'))
# More clients than connections.
_CLIENTS, _CONNECTIONS = 12, 8
_REFUSALS = {400, 403, 404, 405, 408, 411, 413, 414, 415, 431, 503, 505}
# Good requests among the others.
_EVERY = 25


@pytest.fixture(scope='module')
def client(trained_dir):
  trained = TrainedNetwork(str(trained_dir / 'model.ckpt-60'), 'lenet', 10, 28, 1,
                           'lenet')
  with (checkpoint_model.CheckpointModel(
      trained, checkpoint_model.ModelOutputs(heat=True)) as model,
        served.server(model, signatures.CheckpointSignatures(model),
                      [f'digit {number}' for number in range(10)],
                      seconds=30, max_connections=_CONNECTIONS,
                      max_bodies=_CONNECTIONS, head_seconds=0.5,
                      body_seconds=0.5, linger_seconds=0.2) as client):
    yield client


def check(client, number):
  """Sends one malformed request; returns the status of the response."""
  parts, ends = malformed_requests.request(random.Random(number))
  if ends is None:
    client.abandon(*parts)
    return 'abandoned'
  response = client.exchange(*parts, ends=ends)
  if not response:
    # A client that sends nothing, or ends its side before a whole head, gets nothing.
    return 'no response'
  status, headers, body = served.parsed(response)
  assert headers['Content-Length'] == str(len(body)) or parts[0].startswith(b'HEAD')
  if status == 200:  # It was changed to another request that is right.
    return status
  assert status in _REFUSALS, (number, status, body)
  ((name, line),) = json.loads(body).items()
  assert name == 'error'
  assert line.strip()
  assert '\n' not in line
  assert 'Traceback' not in line
  return status


def test_malformed_requests_are_refused_and_the_server_goes_on(client):
  instances = [served.b64(served.PNG), served.b64(served.JPEG)]
  wanted = client.predict(instances=instances)
  assert wanted[0] == 200

  def step(number):
    if number % _EVERY == 0:
      assert client.predict(instances=instances) == wanted
    return check(client, number)

  with concurrent.futures.ThreadPoolExecutor(_CLIENTS) as pool:
    found = collections.Counter(pool.map(step, range(REQUESTS)))
  print(f'{REQUESTS} malformed requests:', dict(found))
  assert client.reports == []
  assert client.predict(instances=instances) == wanted
  # Most are refused with a line, and few are right after all.
  assert found[400] > REQUESTS / 3
  assert found[200] < REQUESTS / 4
  assert found['no response'] < REQUESTS / 10
