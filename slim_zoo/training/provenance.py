"""The versions of the software and of this project that a run was made with.

Nothing in here names the machine or its user.
"""

import importlib.metadata
import os
import platform
import subprocess

_DISTRIBUTIONS = ('tensorflow', 'tf-keras', 'tf-slim', 'numpy', 'pillow')
_SECONDS_FOR_GIT = 10


def versions(project_dir: str) -> dict[str, str]:
  """Returns the versions of Python, of the libraries and of the project.

  Args:
    project_dir: the folder of the project's scripts.

  Returns:
    Versions by name; 'project' is its git commit, with '+changes' where tracked
    files differ from it, and is left out where the folder is no git checkout.
  """
  from slim_zoo.tf_compat import tf
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
