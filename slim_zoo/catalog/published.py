"""Facts of the published checkpoints: one row per network; no TensorFlow.

A checkpoint does not contain the size and preprocessing of its images, and for some
networks these differ from the defaults of training. These facts are used if there is no
run card.
"""

import dataclasses
import os
import re

_NUMBER = re.compile(r'(?<![\d.])\d+(?![\d.])')
# The number of folders above a checkpoint whose names are searched.
_FOLDERS = 3


@dataclasses.dataclass(frozen=True)
class Published:
  """Use of the published checkpoints of a network.

  Attributes:
    network: its name in `catalog.networks.NETWORKS`.
    num_classes: number of logits; 1001 includes a background class 0.
    preprocessing: a preprocessing family.
    image_size: height and width of the images.
    top_1: percent of the 50,000 ImageNet validation images, as published.
    top_5: the same; None: not published.
    archive: URL of the checkpoint.
    other_sizes: image sizes of further checkpoints, which have the size in their names,
      such as mobilenet_v1_1.0_160.
  """

  network: str
  num_classes: int
  preprocessing: str
  image_size: int
  top_1: float
  top_5: float | None
  archive: str
  other_sizes: tuple[int, ...] = ()


# The folders of the archives.
_EDGETPU = 'https://storage.cloud.google.com/mobilenet_edgetpu/checkpoints/'
_MOBILENET_V1 = 'http://download.tensorflow.org/models/mobilenet_v1_2018_08_02/'
_MOBILENET_V2 = 'https://storage.googleapis.com/mobilenet_v2/checkpoints/'
_MOBILENET_V3 = 'https://storage.googleapis.com/mobilenet_v3/checkpoints/'
_MODELS = 'http://download.tensorflow.org/models/'
_STORED = 'https://storage.googleapis.com/download.tensorflow.org/models/'


def _table(*rows: Published) -> dict[str, Published]:
  return {row.network: row for row in rows}


