"""Recognizes the kind of a source of images, and reads it.

Needs no TensorFlow.
"""

import os

from slim_zoo import diagnostics
from slim_zoo.dataset_building import (
  arrow_tables,
  file_patterns,
  hugging_face,
  packed_images,
  tar_shards,
)
from slim_zoo.dataset_building.class_folders import ClassFolders
from slim_zoo.dataset_building.packed_images import Contents, ImageCopies, PackedImages
from slim_zoo.images import folder_tree
from slim_zoo.progress import Progress

_COPIES = 'images'
_KINDS = {'tar shards': tar_shards.SUFFIXES, 'Parquet files': (arrow_tables.PARQUET,),
          'Arrow files': (arrow_tables.ARROW,)}
_EXPECTED = ('expected files that end in .tar, .tar.gz, .tgz, .parquet or .arrow, a'
             ' folder of them or of save_to_disk, or hf:NAME')


def survey(packed: PackedImages, scratch: str) -> ClassFolders:
  """Returns the images of a source; decodes none of them.

  Args:
    packed: the source.
    scratch: a folder for copies of images that cannot be read in random order: all
      except those of .tar files. The result refers to it.

  Raises:
    UserError: the source does not exist, is damaged, or is of an unknown kind.
    OSError: a file cannot be read, or the copy cannot be written.
  """
  path = os.path.join(scratch, _COPIES)
  with open(path, 'wb') as file:
    return packed_images.survey(packed, _contents(packed, ImageCopies(path, file)))


def _contents(packed, copies) -> Contents:
  source = packed.source
  if source.startswith(hugging_face.PREFIX):
    return arrow_tables.contents(hugging_face.named_parts(source), packed, copies)
  if os.path.isdir(source):
    if hugging_face.is_saved(source):
      return arrow_tables.contents(hugging_face.saved_parts(source), packed, copies)
    files = _below(source)
  else:
    files = file_patterns.expand(source)
  kind = _kind(source, files)
  names = file_patterns.names_of(files)
  splits, notes = file_patterns.splits_of(names, packed.split_names)
  if kind == 'tar shards':
    return Contents(_of_shards(files, names, splits, packed, copies), None, notes)
  parts = map(arrow_tables.Part, files, names, splits)
  return arrow_tables.contents(list(parts), packed, copies)._replace(notes=notes)


def _below(folder) -> list[str]:
  """Returns the files of all known kinds in a folder and its subfolders.

  Raises:
    UserError: there are no such files.
    OSError: a folder cannot be read.
  """
  suffixes = tuple(suffix for kind in _KINDS.values() for suffix in kind)
  tree, _, _ = folder_tree.read(folder)
  files = [os.path.join(folder, path) for inner in tree.below() for path in inner.files
           if path.lower().endswith(suffixes)]
  if not files:
    raise diagnostics.UserError(f"--source='{folder}' has no such files: {_EXPECTED}")
  return sorted(files)


def _kind(source, files) -> str:
  """Returns the kind of the files; raises UserError if there are several kinds."""
  kinds = {}
  for path in files:
    kind = next((kind for kind, suffixes in _KINDS.items()
                 if path.lower().endswith(suffixes)), None)
    if kind is None:
      raise diagnostics.UserError(f"--source='{source}', '{path}': {_EXPECTED}")
    kinds.setdefault(kind, path)
  if len(kinds) > 1:
    raise diagnostics.UserError(
        f"--source='{source}' has {' and '.join(kinds)}: name the files of one kind,"
        f" such as '{next(iter(kinds.values()))}'")
  return next(iter(kinds))


def _of_shards(files, names, splits, packed, copies):
  """Yields the images of tar shards."""
  done = 0
  with Progress('reading', None, 'images') as progress:
    for path, name, split in zip(files, names, splits, strict=True):
      for sample in tar_shards.samples(path, name, split, packed, copies):
        yield sample
        done += 1
        progress.update(done)
