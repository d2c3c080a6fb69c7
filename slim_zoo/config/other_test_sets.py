"""Options of an evaluation on other test sets of ImageNet."""

import dataclasses
import os

from slim_zoo import diagnostics
from slim_zoo.catalog import imagenet_names
from slim_zoo.catalog.datasets import DatasetSpec
from slim_zoo.config.options import Group, option


@dataclasses.dataclass(frozen=True)
class OtherTestSets(Group):
  """How predictions are counted on test sets with a part of the classes, or others."""

  only_present_classes: bool = option(
      False, 'Choose predictions only among the classes that have images in the split;'
      ' the softmax is over these classes. For test sets with a part of the classes,'
      ' such as ImageNet-A and ImageNet-R.')
  real_labels: str | None = option(
      None, 'The file real.json of ImageNet-ReaL: the labels of each validation image'
      ' of ImageNet. A prediction is correct if it is one of them; images without'
      ' labels are left out. This accuracy is printed in addition to the usual one.',
      str, is_path=True)

  def check(self, spec: DatasetSpec, master: str) -> None:
    """Refuses options that do not fit the data set or the place of the session.

    Args:
      spec: of the data set.
      master: address of the TensorFlow server; '': this process.

    Raises:
      UserError: the first fault.
    """
    for name in ('only_present_classes', 'real_labels'):
      if not getattr(self, name):
        continue
      if spec.multi_label or spec.masks:
        kind = 'multi-label' if spec.multi_label else 'for segmentation'
        raise diagnostics.UserError(
            f'--{name}: {spec.name} is {kind}, expected images with one class each')
    if self.only_present_classes and master:
      raise diagnostics.UserError(
          f'--only_present_classes does not work with --master={master}: the network'
          ' must run in this process; leave out one of them')
    if not self.real_labels:
      return
    if spec.num_classes != imagenet_names.WITH_BACKGROUND:
      raise diagnostics.UserError(
          f'--real_labels is for the validation images of ImageNet with its'
          f' {imagenet_names.WITH_BACKGROUND} classes: {spec.name} has'
          f' {spec.num_classes} classes; leave the flag out')
    if not os.path.isfile(self.real_labels):
      raise diagnostics.UserError(
          f"--real_labels='{self.real_labels}': there is no such file; expected"
          ' real.json of ImageNet-ReaL')
