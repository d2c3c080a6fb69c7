"""Runs a command: flags, signals, and one clear line instead of a traceback."""

import contextlib
import logging
import os
import re
import signal
import sys
import threading
import time
import warnings

from absl import app, flags

from slim_zoo import diagnostics
from slim_zoo.config import misspelt_options
from slim_zoo.deployment import peers

# Exit codes of Ctrl-C and SIGTERM.
_STOPPED = (128 + signal.SIGINT, 128 + signal.SIGTERM)
# A supervisor may send a signal to a process and then to its group: that is one stop.
_SAME_STOP_SECONDS = 1.0
# Code that runs as the signal comes, such as __del__, may swallow the exception. Then
# the process ends after so many seconds all the same.
_GRACE_SECONDS = 10.0


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
    sys.unraisablehook = self._tell_unraisable

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
      threading.Thread(target=self._end_after_grace, daemon=True).start()
      loading = sys.modules.get('slim_zoo.tf_compat')
      if loading is not None and not hasattr(loading, 'slim'):
        # Nothing is written before TensorFlow is imported, and code that is being
        # imported may swallow exceptions.
        self._exit_at_once()
      sys.exit(self.exit_code)
    elif time.monotonic() - self._time > _SAME_STOP_SECONDS:
      self._exit_at_once()

  def _tell_unraisable(self, unraisable):
    """Prints an error that Python cannot raise, but not the exit for a signal.

    A signal may come while Python calls `__del__`, which swallows the exit. Then the
    program ends after the grace.
    """
    if self.exit_code is None or not isinstance(unraisable.exc_value, SystemExit):
      sys.__unraisablehook__(unraisable)

  def _end_after_grace(self):
    time.sleep(_GRACE_SECONDS)
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


def run(main, takes_arguments: bool = False, when_stopped: str = '') -> None:
  """Runs an absl `main(argv)`; a user's mistake becomes one line on stderr.

  A `UserError`, also for flags that do not fit together, ends the program with its
  `exit_code`, a failed file operation or memory that is too small with 1, an unknown
  flag or a wrong value with 2, Ctrl-C with 130 and SIGTERM with 143. A leftover
  argument is nearly always a flag without its dashes: it is refused, or, by a script
  that takes arguments, what looks like one.
  Both streams take any name, see `diagnostics.print_any_name`.

  Args:
    main: called with the script's name and its arguments that are not flags.
    takes_arguments: whether there may be such; flags may then stand behind them.
    when_stopped: what a user should know if a signal ends the script.
  """
  diagnostics.print_any_name()
  # It tells of its caches and fonts.
  logging.getLogger('matplotlib').setLevel(logging.ERROR)
  # Pillow's limit is below the one here, which has a message of its own.
  warnings.filterwarnings('ignore', message='Image size .* decompression bomb')
  flags.FLAGS.set_gnu_getopt(takes_arguments)
  answer = _SignalAnswer(os.path.basename(sys.argv[0]),
                         f': {when_stopped}' if when_stopped else '')
  answer.install()

  module = sys.modules[main.__module__]
  try:
    app.run(lambda argv: _exit_code(main, argv, takes_arguments, answer),
            flags_parser=lambda argv: _parse_flags(argv, module))
  except SystemExit as end:
    if end.code in _STOPPED:
      _ignore_more_signals()
    if peers.has_native_threads():
      answer.tell()
      _exit_with(end.code)
    raise
  finally:
    answer.tell()


def _exit_code(main, argv, takes_arguments, answer):
  """Calls main; returns the exit code, and prints one line if it fails.

  After a signal both are those of the answer.
  """
  name = argv[0].rsplit('/', 1)[-1]

  def say(line):
    if answer.exit_code is None:
      print(f'{name}: {line}', file=sys.stderr)

  try:
    for argument in argv[1:]:
      _check_argument(argument, takes_arguments)
    code = main(argv)
  except KeyboardInterrupt:
    answer.note(signal.SIGINT)
    code = answer.exit_code
  except diagnostics.UserError as error:
    code = error.exit_code
    say(diagnostics.printable(str(error)))
  except BrokenPipeError:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    code = 128 + signal.SIGPIPE
  except OSError as error:
    if error.errno is None:
      raise
    code = 1
    say(diagnostics.printable(diagnostics.explain_os_error(error)))
  except Exception as error:
    line, code = diagnostics.explain_memory_error(error), 1
    # Native code that calls Python may turn the end into an error of its own.
    if line is None and answer.exit_code is None:
      raise
    say(line)
  return code if answer.exit_code is None else answer.exit_code


