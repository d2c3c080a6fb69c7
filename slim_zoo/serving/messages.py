"""Requests, responses and errors of the web server."""

import dataclasses
import email.message
import json
from collections.abc import Callable, Mapping
from typing import Any

from slim_zoo import diagnostics

JSON = 'application/json'
# Of a text in a message. A message may quote a text of a client.
_LONGEST_TEXT = 500


@dataclasses.dataclass(frozen=True)
class Request:
  """The head of a request, and a function that reads its body.

  Attributes:
    method: HTTP method, such as 'GET'.
    path: path of the address, without the query.
    headers: headers of the request.
    read: returns the body; raises RequestError if it is too large, too slow or
      incomplete.
  """

  method: str
  path: str
  headers: email.message.Message
  read: Callable[[], bytes]


@dataclasses.dataclass(frozen=True)
class Response:
  """A response.

  Attributes:
    status: HTTP status, such as 200.
    body: bytes of the response.
    content_type: content type of the body.
    headers: additional headers by name.
  """

  status: int
  body: bytes
  content_type: str = JSON
  headers: Mapping[str, str] = dataclasses.field(default_factory=dict)


class RequestError(Exception):
  """The request is refused.

  Args:
    status: HTTP status, such as 400.
    text: the reason, in one line.
    headers: additional headers of the response by name.
  """

  def __init__(self, status: int, text: str, headers: Mapping[str, str] | None = None):
    super().__init__(text)
    self.status, self.headers = status, dict(headers or {})

  @property
  def response(self) -> Response:
    """The response: {"error": text}."""
    return as_json({'error': quoted(str(self))}, self.status, self.headers)


def quoted(text: str) -> str:
  """Returns a text of a client as one printable line of limited length."""
  text = diagnostics.printable(text)
  return text if len(text) <= _LONGEST_TEXT else f'{text[:_LONGEST_TEXT]}...'


def as_json(values: Any, status: int = 200, headers: Mapping[str, str] | None = None
            ) -> Response:
  """Returns a JSON response.

  Args:
    values: the content, for `json.dumps`; without NaN and infinite numbers.
    status: HTTP status.
    headers: additional headers by name.
  """
  return Response(status, json.dumps(values, allow_nan=False).encode(), JSON,
                  headers or {})
