"""The web server of slim-zoo serve: requests, limits, pages of other sites."""

import base64
import contextlib
import io
import json
import re
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from PIL import Image

import slim_zoo
from slim_zoo import diagnostics
from slim_zoo.checkpoints.trained_network import TrainedNetwork
from slim_zoo.config.serving import ServeConfig
from slim_zoo.deployment.session_settings import SessionSettings
from slim_zoo.exporting import to_saved_model
from slim_zoo.inference import inference_graph
from slim_zoo.prediction import checkpoint_model, exported_model, mask_model
from slim_zoo.serving import (
    http_server,
    listening,
    messages,
    origins,
    predictor,
    request_limits,
    rest,
    signatures,
)
from slim_zoo.tasks import serve
from slim_zoo.tf_compat import tf
from tests import image_kinds, served
from tests.conftest import ROOT
from tests.served import JPEG, PNG, SIGNATURES, SIZE, Colours, b64
from tests.stored_images import encoded, picture

PREDICT = '/v1/models/default:predict'


@pytest.fixture(scope='module')
def colours():
  """Returns a client of a server of a small model without TensorFlow."""
  model = Colours()
  with served.server(model, model, head_seconds=0.5, body_seconds=0.5,
                     linger_seconds=0.2) as client:
    yield client
  assert client.reports == []


def shares(data):
  model = Colours()
  return model.probabilities('', [model.prepare(data)])[0]


def test_instances_are_answered_in_order(colours):
  files = [PNG, encoded(picture(2)), JPEG, encoded(picture(3), 'BMP'),
           encoded(picture(4, channels=1), 'GIF')]
  status, answer = colours.predict(instances=[
      b64(data) if place % 2 else {'image_bytes': b64(data)}
      for place, data in enumerate(files)])
  assert status == 200
  rows = answer['predictions']
  for row, data in zip(rows, files, strict=True):
    assert row['probabilities'] == pytest.approx(shares(data), abs=1e-6)
    assert row['labels'] == served.NAMES[row['classes']]
    assert row['classes'] == np.argmax(shares(data))
  status, columns = colours.predict(inputs=[b64(data) for data in files])
  assert (status, set(columns['outputs'])) == (
      200, {'probabilities', 'classes', 'labels'})
  assert columns['outputs']['probabilities'] == [row['probabilities'] for row in rows]


@pytest.mark.parametrize('name', ['tensors', 'preprocessed'])
def test_numbers_are_answered(colours, name):
  numbers = np.random.default_rng(1).integers(0, 256, [3, SIZE, SIZE, 3]).tolist()
  status, answer = colours.predict(signature_name=name, instances=numbers)
  assert status == 200
  wanted = Colours().probabilities('', np.float64(numbers))
  found = [row['probabilities'] for row in answer['predictions']]
  np.testing.assert_allclose(found, wanted, atol=1e-6)
  assert colours.predict(signature_name=name, inputs={'images': numbers})[0] == 200


def test_images_are_computed_in_batches():
  model = Colours()
  with served.server(model, model, max_pixels=1000) as client:
    assert client.predict(instances=[b64(PNG)] * 5)[0] == 200
    # Five images have too many pixels, as each would have alone.
    assert model.batches == [2, 2, 1]
    status, answer = client.predict(instances=[b64(PNG)] * 6)
    assert (status, 'of a request is 4,000 pixels' in answer['error']) == (
        400, True)


def parse(**request):
  return rest.parse(json.dumps(request).encode(), SIGNATURES)


ROW = [[[1, 2, 3]] * SIZE] * SIZE
LONG = '9' * 5000
WRONG = {
    'no JSON': (b'{"instances": [', 'the request is not JSON'),
    'no UTF-8': (b'\xff\xfe{', 'the request is not JSON'),
    'no object': (b'[1]', 'not a JSON object'),
    'neither': (b'{}', "either 'instances' or 'inputs'"),
    'both': (b'{"instances": [1], "inputs": [1]}', "either 'instances' or 'inputs'"),
    'deep': (b'[' * 100_000, 'nested too deeply'),
    'NaN': (b'{"instances": NaN}', 'NaN is not a JSON number'),
    'no list': (b'{"instances": 3}', 'a list of at least one instance'),
    'empty': (b'{"instances": []}', 'a list of at least one instance'),
    'too many': (json.dumps({'instances': [1] * 1001}).encode(), '1,001 instances'),
    'signature': (b'{"signature_name": "x", "instances": [1]}', 'no signature "x"'),
    'no name': (b'{"signature_name": [], "instances": [1]}', 'no signature []'),
    'no b64': (b'{"instances": [{"b64": 1}]}', 'instance 0: expected an image file'),
    'base64': (b'{"instances": [{"b64": "aGk="}, {"b64": "a!"}]}',
               'instance 1: its b64 is not base64'),
    'alias': (b'{"instances": [{"image": {"b64": "aGk="}}]}',
              "inputs image: expected 'image_bytes'"),
    'columns': (b'{"inputs": {"image": []}}', "expected 'image_bytes'"),
}


