"""Finds, reads, compares and restores checkpoints.

The result of a comparison is a `RestorePlan`. Resumed runs and evaluations accept no
difference; fine-tuning shows and explains each one (`checkpoints.preflight`).
"""

import contextlib
import dataclasses
import os
import sys
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from slim_zoo import diagnostics
from slim_zoo.catalog import published
from slim_zoo.checkpoints import (
    checkpoint_names,
    contents,
    file_kinds,
    published_weights,
    quantization,
    renaming,
    run_checkpoints,
    state_file,
    variable_scopes,
)
from slim_zoo.tf_compat import tf

# The errors that TensorFlow's checkpoint reader raises.
_READ_ERRORS = (tf.errors.OpError, ValueError, RuntimeError, LookupError)


def find(path: str) -> str:
  """Returns the checkpoint of a path: a prefix, or the latest of a folder.

  Prints a warning if the folder's state file names checkpoints of another folder.

  Args:
    path: also 'published:NAME': such a checkpoint is downloaded unless it is in the
      cache, see `published_weights`.

  Raises:
    UserError: there is none; the message describes what is there instead.
  """
  name = published.name_in(path)
  if name is not None:
    return published_weights.get(
        published.get(name), published_weights.places(os.environ), verify)
  checkpoint_names.check_there(path)
  if not os.path.isdir(path):
    # Users give one of its files.
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
    UserError: it is damaged, or not a checkpoint.
  """
  try:
    return tf.train.load_checkpoint(path)
  except _READ_ERRORS as error:
    raise diagnostics.UserError(
        f"cannot read the checkpoint '{path}': {_reason(path, error)}") from error


def _reason(path, error):
  """Returns the reason why a checkpoint cannot be opened."""
  for file in (f'{path}.index', path):
    if os.path.isfile(file) and not file_kinds.is_table(file):
      kind, advice = file_kinds.describe(file)
      return f"'{os.path.basename(file)}' is {kind}: {advice}"
  # For a single file TensorFlow adds advice for its own developers.
  return first_line(error).split(': perhaps your file')[0]


def read_values(path: str, names: Iterable[str]) -> dict[str, np.ndarray]:
  """Returns values in the checkpoint at prefix `path`, by name.

  Raises:
    UserError: it is damaged, or not a checkpoint.
  """
  reader = open_reader(path)
  with damage_as_user_error(path):
    return {name: np.asarray(reader.get_tensor(name)) for name in names}


def verify(path: str) -> dict[str, list[int]]:
  """Reads every value of a checkpoint, to detect damage before any work.

  Returns:
    The shape of each variable, by name.

  Raises:
    UserError: it is damaged; the message lists other checkpoints of the folder.
  """
  reader = open_reader(path)
  shapes = reader.get_variable_to_shape_map()
  with damage_as_user_error(path):
    for name in shapes:
      reader.get_tensor(name)
  return shapes


@contextlib.contextmanager
def damage_as_user_error(path):
  """Converts the errors of TensorFlow's checkpoint reader to UserError."""
  try:
    yield
  except _READ_ERRORS as error:
    # The message of a session has many lines, that of the reader one.
    reason = damage_of(path) or first_line(error)
    raise diagnostics.UserError(
        f"the checkpoint '{path}' is damaged: {reason}"
        f'{checkpoint_names.beside(path)}') from error


def damage_of(path: str) -> str | None:
  """Reads every value of a checkpoint; returns a description of damage, or None."""
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
  """Returns the step of the checkpoint at prefix `path`, 0 without a step.

  Raises:
    UserError: it is damaged, or not a checkpoint.
  """
  reader = open_reader(path)
  with damage_as_user_error(path):
    return int(reader.get_tensor('global_step')) if reader.has_tensor(
        'global_step') else 0


@dataclasses.dataclass(frozen=True)
class Listing:
  """The variables of a checkpoint, by their names after renaming.

  Attributes:
    path: its prefix.
    shapes: the shape of each variable, by name.
    sources: the name of each variable in the file, by name.
  """

  path: str
  shapes: dict[str, list[int]]
  sources: dict[str, str]


