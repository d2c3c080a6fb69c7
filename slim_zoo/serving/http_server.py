"""A small HTTP server with limits: connections, sizes, times.

Each connection has a thread, one request and one response. Further connections wait in
the queue of the system. The heads of requests are parsed by Python's http.server. Its
ThreadingHTTPServer limits neither the connections nor the time of a slow client, so it
is not used. A library for servers would be one more dependency, for a page and three
addresses.
"""

import contextlib
import dataclasses
import email.errors
import http.server
import io
import os
import re
import socket
import threading
import time
import traceback
from collections.abc import Callable, Mapping

from slim_zoo.deployment import peers
from slim_zoo.serving.messages import Request, RequestError, Response, quoted
from slim_zoo.serving.turns import Room

# Longer first lines are refused.
_LONGEST_LINE = 8192
# Of a head. Others are of bodies with several parts, which are not looked at.
_DEFECTS = (email.errors.MissingHeaderBodySeparatorDefect,
            email.errors.FirstHeaderLineIsContinuationDefect,
            email.errors.MisplacedEnvelopeHeaderDefect)
_LENGTH = re.compile(r'[0-9]{1,15}')
_MEBIBYTE = 1 << 20


@dataclasses.dataclass(frozen=True)
class Limits:
  """What clients may use.

  Attributes:
    max_body_bytes: of a request.
    max_bodies: how many bodies of this size are held at the same time; also more
      smaller ones. What a client has not sent yet is not held.
    room_seconds: how long a request waits while too many bytes are held.
    max_connections: at the same time; more wait until one ends.
    head_seconds: until the head of a request is there.
    body_seconds: from then on, until its body is there.
    part_bytes: of a part of a body.
    part_seconds: until a part is there.
    write_seconds: until a client has taken the response.
    linger_seconds: how long a client may take to end the connection.
  """

  max_body_bytes: int
  max_bodies: int = 4
  room_seconds: float = 2.0
  max_connections: int = 16
  head_seconds: float = 10.0
  body_seconds: float = 30.0
  part_bytes: int = 1 << 14
  part_seconds: float = 5.0
  write_seconds: float = 30.0
  linger_seconds: float = 1.0


class Server:
  """Answers requests on a socket that listens.

  Args:
    listener: of `listening.listen`.
    application: answers a request; may raise RequestError. Called by several threads.
    limits: what clients may use.
    headers: of every response, by name.
    report: gets one line for an error of the application.
  """

  def __init__(self, listener: socket.socket,
               application: Callable[[Request], Response], limits: Limits,
               headers: Mapping[str, str], report: Callable[[str], None]):
    self.application, self.limits = application, limits
    self.headers, self.report = headers, report
    self.room = Room(limits.max_body_bytes * limits.max_bodies, limits.room_seconds)
    self._listener = listener
    self._connections = threading.BoundedSemaphore(limits.max_connections)
    self._stopped = threading.Event()

  def serve(self) -> None:
    """Answers requests until `stop` is called; a signal may end it by an exception."""
    self._listener.settimeout(0.5)
    try:
      self._take_connections()
    finally:
      self.stop()

  def _take_connections(self):
    while not self._stopped.is_set():
      if not self._connections.acquire(timeout=0.5):
        continue
      try:
        connection, address = self._listener.accept()
      except OSError as error:
        self._connections.release()
        if not isinstance(error, TimeoutError):
          # The client is gone already, or there are too many open files.
          self._stopped.wait(0.05)
        continue
      try:
        # It may be inside TensorFlow when the program ends.
        peers.native_thread(self._answer, connection, address).start()
      except RuntimeError as error:  # The system gives no more threads.
        self._connections.release()
        connection.close()
        self.report(_line_of(error))

  def stop(self) -> None:
    """Ends `serve` within a second."""
    self._stopped.set()

  @property
  def is_stopped(self) -> bool:
    """Whether it ends: then requests fail because the model is closed."""
    return self._stopped.is_set()

  def _answer(self, connection, address):
    try:
      with connection:
        _Handler(connection, address, self)
    except OSError:
      pass  # The client is gone.
    except Exception as error:
      if not self.is_stopped:
        self.report(_line_of(error))
    finally:
      self._connections.release()


def _line_of(error):
  """Returns an error of the program with its place as one line."""
  place = traceback.extract_tb(error.__traceback__)[-1]
  return quoted(f'{type(error).__name__}: {error} ({os.path.basename(place.filename)},'
                f' line {place.lineno})')


class _GoneError(Exception):
  """The client has ended the connection. No OSError: the application may raise one."""


class _SlowError(Exception):
  """The client did not send its request in time."""


class _Reader(io.RawIOBase):
  """Reads a connection until a deadline.

  Attributes:
    deadline: of `time.monotonic`.
  """

  def __init__(self, connection):
    self._connection, self.deadline = connection, 0.0

  def readable(self):
    return True

  def readinto(self, buffer):
    left = self.deadline - time.monotonic()
    if left <= 0:
      raise _SlowError
    self._connection.settimeout(left)
    try:
      return self._connection.recv_into(buffer)
    except TimeoutError as error:
      raise _SlowError from error
    except OSError as error:
      raise _GoneError from error


