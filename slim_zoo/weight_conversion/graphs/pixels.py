"""Recognizes the preprocessing in a graph by the values of black and white pixels."""

import numpy as np

from slim_zoo.catalog import preprocessing_families
from slim_zoo.deployment import session_configs
from slim_zoo.preprocessing import vgg_preprocessing
from slim_zoo.tf_compat import tf

PLACEHOLDERS = ('Placeholder', 'PlaceholderWithDefault')
# Their outputs are the pixels of an image file.
DECODERS = ('DecodeJpeg', 'DecodePng', 'DecodeImage', 'DecodeAndCropJpeg', 'DecodeBmp')
# Values of black and white pixels, by family; vgg subtracts the mean colour.
_BLACK_AND_WHITE = {'inception': (-1.0, 1.0), 'lenet': (-1.0, 127 / 128)}
# This family makes the mean of each image 0, and so each image of one colour.
_STANDARDIZED = 'cifarnet'
# Families that do not resize images: a network of another family needs other ones.
_UNRESIZED = ('lenet', 'cifarnet')
# Allowed differences, as shares of the distance between black and white; the second if
# no family has the first. Graphs of 2015 make white pixels 127/128 where inception
# preprocessing makes them 1.
_TOLERANCES = (1e-3, 5e-3)


def black_and_white(images: tf.Tensor, size: tuple[int, int], channels: int,
                    sources: tuple[str, ...]) -> np.ndarray | None:
  """Returns the values that a graph computes from black and from white pixels.

  Args:
    images: the tensor that the first layer of its network reads.
    size: height and width of the images.
    channels: of the images.
    sources: the types of the operations that pixels come from, `PLACEHOLDERS` or
      `DECODERS`.

  Returns:
    float32 [2, channels], black first; None for a graph without such an operation, or
    without preprocessing.
  """
  tensors = _outputs(images, sources)
  if len(tensors) != 1 or tensors[0] is images:
    return None
  (pixels,) = tensors
  shape = pixels.shape.as_list() if pixels.shape.rank else [1, *size, channels]
  if len(shape) not in (3, 4) or pixels.dtype == tf.string:
    return None
  shape = [*(side or 1 for side in shape[:-3]),
           *(side or own for side, own in zip(shape[-3:-1], size, strict=True)),
           shape[-1] or channels]
  try:
    with tf.Session(graph=images.graph,
                    config=session_configs.unoptimized_config()) as session:
      values = [session.run(images, {pixels: np.full(
          shape, value, pixels.dtype.as_numpy_dtype)}) for value in (0, 255)]
  except (tf.errors.OpError, ValueError, OverflowError):
    return None  # It needs more than these pixels.
  return np.stack([value.reshape(-1, value.shape[-1]).mean(0) for value in values])


def _outputs(images, types):
  """Returns the outputs of the operations of some types that images depend on."""
  found, seen, waiting = [], set(), [images.op]
  while waiting:
    operation = waiting.pop()
    if operation.name not in seen:
      seen.add(operation.name)
      if operation.type in types:
        found.append(operation.outputs[0])
      else:
        waiting.extend(tensor.op for tensor in operation.inputs)
  return found


def family_of(values: np.ndarray, usual: str) -> str | None:
  """Returns the preprocessing family of values of `black_and_white`, or None.

  Args:
    values: float32 [2, channels].
    usual: the family of the network, which is tried first.
  """
  if not values.any():
    return _STANDARDIZED
  families = sorted(
      (family for family in preprocessing_families.NAMES if family != _STANDARDIZED
       and (family not in _UNRESIZED or usual in _UNRESIZED)),
      key=lambda family: family != usual)
  distance = np.abs(values[1] - values[0]).max()
  return next((
      family for tolerance in _TOLERANCES for family in families
      if np.allclose(values, _expected(family, values.shape[1]),
                     atol=tolerance * distance)), None)


def _expected(family, channels):
  """Returns the values of a family for black and white pixels, as `black_and_white`."""
  if family in _BLACK_AND_WHITE:
    return np.repeat(np.float32(_BLACK_AND_WHITE[family])[:, np.newaxis], channels, 1)
  with tf.Graph().as_default(), tf.Session() as session:
    mean = session.run(vgg_preprocessing.add_mean(tf.zeros([channels])))
  return np.stack([-mean, 255 - mean])
