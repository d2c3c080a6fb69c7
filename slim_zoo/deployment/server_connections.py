"""Notices that another process of a job has ended: its open connection breaks.

A collective operation may wait forever for a process that has ended. This happens most
often if the process is started again at once: the port answers, but the new process
does not take part in the operation. The connection to the old process always breaks.
"""

import selectors
import threading
from collections.abc import Mapping

from slim_zoo.deployment import peers

# HTTP/2 (RFC 9113): types of frames, and the flag of an answer.
_SETTINGS, _PING, _ANSWER = 4, 6, 1
_HEADER_BYTES, _READ_BYTES = 9, 65536
_LOOK_SECONDS = 0.5


class ServerConnections:
  """One connection to the server of each of several processes.

  A thread answers the frames that keep a connection alive. It ends with the program.

  Args:
    addresses: of the servers, by name of the process. All of them have answered
      before, so one that does not answer has ended.
  """

  def __init__(self, addresses: Mapping[str, str]):
    self._lost, self._selector = [], selectors.DefaultSelector()
    for name, address in addresses.items():
      try:
        line = peers.connection(address)
        line.sendall(peers.HTTP2_PREFACE)
        line.setblocking(False)
      except OSError:
        self._lost.append(name)
        continue
      self._selector.register(line, selectors.EVENT_READ, [name, b''])
    threading.Thread(target=self._watch, daemon=True).start()

  def lost(self) -> list[str]:
    """Returns the names of the processes that have ended, the first one first."""
    return list(self._lost)

  def _watch(self):
    while self._selector.get_map():
      for key, _ in self._selector.select(_LOOK_SECONDS):
        name, received = key.data
        try:
          new = key.fileobj.recv(_READ_BYTES)
          answers, key.data[1] = _answers(received + new)
          if answers:
            key.fileobj.sendall(answers)
        except BlockingIOError:
          continue
        except OSError:
          new = b''
        if not new:
          self._selector.unregister(key.fileobj)
          key.fileobj.close()
          self._lost.append(name)


def _answers(received: bytes) -> tuple[bytes, bytes]:
  """Returns the answers to the whole frames of some bytes, and the rest."""
  answers = b''
  while len(received) >= _HEADER_BYTES:
    length, kind, flags = (
        int.from_bytes(received[:3], 'big'), received[3], received[4])
    if len(received) < _HEADER_BYTES + length:
      break
    content = received[_HEADER_BYTES:_HEADER_BYTES + length]
    received = received[_HEADER_BYTES + length:]
    if kind in (_SETTINGS, _PING) and not flags & _ANSWER:
      content = content if kind == _PING else b''
      answers += (len(content).to_bytes(3, 'big') + bytes([kind, _ANSWER])
                  + bytes(4) + content)
  return answers, received
