"""The flags of train_image_classifier.py, a module a group; part of the script.

Every module has `define()`, `check()`, which raises UserError before any work,
`notes()`, a line for each given flag that changes nothing, and functions that turn
its flags into what libraries take. TensorFlow is imported inside those only.
"""

from collections.abc import Mapping

from absl import flags


def notes_of_flags_without_effect(causes: Mapping[str, str]) -> list[str]:
  """Returns a line for each flag of {name: cause} that the user gave."""
  return [f'--{name}={flags.FLAGS[name].value} has no effect with {cause}'
          for name, cause in causes.items() if flags.FLAGS[name].present]


def comma_separated(text: str | None) -> list[str]:
  """Returns the parts of a flag's value, without blanks and empty ones."""
  return [part.strip() for part in (text or '').split(',') if part.strip()]
