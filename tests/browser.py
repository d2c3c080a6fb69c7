"""A headless Chromium for tests of pages. A test is skipped where there is none.

A machine with Debian gets both programs by `apt-get install chromium chromium-driver`.
"""

import contextlib
import shutil
from collections.abc import Iterator

import pytest
from selenium import webdriver
from selenium.common import exceptions

# No sandbox: it cannot run as root. The others keep Chromium from the network.
_ARGUMENTS = ('--headless', '--no-sandbox', '--disable-gpu', '--disable-quic',
              '--no-first-run', '--disable-background-networking',
              '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage',
              '--window-size=1400,1000')


@contextlib.contextmanager
def opened(folder) -> Iterator[webdriver.Chrome]:
  """Opens a browser whose profile is in `folder`, a path; closes it at the end."""
  programs = {name: shutil.which(name) for name in ('chromium', 'chromedriver')}
  missing = [name for name, path in programs.items() if path is None]
  if missing:
    pytest.skip(f'{" and ".join(missing)} not installed')
  options = webdriver.ChromeOptions()
  options.binary_location = programs['chromium']
  for argument in (*_ARGUMENTS, f'--user-data-dir={folder}'):
    options.add_argument(argument)
  try:
    driver = webdriver.Chrome(
        options, webdriver.ChromeService(programs['chromedriver']))
  except exceptions.SessionNotCreatedException as error:
    # Some containers do not let it start.
    pytest.skip(f'Chromium does not start here: {str(error.msg).splitlines()[0]}')
  driver.set_page_load_timeout(60)
  try:
    yield driver
  finally:
    driver.quit()
