"""What a run resumes, what it restores, and what it leaves out.

A restore says what it does before it does it. What is neither restored nor
excluded by the user is an error, unless missing variables were allowed.
"""

import dataclasses
import os

import diagnostics
from tf_compat import slim, tf

# The reader of checkpoints turns TensorFlow's errors into these by its own rules.
_READ_ERRORS = (tf.errors.OpError, ValueError, RuntimeError, LookupError)


def find(path: str) -> str:
  """Returns the checkpoint that `path` names: a prefix, or a folder's latest.

  Raises:
    UserError: there is none; the message says what was found instead.
  """
  if os.path.isdir(path):
    latest = tf.train.latest_checkpoint(path)
    if latest is None:
      raise diagnostics.UserError(
          f"no checkpoint in '{path}': name a folder that training wrote to, or a"
          ' file such as model.ckpt-1000')
    path = latest
  for suffix in ('.index', '.meta', '.data-00000-of-00001'):
    # People name what they see in the folder.
    path = path.removesuffix(suffix)
  if not tf.train.checkpoint_exists(path):
    where = os.path.dirname(path) or '.'
    near = checkpoints_in(where)
    there = f": '{where}' holds {', '.join(near)}" if near else ''
    raise diagnostics.UserError(f"no checkpoint '{path}'{there}")
  return path


def open_reader(path: str):
  """Returns a reader of the checkpoint at prefix `path`.

  Raises:
    UserError: it is damaged, or no checkpoint.
  """
  try:
    return tf.train.load_checkpoint(path)
  except _READ_ERRORS as error:
    raise diagnostics.UserError(
        f"cannot read the checkpoint '{path}': {first_line(error)}") from error


def verify(path: str) -> None:
  """Reads every value of a checkpoint, so that damage shows before any work.

  Raises:
    UserError: it is damaged; the message names whole ones beside it.
  """
  reader = open_reader(path)
  try:
    for name in reader.get_variable_to_shape_map():
      reader.get_tensor(name)
  except _READ_ERRORS as error:
    others = sorted(set(checkpoints_in(os.path.dirname(path) or '.')) - {
        os.path.basename(path)})
    advice = f"; '{os.path.dirname(path)}' also holds {', '.join(others)}" if (
        others) else ''
    raise diagnostics.UserError(
        f"the checkpoint '{path}' is damaged: {first_line(error)}{advice}") from error


def checkpoints_in(folder: str) -> list[str]:
  """Returns the names of the checkpoints in a folder, sorted."""
  if not os.path.isdir(folder):
    return []
  return sorted(name.removesuffix('.index') for name in os.listdir(folder)
                if name.endswith('.index'))


def first_line(error: Exception) -> str:
  """Returns the first line of an error's message."""
  text = getattr(error, 'message', None) or str(error)
  return text.strip().splitlines()[0] if text.strip() else type(error).__name__


def global_step_of(path: str) -> int:
  """Returns the step of the checkpoint at prefix `path`; 0 if it keeps none."""
  reader = open_reader(path)
  return int(reader.get_tensor('global_step')) if reader.has_tensor(
      'global_step') else 0


def in_scope(name: str, scope: str) -> bool:
  """Tells whether the variable `name` is `scope` or lies below it.

  As in slim, a scope is a prefix of names: 'vgg_16/fc' covers fc6, fc7 and fc8.
  """
  return name.startswith(scope)


def check_scopes(flag: str, wanted: list[str], variables) -> None:
  """Raises UserError for a scope that no variable lies in, with the nearest one."""
  names = [variable.op.name for variable in variables]
  for scope in wanted:
    if not any(in_scope(name, scope) for name in names):
      known = {'/'.join(name.split('/')[:depth]): None
               for name in names for depth in range(1, name.count('/') + 1)}
      raise diagnostics.UserError(
          f"--{flag}: scope '{scope}' matches no variable of the network"
          f'{diagnostics.suggestion(scope, known)}')


def variables_to_train(trainable_scopes: list[str]):
  """Returns the trainable variables below any of the scopes; all without scopes."""
  variables = tf.trainable_variables()
  if not trainable_scopes:
    return variables
  check_scopes('trainable_scopes', trainable_scopes, variables)
  return [variable for variable in variables
          if any(in_scope(variable.op.name, scope) for scope in trainable_scopes)]


