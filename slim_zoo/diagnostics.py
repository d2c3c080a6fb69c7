"""Answers for users: one clear line instead of a traceback.

Imports nothing heavy, so that a mistyped flag is answered at once.
"""

import codecs
import difflib
import errno
import re
import signal
import sys
import unicodedata
from collections.abc import Iterable, Mapping
from types import MappingProxyType

# A number of so many digits is an int64.
_MOST_DIGITS = 18


class UserError(ValueError):
  """A mistake of the user's: its text is the whole answer.

  The text names the thing, its value, what was expected and what to do.
  A command prints it without a traceback and exits with `exit_code`.
  """

  exit_code = 1


def suggestion(value: str, choices: Iterable[str], likeness: float = 0.6) -> str:
  """Returns "; did you mean 'NEAR'?" for a misspelt value, or ''.

  Args:
    value: what the user typed.
    choices: the accepted names.
    likeness: the least that a name must have in common, from 0 to 1; of thousands of
      names, one is always a little like the value.
  """
  choices = list(choices)
  by_folded_name = {choice.lower(): choice for choice in reversed(choices)}
  near = difflib.get_close_matches(
      str(value).lower(), by_folded_name, n=1, cutoff=likeness)
  return f"; did you mean '{by_folded_name[near[0]]}'?" if near else ''


def unknown_name(kind: str, value: str, choices: Iterable[str],
                 where: str = '', advice: str = '') -> UserError:
  """Returns the error for a `value` that is none of `choices`.

  Args:
    kind: what the value names, such as 'network' or 'split'.
    value: what the user typed.
    choices: the accepted names; listed in the message.
    where: where it was looked for, such as ' in flowers'.
    advice: added to the message.
  """
  choices = list(choices)
  return UserError(
      f"no {kind} '{value}'{where}{suggestion(value, choices)}"
      f" (known: {', '.join(choices)})" + (f': {advice}' if advice else ''))


def why_a_process_failed(exit_code: int, messages: str = '') -> str:
  """Returns the reason why another process ended without a result.

  Args:
    exit_code: exit code of the process; a negative value is the number of the signal
      that ended it.
    messages: its output on stderr; the last line that is not empty is the reason,
      unless a signal ended the process.
  """
  if exit_code < 0:
    # If the memory is full, Linux ends a process with SIGKILL, usually the largest.
    memory = (', perhaps because the memory of this machine is full: free memory, or'
              ' use a machine with more' if exit_code == -signal.SIGKILL else '')
    return f'its process ended by signal {-exit_code}{memory}'
  lines = [line for line in messages.splitlines() if line.strip()]
  return lines[-1].strip() if lines else f'its process ended with exit code {exit_code}'


def some(names: list[str], count: int = 3) -> str:
  """Returns the first names, and how many more there are."""
  more = len(names) - count
  return ', '.join(names[:count]) + (f', and {more} more' if more > 0 else '')


def whole_number(text: str) -> int | None:
  """Returns the number that a text of at most 18 ASCII digits stands for, or None.

  `int` raises ValueError for a text of some thousand digits.
  """
  is_number = text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS
  return int(text) if is_number else None


def fixed(value: float, digits: int) -> str:
  """Returns a number with so many digits behind the point; a zero has no sign."""
  return f'{round(value, digits) + 0.0:.{digits}f}'


def sentences(*parts: object) -> str:
  """Returns the parts as sentences of one line, each but the last with one mark."""
  ended = [str(part).rstrip() for part in parts]
  return ' '.join([*(
      text if text.endswith(('.', '?', '!')) else f'{text}.' for text in ended[:-1]),
                   ended[-1]])


# Control characters, lone surrogates, separators of lines and paragraphs.
_ESCAPED_CATEGORIES = ('Cc', 'Cs', 'Zl', 'Zp')
# They change the direction of the text behind them, in a name and after it
# (Unicode 16, property Bidi_Control).
_BIDI_CONTROLS = frozenset(
    '\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069')


def printable(text: str) -> str:
  r"""Returns a name as one line of text that a terminal shows, such as 'caf\xe9'.

  Control characters become escapes: line breaks, tabs, characters that change the
  direction of text, and all others. Bytes of a file name that are not UTF-8 become
  escapes too. Letters of all languages stay.
  """
  if text.isprintable():  # Most are, and it is much faster for long ones.
    return text
  return ''.join(_escape(letter) if _is_escaped(letter) else letter for letter in text)


def _is_escaped(letter: str) -> bool:
  return letter in _BIDI_CONTROLS or (
      unicodedata.category(letter) in _ESCAPED_CATEGORIES)


def _escape(letter: str) -> str:
  if '\udc80' <= letter <= '\udcff':  # How Python keeps a byte that is not UTF-8.
    return f'\\x{ord(letter) - 0xdc00:02x}'
  return letter.encode('unicode_escape').decode()


# Names of handlers for what the encoding of a stream cannot hold.
ESCAPED = 'slim_zoo.escaped'
BYTES_OR_ESCAPED = 'slim_zoo.bytes_or_escaped'