@pytest.mark.parametrize(('body', 'words'), WRONG.values(), ids=WRONG)
def test_wrong_requests_are_refused(body, words):
  with pytest.raises(messages.RequestError) as raised:
    rest.parse(body, SIGNATURES)
  assert raised.value.status == 400
  assert words in str(raised.value)
  assert '\n' not in str(raised.value)


NUMBERS = {
    'flat': ([1, 2, 3], 'whole numbers of the shape [4, 4, 3]'),
    'uneven': ([[[1, 2, 3]] * 3, *[[[1, 2, 3]] * SIZE] * 3], 'of the shape'),
    'text': ([[['1', '2', '3']] * SIZE] * SIZE, 'of the shape'),
    'flags': ([[[True, False, True]] * SIZE] * SIZE, 'of the shape'),
    'nothing': ([[[None] * 3] * SIZE] * SIZE, 'of the shape'),
    'fraction': ([[[0.5, 1, 2]] * SIZE] * SIZE, 'whole numbers'),
    'negative': ([[[-1, 1, 2]] * SIZE] * SIZE, 'from 0 to 255'),
    'large': ([[[256, 1, 2]] * SIZE] * SIZE, 'from 0 to 255'),
}


@pytest.mark.parametrize(('row', 'words'), NUMBERS.values(), ids=NUMBERS)
def test_wrong_numbers_are_refused(row, words):
  with pytest.raises(messages.RequestError) as raised:
    parse(signature_name='tensors', instances=[ROW, row])
  assert words in str(raised.value)
  assert 'instance 1' in str(raised.value) or 'numbers from' in str(raised.value)


@pytest.mark.parametrize('number', ['1e39', '1e999', LONG, f'-{LONG}'],
                         ids=['float64', 'infinite', 'long', 'negative'])
def test_huge_numbers_are_refused_at_once(number):
  body = json.dumps({'signature_name': 'preprocessed', 'instances': [ROW]}).replace(
      '1', number, 1).encode()
  with pytest.raises(messages.RequestError, match='too large'):
    rest.parse(body, SIGNATURES)


def test_a_long_text_among_numbers_takes_no_memory():
  """NumPy would give each element the length of the longest."""
  with pytest.raises(messages.RequestError, match='instance 0: expected'):
    parse(signature_name='tensors', instances=['x' * 10_000_000, *['x'] * 999])


@pytest.mark.parametrize('name', image_kinds.REFUSED)
def test_files_that_are_no_images_are_refused(colours, name):
  data, reason = image_kinds.REFUSED[name]
  status, line = colours.error('POST', '/classify', data)
  assert status == 400
  assert re.search(reason.replace('100 million', '0.1 million'), line)
  status, answer = colours.predict(instances=[b64(PNG), b64(data)])
  place = 'pixels together' if name == 'huge.png' else 'instance 1: '
  assert (status, place in answer['error']) == (400, True)


def test_large_images_are_refused_by_their_heads(colours):
  bomb = encoded(np.zeros([400, 300], np.uint8))
  assert len(bomb) < 1000
  for path, body in (('/classify', bomb), (PREDICT, json.dumps(
      {'instances': [b64(bomb)]}).encode())):
    status, line = colours.error('POST', path, body)
    assert (status, '0.1 million pixels' in line) == (400, True)


def test_requests_take_only_what_tensorflow_decodes(colours):
  """So TensorFlow Serving has the same answer. The page also takes other formats."""
  data = encoded(picture(1), 'TIFF')
  status, answer = colours.predict(instances=[b64(data)])
  assert (status, answer['error']) == (
      400, 'instance 0: expected a JPEG, PNG, GIF or BMP file')
  assert colours.send('POST', '/classify', data)[0] == 200


