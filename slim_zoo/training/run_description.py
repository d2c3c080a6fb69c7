"""The description of a run: its network in numbers, and the versions of its software.

Nothing in here names the machine or its user.
"""

import importlib.metadata
import os
import platform
import subprocess

from slim_zoo.tf_compat import slim, tf


def show(rows: list[tuple[str, str | list[str]]]) -> None:
  """Prints (name, text) rows as two columns; a list of texts as lines of one name."""
  width = max(len(name) for name, _ in rows)
  for name, texts in rows:
    for text in [texts] if isinstance(texts, str) else texts:
      print(f'{name:<{width}}  {text}', flush=True)
      name = ''


def millions(count: int) -> str:
  """Returns a short form of a count: '812', '61.7 K' or '25.6 M'."""
  for size, unit in ((10**6, ' M'), (10**3, ' K')):
    if count >= size:
      return f'{count / size:.3g}{unit}'
  return str(count)


def parameter_counts(trained: list) -> dict[str, int]:
  """Returns how many numbers the default graph has, by kind.

  Args:
    trained: the variables that are trained.
  """
  count = lambda chosen: sum(variable.shape.num_elements() for variable in chosen)
  trainable = {variable.ref() for variable in tf.trainable_variables()}
  network = slim.get_model_variables()
  weights = [variable for variable in network if variable.ref() in trainable]
  return {'total': count(weights), 'trained': count(trained),
          'statistics': count(network) - count(weights),
          'in_a_checkpoint': count(tf.global_variables())}


def parameters(trained: list) -> str:
  """Returns how many weights the network in the default graph has, in words.

  Statistics, such as batch norm's moving averages, are not parameters.

  Args:
    trained: the variables that are trained.
  """
  counts = parameter_counts(trained)
  return (f'{millions(counts["total"])} parameters, {millions(counts["trained"])} of'
          ' them trained')


_DISTRIBUTIONS = ('tensorflow', 'tf-keras', 'tf-slim', 'numpy', 'pillow')
_SECONDS_FOR_GIT = 10


def versions(project_dir: str) -> dict[str, str]:
  """Returns the versions of Python, of the libraries and of the project.

  Args:
    project_dir: the folder of the project's scripts.

  Returns:
    Versions by name; 'project' is its git commit, with '+changes' where tracked
    files differ from it, and is left out where the folder is not a git checkout.
  """
  releases = {'python': platform.python_version(), 'system': platform.system()}
  for name in _DISTRIBUTIONS:
    try:
      releases[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
      # TensorFlow is sold under several names.
      releases[name] = tf.__version__ if name == 'tensorflow' else 'unknown'
  commit = _commit(project_dir)
  return {**releases, 'project': commit} if commit else releases


def _commit(folder: str) -> str | None:
  # A repository further up would be somebody else's.
  if not os.path.exists(os.path.join(folder, '.git')):
    return None
  commit = _git(folder, 'rev-parse', 'HEAD')
  if commit is None:
    return None
  changes = _git(folder, 'status', '--porcelain', '--untracked-files=no')
  return commit + ('+changes' if changes else '')


def _git(folder: str, *arguments: str) -> str | None:
  """Returns the output of a git command, or None if it fails."""
  try:
    done = subprocess.run(
        ['git', '-C', folder, '--no-optional-locks', *arguments], text=True,
        capture_output=True, timeout=_SECONDS_FOR_GIT, check=False,
        stdin=subprocess.DEVNULL)
  except (OSError, subprocess.TimeoutExpired):
    return None
  return done.stdout.strip() if done.returncode == 0 else None
