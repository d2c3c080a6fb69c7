"""The report of a conversion, for its user."""

import collections
import dataclasses
import shlex

from slim_zoo import diagnostics
from slim_zoo.catalog.datasets import DatasetSpec

REFUSED_FILENAME = 'refused.txt'
_MOST_SHOWN = 10
_MOST_CLASSES = 20
_LONGEST_NAME = 60


class RefusedImagesError(diagnostics.UserError):
  """All records are written, but some images could not be used."""

  exit_code = 3


def refusal_lines(refused: list[tuple[str, str]]) -> list[str]:
  """Returns a line for each (path, reason)."""
  return [diagnostics.printable(f'{path}: {reason}') for path, reason in refused]


@dataclasses.dataclass(frozen=True)
class Report:
  """The result of a conversion.

  Attributes:
    dataset_dir: folder of the records.
    spec: the data set that was written.
    classes: (name, {split: images}) of each class, by label; empty: not shown.
    notes: lines about the splits.
    stored: number of images stored unchanged.
    changes: number of re-encoded images, by reason.
    wrong_suffix: number of images with the suffix of another format.
    several: number of images that are the first of several frames or pages.
    refused: (path, reason) of each file that could not be used.
    ignored: paths of other files outside of class folders.
    max_side: longer images were scaled down to this, in pixels; None: not scaled.
    file_bytes: total size of the image files; 0: not counted.
    stored_bytes: total size of the images in the records; 0: not counted.
  """

  dataset_dir: str
  spec: DatasetSpec
  classes: tuple[tuple[str, dict[str, int]], ...]
  notes: tuple[str, ...]
  stored: int
  changes: collections.Counter
  wrong_suffix: int
  several: int
  refused: list[tuple[str, str]]
  ignored: tuple[str, ...]
  max_side: int | None = None
  file_bytes: int = 0
  stored_bytes: int = 0

  def lines(self) -> list[str]:
    """Returns the summary for a terminal."""
    colours = 'gray' if self.spec.channels == 1 else 'RGB'
    splits = ', '.join(f'{name} {count}' for name, count in self.spec.splits.items())
    lines = [f'{self.spec.name}: {self.spec.num_classes} classes, {colours};'
             f' images: {splits}', *self._class_lines(), *self.notes]
    lines.append(f'stored as they are: {self.stored}')
    if self.changes:
      counts = '; '.join(f'{count} {change}' for change, count
                         in sorted(self.changes.items()))
      lines.append(f're-encoded: {counts}')
    if self.max_side:
      saved = self.file_bytes - self.stored_bytes
      share = f', {_megabytes(saved)} ({saved / self.file_bytes:.0%}) saved' if (
          saved > 0) else ''
      lines.append(
          f'with --max_side={self.max_side}: {_megabytes(self.file_bytes)} of files are'
          f' {_megabytes(self.stored_bytes)} in the records{share}')
    if self.wrong_suffix:
      lines.append(
          f'with the suffix of another format, but used: {self.wrong_suffix}')
    if self.several:
      lines.append('with several frames or pages, of which the first is used:'
                   f' {self.several}')
    if self.ignored:
      lines.append(f'no images, skipped: {_some(self.ignored)}')
    if self.refused:
      lines.append(f'refused: {len(self.refused)}')
      lines += [f'  {line}' for line in refusal_lines(self.refused[:_MOST_SHOWN])]
      if len(self.refused) > _MOST_SHOWN:
        lines.append(f'  and {len(self.refused) - _MOST_SHOWN} more, all in'
                     f' {self.dataset_dir}/{REFUSED_FILENAME}')
    lines.append(f'use it with --dataset_name={self.spec.name}'
                 f' --dataset_dir={shlex.quote(self.dataset_dir)}')
    return [diagnostics.printable(line) for line in lines]

  def _class_lines(self):
    """Yields a line for each class, and one line for the rest of many classes."""
    splits = list(self.spec.splits)
    for label, (name, counts) in enumerate(self.classes[:_MOST_CLASSES]):
      images = ', '.join(f'{split} {counts[split]}' for split in splits)
      shown = name if len(name) <= _LONGEST_NAME else f'{name[:_LONGEST_NAME - 1]}…'
      yield f'  {label} {shown}: {images}'
    rest = [sum(counts.values()) for _, counts in self.classes[_MOST_CLASSES:]]
    if rest:
      yield (f'  and {len(rest)} more classes, of {min(rest)} to {max(rest)} images:'
             f' names are in {self.dataset_dir}/labels.txt')

  def check_nothing_refused(self) -> None:
    """Raises RefusedImagesError if images could not be used."""
    count = len(self.refused)
    if count:
      raise RefusedImagesError(
          f"{count} {'file was' if count == 1 else 'files were'} refused, see"
          f" '{self.dataset_dir}/{REFUSED_FILENAME}'; the records hold all others."
          ' Repair or remove them and convert again, or accept this with'
          ' --allow_refused')


def _megabytes(count):
  return f'{count / 1e6:,.1f} MB'


def _some(paths):
  more = len(paths) - _MOST_SHOWN
  return ', '.join(paths[:_MOST_SHOWN]) + f' and {more} more' * (more > 0)