def test_an_animation_is_refused_where_tensorflow_would_decode_all_frames(colours):
  frame = Image.new('P', (300, 300))
  frames = [frame.copy() for _ in range(200)]
  for number, one in enumerate(frames):  # Pillow leaves out equal frames.
    one.putpixel((number, 0), 1)
  animation = encoded(frame, 'GIF', save_all=True, append_images=frames)
  assert Image.open(io.BytesIO(animation)).n_frames == 201
  status, answer = colours.predict(instances=[b64(PNG), b64(animation)])
  assert (status, answer['error']) == (
      400, 'instance 1: it is a GIF with several frames: send a file with one frame')
  assert colours.send('POST', '/classify', animation)[0] == 200


def test_the_page_gets_classes_and_pictures(colours):
  status, headers, body = colours.send('POST', '/classify', PNG)
  assert (status, headers['Content-Type']) == (200, 'application/json')
  answer = json.loads(body)
  wanted = shares(PNG)
  assert [row['class'] for row in answer['predictions']] == list(
      np.argsort(-wanted)[:2])
  assert answer['predictions'][0]['probability'] == pytest.approx(wanted.max())
  for name in ('picture', 'heat'):
    kind, data = answer[name].split(',')
    assert kind == 'data:image/png;base64'
    assert Image.open(io.BytesIO(base64.b64decode(data))).width >= 32
  turned = encoded(picture(1), 'JPEG', **image_kinds.oriented(6))
  assert json.loads(colours.send('POST', '/classify', turned)[2])[
      'read_as'] == 'JPEG turned upright'


def test_masks_are_shown_on_the_page_alone():
  class Halves:
    def predict(self, pixels):
      mask = np.zeros(pixels.shape[:2], np.uint8)
      mask[:, :300] = 1
      return mask, None

    def close(self):
      pass

  image = encoded(np.full([400, 1200], 100, np.uint8))
  with (mask_model.MaskModel(3, Halves(), 3) as model,
        served.server(model, max_pixels=10**6) as client):
    answer = json.loads(client.send('POST', '/classify', image)[2])
    assert client.error('GET', '/v1/models/default')[0] == 501
    assert client.reports == []
  assert answer['predictions'] == [
      {'class': 0, 'name': 'red', 'probability': 0.75, 'colour': '#000000'},
      {'class': 1, 'name': 'green', 'probability': 0.25, 'colour': '#800000'}]
  shown = Image.open(io.BytesIO(base64.b64decode(answer['mask'].split(',')[1])))
  assert shown.size == (800, 267)
  assert shown.getpixel((100, 100)) == (114, 50, 50)
  assert shown.getpixel((400, 100)) == (100, 100, 100)


def test_status_and_metadata(colours):
  for path in ('/v1/models/default', '/v1/models/default/versions/1'):
    assert json.loads(colours.send('GET', path)[2]) == {'model_version_status': [{
        'version': '1', 'state': 'AVAILABLE',
        'status': {'error_code': 'OK', 'error_message': ''}}]}
  metadata = json.loads(colours.send('GET', '/v1/models/default/metadata')[2])
  assert metadata['model_spec'] == {
      'name': 'default', 'signature_name': '', 'version': '1'}
  found = metadata['metadata']['signature_def']['signature_def']
  assert set(found) == set(SIGNATURES)
  assert found['tensors']['inputs']['images']['dtype'] == 'DT_UINT8'
  assert [size['size'] for size in found['tensors']['inputs']['images'][
      'tensor_shape']['dim']] == ['-1', '4', '4', '3']
  assert set(found['tensors']['outputs']) == {'probabilities', 'classes', 'labels'}


@pytest.mark.parametrize(('method', 'path', 'status'), [
    ('GET', '/v1/models/pets', 404), ('POST', '/v1/models/pets:predict', 404),
    ('GET', '/v1/models/default/versions/2', 404),
    ('POST', '/v1/models/default/labels/stable:predict', 404),
    ('GET', '/v1/models/default:predict', 400), ('GET', '/v1/', 400),
    ('DELETE', '/v1/models/default', 400), ('POST', '/v1/models/default', 400),
    ('POST', '/v1/models/default:classify', 400),
    ('POST', '/v1/models/default:nothing', 400),
    ('GET', '/favicon.ico', 404), ('GET', '/../pyproject.toml', 404),
    ('GET', '/classify', 405), ('POST', '/', 405), ('OPTIONS', '/classify', 405)])
def test_other_addresses_are_refused(colours, method, path, status):
  assert colours.error(method, path, b'{}')[0] == status


