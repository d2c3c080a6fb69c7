"""Finding and reading checkpoints, comparing them with variables, restoring them.

A comparison is a `RestorePlan`. A run that resumes and an evaluation accept no
difference; fine-tuning shows and explains each (`checkpoints.preflight`).
"""

import contextlib
import dataclasses
import os
import sys
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from slim_zoo import diagnostics
from slim_zoo.checkpoints import (
    checkpoint_names,
    contents,
    file_kinds,
    renaming,
    run_checkpoints,
    state_file,
    variable_scopes,
)
from slim_zoo.tf_compat import tf

# The reader of checkpoints turns TensorFlow's errors into these by its own rules.
_READ_ERRORS = (tf.errors.OpError, ValueError, RuntimeError, LookupError)


def find(path: str) -> str:
  """Returns the checkpoint that `path` names: a prefix, or a folder's latest.

  Prints a warning if the folder's state file names checkpoints of another folder.

  Raises:
    UserError: there is none; the message names the other files.
  """
  checkpoint_names.check_there(path)
  if not os.path.isdir(path):
    # People name what they see in the folder.
    return checkpoint_names.prefix_of(path)
  newest = run_checkpoints.newest_first(path)
  if not newest:
    raise checkpoint_names.none_in(path)
  if warning := state_file.warning(path):
    print(warning, file=sys.stderr, flush=True)
  checkpoint_names.check_there(newest[0])
  return newest[0]


def open_reader(path: str):
  """Returns a reader of the checkpoint at prefix `path`.

  Raises:
    UserError: it is damaged, or no checkpoint.
  """
  try:
    return tf.train.load_checkpoint(path)
  except _READ_ERRORS as error:
    raise diagnostics.UserError(
        f"cannot read the checkpoint '{path}': {_reason(path, error)}") from error


def _reason(path, error):
  """Returns why a checkpoint cannot be opened."""
  for file in (f'{path}.index', path):
    if os.path.isfile(file) and not file_kinds.is_table(file):
      kind, advice = file_kinds.describe(file)
      return f"'{os.path.basename(file)}' is {kind}: {advice}"
  # Of a single file TensorFlow goes on with advice for its own developers.
  return first_line(error).split(': perhaps your file')[0]


def read_values(path: str, names: Iterable[str]) -> dict[str, np.ndarray]:
  """Returns values in the checkpoint at prefix `path`, by name.

  Raises:
    UserError: it is damaged, or no checkpoint.
  """
  reader = open_reader(path)
  with damage_answered(path):
    return {name: np.asarray(reader.get_tensor(name)) for name in names}


def verify(path: str) -> None:
  """Reads every value of a checkpoint, so that damage shows before any work.

  Raises:
    UserError: it is damaged; the message names whole ones beside it.
  """
  reader = open_reader(path)
  with damage_answered(path):
    for name in reader.get_variable_to_shape_map():
      reader.get_tensor(name)


@contextlib.contextmanager
def damage_answered(path):
  """Turns what TensorFlow raises while it reads a checkpoint into an answer."""
  try:
    yield
  except _READ_ERRORS as error:
    # A session tells it in many lines; the reader in one.
    reason = damage_of(path) or first_line(error)
    raise diagnostics.UserError(
        f"the checkpoint '{path}' is damaged: {reason}"
        f'{checkpoint_names.beside(path)}') from error


def damage_of(path: str) -> str | None:
  """Reads every value of a checkpoint; returns a description of its damage, or None."""
  try:
    reader = tf.train.load_checkpoint(path)
    for name in reader.get_variable_to_shape_map():
      reader.get_tensor(name)
  except _READ_ERRORS as error:
    return first_line(error)
  return None


def first_line(error: Exception) -> str:
  """Returns the first line of an error's message."""
  text = getattr(error, 'message', None) or str(error)
  return text.strip().splitlines()[0] if text.strip() else type(error).__name__


def global_step_of(path: str) -> int:
  """Returns the step of the checkpoint at prefix `path`; 0 if it keeps none.

  Raises:
    UserError: it is damaged, or no checkpoint.
  """
  reader = open_reader(path)
  with damage_answered(path):
    return int(reader.get_tensor('global_step')) if reader.has_tensor(
        'global_step') else 0


@dataclasses.dataclass(frozen=True)
class Listing:
  """The content of a checkpoint, by the names of the variables to restore.

  Attributes:
    path: its prefix.
    shapes: the shape of each variable, by name.
    sources: the name of each in the file, by name; another one after renaming.
  """

  path: str
  shapes: dict[str, list[int]]
  sources: dict[str, str]


def read_listing(path: str, rename: Sequence[renaming.Rule] = ()) -> Listing:
  """Returns the content of the checkpoint at prefix `path`, renamed.

  Raises:
    UserError: it cannot be read, or the rules do not fit it.
  """
  shapes = open_reader(path).get_variable_to_shape_map()
  sources = renaming.rename(shapes, rename, path)
  return Listing(path, {name: shapes[source] for name, source in sources.items()},
                 sources)


