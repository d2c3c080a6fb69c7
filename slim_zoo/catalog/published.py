"""The published checkpoints: one row per archive; no TensorFlow.

A checkpoint does not contain the size and preprocessing of its images, and for some
networks these differ from the defaults of training. These facts are used if there is no
run card.
"""

import dataclasses
import difflib
import os
import re
from collections.abc import Sequence

from slim_zoo import diagnostics

# 'published:mobilenet_v1_1.0_224' stands for a checkpoint in place of a path.
PREFIX = 'published:'
_EXAMPLE = 'mobilenet_v1_1.0_224'
_NUMBER = re.compile(r'(?<![\d.])\d+(?![\d.])')
# The number of folders above a checkpoint whose names are searched.
_FOLDERS = 3


@dataclasses.dataclass(frozen=True)
class Published:
  """A published checkpoint.

  Attributes:
    name: of the archive, without its suffix.
    network: its name in `catalog.networks.NETWORKS`.
    image_size: height and width of the images.
    top_1: percent of the 50,000 ImageNet validation images, as published.
    top_5: the same; None: not published.
    archive: address of the archive.
    num_classes: number of logits; 1001 includes a background class 0.
    preprocessing: a preprocessing family.
    is_quantized: whether it was trained with the rounding of an 8-bit network.
  """

  name: str
  network: str
  image_size: int
  top_1: float
  top_5: float | None
  archive: str
  num_classes: int = 1001
  preprocessing: str = 'inception'
  is_quantized: bool = False

  @property
  def file(self) -> str:
    """The name of the archive's file."""
    return self.archive.rpartition('/')[2]

  def labels_offset(self, num_labels: int | None) -> int:
    """Returns the number to subtract from the labels of a data set.

    Args:
      num_labels: of ImageNet there are 1001, with the background class 0; None: they
        are unknown.
    """
    return int(num_labels == self.num_classes + 1)

  def addresses(self, mirrors: Sequence[str] = ()) -> list[str]:
    """Returns the addresses of the archive, in the order to try them.

    Args:
      mirrors: addresses of folders that have the archive, tried first.
    """
    own = [f'{mirror.rstrip("/")}/{self.file}' for mirror in mirrors]
    same = [other + self.archive.removeprefix(host) for host, other in _SAME_FILES
            if self.archive.startswith(host)]
    return list(dict.fromkeys([*own, self.archive, *same]))


# Hosts with the same files: some answer where others do not.
_SAME_FILES = (
    ('http://download.tensorflow.org/',
     'https://storage.googleapis.com/download.tensorflow.org/'),
    ('https://storage.googleapis.com/download.tensorflow.org/',
     'http://download.tensorflow.org/'),
    ('https://storage.cloud.google.com/', 'https://storage.googleapis.com/'),
)


def _models_of(folder, suffix, **facts):
  """Returns a function that makes the rows of one folder of archives."""
  def row(name, network, image_size, top_1, top_5, is_quantized=False):
    return Published(name, network, image_size, top_1, top_5,
                     f'{folder}/{name}{suffix}', is_quantized=is_quantized, **facts)
  return row


_MODELS = 'download.tensorflow.org/models'
_model = _models_of(f'http://{_MODELS}', '.tar.gz')
_caffe = _models_of(
    f'http://{_MODELS}', '.tar.gz', num_classes=1000, preprocessing='vgg')
_stored = _models_of(f'https://storage.googleapis.com/{_MODELS}', '.tar.gz')
_mobilenet_v1 = _models_of(f'http://{_MODELS}/mobilenet_v1_2018_08_02', '.tgz')
_mobilenet_v2 = _models_of(
    'https://storage.googleapis.com/mobilenet_v2/checkpoints', '.tgz')
_mobilenet_v3 = _models_of(
    'https://storage.googleapis.com/mobilenet_v3/checkpoints', '.tgz')
_edgetpu = _models_of(
    'https://storage.cloud.google.com/mobilenet_edgetpu/checkpoints', '.tgz')


def _table(*rows: Published) -> dict[str, Published]:
  return {row.name: row for row in rows}