@dataclasses.dataclass(frozen=True)
class RestorePlan:
  """What restoring a checkpoint into the network would do, by variable name.

  Attributes:
    path: the checkpoint.
    restored: the variables that are read.
    excluded: names left as they are because the user said so.
    missing: names that the checkpoint does not have.
    mismatched: (name, shape in the checkpoint, shape in the network).
    unused: names in the checkpoint that the network does not have.
  """

  path: str
  restored: list
  excluded: list[str]
  missing: list[str]
  mismatched: list[tuple[str, list[int], list[int]]]
  unused: list[str]

  def describe(self) -> str:
    """Returns one line of counts, with the names where there are few."""
    parts = [f'{len(self.restored)} variables restored from {self.path}']
    for what, names in (('excluded', self.excluded),
                        ('not in the checkpoint', self.missing),
                        ('of the checkpoint not used', self.unused)):
      if names:
        parts.append(f'{len(names)} {what} ({some(names)})')
    return '; '.join(parts)

  def check(self, ignore_missing_vars: bool) -> None:
    """Raises UserError for anything left out that the user did not ask for."""
    if self.mismatched:
      scopes = ','.join(dict.fromkeys(
          name.rsplit('/', 1)[0] for name, *_ in self.mismatched))
      raise diagnostics.UserError(
          f'{self._first_mismatch()}: if these are the layers of another class count,'
          f' add --checkpoint_exclude_scopes={scopes}')
    self._check_network()
    if self.missing and not ignore_missing_vars:
      raise diagnostics.UserError(
          f"'{self.path}' lacks {len(self.missing)} variables of the network"
          f' ({some(self.missing)}): leave them out by --checkpoint_exclude_scopes,'
          ' or start them anew by --ignore_missing_vars')

  def check_complete(self) -> None:
    """Raises UserError unless the checkpoint holds all that an evaluation needs."""
    if self.mismatched:
      raise diagnostics.UserError(
          f'{self._first_mismatch()}: check --model_name, --dataset_name and'
          ' --labels_offset (1 for networks without a background class)')
    if self.missing and self.missing[0].endswith('/ExponentialMovingAverage'):
      raise diagnostics.UserError(
          f"'{self.path}' keeps no moving averages: leave out"
          ' --moving_average_decay')
    self._check_network()
    if self.missing:
      raise diagnostics.UserError(
          f"'{self.path}' lacks {len(self.missing)} variables of the network"
          f' ({some(self.missing)}): check --model_name')

  def check_resumes(self) -> None:
    """Raises UserError unless the checkpoint holds the whole state of this run."""
    if self.missing or self.mismatched:
      names = self.missing + [name for name, *_ in self.mismatched]
      raise diagnostics.UserError(
          f"'{self.path}' is not of this run: it lacks {some(names)}, in the shapes"
          ' wanted here. Resume with the flags it was begun with, or name another'
          ' --train_dir (and this one as --checkpoint_path to fine-tune from it)')


  def _first_mismatch(self):
    name, in_checkpoint, in_network = self.mismatched[0]
    return (f"'{self.path}' does not fit: {len(self.mismatched)} variables have other"
            f' shapes, such as {name}, {in_checkpoint} there and {in_network} here')

  def _check_network(self):
    if not self.restored and self.missing:
      raise diagnostics.UserError(
          f"'{self.path}' is a checkpoint of another network: it holds none of the"
          f' {len(self.missing)} variables wanted (it begins with'
          f" '{_top_scope(self.unused)}', the network with"
          f" '{_top_scope(self.missing)}'): choose the --model_name that it was"
          ' trained with')


def some(names: list[str], count: int = 3) -> str:
  """Returns the first names, and how many more there are."""
  more = len(names) - count
  return ', '.join(names[:count]) + (f', and {more} more' if more > 0 else '')


def _top_scope(names: list[str]) -> str:
  return names[0].split('/')[0] if names else 'nothing'


# What a run keeps beside the weights of its network.
_BOOKKEEPING = ('global_step', 'ExponentialMovingAverage', 'Momentum', 'Adam', 'Adam_1',
                'RMSProp', 'RMSProp_1', 'Adagrad', 'Adadelta', 'Adadelta_1', 'Ftrl',
                'Ftrl_1', 'beta1_power', 'beta2_power')


def plan_restore(path: str, variables,
                 exclude_scopes: list[str] = ()) -> RestorePlan:
  """Compares a checkpoint with the variables of a network.

  Args:
    path: the checkpoint's prefix.
    variables: the variables to restore; or a dict of them by their names in the
      checkpoint.
    exclude_scopes: scopes that keep their initial values.

  Raises:
    UserError: the checkpoint cannot be read, or a scope matches no variable.
  """
  if not isinstance(variables, dict):
    variables = {variable.op.name: variable for variable in variables}
  check_scopes('checkpoint_exclude_scopes', exclude_scopes, variables.values())
  shapes = open_reader(path).get_variable_to_shape_map()
  restored, excluded, missing, mismatched = [], [], [], []
  for name, variable in variables.items():
    shape = variable.shape.as_list()
    if any(in_scope(name, scope) for scope in exclude_scopes):
      excluded.append(name)
    elif name not in shapes:
      missing.append(name)
    elif shapes[name] != shape:
      mismatched.append((name, shapes[name], shape))
    else:
      restored.append(variable)
  unused = sorted(name for name in shapes if name not in variables
                  and name.rsplit('/', 1)[-1] not in _BOOKKEEPING)
  return RestorePlan(path, restored, excluded, missing, mismatched, unused)


def restore_fn(plan: RestorePlan):
  """Returns init_fn(session), which restores what the plan says."""
  return slim.assign_from_checkpoint_fn(plan.path, plan.restored)