def test_the_page_has_no_address_of_another_site(colours):
  paths = ['/', '/page.css', '/page.js']
  for path in paths:
    status, headers, body = colours.send('GET', f'{path}?x=1')
    assert status == 200
    assert not [word for word in (b'http:', b'https:', b'//cdn') if word in body]
    assert "default-src 'none'" in headers['Content-Security-Policy']
    assert headers['Content-Length'] == str(len(body))
    status, head, nothing = colours.send('HEAD', path)
    assert (status, head['Content-Length'], nothing) == (200, str(len(body)), b'')
  assert json.loads(colours.send('GET', '/model.json')[2])['network'] == 'lenet'


HEADERS = {
    'own page': ({'Host': '127.0.0.1:8501', 'Origin': 'http://127.0.0.1:8501',
                  'Sec-Fetch-Site': 'same-origin'}, None),
    'localhost': ({'Host': 'LocalHost:8501', 'Origin': 'http://localhost:8501'}, None),
    'behind TLS': ({'Host': 'box.example.org', 'Origin': 'https://box.example.org'},
                   None),
    'another port by a tunnel': ({'Host': '[::1]:9000'}, None),
    'rebound name': ({'Host': 'evil.example:8501',
                      'Origin': 'http://evil.example:8501'}, 403),
    'name with user': ({'Host': '127.0.0.1@evil.example'}, 400),
    'no host': ({'Host': ''}, 400),
    'other page': ({'Host': '127.0.0.1:8501', 'Origin': 'http://evil.example'}, 403),
    'other local page': ({'Host': '127.0.0.1:8501', 'Origin': 'http://127.0.0.1:80'},
                         403),
    'page of a file': ({'Host': '127.0.0.1:8501', 'Origin': 'null'}, 403),
    'no origin': ({'Host': '127.0.0.1', 'Sec-Fetch-Site': 'cross-site',
                   'Sec-Fetch-Mode': 'no-cors'}, 403),
    'form': ({'Host': '127.0.0.1', 'Sec-Fetch-Site': 'cross-site',
              'Sec-Fetch-Mode': 'navigate'}, 403),
}


@pytest.mark.parametrize(('headers', 'status'), HEADERS.values(), ids=HEADERS)
def test_pages_of_other_sites_are_refused(headers, status):
  from email.message import Message
  message = Message()
  for name, value in headers.items():
    message[name] = value
  known = origins.Origins(['box.example.org'])
  if status is None:
    known.check('POST', message)
    return
  with pytest.raises(messages.RequestError) as raised:
    known.check('POST', message)
  assert raised.value.status == status


def test_a_link_of_another_site_may_lead_to_the_page(colours):
  link = {'Sec_Fetch_Site': 'cross-site', 'Sec_Fetch_Mode': 'navigate'}
  assert colours.send('GET', '/', **link)[0] == 200
  assert colours.error('POST', '/classify', PNG, **link)[0] == 403
  assert colours.error('POST', PREDICT, b'{}', Origin='http://evil.example')[0] == 403
  two = colours.exchange(b'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n')
  assert served.parsed(two)[0] == 400


def head(*lines):
  return '\r\n'.join(
      [f'POST {PREDICT} HTTP/1.1', 'Host: 127.0.0.1', *lines, '', '']).encode()


@pytest.mark.parametrize(('parts', 'status'), [
    ([head('Content-Length: 200001')], 413),
    ([head('Content-Length: 99999999999999999999')], 400),
    ([head('Content-Length: -1')], 400), ([head('Content-Length: 1_0')], 400),
    ([head('Content-Length: 2', 'Content-Length: 3'), b'{}'], 400),
    ([head('Transfer-Encoding: chunked'), b'2\r\n{}\r\n0\r\n\r\n'], 411),
    ([head('Content-Length: 2', 'Transfer-Encoding: chunked'), b'{}'], 411),
    ([head(), b'{}'], 411),
    ([head('Content-Length: 2', 'Content-Encoding: gzip'), b'{}'], 415),
    ([head('Content-Length: 100'), b'{}'], 400),
    ([head('Content-Length: 3', 'no colon'), b'{}'], 400),
    ([b'GET /' + b'x' * 9000 + b' HTTP/1.1\r\n\r\n'], 414),
    ([b'GET / HTTP/1.1\r\n' + b'a: b\r\n' * 200 + b'\r\n'], 431),
    ([b'GET / HTTP/3.0\r\n\r\n'], 505), ([b'\x16\x03\x01\x02\0\r\n\r\n'], 400),
    ([b'GET / HTTP/0.9\r\n\r\n'], 400), ([b'GET / x HTTP/0.9\r\n\r\n'], 400),
    ([b'\r\n\r\n'], 400), ([b'GET / HTTP/1.1\r\n\r\n'], 400)])