# The first row of a network is its main checkpoint.
PUBLISHED = _table(
    # name, network, image size, top-1, top-5
    _model('inception_v1_2016_08_28', 'inception_v1', 224, 69.8, 89.6),
    _model('inception_v2_2016_08_28', 'inception_v2', 224, 73.9, 91.8),
    _model('inception_v3_2016_08_28', 'inception_v3', 299, 78.0, 93.9),
    _model('inception_v4_2016_09_09', 'inception_v4', 299, 80.2, 95.2),
    _model('inception_resnet_v2_2016_08_30', 'inception_resnet_v2', 299, 80.4, 95.3),
    _caffe('resnet_v1_50_2016_08_28', 'resnet_v1_50', 224, 75.2, 92.2),
    _caffe('resnet_v1_101_2016_08_28', 'resnet_v1_101', 224, 76.4, 92.9),
    _caffe('resnet_v1_152_2016_08_28', 'resnet_v1_152', 224, 76.8, 93.2),
    _model('resnet_v2_50_2017_04_14', 'resnet_v2_50', 299, 75.6, 92.8),
    _model('resnet_v2_101_2017_04_14', 'resnet_v2_101', 299, 77.0, 93.7),
    _model('resnet_v2_152_2017_04_14', 'resnet_v2_152', 299, 77.8, 94.1),
    _caffe('vgg_16_2016_08_28', 'vgg_16', 224, 71.5, 89.8),
    _caffe('vgg_19_2016_08_28', 'vgg_19', 224, 71.1, 89.8),
    _stored('nasnet-a_mobile_04_10_2017', 'nasnet_mobile', 224, 74.0, 91.6),
    _stored('nasnet-a_large_04_10_2017', 'nasnet_large', 331, 82.7, 96.2),
    _stored('pnasnet-5_large_2017_12_13', 'pnasnet_large', 331, 82.9, 96.2),
    _stored('pnasnet-5_mobile_2017_12_13', 'pnasnet_mobile', 224, 74.2, 91.9),
    _mobilenet_v1('mobilenet_v1_1.0_224', 'mobilenet_v1', 224, 70.9, 89.9),
    _mobilenet_v1('mobilenet_v1_1.0_192', 'mobilenet_v1', 192, 70.0, 89.2),
    _mobilenet_v1('mobilenet_v1_1.0_160', 'mobilenet_v1', 160, 68.0, 87.7),
    _mobilenet_v1('mobilenet_v1_1.0_128', 'mobilenet_v1', 128, 65.2, 85.8),
    _mobilenet_v1('mobilenet_v1_0.75_224', 'mobilenet_v1_075', 224, 68.4, 88.2),
    _mobilenet_v1('mobilenet_v1_0.75_192', 'mobilenet_v1_075', 192, 67.2, 87.3),
    _mobilenet_v1('mobilenet_v1_0.75_160', 'mobilenet_v1_075', 160, 65.3, 86.0),
    _mobilenet_v1('mobilenet_v1_0.75_128', 'mobilenet_v1_075', 128, 62.1, 83.9),
    _mobilenet_v1('mobilenet_v1_0.5_224', 'mobilenet_v1_050', 224, 63.3, 84.9),
    _mobilenet_v1('mobilenet_v1_0.5_192', 'mobilenet_v1_050', 192, 61.7, 83.6),
    _mobilenet_v1('mobilenet_v1_0.5_160', 'mobilenet_v1_050', 160, 59.1, 81.9),
    _mobilenet_v1('mobilenet_v1_0.5_128', 'mobilenet_v1_050', 128, 56.3, 79.4),
    _mobilenet_v1('mobilenet_v1_0.25_224', 'mobilenet_v1_025', 224, 49.8, 74.2),
    _mobilenet_v1('mobilenet_v1_0.25_192', 'mobilenet_v1_025', 192, 47.7, 72.3),
    _mobilenet_v1('mobilenet_v1_0.25_160', 'mobilenet_v1_025', 160, 45.5, 70.3),
    _mobilenet_v1('mobilenet_v1_0.25_128', 'mobilenet_v1_025', 128, 41.5, 66.3),
    _mobilenet_v1('mobilenet_v1_1.0_224_quant', 'mobilenet_v1', 224, 70.1, 88.9,
                  is_quantized=True),
    _mobilenet_v1('mobilenet_v1_1.0_192_quant', 'mobilenet_v1', 192, 69.2, 88.3,
                  is_quantized=True),
    _mobilenet_v1('mobilenet_v1_1.0_160_quant', 'mobilenet_v1', 160, 67.2, 86.7,
                  is_quantized=True),
    _mobilenet_v1('mobilenet_v1_1.0_128_quant', 'mobilenet_v1', 128, 63.4, 84.2,
                  is_quantized=True),
    _mobilenet_v1('mobilenet_v1_0.75_224_quant', 'mobilenet_v1_075', 224, 66.8, 87.0,
                  is_quantized=True),
    _mobilenet_v1('mobilenet_v1_0.75_192_quant', 'mobilenet_v1_075', 192, 66.1, 86.4,
                  is_quantized=True),
    _mobilenet_v1('mobilenet_v1_0.75_160_quant', 'mobilenet_v1_075', 160, 62.3, 83.8,
                  is_quantized=True),
    _mobilenet_v1('mobilenet_v1_0.75_128_quant', 'mobilenet_v1_075', 128, 55.8, 78.8,
                  is_quantized=True),
    _mobilenet_v1('mobilenet_v1_0.5_224_quant', 'mobilenet_v1_050', 224, 60.7, 83.2,
                  is_quantized=True),
    _mobilenet_v1('mobilenet_v1_0.5_192_quant', 'mobilenet_v1_050', 192, 60.0, 82.2,
                  is_quantized=True),
    _mobilenet_v1('mobilenet_v1_0.5_160_quant', 'mobilenet_v1_050', 160, 57.7, 80.4,
                  is_quantized=True),
    _mobilenet_v1('mobilenet_v1_0.5_128_quant', 'mobilenet_v1_050', 128, 54.5, 77.7,
                  is_quantized=True),
    _mobilenet_v1('mobilenet_v1_0.25_224_quant', 'mobilenet_v1_025', 224, 48.0, 72.8,
                  is_quantized=True),
    _mobilenet_v1('mobilenet_v1_0.25_192_quant', 'mobilenet_v1_025', 192, 46.0, 71.2,
                  is_quantized=True),
    _mobilenet_v1('mobilenet_v1_0.25_160_quant', 'mobilenet_v1_025', 160, 43.4, 68.5,
                  is_quantized=True),
    _mobilenet_v1('mobilenet_v1_0.25_128_quant', 'mobilenet_v1_025', 128, 39.5, 64.4,
                  is_quantized=True),
    _mobilenet_v2('mobilenet_v2_1.4_224', 'mobilenet_v2_140', 224, 75.0, 92.5),
    _mobilenet_v2('mobilenet_v2_1.3_224', 'mobilenet_v2_130', 224, 74.4, 92.1),
    _mobilenet_v2('mobilenet_v2_1.0_224', 'mobilenet_v2', 224, 71.8, 91.0),
    _mobilenet_v2('mobilenet_v2_1.0_192', 'mobilenet_v2', 192, 70.7, 90.1),
    _mobilenet_v2('mobilenet_v2_1.0_160', 'mobilenet_v2', 160, 68.8, 89.0),
    _mobilenet_v2('mobilenet_v2_1.0_128', 'mobilenet_v2', 128, 65.3, 86.9),
    _mobilenet_v2('mobilenet_v2_1.0_96', 'mobilenet_v2', 96, 60.3, 83.2),
    _mobilenet_v2('mobilenet_v2_0.75_224', 'mobilenet_v2_075', 224, 69.8, 89.6),
    _mobilenet_v2('mobilenet_v2_0.75_192', 'mobilenet_v2_075', 192, 68.7, 88.9),
    _mobilenet_v2('mobilenet_v2_0.75_160', 'mobilenet_v2_075', 160, 66.4, 87.3),
    _mobilenet_v2('mobilenet_v2_0.75_128', 'mobilenet_v2_075', 128, 63.2, 85.3),
    _mobilenet_v2('mobilenet_v2_0.75_96', 'mobilenet_v2_075', 96, 58.8, 81.6),
    _mobilenet_v2('mobilenet_v2_0.5_224', 'mobilenet_v2_050', 224, 65.4, 86.4),
    _mobilenet_v2('mobilenet_v2_0.5_192', 'mobilenet_v2_050', 192, 63.9, 85.4),
    _mobilenet_v2('mobilenet_v2_0.5_160', 'mobilenet_v2_050', 160, 61.0, 83.2),
    _mobilenet_v2('mobilenet_v2_0.5_128', 'mobilenet_v2_050', 128, 57.7, 80.8),
    _mobilenet_v2('mobilenet_v2_0.5_96', 'mobilenet_v2_050', 96, 51.2, 75.8),
    _mobilenet_v2('mobilenet_v2_0.35_224', 'mobilenet_v2_035', 224, 60.3, 82.9),
    _mobilenet_v2('mobilenet_v2_0.35_192', 'mobilenet_v2_035', 192, 58.2, 81.2),
    _mobilenet_v2('mobilenet_v2_0.35_160', 'mobilenet_v2_035', 160, 55.7, 79.1),
    _mobilenet_v2('mobilenet_v2_0.35_128', 'mobilenet_v2_035', 128, 50.8, 75.0),
    _mobilenet_v2('mobilenet_v2_0.35_96', 'mobilenet_v2_035', 96, 45.5, 70.4),
    _mobilenet_v3('v3-large_224_1.0_float', 'mobilenet_v3_large', 224, 75.2, None),
    _mobilenet_v3('v3-large_224_1.0_uint8', 'mobilenet_v3_large', 224, 73.9, None,
                  is_quantized=True),
    _mobilenet_v3('v3-large_224_0.75_float', 'mobilenet_v3_large_075', 224, 73.3, None),
    _mobilenet_v3('v3-small_224_1.0_float', 'mobilenet_v3_small', 224, 67.5, None),
    _mobilenet_v3('v3-small_224_1.0_uint8', 'mobilenet_v3_small', 224, 64.9, None,
                  is_quantized=True),
    _mobilenet_v3('v3-small_224_0.75_float', 'mobilenet_v3_small_075', 224, 65.4, None),
    _mobilenet_v3('v3-large-minimalistic_224_1.0_float',
                  'mobilenet_v3_large_minimalistic', 224, 72.3, None),
    _mobilenet_v3('v3-large-minimalistic_224_1.0_uint8',
                  'mobilenet_v3_large_minimalistic', 224, 71.3, None,
                  is_quantized=True),
    _mobilenet_v3('v3-small-minimalistic_224_1.0_float',
                  'mobilenet_v3_small_minimalistic', 224, 61.9, None),
    _edgetpu('mobilenet_edgetpu_224_0.75', 'mobilenet_edgetpu_075', 224, 73.5, None),
    _edgetpu('mobilenet_edgetpu_224_1.0', 'mobilenet_edgetpu', 224, 75.6, None),
)


