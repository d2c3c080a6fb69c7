"""The numbers of MobileNet layers: depths, paddings, strides."""

import itertools
import math

import diagnostics
from tf_compat import slim, tf


def make_divisible(value, divisor, min_value=None):
  """Returns the multiple of `divisor` nearest to `value`, never 10% below it.

  Args:
    value: the wanted number, a float or int.
    divisor: what the result is a multiple of.
    min_value: the least result; None means `divisor`.
  """
  nearest = int(value + divisor / 2) // divisor * divisor
  result = max(divisor if min_value is None else min_value, nearest)
  return result if result >= 0.9 * value else result + divisor


def split_divisible(total, num_ways, divisible_by=8):
  """Returns `num_ways` sizes that add up to `total`, as even as multiples can be.

  Every size but the last is a multiple of `divisible_by`.
  """
  ends = [min(total, math.ceil(total * way / num_ways / divisible_by) * divisible_by)
          for way in range(num_ways + 1)]
  return [end - start for start, end in itertools.pairwise(ends)]


def fixed_padding(inputs, kernel_size, rate=1):
  """Pads [batch, height, width, depth] with zeros by the kernel alone.

  A 'VALID' convolution of this is as large as a 'SAME' one of `inputs`, but what
  it sees does not depend on whether the size is even.
  """
  paddings = [(0, 0)]
  for size in slim.utils.two_element_tuple(kernel_size):
    total = (size - 1) * rate
    paddings.append((total // 2, total - total // 2))
  return tf.pad(inputs, [*paddings, (0, 0)]) if any(map(any, paddings)) else inputs


def atrous_strides(strides, output_stride):
  """Yields the (stride, rate) at which to build layers of nominal `strides`.

  Once their product has reached `output_stride`, layers are dilated by the strides
  that they give up. None changes nothing.

  Raises:
    ValueError: a stride leads past `output_stride`.
  """
  current = rate = 1
  for stride in strides:
    if current == output_stride:
      yield 1, rate
      rate *= stride
    else:
      if output_stride is not None and current * stride > output_stride:
        raise diagnostics.UserError(
            f'output_stride {output_stride} cannot be kept: the network goes from'
            f' {current} to {current * stride}')
      current *= stride
      yield stride, 1