def test_damaged_heads_are_refused(colours, parts, status):
  found, headers, body = served.parsed(colours.exchange(*parts))
  assert found == status
  assert set(json.loads(body)) == {'error'}
  assert headers['Connection'] == 'close'


@pytest.mark.parametrize('parts', [
    [], [b'POST '], [head('Content-Length: 9')], [head('Content-Length: 9'), b'{"'],
    # A byte now and then does not extend the time.
    [*[b'G', 0.2] * 10]])
def test_slow_clients_are_refused(colours, parts):
  begin = time.monotonic()
  response = colours.exchange(*parts, ends=False)
  assert served.parsed(response)[0] == 408
  assert time.monotonic() - begin < 10


class OneConnection:
  """In place of a listener: one client, and then the server ends."""

  def __init__(self, connection):
    self._connections, self.server = [connection], None

  def settimeout(self, seconds):
    pass

  def accept(self):
    if not self._connections:
      self.server.stop()
      raise OSError('there are no more clients')
    return self._connections.pop(), ('127.0.0.1', 1)


GONE = {
    'before a request': b'', 'in the head': b'POST ',
    'damaged head': b'\x16\x03\x01\x02\0\r\n\r\n',
    'unknown version': b'GET / HTTP/3.0\r\n\r\n',
    'many headers': b'GET / HTTP/1.1\r\n' + b'a: b\r\n' * 200 + b'\r\n',
    'long line': b'GET /' + b'x' * 9000 + b' HTTP/1.1\r\n\r\n',
    'no body': head('Content-Length: 9'),
    'before 100': head('Content-Length: 9', 'Expect: 100-continue'),
    'good request': b'GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'}


@pytest.mark.parametrize('kind', GONE)
def test_clients_that_hang_up_are_not_reported(kind):
  """The server reads what was sent, and has nobody to write to."""
  client, connection = socket.socketpair()
  client.sendall(GONE[kind])
  client.close()
  reports, listener = [], OneConnection(connection)
  # The second client is asked for when the first one has been answered.
  listener.server = http_server.Server(
      listener, lambda request: messages.as_json(len(request.read())
                                                 if request.method == 'POST' else 0),
      http_server.Limits(1000, max_connections=1), {}, reports.append)
  listener.server.serve()
  assert reports == []


def test_a_client_may_ask_before_it_sends_the_body(colours):
  body = json.dumps({'instances': [b64(PNG)]}).encode()
  found = colours.exchange(
      head(f'Content-Length: {len(body)}', 'Expect: 100-continue'), 0.1, body)
  assert found.startswith(b'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200')
  found = colours.exchange(head('Content-Length: 200001', 'Expect: 100-continue'))
  assert found.startswith(b'HTTP/1.1 413')


def in_thread(function, *arguments, **more):
  """Starts a call; returns its thread and a list for the result."""
  results = []
  thread = threading.Thread(
      target=lambda: results.append(function(*arguments, **more)))
  thread.start()
  return thread, results


def test_requests_without_a_free_slot_are_refused_soon():
  model = Colours()
  model.may_compute.clear()
  with served.server(model, model, max_concurrency=1, seconds=0.1) as client:
    thread, results = in_thread(client.predict, instances=[b64(PNG)])
    while not model.batches:
      time.sleep(0.01)
    for path, body in (('/classify', PNG), (PREDICT, b'{}')):
      status, headers, answer = client.send('POST', path, body)
      assert (status, headers['Retry-After']) == (503, '1')
      assert 'busy (--max_concurrency=1)' in json.loads(answer)['error']
    assert client.send('GET', '/')[0] == 200
    model.may_compute.set()
    thread.join()
    assert results[0][0] == 200
    assert client.predict(instances=[b64(PNG)])[0] == 200


def test_bodies_share_the_memory():
  memory = request_limits.BodyMemory(100, seconds=0.01)
  with memory.take(60):
    with memory.take(40):
      with (pytest.raises(messages.RequestError, match='up to 100 bytes') as raised,
            memory.take(1)):
        pass
    assert (raised.value.status, raised.value.headers) == (503, {'Retry-After': '1'})
    with pytest.raises(ValueError, match='broken'), memory.take(40):
      raise ValueError('broken')
    with memory.take(40):
      pass
  with memory.take(100):
    pass


