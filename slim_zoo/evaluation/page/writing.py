"""Writes report.html: template, styles, script and data in one file.

The file refers to no other files, and its security policy allows only its own script
and styles. All names are in the data, with escapes in place of control characters; the
script adds them to the page as text.
"""

import base64
import hashlib
import html
import json
import pathlib
import re

from slim_zoo import diagnostics

NAME = 'report.html'
_FOLDER = pathlib.Path(__file__).parent
# They are joined to one script.
_SCRIPTS = ('elements.js', 'tables.js', 'images.js', 'confusion.js', 'charts.js',
            'page.js')


def write(folder: pathlib.Path, title: str, content: dict) -> None:
  """Writes the page into a folder.

  Args:
    folder: an existing folder.
    title: title of the page.
    content: plain values, see `content.of_evaluation`.

  Raises:
    OSError: the file cannot be written.
  """
  styles, script = _text('page.css'), ''.join(map(_text, _SCRIPTS))
  parts = {
      'policy': f"default-src 'none'; img-src data:; style-src '{_digest(styles)}';"
                f" script-src '{_digest(script)}'",
      'title': html.escape(diagnostics.printable(title)), 'styles': styles,
      'script': script,
      # Without '<', no text can end the element. json.dumps writes ASCII only.
      'data': json.dumps(_printable(content), separators=(',', ':')).replace(
          '<', '\\u003c')}
  # One pass: names in braces inside the parts are not replaced.
  page = re.sub(r'{{(\w+)}}', lambda match: parts[match[1]], _text('page.html'))
  (folder / NAME).write_text(page, encoding='utf-8', newline='\n')


def _printable(value):
  """Returns plain values in which all texts are printable; keys are not changed."""
  if isinstance(value, str):
    return diagnostics.printable(value)
  if isinstance(value, dict):
    return {key: _printable(part) for key, part in value.items()}
  if isinstance(value, list | tuple):
    return [_printable(part) for part in value]
  return value


def _text(name):
  return (_FOLDER / name).read_text(encoding='utf-8')


def _digest(text):
  """Returns the hash of a text for a security policy."""
  return 'sha256-' + base64.b64encode(
      hashlib.sha256(text.encode('utf-8')).digest()).decode()