def read_listing(path: str, rename: Sequence[renaming.Rule] = ()) -> Listing:
  """Returns the listing of the checkpoint at prefix `path`, after renaming.

  Raises:
    UserError: it cannot be read, or the rules do not fit it.
  """
  shapes = open_reader(path).get_variable_to_shape_map()
  sources = renaming.rename(shapes, rename, path)
  return Listing(path, {name: shapes[source] for name, source in sources.items()},
                 sources)


@dataclasses.dataclass(frozen=True)
class RestorePlan:
  """The effect of restoring a checkpoint, by the names of its listing.

  Attributes:
    listing: listing of the checkpoint.
    restored: the variables that are read, by name.
    excluded: names that the user excluded.
    missing: names that the checkpoint lacks.
    mismatched: (name, shape in the checkpoint, shape in the network).
    unused: names in the checkpoint that the network lacks.
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
    """Raises UserError unless the checkpoint has all variables of an evaluation."""
    if self.mismatched:
      raise diagnostics.UserError(
          f'{self.first_mismatch()}: check --model_name, --dataset_name and'
          ' --labels_offset (1 for networks without a background class)')
    if self.missing and self.missing[0].endswith('/ExponentialMovingAverage'):
      raise diagnostics.UserError(
          f"'{self.path}' has no moving averages: leave out"
          ' --moving_average_decay')
    if self.missing and not self.restored:
      raise diagnostics.UserError(
          f'{self.of_another_network()}: give the --model_name that it was trained'
          ' with')
    if self.missing:
      raise diagnostics.UserError(
          f"'{self.path}' lacks {len(self.missing)} variables of the network"
          f' ({diagnostics.some(self.missing)}): check --model_name')

  def check_resumes(self) -> None:
    """Raises UserError unless the checkpoint has the complete state of this run."""
    if self.missing or self.mismatched:
      names = self.missing + [name for name, *_ in self.mismatched]
      raise diagnostics.UserError(
          f"'{self.path}' is not of this run: it lacks {diagnostics.some(names)} in the"
          ' shapes of this run. Resume with the flags of the first session, or give'
          ' another --train_dir (and this one as --checkpoint_path to fine-tune from'
          ' it)')

  def first_mismatch(self) -> str:
    """Returns the start of a message about variables that do not fit."""
    name, in_checkpoint, in_network = self.mismatched[0]
    others = len(self.mismatched) - 1
    more = f' (and {others} more)' if others else ''
    return (f"'{self.path}' does not fit: {name}{more} has another shape,"
            f' {in_checkpoint} in the checkpoint and {in_network} in the network')

  def of_another_network(self) -> str:
    """Returns the start of a message about a checkpoint of another network."""
    return (f"'{self.path}' is a checkpoint of another network: it has none of the"
            f' {len(self.missing)} variables of this network (its names start with'
            f" '{_top_scope(self.unused)}', those of the network with"
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
    exclude_scopes: scopes that are not restored.

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


def averages_by_name(variables: Sequence[tf.Variable]) -> dict[str, tf.Variable]:
  """Returns variables by the names of their moving averages in a checkpoint.

  The ranges of quantized networks have no averages, as in TF-Slim: they are averages
  already. They have their own names, as all other variables of the graph.
  """
  ranges = {variable.op.name: variable for variable in variables
            if quantization.is_range(variable.op.name)}
  # The decay is not a part of the names.
  averages = tf.train.ExponentialMovingAverage(0.999)
  return averages.variables_to_restore(
      [variable for variable in variables if variable.op.name not in ranges]) | ranges


def restore_fn(plan: RestorePlan) -> Callable:
  """Returns init_fn(session), which restores the variables of the plan.

  Raises:
    UserError: the checkpoint has values of another dtype.
  """
  by_source = {plan.listing.sources[name]: variable
               for name, variable in plan.restored.items()}
  types = open_reader(plan.path).get_variable_to_dtype_map()
  for source, variable in by_source.items():
    if types[source] != variable.dtype.base_dtype:
      raise diagnostics.UserError(
          f"'{plan.path}' has '{source}' as {types[source].name}, the network as"
          f' {variable.dtype.base_dtype.name}: write it again with this dtype')
  saver = tf.train.Saver(by_source)

  def restore(session):
    with damage_as_user_error(plan.path):
      saver.restore(session, plan.path)

  return restore
