"""A local HTTP server of archives that can misbehave, and the archives."""

import contextlib
import hashlib
import http.server
import io
import tarfile
import threading


class _Handler(http.server.BaseHTTPRequestHandler):
  """Answers by the attributes of `archive_server`."""

  def do_GET(self):
    server = self.server
    server.asked.append((self.path, self.headers.get('Range')))
    if self.path in server.raw:
      self.wfile.write(server.raw[self.path])
    elif self.path in server.statuses:
      self.send_error(server.statuses[self.path])
    elif self.path in server.redirects:
      self.send_response(302)
      self.send_header('Location', server.redirects[self.path])
      self.end_headers()
    elif self.path in server.files:
      self._send(server.files[self.path])
    else:
      self.send_error(404)

  def _send(self, data):
    server, tag = self.server, f'"{hashlib.md5(data).hexdigest()}"'
    start = 0
    if server.knows_ranges and self.headers.get('If-Range') == tag:
      start = int(self.headers['Range'].removeprefix('bytes=').removesuffix('-'))
    if start and start >= len(data):
      self.send_error(416)
      return
    self.send_response(206 if start else 200)
    if start:
      first = start + server.wrong_bytes
      self.send_header('Content-Range', f'bytes {first}-{len(data) - 1}/{len(data)}')
      start = first
    self.send_header('ETag', tag)
    if server.says_length:
      self.send_header('Content-Length', str(len(data) - start))
    self.end_headers()
    self.wfile.write(data[start:start + server.piece])
    self.wfile.flush()
    if start + server.piece < len(data):
      server.goes_on.wait(60)

  def log_message(self, *_):
    pass


@contextlib.contextmanager
def archive_server():
  """Serves files.

  Attributes of the yielded server:
    url: its address.
    files: bytes by path.
    statuses: status codes by path, in place of the file.
    redirects: addresses by path.
    raw: bytes by path that are the whole answer, without status and headers.
    piece: bytes that are sent before the connection breaks off.
    goes_on: an event that is awaited before the connection breaks off.
    knows_ranges: whether the rest of a file can be asked for.
    wrong_bytes: how much too far behind the rest begins.
    says_length: whether the length is sent.
    asked: (path, Range) of each request.
  """
  with http.server.ThreadingHTTPServer(('127.0.0.1', 0), _Handler) as running:
    running.files, running.statuses = {}, {}
    running.redirects, running.raw = {}, {}
    running.asked, running.piece, running.goes_on = [], 1 << 40, threading.Event()
    running.goes_on.set()
    running.knows_ranges = running.says_length = True
    running.wrong_bytes = 0
    running.url = f'http://127.0.0.1:{running.server_port}'
    thread = threading.Thread(target=running.serve_forever, args=[0.01])
    thread.start()
    yield running
    running.goes_on.set()
    running.shutdown()
    thread.join()


def packed(files, members=(), mode='w:gz'):
  """Returns the bytes of a tar archive.

  Args:
    files: content by name.
    members: further `tarfile.TarInfo`, without content.
    mode: of tarfile.
  """
  stream = io.BytesIO()
  with tarfile.open(fileobj=stream, mode=mode) as archive:
    for name, content in files.items():
      member = tarfile.TarInfo(name)
      member.size = len(content)
      archive.addfile(member, io.BytesIO(content))
    for member in members:
      archive.addfile(member)
  return stream.getvalue()


def special(name, kind, target=''):
  """Returns a member that is not a file, such as a link to `target`."""
  member = tarfile.TarInfo(name)
  member.type, member.linkname = kind, target
  return member
