"""Answers for users: one clear line instead of a traceback.

Imports nothing heavy, so that a mistyped flag is answered at once.
"""

import codecs
import difflib
import errno
import logging
import os
import re
import signal
import sys
import time
import unicodedata
from collections.abc import Iterable

from slim_zoo.commands import misspelt_flags

# A supervisor may send a signal to a process and then to its group: that is one stop.
_SAME_STOP_SECONDS = 1.0


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


# How TensorFlow and the libraries below it say that there is no memory.
_NO_MEMORY = re.compile(
    r'OOM when allocating|out of memory|OUT_OF_MEMORY|STATUS_ALLOC_FAILED|bad_alloc'
    r'|[Ff]ailed to allocate|[Uu]nable to allocate|[Cc]annot allocate memory')
# Flags whose values take memory, in the order to lower them.
_MEMORY_FLAGS = ('batch_size', 'batch_sizes', 'train_image_size', 'eval_image_size',
                 'image_size', 'num_clones')


def explain_memory_error(error: BaseException) -> str | None:
  """Returns one line for a computation without memory; None for another error.

  It names the tensor, if the error does, and those flags of the running script that
  take memory, with their values.

  Args:
    error: of Python or of TensorFlow, which this module does not import.
  """
  text = str(error)
  is_one = isinstance(error, MemoryError) or (
      any(kind.__name__ == 'OpError' for kind in type(error).__mro__)
      and _NO_MEMORY.search(text))
  if not is_one:
    return None
  tensor = re.search(r'shape ?\[([\d, ]+)\]', text)
  device = re.search(r'device:(GPU:\d+|CPU:\d+)', text)
  return ('out of memory' + (f' on {device[1]}' if device else '')
          + (f' for a tensor of shape [{tensor[1]}]' if tensor else '')
          + f': {_memory_advice()}, or end other programs that use the same memory')


def _memory_advice():
  from absl import flags

  known = flags.FLAGS if flags.FLAGS.is_parsed() else {}
  settings = []
  for name in _MEMORY_FLAGS:
    if name in known:
      value = known[name].value
      value = ','.join(value) if isinstance(value, list) else value
      # One clone or one image cannot be less.
      if value not in (1, '1') and not (name == 'num_clones' and value is None):
        settings.append(f'--{name}' + ('' if value is None else f'={value}'))
  advice = f"lower {' or '.join(settings)}" if settings else 'use less memory'
  if 'accumulate_steps' in known and '--batch_size' in advice:
    advice += ' (with --accumulate_steps a step takes as many images as before)'
  return advice


class _SignalAnswer:
  """Ends the program in order by Ctrl-C and SIGTERM: one line, no traceback.

  The exit code is 128 and the signal's number. A signal becomes a `SystemExit`, so
  that every `with` and `finally` removes what is unfinished.

  Args:
    name: of the script, which the line begins with.
    advice: what the line says besides.

  Attributes:
    exit_code: of the signal that came; None before.
  """

  def __init__(self, name: str, advice: str):
    self.exit_code = None
    self._name, self._advice = name, advice
    self._owner, self._line, self._time = os.getpid(), None, None
    try:
      # While a library's messages are held back, descriptor 2 leads elsewhere.
      self._stderr = os.dup(2)
    except OSError:
      self._stderr = None

  def install(self) -> None:
    """Takes the signals, until a script's main takes them itself."""
    for number in (signal.SIGINT, signal.SIGTERM):
      signal.signal(number, self._stop)

  def note(self, number: int) -> None:
    """Notes that a signal ends the program."""
    self.exit_code, self._time = 128 + number, time.monotonic()
    self._line = f'{self._name}: stopped by {signal.Signals(number).name}{self._advice}'

  def tell(self) -> None:
    """Prints the line, if a signal came; the last thing that the program says."""
    if self._line is not None and self._stderr is not None:
      os.write(self._stderr, f'{self._line}\n'.encode(errors='replace'))
    self._line = None

  def _stop(self, number, unused_frame):
    if os.getpid() != self._owner:
      # A child process that was forked: it has nothing to say.
      signal.signal(number, signal.SIG_DFL)
      os.kill(os.getpid(), number)
    elif self.exit_code is None:
      self.note(number)
      loading = sys.modules.get('slim_zoo.tf_compat')
      if loading is not None and not hasattr(loading, 'slim'):
        # Nothing is written before TensorFlow is imported, and code that is being
        # imported may swallow exceptions.
        self._exit_at_once()
      sys.exit(self.exit_code)
    elif time.monotonic() - self._time > _SAME_STOP_SECONDS:
      self._exit_at_once()

  def _exit_at_once(self):
    self.tell()
    os._exit(self.exit_code)


