"""The image sizes that each network works with, as measured; without TensorFlow.

Most networks pad every convolution and average over the whole image, so they work
with every size. The others are in `_SIZES`, each as a test measures it over the
registry (`tests/field/image_sizes_test.py`).
"""

import dataclasses

import diagnostics
from catalog import networks


@dataclasses.dataclass(frozen=True)
class ImageSizes:
  """Which heights and widths a network works with, in pixels.

  Attributes:
    smallest: the smallest in evaluation.
    smallest_in_training: the smallest in training, where the auxiliary head needs a
      larger feature map.
    fixed_pool: (smallest, largest) height and width at which the last features fit
      the pool, or fully connected layer, of the network. At other sizes the features
      are averaged over the whole image instead. None: every size fits.
  """

  smallest: int = 1
  smallest_in_training: int = 1
  fixed_pool: tuple[int, int] | None = None


_EVERY_SIZE = ImageSizes()
_SIZES = {
    'lenet': ImageSizes(4, 4),
    'cifarnet': ImageSizes(4, 4),
    'alexnet_v2': ImageSizes(195, 195, fixed_pool=(195, 226)),
    'overfeat': ImageSizes(231, 231, fixed_pool=(231, 262)),
    'vgg_a': ImageSizes(224, 224, fixed_pool=(224, 255)),
    'vgg_16': ImageSizes(224, 224, fixed_pool=(224, 255)),
    'vgg_19': ImageSizes(224, 224, fixed_pool=(224, 255)),
    'inception_v1': ImageSizes(fixed_pool=(193, 224)),
    'inception_v2': ImageSizes(fixed_pool=(1, 256)),
    'inception_v3': ImageSizes(75, 107, fixed_pool=(75, 362)),
    'inception_v4': ImageSizes(75, 107),
    'inception_resnet_v2': ImageSizes(75, 107),
    'se_inception_v4': ImageSizes(75, 107),
    'se_inception_resnet_v2': ImageSizes(75, 107),
    'i3d': ImageSizes(fixed_pool=(1, 224)),
    's3dg': ImageSizes(fixed_pool=(1, 224)),
    'nasnet_cifar': ImageSizes(1, 9),
    'nasnet_mobile': ImageSizes(3, 67),
    'nasnet_large': ImageSizes(3, 67),
    'pnasnet_mobile': ImageSizes(3, 67),
    'pnasnet_large': ImageSizes(3, 67),
    'mobilenet_v1': ImageSizes(fixed_pool=(1, 256)),
    'mobilenet_v1_075': ImageSizes(fixed_pool=(1, 256)),
    'mobilenet_v1_050': ImageSizes(fixed_pool=(1, 256)),
    'mobilenet_v1_025': ImageSizes(fixed_pool=(1, 256)),
}


def image_sizes(name: str) -> ImageSizes:
  """Returns the sizes that the network called `name` works with.

  Raises:
    UserError: there is no such network.
  """
  networks.get_network(name)
  return _SIZES.get(name, _EVERY_SIZE)


def check(name: str, height: int, width: int, is_training: bool = False,
          flag: str = '') -> None:
  """Raises UserError for images that are too small for a network.

  Args:
    name: a name of `catalog.networks.NETWORKS`.
    height: of the images.
    width: of the images.
    is_training: whether the network is built for training.
    flag: the name of the flag that sets the size, for the message; '' for none.
  """
  sizes = image_sizes(name)
  smallest = sizes.smallest_in_training if is_training else sizes.smallest
  if min(height, width) >= smallest:
    return
  where = ' in training' if smallest > sizes.smallest else ''
  advice = f'set --{flag}={smallest} or larger' if flag else 'give larger images'
  raise diagnostics.UserError(
      f'images of {height} x {width} are too small for {name}{where}: the smallest'
      f' are {smallest} x {smallest}, {advice}')
