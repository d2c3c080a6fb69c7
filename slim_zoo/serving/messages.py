"""Requests, responses and refusals of the web server."""

import dataclasses
import email.message
import json
from collections.abc import Callable, Mapping
from typing import Any

from slim_zoo import diagnostics

JSON = 'application/json'
# A message may quote what a client sent.
_LONGEST_TEXT = 500


@dataclasses.dataclass(frozen=True)
class Request:
  """The head of a request, and a function that reads its body.

  Attributes:
    method: such as 'GET'.
    path: without the query.
    headers: as received.
    read: returns the body; raises RequestError if it is too large, too slow, or cut.
  """

  method: str
  path: str
  headers: email.message.Message
  read: Callable[[], bytes]


@dataclasses.dataclass(frozen=True)
class Response:
  """What a client gets.

  Attributes:
    status: of HTTP, such as 200.
    body: of the response.
    content_type: of the body.
    headers: more of them, by name.
  """

  status: int
  body: bytes
  content_type: str = JSON
  headers: Mapping[str, str] = dataclasses.field(default_factory=dict)


class RequestError(Exception):
  """A request that is refused.

  Args:
    status: of HTTP, such as 400.
    text: why, in one line.
    headers: of the response, by name.
  """

  def __init__(self, status: int, text: str, headers: Mapping[str, str] | None = None):
    super().__init__(text)
    self.status, self.headers = status, dict(headers or {})

  @property
  def response(self) -> Response:
    """The response: {"error": text}."""
    return as_json({'error': quoted(str(self))}, self.status, self.headers)


def quoted(text: str) -> str:
  """Returns a text that a client sent as one line of limited length."""
  text = diagnostics.printable(text)
  return text if len(text) <= _LONGEST_TEXT else f'{text[:_LONGEST_TEXT]}...'


def as_json(values: Any, status: int = 200, headers: Mapping[str, str] | None = None
            ) -> Response:
  """Returns a response of JSON.

  Args:
    values: what `json.dumps` takes, without NaN and infinite numbers.
    status: of HTTP.
    headers: more of them, by name.
  """
  return Response(status, json.dumps(values, allow_nan=False).encode(), JSON,
                  headers or {})
