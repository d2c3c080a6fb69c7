"""The socket on which the web server listens. Needs no TensorFlow."""

import errno
import ipaddress
import socket

from slim_zoo import diagnostics

# The largest number of connections that wait until the server accepts them.
_MAX_WAITING = 128


def listen(host: str, port: int) -> socket.socket:
  """Returns a socket that listens.

  Connections wait until the server accepts them.

  Args:
    host: an address of this machine, or its name.
    port: port number; 0 chooses a free port.

  Raises:
    UserError: the address is not one of this machine, or the port cannot be used.
  """
  try:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
  except (socket.gaierror, ValueError) as error:
    raise _no_address(host) from error
  listener = socket.socket(family, kind, protocol)
  try:
    # Without it, a port stays in use for a minute after its server has ended.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(address)
    listener.listen(_MAX_WAITING)
  except OSError as error:
    listener.close()
    raise _unusable(host, port, error) from error
  return listener


def _no_address(host):
  return diagnostics.UserError(
      f"--host='{host}' is not an address of this machine: use 127.0.0.1 for this"
      ' machine only, or 0.0.0.0 for connections from other machines')


def _unusable(host, port, error):
  if error.errno == errno.EADDRINUSE:
    return diagnostics.UserError(
        f'--port={port} of {host} is in use by another program: name another port, or'
        ' --port=0 for a free one')
  if error.errno == errno.EADDRNOTAVAIL:
    return _no_address(host)
  if error.errno in (errno.EACCES, errno.EPERM):
    return diagnostics.UserError(
        f'--port={port} needs special rights on this machine: name one of 1024 or more,'
        ' such as --port=8501')
  return diagnostics.UserError(
      f'--host={host} --port={port} cannot be used: {error.strerror or error}')


def is_loopback(listener: socket.socket) -> bool:
  """Returns whether only this machine can connect to a socket."""
  return _address(listener).is_loopback


def url(listener: socket.socket) -> str:
  """Returns the address of the page, for a browser on this machine."""
  address, port = _address(listener), listener.getsockname()[1]
  if address.is_unspecified:
    address = ipaddress.ip_address('127.0.0.1' if address.version == 4 else '::1')
  return f'http://{f"[{address}]" if address.version == 6 else address}:{port}/'


def _address(listener):
  return ipaddress.ip_address(listener.getsockname()[0].partition('%')[0])