@dataclasses.dataclass(frozen=True)
class RestorePlan:
  """The plan of a restore, by the names of its listing.

  Attributes:
    listing: of the checkpoint.
    restored: the variables that are read, by name.
    excluded: names left as they are because the user said so.
    missing: names that the checkpoint does not have.
    mismatched: (name, shape in the checkpoint, shape in the network).
    unused: names in the checkpoint that the network does not have.
  """

  listing: Listing
  restored: dict[str, tf.Variable]
  excluded: list[str]
  missing: list[str]
  mismatched: list[tuple[str, list[int], list[int]]]
  unused: list[str]

  @property
  def path(self) -> str:
    """The checkpoint's prefix."""
    return self.listing.path

  def check_complete(self) -> None:
    """Raises UserError unless the checkpoint holds all that an evaluation needs."""
    if self.mismatched:
      raise diagnostics.UserError(
          f'{self.first_mismatch()}: check --model_name, --dataset_name and'
          ' --labels_offset (1 for networks without a background class)')
    if self.missing and self.missing[0].endswith('/ExponentialMovingAverage'):
      raise diagnostics.UserError(
          f"'{self.path}' keeps no moving averages: leave out"
          ' --moving_average_decay')
    if self.missing and not self.restored:
      raise diagnostics.UserError(
          f'{self.of_another_network()}: choose the --model_name that it was trained'
          ' with')
    if self.missing:
      raise diagnostics.UserError(
          f"'{self.path}' lacks {len(self.missing)} variables of the network"
          f' ({diagnostics.some(self.missing)}): check --model_name')

  def check_resumes(self) -> None:
    """Raises UserError unless the checkpoint holds the whole state of this run."""
    if self.missing or self.mismatched:
      names = self.missing + [name for name, *_ in self.mismatched]
      raise diagnostics.UserError(
          f"'{self.path}' is not of this run: it lacks {diagnostics.some(names)}, in"
          ' the shapes wanted here. Resume with the flags it was begun with, or name'
          ' another --train_dir (and this one as --checkpoint_path to fine-tune from'
          ' it)')

  def first_mismatch(self) -> str:
    """Returns the beginning of a sentence about the variables that do not fit."""
    name, in_checkpoint, in_network = self.mismatched[0]
    others = len(self.mismatched) - 1
    more = f' (and {others} more)' if others else ''
    return (f"'{self.path}' does not fit: {name}{more} has another shape,"
            f' {in_checkpoint} there and {in_network} here')

  def of_another_network(self) -> str:
    """Returns the beginning of a sentence about a checkpoint without any use."""
    return (f"'{self.path}' is a checkpoint of another network: it holds none of the"
            f' {len(self.missing)} variables wanted (it begins with'
            f" '{_top_scope(self.unused)}', the network with"
            f" '{_top_scope(self.missing)}')")


def _top_scope(names: list[str]) -> str:
  return names[0].split('/')[0] if names else 'nothing'


def plan_restore(checkpoint: str | Listing, variables,
                 exclude_scopes: Sequence[str] = ()) -> RestorePlan:
  """Compares a checkpoint with the variables of a network.

  Args:
    checkpoint: its prefix, or its listing.
    variables: the variables to restore; or a dict of them by their names in the
      checkpoint.
    exclude_scopes: scopes that keep their initial values.

  Raises:
    UserError: the checkpoint cannot be read, or a scope matches no variable.
  """
  listing = (checkpoint if isinstance(checkpoint, Listing)
             else read_listing(checkpoint))
  if not isinstance(variables, dict):
    variables = {variable.op.name: variable for variable in variables}
  variable_scopes.check('checkpoint_exclude_scopes', exclude_scopes, variables.values())
  shapes, restored = listing.shapes, {}
  excluded, missing, mismatched = [], [], []
  for name, variable in variables.items():
    shape = variable.shape.as_list()
    if any(variable_scopes.in_scope(name, scope) for scope in exclude_scopes):
      excluded.append(name)
    elif name not in shapes:
      missing.append(name)
    elif shapes[name] != shape:
      mismatched.append((name, shapes[name], shape))
    else:
      restored[name] = variable
  unused = [name for name in contents.sort(shapes).weights
            if name in shapes and name not in variables]
  return RestorePlan(listing, restored, excluded, missing, mismatched, unused)


def restore_fn(plan: RestorePlan) -> Callable:
  """Returns init_fn(session), which restores the variables of the plan.

  Raises:
    UserError: the checkpoint has values of another type.
  """
  by_source = {plan.listing.sources[name]: variable
               for name, variable in plan.restored.items()}
  types = open_reader(plan.path).get_variable_to_dtype_map()
  for source, variable in by_source.items():
    if types[source] != variable.dtype.base_dtype:
      raise diagnostics.UserError(
          f"'{plan.path}' holds '{source}' as {types[source].name}, the network as"
          f' {variable.dtype.base_dtype.name}: write it again with values of that type')
  saver = tf.train.Saver(by_source)

  def restore(session):
    with damage_answered(plan.path):
      saver.restore(session, plan.path)

  return restore
