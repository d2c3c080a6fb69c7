"""Facts of the published checkpoints: a row for each network; no TensorFlow.

A checkpoint does not say how large its images were and how they were preprocessed, and
for some networks that is not what training uses by default. These facts are used where
no run card says otherwise.
"""

import dataclasses
import os
import re

_NUMBER = re.compile(r'(?<![\d.])\d+(?![\d.])')
# How many folders above a checkpoint may carry the name of its archive.
_FOLDERS = 3


@dataclasses.dataclass(frozen=True)
class Published:
  """How the published checkpoints of a network are used.

  Attributes:
    network: its name in `catalog.networks.NETWORKS`.
    num_classes: of their logits; 1001 counts a background class 0.
    preprocessing: a preprocessing family.
    image_size: height and width of the images.
    other_sizes: of further checkpoints, whose names say which, such as
      mobilenet_v1_1.0_160.
  """

  network: str
  num_classes: int
  preprocessing: str
  image_size: int
  other_sizes: tuple[int, ...] = ()


def _table(*rows: Published) -> dict[str, Published]:
  return {row.network: row for row in rows}


PUBLISHED = _table(
    Published('inception_v1', 1001, 'inception', 224),
    Published('inception_v2', 1001, 'inception', 224),
    Published('inception_v3', 1001, 'inception', 299),
    Published('inception_v4', 1001, 'inception', 299),
    Published('inception_resnet_v2', 1001, 'inception', 299),
    Published('resnet_v1_50', 1000, 'vgg', 224),
    Published('resnet_v1_101', 1000, 'vgg', 224),
    Published('resnet_v1_152', 1000, 'vgg', 224),
    # Training has vgg and 224 by default.
    Published('resnet_v2_50', 1001, 'inception', 299),
    Published('resnet_v2_101', 1001, 'inception', 299),
    Published('resnet_v2_152', 1001, 'inception', 299),
    Published('vgg_16', 1000, 'vgg', 224),
    Published('vgg_19', 1000, 'vgg', 224),
    Published('nasnet_mobile', 1001, 'inception', 224),
    Published('nasnet_large', 1001, 'inception', 331),
    Published('pnasnet_mobile', 1001, 'inception', 224),
    Published('pnasnet_large', 1001, 'inception', 331),
    Published('mobilenet_v1', 1001, 'inception', 224, (192, 160, 128)),
    Published('mobilenet_v1_075', 1001, 'inception', 224, (192, 160, 128)),
    Published('mobilenet_v1_050', 1001, 'inception', 224, (192, 160, 128)),
    Published('mobilenet_v1_025', 1001, 'inception', 224, (192, 160, 128)),
    Published('mobilenet_v2', 1001, 'inception', 224, (192, 160, 128, 96)),
    Published('mobilenet_v2_140', 1001, 'inception', 224),
    Published('mobilenet_v2_035', 1001, 'inception', 224, (192, 160, 128, 96)),
    Published('mobilenet_v3_large', 1001, 'inception', 224),
    Published('mobilenet_v3_small', 1001, 'inception', 224),
    Published('mobilenet_v3_large_minimalistic', 1001, 'inception', 224),
    Published('mobilenet_v3_small_minimalistic', 1001, 'inception', 224),
    Published('mobilenet_edgetpu', 1001, 'inception', 224),
    Published('mobilenet_edgetpu_075', 1001, 'inception', 224),
)


def find(network: str, num_classes: int | None, checkpoint: str) -> Published | None:
  """Returns the facts that fit a checkpoint, in the size that its name says.

  Args:
    network: that the checkpoint is of.
    num_classes: of its logits.
    checkpoint: its prefix. The size stands in its name, or in that of a folder above,
      as in the archives: mobilenet_v1_0.25_128/mobilenet_v1_0.25_128.ckpt.

  Returns:
    None if no checkpoint with as many classes is published of the network.
  """
  row = PUBLISHED.get(network)
  if row is None or row.num_classes != num_classes:
    return None
  parts = os.path.abspath(checkpoint).removesuffix('.ckpt').split(os.sep)
  for part in reversed(parts[-1 - _FOLDERS:]):
    for size in row.other_sizes:
      if part.startswith('mobilenet') and str(size) in _NUMBER.findall(part):
        return dataclasses.replace(row, image_size=size)
  return row
