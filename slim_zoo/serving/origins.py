"""Refuses requests of pages of other web sites in a user's browser.

A page can make the browser send requests to any address. The address of the page is
then in the header Origin. A web site can also make its own name point to this machine
(DNS rebinding). This name is then in the header Host. So IP addresses are always
accepted as Host, and names only if they are known.
"""

import email.message
import ipaddress
import re
from collections.abc import Iterable

from slim_zoo.serving.messages import RequestError

# NAME, ADDRESS or [ADDRESS], and a port.
_HOST = re.compile(r'(\[[0-9a-f:.]+\]|[^\s\[\]:/@?#]+)(?::[0-9]{1,5})?')
_ORIGIN = re.compile(r'https?://(.+)')
_OWN_SITES = ('same-origin', 'none')


class Origins:
  """Checks the host names and web sites of requests.

  Args:
    names: accepted host names, in addition to localhost and IP addresses.
  """

  def __init__(self, names: Iterable[str] = ()):
    self._names = {'localhost', *(name.lower() for name in names)}

  def check(self, method: str, headers: email.message.Message) -> None:
    """Refuses a request of another web site.

    Args:
      method: HTTP method of the request.
      headers: headers of the request.

    Raises:
      RequestError: 400 unless there is one valid header Host; 403 for an unknown host
        name or another web site.
    """
    hosts = headers.get_all('Host', [])
    if len(hosts) != 1:
      raise RequestError(400, f'{len(hosts)} headers Host: expected one')
    host = hosts[0].strip().lower()
    match = _HOST.fullmatch(host)
    if not match:
      raise RequestError(
          400, f"Host: '{host}': expected NAME, NAME:PORT or an IP address")
    if not self._is_known(match[1]):
      raise RequestError(
          403, f"the host name '{match[1]}' is not allowed: use the IP address of the"
          f' server, or start it with --allowed_hosts={match[1]}')
    for origin in headers.get_all('Origin', []):
      match = _ORIGIN.fullmatch(origin.strip().lower())
      if not match or match[1] != host:
        raise RequestError(403, f"requests of the web site '{origin}' are refused: only"
                           ' the page of this server may send them')
    self._check_site(method, headers)

  def _is_known(self, name):
    try:
      ipaddress.ip_address(name.strip('[]'))
      return True
    except ValueError:
      return name in self._names

  def _check_site(self, method, headers):
    # A link on another page to this page is allowed.
    is_link = method == 'GET' and headers.get('Sec-Fetch-Mode') == 'navigate'
    for site in headers.get_all('Sec-Fetch-Site', []):
      if site not in _OWN_SITES and not is_link:
        raise RequestError(403, 'requests of pages of other sites are refused')