def wait_until(is_true, seconds=60):
  end = time.monotonic() + seconds
  while not is_true():
    assert time.monotonic() < end, 'it does not become true'
    threading.Event().wait(0.01)


def test_bodies_that_do_not_fit_in_memory_are_refused_soon():
  model = Colours()
  with served.server(model, model, max_bodies=1, memory_seconds=0.5, body_seconds=300,
                     part_seconds=300) as client:
    with socket.create_connection(client.address) as first:
      first.sendall(head('Content-Length: 200000', 'Expect: 100-continue'))
      assert first.recv(12) == b'HTTP/1.1 100'
      first.sendall(b'x' * 199_999)
      wait_until(lambda: client.running.memory.free == 0)
      status, headers, answer = client.send('POST', '/classify', PNG)
      assert (status, headers['Retry-After']) == (503, '1')
      assert 'it holds up to 200,000 bytes' in json.loads(answer)['error']
      assert client.send('GET', '/')[0] == 200
    assert client.send('POST', '/classify', PNG)[0] == 200
  assert client.reports == []


def test_slow_bodies_hold_no_memory_that_others_need():
  """Each of four announces a body of the whole memory, and sends one byte."""
  model = Colours()
  with (served.server(model, model, max_bodies=1, memory_seconds=0.2, body_seconds=300,
                      part_seconds=300) as client,
        contextlib.ExitStack() as stack):
    for _ in range(4):
      slow = stack.enter_context(socket.create_connection(client.address))
      slow.sendall(head('Content-Length: 200000') + b'x')
    parts = 4 * http_server.Limits.part_bytes
    wait_until(lambda: client.running.memory.free == 200_000 - parts)
    assert client.send('POST', '/classify', PNG)[0] == 200
  assert client.reports == []


def test_a_body_of_single_bytes_ends_before_the_time_of_a_whole_one():
  model = Colours()
  with served.server(model, model, body_seconds=300, part_seconds=0.5,
                     linger_seconds=0.2) as client:
    response = client.exchange(
        head('Content-Length: 200000'), *[b'x', 0.2] * 10, ends=False)
    assert served.parsed(response)[0] == 408


@pytest.mark.parametrize('length', [0, 1, 1 << 14, (1 << 14) + 1, 40_000])
def test_bodies_of_several_parts_are_read_whole(colours, length):
  status, _, answer = colours.send('POST', '/classify', PNG[:length] + bytes(
      max(0, length - len(PNG))))
  assert status == (200 if length >= len(PNG) else 400), answer
  cut = colours.exchange(head(f'Content-Length: {length + 1}'), b'x' * length)
  assert served.parsed(cut)[0] == 400
  assert f'the body ends after {length} of {length + 1} bytes' in str(cut)


def test_connections_above_the_limit_wait():
  model = Colours()
  with served.server(model, model, max_connections=1, linger_seconds=0.1) as client:
    with socket.create_connection(client.address) as first:
      first.sendall(b'GET / HTTP/1.1\r\n')
      thread, results = in_thread(client.send, 'GET', '/model.json')
      thread.join(0.5)
      assert thread.is_alive()
      first.sendall(b'Host: localhost\r\n\r\n')
      assert first.recv(12) == b'HTTP/1.1 200'
    thread.join()
    assert results[0][0] == 200


def test_an_error_of_the_server_is_one_line_for_each_side():
  model = Colours()
  model.error = RuntimeError('broken\nin two')
  with served.server(model, model) as client:
    status, line = client.error('POST', '/classify', PNG)
    assert (status, line) == (
        500, 'an error of the server: its terminal shows the error')
  (report,) = client.reports
  assert report.startswith(
      r'POST /classify: RuntimeError: broken\nin two (served.py, line ')
  assert '\n' not in report


def test_too_little_memory_is_an_error_503():
  model = Colours()
  model.error = MemoryError()
  with served.server(model, model) as client:
    status, line = client.error('POST', '/classify', PNG)
    assert (status, 'too little memory' in line) == (503, True)


UNREAD = tf.errors.InvalidArgumentError(None, None, 'no image')
NUMBERS_OF_ONE = np.full([1, SIZE, SIZE, 3], 200, np.uint8)


@contextlib.contextmanager
def predictor_of(**errors):
  """Yields a predictor of a model that raises errors."""
  model = Colours()
  vars(model).update(errors)
  with predictor.Predictor(model, served.NAMES, model) as answering:
    yield answering


