"""Malformed requests to a web server, each made from its number."""

import base64
import json
import random

from slim_zoo.serving import rest
from tests import served
from tests.stored_images import encoded, picture

# A slow request pauses longer than the server of the test waits.
PAUSE_SECONDS = 0.8
_HOST = b'Host: 127.0.0.1\r\n'
_IMAGES = [encoded(picture(7), kind) for kind in ('PNG', 'JPEG', 'GIF', 'BMP')]
_WORDS = ['instances', 'inputs', 'signature_name', 'b64', 'image_bytes', 'images']
_VALUES = [None, True, -1, 1e308, 10**400, '', 'x' * 3000, [], {}, [[]], [[[1]]],
           {'b64': ''}, {'b64': 'aGVsbG8='}, {'b64': None}, {'images': 1}, '\ud800']
_LENGTHS = [b'-1', b'+5', b'0x10', b'1e3', b'', b' ', b'9' * 30, b'12a', b'1 2',
            b'\xb2', b'18446744073709551617', b'0', b'3']


def post(body, *headers, path=b'/v1/models/default:predict', length=None):
  """Returns the bytes of a POST request."""
  length = str(len(body)).encode() if length is None else length
  return b'\r\n'.join([b'POST ' + path + b' HTTP/1.1', b'Host: 127.0.0.1',
                       b'Content-Length: ' + length, *headers, b'', b'']) + body


def request(choice: random.Random) -> tuple[list[bytes | float], bool]:
  """Returns (parts to send, whether the client then ends its side)."""
  made = choice.choice(_KINDS)(choice)
  return made if isinstance(made, tuple) else ([made], True)


def damaged(data: bytes, choice: random.Random) -> bytes:
  """Returns bytes with one to four places changed, cut out or put in."""
  data = bytearray(data)
  for _ in range(choice.randint(1, 4)):
    place = choice.randrange(len(data) + 1)
    kind = choice.randrange(4)
    if kind == 0:
      data[place:place] = choice.randbytes(choice.randint(1, 8))
    elif kind == 1:
      del data[place:place + choice.randint(1, 20)]
    elif kind == 2:
      data[place:place + 1] = choice.randbytes(1)
    else:
      del data[place + 1:]
  return bytes(data)


def _valid(choice):
  instances = [served.b64(choice.choice(_IMAGES)) for _ in range(choice.randint(1, 3))]
  return json.dumps({'instances': instances}).encode()


def _damaged_whole(choice):
  return damaged(post(_valid(choice)), choice)


def _noise(choice):
  return choice.randbytes(choice.randint(1, 2000)) + b'\r\n\r\n'


def _first_line(choice):
  words = [b'GET', b'POST', b'get', b'', b'BREW', b'/', b'/v1/models/default:predict',
           b'*', b'http://evil.example/', b'/%00', b'/..//..', b'HTTP/1.1', b'HTTP/9.9',
           b'HTTP/1', b'http/1.1', b'HTTP/0.9', b'\xff\xfe', b'/\x00', b'x' * 9000]
  line = b' '.join(choice.choices(words, k=choice.randint(1, 5)))
  return line + choice.choice([b'\r\n', b'\n', b'\r']) + _HOST + b'\r\n'


def _headers(choice):
  lines = [b'Host: 127.0.0.1', b'Host: evil.example', b'Host:', b'host : a', b': x',
           b'no colon', b' folded', b'X' * 70_000, b'A: \x00\x01',
           b'Expect: 100-continue', b'Expect: nothing', b'Connection: keep-alive',
           b'Origin: null', b'Origin: http://127.0.0.1', b'Transfer-Encoding: chunked',
           b'Transfer-Encoding: gzip, chunked', b'Content-Encoding: gzip',
           b'Sec-Fetch-Site: cross-site', b'Content-Length: 5', b'Content-Length: 2']
  chosen = choice.choices(lines, k=choice.choice([1, 3, 6, 150]))
  return b'\r\n'.join([b'POST /classify HTTP/1.1', *chosen, b'', b'']) + b'hello'


def _length(choice):
  return post(_valid(choice), length=choice.choice(_LENGTHS))


def _chunked(choice):
  body = choice.choice([b'5\r\nhello\r\n0\r\n\r\n', b'FFFFFFFFFFFFFFFF\r\nx', b'-1\r\n',
                        b'zz\r\n', b'5\r\nhel'])
  return b'POST /classify HTTP/1.1\r\n' + _HOST + (
      b'Transfer-Encoding: chunked\r\n\r\n') + body


def _cut(choice):
  whole = post(_valid(choice))
  return whole[:choice.randrange(len(whole))]


def _abandoned(choice):
  """The client ends the connection without reading."""
  return [_cut(choice)], None


