"""A small HTTP server that limits connections, sizes and times.

Each connection has one thread, one request and one response. More connections wait in
the queue of the operating system. Python's http.server parses the heads of requests.
Its ThreadingHTTPServer limits neither the number of connections nor the time of a slow
client, so it is not used. A server library would be one more dependency, for one page
and three addresses.
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
from slim_zoo.serving.request_limits import BodyMemory

# The first line of a request, in bytes.
_LONGEST_LINE = 8192
# Defects of the head of a request. Other defects are of multipart bodies, which are not
# parsed.
_HEAD_DEFECTS = (email.errors.MissingHeaderBodySeparatorDefect,
            email.errors.FirstHeaderLineIsContinuationDefect,
            email.errors.MisplacedEnvelopeHeaderDefect)
_LENGTH = re.compile(r'[0-9]{1,15}')
_MEBIBYTE = 1 << 20


@dataclasses.dataclass(frozen=True)
class Limits:
  """The limits for clients.

  Attributes:
    max_body_bytes: largest size of a request body.
    max_bodies: all received bytes of bodies have at most max_bodies times
      max_body_bytes.
    memory_seconds: how long a part of a body waits until it fits in this memory.
    max_connections: largest number of connections at the same time; others wait.
    head_seconds: time limit for the head of a request.
    body_seconds: time limit for the body, after the head.
    part_bytes: size of the parts in which a body is read.
    part_seconds: time limit for a part.
    write_seconds: time limit for sending the response.
    linger_seconds: how long the server waits until the client closes the connection.
  """

  max_body_bytes: int
  max_bodies: int = 4
  memory_seconds: float = 2.0
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
    listener: the socket, see `listening.listen`.
    application: returns the response to a request; may raise RequestError. Several
      threads call it.
    limits: the limits for clients.
    headers: headers of every response by name.
    report: is called with one line for each error of the application.
  """

  def __init__(self, listener: socket.socket,
               application: Callable[[Request], Response], limits: Limits,
               headers: Mapping[str, str], report: Callable[[str], None]):
    self.application, self.limits = application, limits
    self.headers, self.report = headers, report
    self.memory = BodyMemory(
        limits.max_body_bytes * limits.max_bodies, limits.memory_seconds)
    self._listener = listener
    self._connections = threading.BoundedSemaphore(limits.max_connections)
    self._stopped = threading.Event()

  def serve(self) -> None:
    """Answers requests until `stop` is called or a signal raises an exception."""
    self._listener.settimeout(0.5)
    try:
      self._accept_connections()
    finally:
      self.stop()

  def _accept_connections(self):
    while not self._stopped.is_set():
      if not self._connections.acquire(timeout=0.5):
        continue
      try:
        connection, address = self._listener.accept()
      except OSError as error:
        self._connections.release()
        if not isinstance(error, TimeoutError):
          # The client has closed the connection, or too many files are open.
          self._stopped.wait(0.05)
        continue
      try:
        # The thread may be inside TensorFlow when the program ends.
        peers.native_thread(self._answer, connection, address).start()
      except RuntimeError as error:  # The system has no more threads.
        self._connections.release()
        connection.close()
        self.report(_line_of(error))

  def stop(self) -> None:
    """Ends `serve` within a second."""
    self._stopped.set()

  @property
  def is_stopped(self) -> bool:
    """Whether `stop` was called. Requests then fail, because the model is closed."""
    return self._stopped.is_set()

  def _answer(self, connection, address):
    try:
      with connection:
        _Handler(connection, address, self)
    except OSError:
      pass  # The client has closed the connection.
    except Exception as error:
      if not self.is_stopped:
        self.report(_line_of(error))
    finally:
      self._connections.release()


def _line_of(error):
  """Returns an error of the program, with file and line number, as one line."""
  place = traceback.extract_tb(error.__traceback__)[-1]
  return quoted(f'{type(error).__name__}: {error} ({os.path.basename(place.filename)},'
                f' line {place.lineno})')


class _ClientGoneError(Exception):
  """The client has closed the connection.

  It is not an OSError, because the application may raise an OSError.
  """


class _TooSlowError(Exception):
  """The client did not send its request in time."""