@pytest.mark.parametrize('place', ['prepare_error', 'error'])
@pytest.mark.parametrize(('error', 'status', 'words'), [
    (UNREAD, 400, "TensorFlow's decoder does not read"),
    (MemoryError(), 503, 'the server has too little memory')])
@pytest.mark.parametrize('answer', [
    lambda answering: answering.classify(PNG),
    lambda answering: answering.answers('serving_default', [PNG])],
                         ids=['page', 'request'])
def test_errors_of_files_are_refusals(place, error, status, words, answer):
  with predictor_of(**{place: error}) as answering:
    with pytest.raises(messages.RequestError, match=words) as raised:
      answer(answering)
  assert raised.value.status == status


def test_an_error_of_the_graph_for_numbers_is_no_fault_of_the_client():
  with predictor_of(error=UNREAD) as answering:
    with pytest.raises(tf.errors.InvalidArgumentError):
      answering.answers('tensors', NUMBERS_OF_ONE)
  with predictor_of(error=MemoryError()) as answering:
    with pytest.raises(messages.RequestError, match='too little memory'):
      answering.answers('tensors', NUMBERS_OF_ONE)


def test_numbers_without_a_finite_answer_are_refused():
  model = Colours()
  model.probabilities = lambda name, values: np.full([len(values), 3], np.nan)
  with served.server(model, model) as client:
    status, answer = client.predict(signature_name='preprocessed', instances=[ROW])
  assert (status, 'no finite probabilities' in answer['error']) == (400, True)


def test_a_port_in_use_and_an_unknown_host_are_one_line():
  with listening.listen('127.0.0.1', 0) as listener:
    port = listener.getsockname()[1]
    assert listening.url(listener) == f'http://127.0.0.1:{port}/'
    assert listening.is_loopback(listener)
    with pytest.raises(diagnostics.UserError, match=f'--port={port} .* in use'):
      listening.listen('127.0.0.1', port)
  with listening.listen('0.0.0.0', 0) as listener:
    assert not listening.is_loopback(listener)
    assert listening.url(listener).startswith('http://127.0.0.1:')
  for host in ('no-such-host.invalid', '203.0.113.7', 'a' * 300):
    with pytest.raises(
        diagnostics.UserError, match='is not an address of this machine'):
      listening.listen(host, 0)


@pytest.mark.parametrize(('options', 'words'), [
    ({'served_name': 'a/b'}, "--served_name='a/b': expected letters"),
    ({'host': ' '}, '--host is empty'),
    ({'allowed_hosts': ['http://x']}, "--allowed_hosts: 'http://x' is not a host"),
    ({'port': 70000}, '--port=70000: expected a number from 0 to 65535'),
    ({'max_concurrency': 0}, 'expected a number from 1 to 256'),
    ({'explain_end_point': 'x'}, '--explain_end_point is for a checkpoint'),
    ({'precision': 'bfloat16'}, '--precision=bfloat16 is for a checkpoint')])
def test_options_that_make_no_sense_are_refused(options, words):
  with pytest.raises(diagnostics.UserError) as raised:
    ServeConfig.from_options({'export': 'x', **options}).check()
  assert words in str(raised.value)


@pytest.mark.parametrize(('options', 'source', 'shown'), [
    ({'checkpoint_path': 'x'}, '/home/ann/secret/model.ckpt-60', 'model.ckpt-60'),
    ({'export': '/home/ann/pets/'}, '/home/ann/pets/saved_model/1', 'pets')])
def test_clients_are_not_told_folders(options, source, shown):
  assert serve.shown_source(ServeConfig.from_options(options), source) == shown


def test_the_session_for_pixels_has_the_settings_and_ends(monkeypatch):
  class Model(Colours):
    channels, preprocessing_name = 3, 'lenet'

    def predict(self, images, has_extras):
      return super().predict(images)

  used = []
  session_config = signatures.session_configs.session_config
  monkeypatch.setattr(
      signatures.session_configs, 'session_config',
      lambda settings: used.append(settings) or session_config(settings))
  model, settings = Model(), SessionSettings(intra_op_parallelism_threads=1)
  calls = signatures.CheckpointSignatures(model, settings)
  assert used == [settings]
  with predictor.Predictor(model, served.NAMES, calls) as answering:
    assert len(answering.answers('tensors', NUMBERS_OF_ONE)['classes']) == 1
  with pytest.raises(RuntimeError, match='closed'):
    calls.probabilities('tensors', NUMBERS_OF_ONE)