def _exit_with(code: int | str | None) -> None:
  """Ends the program at once, with what it has printed."""
  if isinstance(code, str):
    print(code, file=sys.stderr)
    code = 1
  for stream in (sys.stdout, sys.stderr):
    # Its reader may be gone.
    with contextlib.suppress(OSError):
      stream.flush()
  os._exit(code or 0)


def _ignore_more_signals() -> None:
  """Lets Python clean up, where handlers of signals are gone, without being killed.

  A second signal, as `timeout` sends it, would give the exit code of a killed process.
  A clean-up that hangs ends after the time of grace.
  """
  for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)
  signal.alarm(int(_GRACE_SECONDS))


def _check_argument(argument, takes_arguments):
  """Raises UserError for an argument that is not taken, or a flag without dashes."""
  if not takes_arguments:
    raise diagnostics.UserError(
        f"'{argument}' is not understood: arguments are written --flag=value (see"
        ' --help)')
  flag, is_one, _ = argument.partition('=')
  if is_one and flag in flags.FLAGS and not os.path.exists(argument):
    raise diagnostics.UserError(
        f"'{argument}' is not a file: did you mean '--{argument}'? Flags begin with two"
        ' dashes')


def _help(command) -> str:
  """Returns the docstring of a command's module, and its flags by module title."""
  parts = [command.__doc__]
  for module in flags.FLAGS.flags_by_module_dict():
    if not module.startswith('absl.'):
      # The flags of a program that runs as __main__ are filed under its path.
      own = module == command.__name__ or module not in sys.modules
      title = 'Flags' if own else sys.modules[module].__doc__.splitlines()[0]
      parts.append(
          f'{title}\n{flags.FLAGS.module_help(module).split(":", 1)[1]}\n')
  return '\n'.join(parts)


def print_to_end(text: str) -> None:
  """Prints a text; ends the program quietly if its reader, such as `head`, has enough.
  """
  try:
    print(text, flush=True)
  except BrokenPipeError:
    os._exit(0)


def _nearest_flag(name: str) -> str | None:
  """Returns the flag that a name is likely to mean; those of absl come last."""
  own, of_absl = [], []
  for module, defined in flags.FLAGS.flags_by_module_dict().items():
    (of_absl if module.startswith('absl.') else own).extend(
        flag.name for flag in defined)
  return misspelt_options.nearest(name, own, of_absl)


def _parse_flags(argv, command):
  """Parses absl flags; a wrong one is answered in one line, with exit code 2."""
  name = argv[0].rsplit('/', 1)[-1]
  if {'--help', '-help', '--helpshort', '-h', '-?'} & set(argv[1:]):
    # absl's own shows the flags of the script's module only.
    print_to_end(_help(command))
    sys.exit(0)
  try:
    return flags.FLAGS(argv)
  except flags.UnrecognizedFlagError as error:
    near = _nearest_flag(error.flagname)
    near = f"; did you mean '{near}'?" if near else ''
    print(f'{name}: no flag --{error.flagname}{near} (--help lists them all)',
          file=sys.stderr)
  except UnicodeDecodeError as error:
    print(f'{name}: --flagfile: a file is not text ({error.reason}): name a file of'
          ' flags, such as run_card.flags', file=sys.stderr)
  except flags.Error as error:
    print(f'{name}: {diagnostics.printable(_explained(str(error)))}', file=sys.stderr)
  sys.exit(2)


def _explained(text):
  """Returns an error of absl on the value of a flag as one plain line."""
  text = text.removeprefix('flag ')
  if 'Non-boolean argument' in text:
    return f'{text.partition(": ")[0]}: expected true or false'
  choices = re.search(r'=(.*): value should be one of <(.*)>', text)
  if choices:
    text += diagnostics.suggestion(choices[1], choices[2].split('|'))
  return text