def command_line(argv: list[str]) -> list[str]:
  """Returns the words with which a user types the running command again.

  Args:
    argv: as sys.argv: 'slim-zoo train' or the path of a script, and its arguments.
  """
  program = os.path.basename(argv[0])
  words = program.split() if program.startswith('slim-zoo ') else ['python', program]
  return [*words, *argv[1:]]


def run_script(main, takes_arguments: bool = False, when_stopped: str = '') -> None:
  """Runs an absl `main(argv)`; a user's mistake becomes one line on stderr.

  A `UserError` ends the program with its `exit_code`, a failed file operation or
  memory that is too small with 1, a wrong flag with 2, Ctrl-C with 130 and SIGTERM
  with 143. A leftover argument is nearly always a flag without its dashes: it is
  refused, or, by a script that takes arguments, what looks like one.
  Both streams take any name, see `print_any_name`.

  Args:
    main: called with the script's name and its arguments that are no flags.
    takes_arguments: whether there may be such; flags may then stand behind them.
    when_stopped: what a user should know if a signal ends the script.
  """
  from absl import app, flags  # Kept here: `diagnostics` serves libraries too.

  print_any_name()
  # It tells of its caches and fonts.
  logging.getLogger('matplotlib').setLevel(logging.ERROR)
  flags.FLAGS.set_gnu_getopt(takes_arguments)
  answer = _SignalAnswer(os.path.basename(sys.argv[0]),
                         f': {when_stopped}' if when_stopped else '')
  answer.install()

  def main_with_answers(argv):
    name = argv[0].rsplit('/', 1)[-1]
    try:
      for argument in argv[1:]:
        _check_argument(argument, takes_arguments)
      code = main(argv)
    except KeyboardInterrupt:
      answer.note(signal.SIGINT)
      code = answer.exit_code
    except UserError as error:
      code = error.exit_code
      if answer.exit_code is None:
        print(f'{name}: {printable(str(error))}', file=sys.stderr)
    except OSError as error:
      if error.errno is None:
        raise
      code = 1
      if answer.exit_code is None:
        print(f'{name}: {printable(explain_os_error(error))}', file=sys.stderr)
    except Exception as error:
      # Native code that calls Python may turn the end into an error of its own.
      if answer.exit_code is None:
        line = explain_memory_error(error)
        if line is None:
          raise
        code = 1
        print(f'{name}: {line}', file=sys.stderr)
    return code if answer.exit_code is None else answer.exit_code

  module = sys.modules[main.__module__]
  try:
    app.run(main_with_answers, flags_parser=lambda argv: _parse_flags(argv, module))
  finally:
    answer.tell()


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


def _help(command) -> str:
  """Returns the docstring of a command's module, and its flags by module title."""
  from absl import flags

  parts = [command.__doc__]
  for module in flags.FLAGS.flags_by_module_dict():
    if not module.startswith('absl.'):
      own = module == command.__name__
      title = 'Flags' if own else sys.modules[module].__doc__.splitlines()[0]
      parts.append(
          f'{title}\n{flags.FLAGS.module_help(module).split(":", 1)[1]}\n')
  return '\n'.join(parts)


def _nearest_flag(name: str) -> str | None:
  """Returns the flag that a name is likely to mean; those of absl come last."""
  from absl import flags

  own, of_absl = [], []
  for module, defined in flags.FLAGS.flags_by_module_dict().items():
    (of_absl if module.startswith('absl.') else own).extend(
        flag.name for flag in defined)
  return misspelt_flags.nearest(name, own, of_absl)


def _parse_flags(argv, command):
  """Parses absl flags; a wrong one is answered in one line, with exit code 2."""
  from absl import flags

  name = argv[0].rsplit('/', 1)[-1]
  if {'--help', '-help', '--helpshort', '-h', '-?'} & set(argv[1:]):
    # absl's own shows the flags of the script's module only.
    print(_help(command))
    sys.exit(0)
  try:
    return flags.FLAGS(argv)
  except flags.UnrecognizedFlagError as error:
    near = _nearest_flag(error.flagname)
    near = f"; did you mean '{near}'?" if near else ''
    print(f'{name}: no flag --{error.flagname}{near} (--help lists them all)',
          file=sys.stderr)
  except flags.Error as error:
    print(f'{name}: {str(error).removeprefix("flag ")}', file=sys.stderr)
  sys.exit(2)
