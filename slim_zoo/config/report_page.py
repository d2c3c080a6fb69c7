"""Options of report.html: what it has besides the numbers of an evaluation."""

import dataclasses
import json
import os
from collections.abc import Set

from slim_zoo import diagnostics
from slim_zoo.catalog import datasets as dataset_catalog
from slim_zoo.config.data import Records
from slim_zoo.config.options import Group, option

_FILES = ('report.json', 'predictions.csv')
# Facts of a report that two comparable evaluations have in common.
_SAME = ('data set', 'split', 'part')


@dataclasses.dataclass(frozen=True)
class ReportPage(Group):
  """What report.html has besides the numbers."""

  grad_cam: bool = option(
      False, 'Add Grad-CAM to the worst and the least certain predictions in'
      ' report.html. This builds the network a second time and computes up to 48 images'
      ' again.')
  near_duplicates_of: str | None = option(
      None, 'Another split, such as train: report.html shows the evaluated images that'
      ' are nearly the same as an image of this split. The features of both splits are'
      ' computed after the report is written, which takes as long as an evaluation of'
      ' both.', str)
  compare_with: str | None = option(
      None, 'Report folder or --eval_dir of another evaluation of the same images:'
      " report.html compares both evaluations with McNemar's test.", str, is_path=True)

  @property
  def other_report(self) -> str | None:
    """The report folder of the other evaluation."""
    if self.compare_with is None:
      return None
    below = os.path.join(self.compare_with, 'report')
    return below if _has_report(below) and not _has_report(self.compare_with) else (
        self.compare_with)

  def check(self, records: Records, part: str | None, user_options: Set[str]) -> None:
    """Refuses options that do not fit the data, and missing files.

    Args:
      records: of the evaluation.
      part: the part of the split, in words; None: all.
      user_options: names of the options that the user set.

    Raises:
      UserError: the first fault.
    """
    spec = records.spec()
    if spec.multi_label:
      for name in ('grad_cam', 'near_duplicates_of', 'compare_with'):
        if name in user_options:
          raise diagnostics.UserError(
              f'--{name} does not fit {spec.name}, which is multi-label: report.html is'
              ' for images with one class each; leave it out')
    if self.near_duplicates_of is not None:
      self._check_split(spec, records)
    if self.compare_with is not None:
      self._check_other({'data set': records.dataset_name,
                         'split': records.dataset_split_name, 'part': part})

  def _check_split(self, spec, records):
    split = self.near_duplicates_of
    spec.check_split(split, 'near_duplicates_of')
    if split == records.dataset_split_name:
      raise diagnostics.UserError(
          f'--near_duplicates_of={split} is the evaluated split: name another one, such'
          ' as the one that was trained on')
    dataset_catalog.split_files(spec, split, records.dataset_dir)

  def _check_other(self, facts):
    flag, folder = f'--compare_with={self.compare_with}', self.other_report
    if not _has_report(folder):
      raise diagnostics.UserError(
          f'{flag} is not a report of an evaluation: name a folder with'
          f' {" and ".join(_FILES)}, such as the report/ below an --eval_dir')
    try:
      with open(os.path.join(folder, _FILES[0]), encoding='utf-8') as file:
        values = json.load(file)
      run, is_of_classes = values['run'], 'top1' in values
      other = {name: run.get(name) for name in _SAME}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
      raise diagnostics.UserError(
          f'{flag}: {_FILES[0]} is not a report: run slim-zoo eval again to write it'
      ) from error
    if not is_of_classes:
      raise diagnostics.UserError(
          f'{flag} is not a report of images with one class each: name another one')
    for name, value in facts.items():
      if other[name] != value:
        raise diagnostics.UserError(
            f'{flag} is of another {name}: {other[name] or "the whole split"}, this'
            f' evaluation is of {value or "the whole split"}; name an evaluation of the'
            ' same images')


def _has_report(folder):
  return all(os.path.isfile(os.path.join(folder, name)) for name in _FILES)
