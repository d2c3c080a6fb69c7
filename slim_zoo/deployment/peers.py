"""The other processes of a job: which listen at their ports, and the wait for them."""

import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from slim_zoo.diagnostics import UserError, some

# The first bytes of a client and an empty frame of settings (RFC 9113, section 3.4).
HTTP2_PREFACE = b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00'
_HTTP2_HEADER_BYTES, _HTTP2_SETTINGS = 9, b'\x04'
_TRY_SECONDS, _BETWEEN_SECONDS = 2.0, 0.3
# Until the first line about a process that is waited for, and between lines.
_QUIET_SECONDS, _LINE_SECONDS = 3.0, 30.0
_NATIVE_THREAD = 'native'


def connection(address: str, seconds: float = _TRY_SECONDS) -> socket.socket:
  """Returns a connection to 'HOST:PORT'.

  Args:
    address: of a server.
    seconds: how long it may take.

  Raises:
    OSError: there is none.
  """
  host, _, port = address.rpartition(':')
  return socket.create_connection((host.strip('[]'), int(port)), seconds)


def answers(address: str, seconds: float = _TRY_SECONDS) -> bool:
  """Returns whether a process listens at 'HOST:PORT'."""
  try:
    with connection(address, seconds):
      return True
  except OSError:
    return False


def uses_other_protocol(address: str) -> bool:
  """Tells whether a program answers at 'HOST:PORT' that speaks another protocol.

  TensorFlow's servers speak HTTP/2: they answer its first bytes by a frame of settings.
  A server that does not answer in time may be busy, so it is not an unknown server.
  """
  try:
    with connection(address) as line:
      line.sendall(HTTP2_PREFACE)
      answer = line.recv(_HTTP2_HEADER_BYTES, socket.MSG_WAITALL)
  except OSError:
    return False
  return bool(answer) and answer[3:4] != _HTTP2_SETTINGS


def silent(peers: Mapping[str, str]) -> list[str]:
  """Returns the names of the peers that do not answer.

  Args:
    peers: addresses by name.
  """
  return [name for name, address in peers.items() if not answers(address)]


def wait_for_silent_peers(peers: Mapping[str, str], seconds: float) -> list[str]:
  """Asks peers again and again; returns the names of the first ones without an answer.

  The port of a killed process may stay open for a moment after its connections end.

  Args:
    peers: addresses by name.
    seconds: how long to ask.

  Returns:
    The names; [] if all peers answer for all this time.
  """
  deadline = time.monotonic() + seconds
  while not (names := silent(peers)) and time.monotonic() < deadline:
    time.sleep(0.1)
  return names


def wait_for(peers: Mapping[str, str], seconds: float,
             report: Callable[[str], None]) -> None:
  """Waits until all peers answer.

  Args:
    peers: addresses by name.
    seconds: how long; 0: forever.
    report: gets a line with the missing peers, every half minute.

  Raises:
    UserError: some do not answer in time, or another program answers.
  """
  begin = time.monotonic()
  next_line = begin + _QUIET_SECONDS
  missing = dict(peers)
  while True:
    found = {name: address for name, address in missing.items() if answers(address)}
    for name, address in found.items():
      if uses_other_protocol(address):
        raise UserError(
            f'{name}: another program uses this address, no server of TensorFlow'
            ' answers: end that program, or choose another port')
    missing = {name: address for name, address in missing.items() if name not in found}
    if not missing:
      return
    now = time.monotonic()
    if seconds and now - begin > seconds:
      raise UserError(
          f'{some(list(missing))} did not start within {seconds:g} s: look at what it'
          ' printed, and at its address')
    if now >= next_line:
      report(f'waiting for {some(list(missing))}')
      next_line = now + _LINE_SECONDS
    time.sleep(_BETWEEN_SECONDS)


def interruptible(call: Callable[[], Any],
                  look: Callable[[float], None] = lambda seconds: None) -> Any:
  """Returns what a call returns; signals are handled while it waits in native code.

  Args:
    call: the function. It continues in its thread if `look` raises an error.
    look: is called with the seconds of the wait, several times a second.
  """
  results, errors = [], []

  def run():
    try:
      results.append(call())
    except BaseException as error:
      errors.append(error)

  thread = native_thread(run)
  thread.start()
  begin = time.monotonic()
  while thread.is_alive():
    thread.join(0.2)
    look(time.monotonic() - begin)
  if errors:
    raise errors[0]
  return results[0]


def native_thread(call: Callable[[], Any], *arguments: Any) -> threading.Thread:
  """Returns a thread, not yet started, that may be inside TensorFlow at the end.

  Python ends a thread that comes back from native code too late, which TensorFlow
  answers by an abort of the process: see `has_native_threads`.
  """
  return threading.Thread(
      target=call, args=arguments, daemon=True, name=_NATIVE_THREAD)


def has_native_threads() -> bool:
  """Tells whether a `native_thread` runs: Python cannot end the process in order."""
  return any(thread.name == _NATIVE_THREAD for thread in threading.enumerate())
