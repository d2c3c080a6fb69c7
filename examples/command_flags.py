"""Which flags a command of an example uses; the others are refused."""

from collections.abc import Collection, Mapping

from absl import flags

from slim_zoo import diagnostics


def check(command: str, used: Mapping[str, Collection[str]],
          values: flags.FlagValues = flags.FLAGS) -> None:
  """Refuses flags that are given to a command and have no effect on it.

  Args:
    command: the one that runs.
    used: the names of the flags that have an effect, by command.
    values: the flags of the program.

  Raises:
    UserError: the first such flag.
  """
  for module, defined in values.flags_by_module_dict().items():
    for flag in () if module.startswith('absl.') else defined:
      if flag.present and flag.name not in used[command]:
        *others, last = [other for other, names in used.items() if flag.name in names]
        before = f"{', '.join(others)} and " if others else ''
        raise diagnostics.UserError(
            f'--{flag.name} has no effect on {command}: it is for {before}{last}; leave'
            ' it out')