def _escaped(error: UnicodeEncodeError) -> tuple[str, int]:
  """Writes what cannot be encoded as `printable` does."""
  return ''.join(map(_escape, error.object[error.start:error.end])), error.end


def _bytes_or_escaped(error: UnicodeEncodeError) -> tuple[str | bytes, int]:
  """Writes the byte of a file name as it was, and escapes what cannot be encoded."""
  letter = error.object[error.start]
  if '\udc80' <= letter <= '\udcff':
    return bytes([ord(letter) - 0xdc00]), error.start + 1
  return _escape(letter), error.start + 1


codecs.register_error(ESCAPED, _escaped)
codecs.register_error(BYTES_OR_ESCAPED, _bytes_or_escaped)


def print_any_name() -> None:
  """Lets stdout and stderr take any text, whatever the encoding of the terminal is.

  A class may have a name that is not UTF-8, or not in the letters of the locale.
  Without this, printing it would end the program.
  """
  for stream in (sys.stdout, sys.stderr):
    if hasattr(stream, 'reconfigure'):  # A test may have put its own in place.
      stream.reconfigure(errors=ESCAPED)


def explain_os_error(error: OSError) -> str:
  """Returns one line for a failed file operation: what failed and what to do."""
  place = f" '{error.filename}'" if error.filename else ''
  advice = {
      errno.ENOSPC: 'the disk is full: free some space and run the same command'
                    ' again',
      errno.EDQUOT: 'the disk quota is used up: free some space and run the'
                    ' same command again',
      errno.EROFS: 'the file system is read-only: name a folder that can be'
                   ' written',
      errno.EACCES: 'permission denied: name a place you may read and write',
      errno.EPERM: 'the system permits no files there: name another place',
      errno.ENOENT: 'there is no such file or folder: check the path',
      errno.ENOTDIR: 'a part of this path is a file, not a folder: check the path',
      errno.EISDIR: 'this is a folder, a file was expected: name a file in it',
  }.get(error.errno, error.strerror or str(error))
  return f'cannot use{place}: {advice}'


# How TensorFlow and the libraries below it say that there is no memory.
_NO_MEMORY = re.compile(
    r'OOM when allocating|out of memory|OUT_OF_MEMORY|STATUS_ALLOC_FAILED|bad_alloc'
    r'|[Ff]ailed to allocate|[Uu]nable to allocate|[Cc]annot allocate memory')
# Options whose values take memory, in the order to lower them.
_MEMORY_OPTIONS = ('batch_size', 'batch_sizes', 'eval_image_size', 'train_image_size',
                   'image_size', 'num_clones')
# Names of the size of the images; a command may have two for the same.
_IMAGE_SIZES = ('eval_image_size', 'train_image_size', 'image_size')


def explain_memory_error(error: BaseException,
                         options: Mapping[str, object] = MappingProxyType({})
                         ) -> str | None:
  """Returns one line for a computation without memory; None for another error.

  It names the tensor, if the error does, and those options that take memory, with
  their values.

  Args:
    error: of Python or of TensorFlow, which this module does not import.
    options: of the computation, by name; those without a limit have the value None.
  """
  text = str(error)
  is_one = isinstance(error, MemoryError) or (
      any(kind.__name__ == 'OpError' for kind in type(error).__mro__)
      and _NO_MEMORY.search(text))
  if not is_one:
    return None
  tensor = re.search(r'shape ?\[([\d, ]+)\]', text)
  device = re.search(r'device:(GPU:\d+|CPU:\d+)', text)
  is_gpu = bool(device) and device[1].startswith('GPU')
  advice = _memory_advice(options, is_gpu)
  if is_gpu and options.get('gpu_memory_fraction'):
    advice.append(f"raise --gpu_memory_fraction={options['gpu_memory_fraction']}")
  advice.append('end other programs that use the same memory')
  return ('out of memory' + (f' on {device[1]}' if device else '')
          + (f' for a tensor of shape [{tensor[1]}]' if tensor else '')
          + f": {', '.join(advice[:-1])}, or {advice[-1]}")


def _memory_advice(options, is_gpu):
  """Returns what a user can do, each as a part of a sentence."""
  settings = []
  # The size that is set, else the first name for it.
  sizes = sorted((name for name in _IMAGE_SIZES if name in options),
                 key=lambda name: options[name] is None)
  for name in _MEMORY_OPTIONS:
    if name in options and name not in sizes[1:]:
      value = options[name]
      value = ','.join(value) if isinstance(value, (list, tuple)) else value
      # One clone or one image cannot be less.
      if value not in (1, '1') and not (name == 'num_clones' and value is None):
        settings.append(f'--{name}' + ('' if value is None else f'={value}'))
  advice = [f"lower {' or '.join(settings)}" if settings else 'use less memory']
  if 'accumulate_steps' in options and '--batch_size' in advice[0]:
    advice[0] += ' (with --accumulate_steps a step takes as many images as before)'
  # The second is the old name of the first.
  if options.get('precision') == 'float32' and (
      options.get('mixed_precision') in (None, 'none')):
    advice.append(f"try 16 bits by --precision={'float16' if is_gpu else 'bfloat16'}")
  return advice
