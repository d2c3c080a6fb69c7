"""Finds published checkpoints by name: downloads them once to a cache, checks them.

The cache has a folder for each archive, CACHE/NAME. It contains the files of the
checkpoint and `published.json`, which is written last. The file CACHE/NAME.sha256 has
the checksum of the first download. It stays when the folder is removed, and later
downloads are compared with it. This module needs no TensorFlow: the caller passes the
function that reads checkpoints.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import re
import shutil
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence

from slim_zoo import diagnostics
from slim_zoo.catalog.published import Published
from slim_zoo.checkpoints import checkpoint_names, identify, quantization
from slim_zoo.files import atomic, downloads, staging, unpacking

CACHE_VARIABLE, MIRRORS_VARIABLE = 'SLIM_ZOO_CACHE', 'SLIM_ZOO_MIRRORS'
_CACHE = '~/.cache/slim_zoo'
_FACTS = 'published.json'
# The largest archive has less than a quarter.
_MOST_BYTES = 8 << 30
_PAUSE_SECONDS, _MOST_FAILURES = 0.5, 3
_CHUNK_BYTES = 1 << 20
# A checkpoint of several files, or of one file as before TensorFlow 1.0.
_OF_A_CHECKPOINT = re.compile(r'.*(\.index|\.data-\d{5}-of-\d{5}|\.ckpt(-\d+)?)')
_DIGEST = re.compile(r'[0-9a-f]{64}')

Shapes = Mapping[str, Sequence[int]]


@dataclasses.dataclass(frozen=True)
class Places:
  """Where archives come from and go to.

  Attributes:
    cache: the folder of the cache.
    mirrors: addresses of folders with the archives, or local folders, tried before the
      published addresses, in this order.
  """

  cache: str
  mirrors: tuple[str, ...] = ()


def places(environment: Mapping[str, str], mirrors: Sequence[str] = ()) -> Places:
  """Returns the places that environment variables name.

  Args:
    environment: SLIM_ZOO_CACHE is the cache, by default ~/.cache/slim_zoo;
      SLIM_ZOO_MIRRORS has mirrors, separated by commas.
    mirrors: further mirrors, tried first.
  """
  named = (environment.get(MIRRORS_VARIABLE) or '').split(',')
  every = [*mirrors, *(mirror.strip() for mirror in named if mirror.strip())]
  cache = os.path.expanduser(environment.get(CACHE_VARIABLE) or _CACHE)
  return Places(os.path.abspath(cache), tuple(map(_address, every)))


def _address(mirror):
  """Returns the address of a mirror, which may be a local folder."""
  if re.match(r'[a-z][a-z0-9+.-]+://', mirror, re.IGNORECASE):
    return mirror
  return 'file://' + urllib.request.pathname2url(
      os.path.abspath(os.path.expanduser(mirror)))


def cached(row: Published, where: Places) -> str | None:
  """Returns the prefix of a checkpoint in the cache; None if it is not complete."""
  folder = os.path.join(where.cache, row.name)
  try:
    facts = atomic.read_json(os.path.join(folder, _FACTS))
    sizes = {name: os.path.getsize(os.path.join(folder, name))
             for name in facts['files']}
    return os.path.join(folder, facts['checkpoint']) if (
        sizes == facts['files']) else None
  except (OSError, LookupError, TypeError):
    return None


def get(row: Published, where: Places, shapes_of: Callable[[str], Shapes]) -> str:
  """Returns the prefix of a published checkpoint; downloads it unless it is cached.

  An interrupted download continues. If another process downloads the same archive, this
  function waits until it ends. Prints to stderr.

  Args:
    row: of the catalog.
    where: the cache, and mirrors.
    shapes_of: reads the checkpoint at a prefix and returns the shape of each variable
      by name; raises UserError if it is not whole.

  Raises:
    UserError: no address has the archive, or the cache cannot be written.
  """
  checkpoint_names.check_no_pattern(where.cache)
  is_waiting = False
  while (prefix := cached(row, where)) is None:
    try:
      with writing(where.cache):
        _fill_alone(row, where, shapes_of)
    except staging.BusyError:
      if not is_waiting:
        _say(f'another process downloads {row.name}: waiting for it')
      is_waiting = True
      time.sleep(_PAUSE_SECONDS)
  return prefix


def _fill_alone(row, where, shapes_of):
  """Downloads an archive, unless another process has done it meanwhile.

  Raises:
    BusyError: another process does it.
  """
  folder = os.path.join(where.cache, row.name)
  for failures in range(_MOST_FAILURES):
    try:
      with staging.resumable(folder, row.name) as work:
        if cached(row, where):
          work.drop()
        else:
          _fill(row, where, work, shapes_of)
      return
    except FileNotFoundError:
      # The other process has just removed its hidden folder.
      if failures == _MOST_FAILURES - 1:
        raise


def _say(text):
  # An address and an archive may have any names.
  print(diagnostics.printable(text), file=sys.stderr, flush=True)


@contextlib.contextmanager
def writing(cache: str) -> Iterator[None]:
  """Raises UserError if the block cannot write to the cache."""
  try:
    yield
  except OSError as error:
    raise diagnostics.UserError(
        f"cannot write to the cache '{cache}' ({error.strerror or error}): free some"
        f' space, or set {CACHE_VARIABLE} to another folder, and run the same command'
        ' again') from error


def _fill(row, where, work, shapes_of):
  """Downloads an archive from the first address that has it, and unpacks it."""
  accepted = {}

  def check(path):
    digest = _digest(path)
    try:
      _check_digest(row, digest, where.cache)
      work.discard()
      shutil.rmtree(work.scratch, ignore_errors=True)
      prefix = _unpacked(row, path, work.scratch, shapes_of)
    except diagnostics.UserError as error:
      # Names in the archive, in place of paths of files that are removed.
      reason = str(error).replace(path, row.file).replace(
          os.path.join(work.scratch, ''), '').replace(work.scratch, row.file)
      raise diagnostics.UserError(f"cannot use '{address}': {reason}") from error
    accepted.update(digest=digest, prefix=prefix)

  _say(f"downloading {row.name} to '{where.cache}'")
  for address in row.addresses(where.mirrors):
    try:
      downloads.fetch(address, work.fetched, row.file, check, _MOST_BYTES)
      break
    except diagnostics.UserError as error:
      _say(str(error))
  else:
    raise diagnostics.UserError(
        f'no address has {row.name}: set {MIRRORS_VARIABLE}, or --mirrors of slim-zoo'
        f' weights, to an address or folder that contains {row.file}; or use weights'
        f' that other people trained: slim-zoo weights --get={row.name} --from=keras'
        ' (or timm)')
  digest, prefix = accepted['digest'], accepted['prefix']
  _move(prefix, work.new)
  _write_facts(row, address, digest, prefix, work.new)
  _write_digest(row, digest, where.cache)
  work.publish(last=_FACTS)
  _say(f"{row.name} is in '{os.path.join(where.cache, row.name)}', SHA-256 {digest}")


def _digest(path):
  """Returns the SHA-256 of a file in hex."""
  digest = hashlib.sha256()
  with open(path, 'rb') as file:
    while chunk := file.read(_CHUNK_BYTES):
      digest.update(chunk)
  return digest.hexdigest()


def _digest_path(row, cache):
  return os.path.join(cache, f'{row.name}.sha256')


def _check_digest(row, digest, cache):
  """Raises UserError if an earlier download was another file."""
  path = _digest_path(row, cache)
  with contextlib.suppress(OSError), open(path, encoding='ascii',
                                          errors='replace') as file:
    recorded = file.read(64)
    if _DIGEST.fullmatch(recorded) and recorded != digest:
      raise diagnostics.UserError(
          f"this is another file than the first download: its SHA-256 is {digest},"
          f" expected {recorded} as in '{path}'; remove '{path}' to accept the new"
          ' file')


def _write_digest(row, digest, cache):
  """Records the checksum, in the format of sha256sum."""
  atomic.write_text(_digest_path(row, cache), f'{digest}  {row.file}\n')


def _unpacked(row, path, folder, shapes_of):
  """Unpacks the checkpoints of an archive; returns the prefix of the one of the row.

  Raises:
    UserError: there is none, or the archive is damaged.
  """
  if _is_page(path):
    raise diagnostics.UserError('the server sent a web page')
  names = unpacking.unpack(path, folder, _OF_A_CHECKPOINT.fullmatch)
  prefixes = sorted({os.path.join(folder, _prefix(name)) for name in names})
  others = []
  # Of several checkpoints, the one of moving averages has the published accuracy.
  for prefix in sorted(prefixes, key=lambda prefix: 'ema' not in prefix.split(os.sep)):
    try:
      found = _other_than(row, shapes_of(prefix))
    except diagnostics.UserError:
      # Its advice is for a checkpoint that the user names.
      found = 'damaged'
    if found is None:
      return prefix
    others.append(f'{os.path.relpath(prefix, folder)} is {found}')
  classes = f'{row.num_classes} classes'
  there = diagnostics.some(others) if others else 'it has no checkpoint'
  raise diagnostics.UserError(
      f'{row.file} contains no checkpoint of {row.network} with {classes}: {there}')


def _is_page(path):
  """Returns whether a file begins like a web page."""
  with open(path, 'rb') as file:
    return bool(re.match(rb'\s*<(!doctype|html|\?xml)', file.read(100), re.IGNORECASE))


def _prefix(name):
  """Returns the prefix of the checkpoint that a file belongs to."""
  return checkpoint_names.prefix_of(name)


def _other_than(row, shapes) -> str | None:
  """Returns what a checkpoint is, None if it is the one of the row."""
  matches = [match for match in identify.identify(shapes, limit=None)
             if match.fits and not match.renamed]
  if not any((match.network, match.num_classes) == (row.network, row.num_classes)
             for match in matches):
    if not matches:
      return 'of no network that is known'
    classes = matches[0].num_classes
    return (f'of {matches[0].network} with'
            f' {"no" if classes is None else classes} classes')
  if not row.is_quantized and quantization.find(shapes):
    return f'of a quantized {row.network}'
  return None


def _files(prefix):
  """Returns the paths of the files of a checkpoint."""
  folder, own = os.path.split(prefix)
  return sorted(os.path.join(folder, name) for name in os.listdir(folder)
                if _prefix(name) == own)


def _move(prefix, folder):
  """Moves the files of a checkpoint to a folder."""
  for path in _files(prefix):
    os.replace(path, os.path.join(folder, os.path.basename(path)))


def _write_facts(row, address, digest, prefix, folder):
  """Writes the file that makes a folder of the cache complete."""
  name = os.path.basename(prefix)
  sizes = {os.path.basename(path): os.path.getsize(path)
           for path in _files(os.path.join(folder, name))}
  facts = {'name': row.name, 'network': row.network, 'checkpoint': name,
           'files': sizes, 'address': address, 'sha256': digest}
  atomic.write_text(os.path.join(folder, _FACTS), json.dumps(facts, indent=2) + '\n')