def _broken_json(choice):
  return post(damaged(_valid(choice), choice))


def _strange_json(choice):
  def value(depth):
    kind = choice.randrange(4)
    if depth and kind == 0:
      return [value(depth - 1) for _ in range(choice.randrange(4))]
    if depth and kind == 1:
      return {choice.choice(_WORDS): value(depth - 1) for _ in range(2)}
    return choice.choice(_VALUES)

  return post(json.dumps({choice.choice(_WORDS): value(3) for _ in range(
      choice.randint(1, 3))}).encode())


def _deep_json(choice):
  opening = choice.choice([b'[', b'{"instances":', b'{"b64":'])
  return post(opening * choice.randint(500, 10_000))


def _huge_numbers(choice):
  number = choice.choice(['1e999', '-1e400', '9' * 50_000, '1' + '0' * 400, 'NaN',
                          'Infinity', '1e-999', '0.' + '1' * 5000])
  size = choice.choice([1, 28])
  rows = [[[[number] for _ in range(size)] for _ in range(size)]]
  name = choice.choice(['tensors', 'preprocessed', 'serving_default'])
  if size == 28 and len(number) > 1000:
    rows[0][1:] = [[['1']] * size] * (size - 1)
    rows[0][0][1:] = [['1']] * (size - 1)
  body = json.dumps({'signature_name': name, 'instances': rows}).replace('"1"', '1')
  return post(body.replace(f'"{number}"', number).encode())


def _shapes(choice):
  shape = [choice.choice([0, 1, 27, 28, 29]) for _ in range(choice.randint(0, 4))]
  value = choice.choice([0, 255, 256, -1, 0.5, 'a', None, True, []])
  for size in reversed(shape):
    value = [value] * size
  return post(json.dumps({'signature_name': choice.choice(['tensors', 'preprocessed']),
                          'instances': [value]}).encode())


def _base64(choice):
  text = base64.b64encode(choice.choice(_IMAGES)).decode()
  place = choice.randrange(len(text))
  text = text[:place] + choice.choice(['!', '=', ' ', '\n', 'é', '']) + text[
      place + choice.randrange(3):]
  return post(json.dumps({'instances': [{'b64': text}]}).encode())


def _image(choice):
  data = damaged(choice.choice(_IMAGES), choice)
  if choice.randrange(2):
    return post(data, path=b'/classify')
  return post(json.dumps({'instances': [served.b64(data)]}).encode())


def _no_image(choice):
  data = choice.choice([b'', b'hello', b'%PDF-1.7', b'\x89PNG\r\n\x1a\n', b'GIF89a',
                        b'BM', b'\xff\xd8\xff', b'<svg></svg>', b'\0' * 1000,
                        choice.randbytes(300)])
  return _as_image(data, choice)


def _bomb(choice):
  """A few bytes that claim millions of pixels."""
  side = choice.choice([0, 20_000, 2**31 - 1, 2**32 - 1])
  png = bytearray(_IMAGES[0])
  png[16:24] = side.to_bytes(4, 'big') * 2
  gif = bytearray(_IMAGES[2])
  gif[6:10] = b'\xff' * 4
  bmp = bytearray(_IMAGES[3])
  bmp[18:26] = side.to_bytes(4, 'little') * 2
  return _as_image(bytes(choice.choice([png, gif, bmp])), choice)


def _as_image(data, choice):
  if choice.randrange(2):
    return post(data, path=b'/classify')
  return post(json.dumps({'instances': [served.b64(data)]}).encode())


def _too_many(choice):
  return post(json.dumps({'instances': [1] * (rest.MAX_INSTANCES + 1)}).encode())


def _too_large(choice):
  return post(b'x' * choice.randint(200_001, 600_000))


def _address(choice):
  paths = [b'/v1/models/x:predict', b'/v1/models/default/versions/99999999999999999999',
           b'/v1/models/default:' + b'a' * 500, b'/v1/', b'/v1/models//:predict',
           b'/v1/models/default/versions/1:predict:predict', b'/classify/', b'/nothing',
           b'/v1/models/\xff\xfe:predict', b'/v1/models/default/metadata']
  return post(_valid(choice), path=choice.choice(paths))


def _slow(choice):
  whole = post(_valid(choice))
  place = choice.randrange(1, len(whole))
  return [whole[:place], PAUSE_SECONDS, whole[place:]], False


_KINDS = [_damaged_whole, _noise, _first_line, _headers, _length, _chunked, _cut,
          _abandoned, _broken_json, _strange_json, _deep_json, _huge_numbers, _shapes,
          _base64, _image, _no_image, _bomb, _too_many, _too_large, _address, _slow]