def main_of(network: str) -> Published | None:
  """Returns the main checkpoint of a network; None if none is published."""
  return next((row for row in PUBLISHED.values() if row.network == network), None)


def get(name: str) -> Published:
  """Returns the row of a published checkpoint.

  Args:
    name: of the archive, such as 'mobilenet_v1_1.0_224'.

  Raises:
    UserError: there is none of this name; the message has the nearest one.
  """
  if name in PUBLISHED:
    return PUBLISHED[name]
  if not name:
    raise diagnostics.UserError(
        f"no name of a published checkpoint: write one, such as {_EXAMPLE}"
        ' (slim-zoo weights --list shows all)')
  archives = [row.name for row in PUBLISHED.values() if row.network == name]
  if archives:
    hint = f'; of {name} there are {", ".join(archives)}'
  else:
    near = _nearest(name)
    hint = f"; did you mean '{near}'?" if near else ''
  raise diagnostics.UserError(
      f"no published checkpoint '{name}'{hint} (slim-zoo weights --list shows all)")


def _nearest(name):
  """Returns the checkpoint whose name, or whose network's name, is the nearest."""
  rows = [*PUBLISHED.values()]
  by_name = {**{row.network: row.name for row in reversed(rows)},
             **{row.name: row.name for row in rows}}
  near = difflib.get_close_matches(name.lower(), by_name, n=1)
  return by_name[near[0]] if near else None


