"""A web server of slim-zoo serve in a thread of a test, and clients for it."""

import base64
import contextlib
import io
import json
import socket
import struct
import threading

import numpy as np
from PIL import Image

from slim_zoo.prediction import classifier
from slim_zoo.serving import application, http_server, listening, signatures
from slim_zoo.serving.origins import Origins
from slim_zoo.serving.predictor import Predictor, Settings
from slim_zoo.serving.request_limits import RequestSlots
from tests.stored_images import encoded, picture

NAMES = ('red', 'green', 'blue')
SIZE = 4
SIGNATURES = {
    'serving_default': signatures.Signature('image_bytes', 'DT_STRING', (-1,)),
    'tensors': signatures.Signature('images', 'DT_UINT8', (-1, SIZE, SIZE, 3)),
    'preprocessed': signatures.Signature('images', 'DT_FLOAT', (-1, SIZE, SIZE, 3))}
PNG, JPEG = encoded(picture(1)), encoded(picture(1), 'JPEG')


class Colours:
  """A model whose probabilities are the shares of the colours of an image.

  Attributes:
    may_compute: an event that computing waits for; set at first.
    error: raised by computing; None: it works.
    prepare_error: raised by preparing; None: it works.
    batches: the sizes of the batches so far.
  """

  num_classes, image_size, heat_end_point = 3, SIZE, 'colours'
  by_name = SIGNATURES

  def __init__(self):
    self.may_compute, self.error, self.batches = threading.Event(), None, []
    self.prepare_error = None
    self.may_compute.set()

  def prepare(self, data):
    if self.prepare_error:
      raise self.prepare_error
    return np.asarray(Image.open(io.BytesIO(data)).convert('RGB'), np.float64)

  def probabilities(self, name, values):
    self.batches.append(len(values))
    self.may_compute.wait(30)
    if self.error:
      raise self.error
    sums = np.array([np.mean(value, axis=(0, 1)) for value in values], np.float32) + 1
    return sums / sums.sum(axis=1, keepdims=True)

  def close(self):
    pass

  def predict(self, images):
    return classifier.Predictions(
        self.probabilities('', images), heat=np.ones([len(images), 2, 2], np.float32),
        pictures=[np.uint8(image) for image in images])


class Client:
  """Sends requests to a server.

  Attributes:
    address: (host, port).
    reports: lines on errors of the server.
    running: the server, if it is of this process.
  """

  def __init__(self, listener, reports=None, running=None):
    self.address, self.reports = listener.getsockname(), reports
    self.running = running

  def exchange(self, *parts, ends=True):
    """Sends bytes and returns all that comes back.

    Args:
      *parts: bytes to send; a number is a pause in seconds.
      ends: whether the client then says that nothing more comes.
    """
    with socket.create_connection(self.address, 30) as connection:
      with contextlib.suppress(ConnectionError):  # It has answered already.
        for part in parts:
          if isinstance(part, bytes):
            connection.sendall(part)
          else:
            threading.Event().wait(part)
        if ends:
          connection.shutdown(socket.SHUT_WR)
      received = []
      with contextlib.suppress(ConnectionError):
        while data := connection.recv(1 << 16):
          received.append(data)
    return b''.join(received)

  def abandon(self, *parts):
    """Sends bytes and ends the connection without reading."""
    with socket.create_connection(self.address, 30) as connection:
      # No orderly end, but a reset.
      connection.setsockopt(
          socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
      with contextlib.suppress(ConnectionError):
        for part in parts:
          connection.sendall(part)

  def send(self, method, path, body=None, **headers):
    """Sends a request; returns (status, headers by name, body)."""
    lines = {'Host': '127.0.0.1', **{
        name.replace('_', '-'): value for name, value in headers.items()}}
    if body is not None:
      lines.setdefault('Content-Length', len(body))
    head = ''.join(f'{name}: {value}\r\n' for name, value in lines.items())
    return parsed(self.exchange(
        f'{method} {path} HTTP/1.1\r\n{head}\r\n'.encode() + (body or b'')))

  def predict(self, **request):
    """Sends a predict request; returns (status, the values of the JSON)."""
    status, _, body = self.send(
        'POST', '/v1/models/default:predict', json.dumps(request).encode())
    return status, json.loads(body)

  def error(self, method, path, body=None, **headers):
    """Sends a wrong request; returns (status, the line on it)."""
    status, _, body = self.send(method, path, body, **headers)
    ((name, line),) = json.loads(body).items()
    assert name == 'error'
    return status, line


def parsed(response):
  """Returns (status, headers by name, body) of the bytes of a response."""
  head, _, body = response.partition(b'\r\n\r\n')
  if head.startswith(b'HTTP/1.1 100'):
    head, _, body = body.partition(b'\r\n\r\n')
  first, *lines = head.decode().split('\r\n')
  headers = dict(line.split(': ', 1) for line in lines)
  return int(first.split()[1]), headers, body


def b64(data):
  """Returns an image file as an instance of a request."""
  return {'b64': base64.b64encode(data).decode()}


@contextlib.contextmanager
def server(model, calls=None, names=NAMES, max_body_bytes=200_000, max_concurrency=4,
           seconds=0.2, batch_size=2, max_pixels=100_000, **limits):
  """Serves a model in the block, and yields a `Client`.

  Args:
    model: a `classifier.Model`.
    calls: its `signatures.Signatures`; None: it has none.
    names: of the classes.
    max_body_bytes: of a request.
    max_concurrency: requests that are computed at the same time.
    seconds: how long another one waits.
    batch_size: images of a batch.
    max_pixels: of an image.
    **limits: others, for `http_server.Limits`.
  """
  served = application.ServedModel(
      'default', 'runs/colours', 'lenet', len(names),
      getattr(model, 'image_size', None), 2, max_body_bytes, 'Grad-CAM',
      has_requests=calls is not None)
  reports = []
  settings = Settings(batch_size, 2, max_pixels)
  with (listening.listen('127.0.0.1', 0) as listener,
        Predictor(model, names, calls, settings) as predictor):
    app = application.Application(
        predictor, served, 1, Origins(['box.example.org']),
        RequestSlots(max_concurrency, seconds))
    running = http_server.Server(
        listener, app, http_server.Limits(max_body_bytes, **limits),
        application.HEADERS, reports.append)
    thread = threading.Thread(target=running.serve)
    thread.start()
    try:
      yield Client(listener, reports, running)
    finally:
      running.stop()
      thread.join()