@pytest.fixture(scope='module')
def networks(trained_dir, tmp_path_factory):
  """Returns the models of a checkpoint and of its export, and the export's folder."""
  trained = TrainedNetwork(
      str(trained_dir / 'model.ckpt-60'), 'lenet', 10, 28, 1, 'lenet',
      class_names=tuple(f'digit {number}' for number in range(10)))
  folder = tmp_path_factory.mktemp('exported') / 'model' / '1'
  to_saved_model.write(str(folder), trained, inference_graph.of_network(trained))
  with (checkpoint_model.CheckpointModel(
      trained, checkpoint_model.ModelOutputs(heat=True)) as checkpoint,
        exported_model.load(str(folder)) as exported):
    yield trained, checkpoint, exported, folder


def test_checkpoint_export_and_serving_give_the_same_answers(networks, tmp_path):
  trained, checkpoint, exported, folder = networks
  pixels = np.random.default_rng(1).integers(0, 256, [2, 28, 28, 1])
  colourful = encoded(picture(5, 40, 30), 'JPEG', **image_kinds.oriented(6))
  requests = [
      {'instances': [b64(PNG), {'image_bytes': b64(colourful)}]},
      {'signature_name': 'tensors', 'instances': pixels.tolist()},
      {'signature_name': 'preprocessed', 'instances': (pixels / 128 - 1).tolist()}]
  answers = []
  for model, calls in ((checkpoint, signatures.CheckpointSignatures(checkpoint)),
                       (exported, signatures.ExportSignatures(exported))):
    with served.server(model, calls, trained.class_names) as client:
      answers.append([client.predict(**request) for request in requests])
      assert calls.by_name == signatures.CheckpointSignatures(checkpoint).by_name
    assert client.reports == []
  # The first by TensorFlow's own loader.
  path = tmp_path / 'request.json'
  path.write_text(json.dumps(requests[0]))
  done = subprocess.run(
      [sys.executable, str(ROOT / 'tests' / 'serving_request.py'), str(folder),
       str(path)], capture_output=True, text=True, check=True)
  answers.append([(200, json.loads(done.stdout))])
  for number in range(len(requests)):
    first, *others = [answer[number] for answer in answers if len(answer) > number]
    assert first[0] == 200
    for status, other in others:
      assert status == 200
      for row, same in zip(first[1]['predictions'], other['predictions'], strict=True):
        assert (row['classes'], row['labels']) == (same['classes'], same['labels'])
        assert row['probabilities'] == pytest.approx(same['probabilities'], abs=1e-5)


def test_the_page_and_classify_give_the_same_classes(networks, trained_dir, tmp_path):
  trained, checkpoint, exported, _ = networks
  photo = tmp_path / 'photo.jpg'
  photo.write_bytes(encoded(picture(5, 40, 30), 'JPEG', **image_kinds.oriented(6)))
  (wanted,) = slim_zoo.classify(photo, checkpoint_path=trained_dir, top_k=2)
  for model in (checkpoint, exported):
    with served.server(model, names=trained.class_names) as client:
      answer = json.loads(client.send('POST', '/classify', photo.read_bytes())[2])
    assert [row['class'] for row in answer['predictions']] == [
        one.label for one in wanted.classes]
    assert [row['probability'] for row in answer['predictions']] == pytest.approx(
        [one.probability for one in wanted.classes], abs=1e-5)
    assert answer['read_as'] == wanted.read_as == 'JPEG turned upright'
    assert ('heat' in answer) == (model is checkpoint)


def test_threads_get_their_own_answers(networks):
  """Sessions and the types of numbers are shared by the threads."""
  trained, checkpoint, _, _ = networks
  files = [encoded(picture(seed)) for seed in range(8)]
  with served.server(checkpoint, signatures.CheckpointSignatures(checkpoint),
                     trained.class_names, seconds=60) as client:
    alone = [client.predict(instances=[b64(data)]) for data in files]
    calls = [in_thread(client.predict, instances=[b64(data)]) for data in files * 3]
    for thread, _ in calls:
      thread.join()
  for (_, (found,)), (status, wanted) in zip(calls, alone * 3, strict=True):
    assert found[0] == status == 200
    assert found[1]['predictions'][0]['probabilities'] == pytest.approx(
        wanted['predictions'][0]['probabilities'], abs=1e-6)