class _Handler(http.server.BaseHTTPRequestHandler):
  """Answers one request of a connection."""

  protocol_version = 'HTTP/1.1'

  def setup(self):
    super().setup()
    self.rfile.close()
    self._reader = _Reader(self.connection)
    self.rfile = io.BufferedReader(self._reader)
    # The room for the body, until the response is computed.
    self._held = contextlib.ExitStack()
    self._is_answered, self._expects = False, False
    self.command, self.requestline, self.path = '', '', ''

  def handle(self):
    self.close_connection = True
    try:
      with self._held:
        response = self._response()
    except _SlowError:
      response = RequestError(408, 'the request took too long').response
    except _GoneError:
      return
    except RequestError as error:
      response = error.response
    except Exception as error:
      response = self._failure(error)
    if response is not None:
      self._send(response)
    self._linger()

  def _response(self):
    """Returns the response; None if there is none, or it has been sent."""
    self._reader.deadline = time.monotonic() + self.server.limits.head_seconds
    self.raw_requestline = self.rfile.readline(_LONGEST_LINE + 1)
    if not self.raw_requestline:
      return None
    if len(self.raw_requestline) > _LONGEST_LINE:
      raise RequestError(414, 'the first line of the request is too long')
    if not self.parse_request():
      if self._is_answered:
        return None
      raise RequestError(400, 'the request has no first line')
    if any(isinstance(defect, _DEFECTS) for defect in self.headers.defects):
      raise RequestError(400, 'the headers of the request are damaged')
    path = self.path.partition('#')[0].partition('?')[0]
    return self.server.application(
        Request(self.command, path, self.headers, self._body))

  def _failure(self, error):
    if self.server.is_stopped:
      return RequestError(503, 'the server ends').response
    self.server.report(f'{quoted(f"{self.command} {self.path}")}: {_line_of(error)}')
    return RequestError(
        500, 'an error of the server: its output has a line on it').response

  def handle_expect_100(self):
    # Answered when the body is read: a request may be refused before.
    self._expects = True
    return True

  def _body(self):
    """Reads the body in parts, and takes room for each part when its turn comes.

    So clients that send slowly, or nothing, hold no room that others need.
    """
    limits = self.server.limits
    length = _body_length(self.headers, limits.max_body_bytes)
    body, end = io.BytesIO(), time.monotonic() + limits.body_seconds
    while (left := length - body.tell()) > 0:
      part = min(left, limits.part_bytes)
      self._held.enter_context(self.server.room.take(part))
      if self._expects:
        self._promise_to_read()
        self._expects = False
      self._reader.deadline = min(end, time.monotonic() + limits.part_seconds)
      body.write(self.rfile.read(part))
      if length - body.tell() > left - part:
        raise RequestError(
            400, f'the body ends after {body.tell()} of {length} bytes')
    return body.getvalue()

  def _promise_to_read(self):
    """Answers a client that waits before it sends the body."""
    try:
      self.send_response_only(100)
      self.end_headers()
    except OSError as error:
      raise _GoneError from error

  def _send(self, response):
    self._is_answered = True
    # The base class gives no head to HTTP/0.9, nor to a first line that is wrong.
    self.request_version = self.protocol_version
    self.connection.settimeout(self.server.limits.write_seconds)
    self.send_response(response.status)
    for name, value in {'Content-Type': response.content_type,
                        'Content-Length': str(len(response.body)),
                        'Connection': 'close', **self.server.headers,
                        **response.headers}.items():
      self.send_header(name, value)
    self.end_headers()
    if self.command != 'HEAD':
      self.wfile.write(response.body)

  def send_error(self, code, message=None, explain=None):
    # The base class calls it for a head that it cannot parse.
    try:
      self._send(RequestError(code, message or 'the request is damaged').response)
    except OSError as error:
      raise _GoneError from error

  def _linger(self):
    """Waits until the client ends the connection.

    If a connection is closed while bytes come in, the system may discard the response.
    """
    self.connection.shutdown(socket.SHUT_WR)
    deadline = time.monotonic() + self.server.limits.linger_seconds
    while (left := deadline - time.monotonic()) > 0:
      self.connection.settimeout(left)
      try:
        if not self.connection.recv(_MEBIBYTE):
          return
      except OSError:
        return

  def version_string(self):
    return 'slim-zoo'

  def log_message(self, format, *args):
    """Prints nothing: requests are not logged."""


def _body_length(headers, most):
  """Returns the length of the body that headers promise; or raises RequestError."""
  if 'Transfer-Encoding' in headers:
    raise RequestError(411, 'Transfer-Encoding is not read: send the whole body, with'
                       ' its Content-Length')
  if headers.get('Content-Encoding', 'identity').lower() != 'identity':
    raise RequestError(415, 'the body is compressed: send it without Content-Encoding')
  lengths = headers.get_all('Content-Length', [])
  if not lengths:
    raise RequestError(411, 'the request has no Content-Length')
  if len(lengths) > 1 or not _LENGTH.fullmatch(lengths[0].strip()):
    raise RequestError(400, f"Content-Length: '{', '.join(lengths)}' is no number")
  length = int(lengths[0])
  if length > most:
    raise RequestError(
        413, f'the request has {length:,} bytes, and {most:,} is the most that is read:'
        ' send fewer or smaller images, or start the server with a larger'
        ' --max_request_mb')
  return length