def name_in(path: str) -> str | None:
  """Returns the name in 'published:NAME'; None for a path."""
  return path.removeprefix(PREFIX) if path.startswith(PREFIX) else None


def of_path(checkpoint: str) -> Published | None:
  """Returns the row whose name a checkpoint, or a folder above it, has; or None.

  Args:
    checkpoint: its prefix, or 'published:NAME'.
  """
  for part in _parts(checkpoint):
    if part in PUBLISHED:
      return PUBLISHED[part]
  return None


def _parts(checkpoint):
  """Returns the names of a checkpoint and of the folders above it."""
  name = name_in(checkpoint)
  path = os.path.abspath(checkpoint) if name is None else name
  return path.removesuffix('.ckpt').split(os.sep)[:-2 - _FOLDERS:-1]


def find(network: str, num_classes: int | None, checkpoint: str) -> Published | None:
  """Returns the facts of a checkpoint.

  Args:
    network: the network of the checkpoint.
    num_classes: number of its logits.
    checkpoint: its prefix, or 'published:NAME'. If no part of the path is the name of
      an archive, the image size is in it:
      mobilenet_v1_0.25_128_mine/mobilenet_v1_0.25_128.ckpt.

  Returns:
    None if no checkpoint of the network with this number of classes is published.
  """
  named = of_path(checkpoint)
  if named and (named.network, named.num_classes) == (network, num_classes):
    return named
  main = main_of(network)
  if main is None or main.num_classes != num_classes:
    return None
  by_size = {str(row.image_size): row for row in reversed(PUBLISHED.values())
             if row.network == network}
  for part in _parts(checkpoint):
    numbers = _NUMBER.findall(part) if part.startswith('mobilenet') else []
    for size, row in by_size.items():
      if size in numbers:
        return row
  return main