PUBLISHED = _table(
    Published('inception_v1', 1001, 'inception', 224, 69.8, 89.6,
              _MODELS + 'inception_v1_2016_08_28.tar.gz'),
    Published('inception_v2', 1001, 'inception', 224, 73.9, 91.8,
              _MODELS + 'inception_v2_2016_08_28.tar.gz'),
    Published('inception_v3', 1001, 'inception', 299, 78.0, 93.9,
              _MODELS + 'inception_v3_2016_08_28.tar.gz'),
    Published('inception_v4', 1001, 'inception', 299, 80.2, 95.2,
              _MODELS + 'inception_v4_2016_09_09.tar.gz'),
    Published('inception_resnet_v2', 1001, 'inception', 299, 80.4, 95.3,
              _MODELS + 'inception_resnet_v2_2016_08_30.tar.gz'),
    Published('resnet_v1_50', 1000, 'vgg', 224, 75.2, 92.2,
              _MODELS + 'resnet_v1_50_2016_08_28.tar.gz'),
    Published('resnet_v1_101', 1000, 'vgg', 224, 76.4, 92.9,
              _MODELS + 'resnet_v1_101_2016_08_28.tar.gz'),
    Published('resnet_v1_152', 1000, 'vgg', 224, 76.8, 93.2,
              _MODELS + 'resnet_v1_152_2016_08_28.tar.gz'),
    # The defaults of training are vgg and 224.
    Published('resnet_v2_50', 1001, 'inception', 299, 75.6, 92.8,
              _MODELS + 'resnet_v2_50_2017_04_14.tar.gz'),
    Published('resnet_v2_101', 1001, 'inception', 299, 77.0, 93.7,
              _MODELS + 'resnet_v2_101_2017_04_14.tar.gz'),
    Published('resnet_v2_152', 1001, 'inception', 299, 77.8, 94.1,
              _MODELS + 'resnet_v2_152_2017_04_14.tar.gz'),
    Published('vgg_16', 1000, 'vgg', 224, 71.5, 89.8,
              _MODELS + 'vgg_16_2016_08_28.tar.gz'),
    Published('vgg_19', 1000, 'vgg', 224, 71.1, 89.8,
              _MODELS + 'vgg_19_2016_08_28.tar.gz'),
    Published('nasnet_mobile', 1001, 'inception', 224, 74.0, 91.6,
              _STORED + 'nasnet-a_mobile_04_10_2017.tar.gz'),
    Published('nasnet_large', 1001, 'inception', 331, 82.7, 96.2,
              _STORED + 'nasnet-a_large_04_10_2017.tar.gz'),
    Published('pnasnet_mobile', 1001, 'inception', 224, 74.2, 91.9,
              _STORED + 'pnasnet-5_mobile_2017_12_13.tar.gz'),
    Published('pnasnet_large', 1001, 'inception', 331, 82.9, 96.2,
              _STORED + 'pnasnet-5_large_2017_12_13.tar.gz'),
    Published('mobilenet_v1', 1001, 'inception', 224, 70.9, 89.9,
              _MOBILENET_V1 + 'mobilenet_v1_1.0_224.tgz', other_sizes=(192, 160, 128)),
    Published('mobilenet_v1_075', 1001, 'inception', 224, 68.4, 88.2,
              _MOBILENET_V1 + 'mobilenet_v1_0.75_224.tgz', other_sizes=(192, 160, 128)),
    Published('mobilenet_v1_050', 1001, 'inception', 224, 63.3, 84.9,
              _MOBILENET_V1 + 'mobilenet_v1_0.5_224.tgz', other_sizes=(192, 160, 128)),
    Published('mobilenet_v1_025', 1001, 'inception', 224, 49.8, 74.2,
              _MOBILENET_V1 + 'mobilenet_v1_0.25_224.tgz', other_sizes=(192, 160, 128)),
    Published('mobilenet_v2', 1001, 'inception', 224, 71.8, 91.0,
              _MOBILENET_V2 + 'mobilenet_v2_1.0_224.tgz',
              other_sizes=(192, 160, 128, 96)),
    Published('mobilenet_v2_140', 1001, 'inception', 224, 75.0, 92.5,
              _MOBILENET_V2 + 'mobilenet_v2_1.4_224.tgz'),
    Published('mobilenet_v2_035', 1001, 'inception', 224, 60.3, 82.9,
              _MOBILENET_V2 + 'mobilenet_v2_0.35_224.tgz',
              other_sizes=(192, 160, 128, 96)),
    Published('mobilenet_v3_large', 1001, 'inception', 224, 75.2, None,
              _MOBILENET_V3 + 'v3-large_224_1.0_float.tgz'),
    Published('mobilenet_v3_small', 1001, 'inception', 224, 67.5, None,
              _MOBILENET_V3 + 'v3-small_224_1.0_float.tgz'),
    Published('mobilenet_v3_large_minimalistic', 1001, 'inception', 224, 72.3, None,
              _MOBILENET_V3 + 'v3-large-minimalistic_224_1.0_float.tgz'),
    Published('mobilenet_v3_small_minimalistic', 1001, 'inception', 224, 61.9, None,
              _MOBILENET_V3 + 'v3-small-minimalistic_224_1.0_float.tgz'),
    Published('mobilenet_edgetpu', 1001, 'inception', 224, 75.6, None,
              _EDGETPU + 'mobilenet_edgetpu_224_1.0.tgz'),
    Published('mobilenet_edgetpu_075', 1001, 'inception', 224, 73.5, None,
              _EDGETPU + 'mobilenet_edgetpu_224_0.75.tgz'),
)


def find(network: str, num_classes: int | None, checkpoint: str) -> Published | None:
  """Returns the facts of a checkpoint, with the image size from its name.

  Args:
    network: the network of the checkpoint.
    num_classes: number of its logits.
    checkpoint: its prefix. The size is in its name, or in the name of a folder above,
      as in the archives: mobilenet_v1_0.25_128/mobilenet_v1_0.25_128.ckpt.

  Returns:
    None if no checkpoint of the network with this number of classes is published.
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