class _Reader(io.RawIOBase):
  """Reads from a connection until a deadline.

  Attributes:
    deadline: time of `time.monotonic`, in seconds.
  """

  def __init__(self, connection):
    self._connection, self.deadline = connection, 0.0

  def readable(self):
    return True

  def readinto(self, buffer):
    left = self.deadline - time.monotonic()
    if left <= 0:
      raise _TooSlowError
    self._connection.settimeout(left)
    try:
      return self._connection.recv_into(buffer)
    except TimeoutError as error:
      raise _TooSlowError from error
    except OSError as error:
      raise _ClientGoneError from error


class _Handler(http.server.BaseHTTPRequestHandler):
  """Answers one request of a connection."""

  protocol_version = 'HTTP/1.1'

  def setup(self):
    super().setup()
    self.rfile.close()
    self._reader = _Reader(self.connection)
    self.rfile = io.BufferedReader(self._reader)
    # Holds the memory of the body until the response is computed.
    self._held_memory = contextlib.ExitStack()
    self._is_answered, self._expects_continue = False, False
    self.command, self.requestline, self.path = '', '', ''

  def handle(self):
    self.close_connection = True
    try:
      with self._held_memory:
        response = self._response()
    except _TooSlowError:
      response = RequestError(408, 'the request took too long').response
    except _ClientGoneError:
      return
    except RequestError as error:
      response = error.response
    except Exception as error:
      response = self._failure(error)
    if response is not None:
      self._send(response)
    self._linger()

  def _response(self):
    """Returns the response; None if there is no request or the response was sent."""
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
    if any(isinstance(defect, _HEAD_DEFECTS) for defect in self.headers.defects):
      raise RequestError(400, 'the headers of the request are damaged')
    path = self.path.partition('#')[0].partition('?')[0]
    return self.server.application(
        Request(self.command, path, self.headers, self._body))

  def _failure(self, error):
    if self.server.is_stopped:
      return RequestError(503, 'the server is ending').response
    self.server.report(f'{quoted(f"{self.command} {self.path}")}: {_line_of(error)}')
    return RequestError(
        500, 'an error of the server: its terminal shows the error').response

  def handle_expect_100(self):
    # The answer is sent when the body is read. The request may be refused before that.
    self._expects_continue = True
    return True

  def _body(self):
    """Reads the body in parts, and takes memory for each part when it is read.

    So clients that send slowly, or nothing, hold no memory that others need.
    """
    limits = self.server.limits
    length = _body_length(self.headers, limits.max_body_bytes)
    body, end = io.BytesIO(), time.monotonic() + limits.body_seconds
    while (left := length - body.tell()) > 0:
      part = min(left, limits.part_bytes)
      self._held_memory.enter_context(self.server.memory.take(part))
      if self._expects_continue:
        self._send_continue()
        self._expects_continue = False
      self._reader.deadline = min(end, time.monotonic() + limits.part_seconds)
      body.write(self.rfile.read(part))
      if length - body.tell() > left - part:
        raise RequestError(
            400, f'the body ends after {body.tell()} of {length} bytes')
    return body.getvalue()

  def _send_continue(self):
    """Sends "100 Continue" to a client that waits for it before it sends the body."""
    try:
      self.send_response_only(100)
      self.end_headers()
    except OSError as error:
      raise _ClientGoneError from error

  def _send(self, response):
    self._is_answered = True
    # The base class writes no head for HTTP/0.9 or after a wrong first line.
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
    # The base class calls this method for a head that it cannot parse.
    try:
      self._send(RequestError(code, message or 'the request is damaged').response)
    except OSError as error:
      raise _ClientGoneError from error

  def _linger(self):
    """Waits until the client closes the connection.

    If the server closes it while bytes arrive, the system may discard the response.
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


def _body_length(headers, max_bytes):
  """Returns the length of the body by its headers; raises RequestError if refused."""
  if 'Transfer-Encoding' in headers:
    raise RequestError(411, 'Transfer-Encoding is not supported: send the whole body,'
                       ' with its Content-Length')
  if headers.get('Content-Encoding', 'identity').lower() != 'identity':
    raise RequestError(415, 'the body is compressed: send it without Content-Encoding')
  lengths = headers.get_all('Content-Length', [])
  if not lengths:
    raise RequestError(411, 'the request has no Content-Length')
  if len(lengths) > 1 or not _LENGTH.fullmatch(lengths[0].strip()):
    raise RequestError(400, f"Content-Length: '{', '.join(lengths)}' is not a number")
  length = int(lengths[0])
  if length > max_bytes:
    raise RequestError(
        413, f'the request has {length:,} bytes, the limit is {max_bytes:,} bytes: send'
        ' fewer or smaller images, or start the server with a larger --max_request_mb')
  return length

