"""Answers for users: one clear line instead of a traceback.

Imports nothing heavy, so that a mistyped flag is answered at once.
"""

import codecs
import difflib
import errno
import os
import sys
import unicodedata
from collections.abc import Iterable


class UserError(ValueError):
  """A mistake of the user's: its text is the whole answer.

  The text names the thing, its value, what was expected and what to do.
  `run_script` prints it without a traceback and exits with `exit_code`.
  """

  exit_code = 1


def suggestion(value: str, choices: Iterable[str]) -> str:
  """Returns "; did you mean 'NEAR'?" for a misspelt value, or ''."""
  choices = list(choices)
  by_folded_name = {choice.lower(): choice for choice in reversed(choices)}
  near = difflib.get_close_matches(
      str(value).lower(), by_folded_name, n=1, cutoff=0.6)
  return f"; did you mean '{by_folded_name[near[0]]}'?" if near else ''


def unknown_name(kind: str, value: str, choices: Iterable[str],
                 where: str = '') -> UserError:
  """Returns the error for a `value` that is none of `choices`.

  Args:
    kind: what the value names, such as 'network' or 'split'.
    value: what the user typed.
    choices: the accepted names; listed in the message.
    where: where it was looked for, such as ' in flowers'.
  """
  choices = list(choices)
  return UserError(
      f"no {kind} '{value}'{where}{suggestion(value, choices)}"
      f" (known: {', '.join(choices)})")


def some(names: list[str], count: int = 3) -> str:
  """Returns the first names, and how many more there are."""
  more = len(names) - count
  return ', '.join(names[:count]) + (f', and {more} more' if more > 0 else '')


def sentences(*parts: object) -> str:
  """Returns the parts as sentences of one line, each but the last with one mark."""
  ended = [str(part).rstrip() for part in parts]
  return ' '.join([*(
      text if text.endswith(('.', '?', '!')) else f'{text}.' for text in ended[:-1]),
                   ended[-1]])


# Control characters, lone surrogates, separators of lines and paragraphs.
_ESCAPED_CATEGORIES = ('Cc', 'Cs', 'Zl', 'Zp')


def printable(text: str) -> str:
  r"""Returns a name as one line of text that a terminal shows, such as 'caf\xe9'.

  A line break, a tab and any other control character become escapes, and so do the
  bytes of a file name that are not UTF-8. Letters of all languages stay.
  """
  return ''.join(
      _escape(letter) if unicodedata.category(letter) in _ESCAPED_CATEGORIES else letter
      for letter in text)


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
      errno.ENOENT: 'there is no such file or folder',
      errno.ENOTDIR: 'a part of this path is a file, not a folder',
      errno.EISDIR: 'this is a folder, a file was expected',
  }.get(error.errno, error.strerror or str(error))
  return f'cannot use{place}: {advice}'


def run_script(main, takes_arguments: bool = False) -> None:
  """Runs an absl `main(argv)`; a user's mistake becomes one line on stderr.

  A `UserError` ends the program with its `exit_code`, a failed file operation
  with 1, a wrong flag with 2. A leftover argument is nearly always a flag without
  its dashes: it is refused, or, by a script that takes arguments, what looks like one.
  Both streams take any name, see `print_any_name`.

  Args:
    main: called with the script's name and its arguments that are no flags.
    takes_arguments: whether there may be such; flags may then stand behind them.
  """
  from absl import app, flags  # Kept here: `diagnostics` serves libraries too.

  print_any_name()
  flags.FLAGS.set_gnu_getopt(takes_arguments)

  def main_with_answers(argv):
    name = argv[0].rsplit('/', 1)[-1]
    try:
      for argument in argv[1:]:
        _check_argument(argument, takes_arguments)
      return main(argv)
    except UserError as error:
      print(f'{name}: {error}', file=sys.stderr)
      return error.exit_code
    except OSError as error:
      if error.errno is None:
        raise
      print(f'{name}: {explain_os_error(error)}', file=sys.stderr)
      return 1

  app.run(main_with_answers, flags_parser=_parse_flags)


def _check_argument(argument, takes_arguments):
  """Raises UserError for an argument that is not taken, or a flag without dashes."""
  from absl import flags

  if not takes_arguments:
    raise UserError(
        f"'{argument}' is not understood: arguments are written --flag=value (see"
        ' --help)')
  flag, is_one, _ = argument.partition('=')
  if is_one and flag in flags.FLAGS and not os.path.exists(argument):
    raise UserError(
        f"'{argument}' is no file: did you mean '--{argument}'? Flags begin with two"
        ' dashes')


def _help() -> str:
  """Returns what the script says of itself, and its flags by the module's title."""
  from absl import flags

  parts = [sys.modules['__main__'].__doc__]
  for module in flags.FLAGS.flags_by_module_dict():
    if not module.startswith('absl.'):
      documented = sys.modules.get(module)
      title = documented.__doc__.splitlines()[0] if documented else 'Flags'
      parts.append(
          f'{title}\n{flags.FLAGS.module_help(module).split(":", 1)[1]}\n')
  return '\n'.join(parts)


def _parse_flags(argv):
  """Parses absl flags; a wrong one is answered in one line, with exit code 2."""
  from absl import flags

  name = argv[0].rsplit('/', 1)[-1]
  if {'--help', '-help', '--helpshort', '-h', '-?'} & set(argv[1:]):
    # absl's own shows the flags of the script's module only.
    print(_help())
    sys.exit(0)
  try:
    return flags.FLAGS(argv)
  except flags.UnrecognizedFlagError as error:
    near = suggestion(error.flagname, flags.FLAGS)
    print(f'{name}: no flag --{error.flagname}{near} (--help lists them all)',
          file=sys.stderr)
  except flags.Error as error:
    print(f'{name}: {str(error).removeprefix("flag ")}', file=sys.stderr)
  sys.exit(2)
