"""The two cells of NASNet-A (Zoph et al. 2018, arXiv 1707.07012, figure 4).

The parts of all searched cells have their old names here too.
"""

from nets.nasnet.cell import CLIP_BY_VALUE_CAP as CLIP_BY_VALUE_CAP
from nets.nasnet.cell import NasNetABaseCell as NasNetABaseCell
from nets.nasnet.cell import TabledCell
from nets.nasnet.cell_stack import calc_reduction_layers as calc_reduction_layers
from nets.nasnet.layers import DATA_FORMAT_NCHW as DATA_FORMAT_NCHW
from nets.nasnet.layers import DATA_FORMAT_NHWC as DATA_FORMAT_NHWC
from nets.nasnet.layers import INVALID as INVALID
from nets.nasnet.layers import drop_path as drop_path
from nets.nasnet.layers import factorized_reduction as factorized_reduction
from nets.nasnet.layers import get_channel_dim as get_channel_dim
from nets.nasnet.layers import get_channel_index as get_channel_index
from nets.nasnet.layers import global_avg_pool as global_avg_pool


class NasNetANormalCell(TabledCell):
  """The cell of NASNet-A that keeps the resolution; 6 times as deep as a block."""

  BLOCKS = (
      ('separable_5x5_2', 0, 'separable_3x3_2', 1),
      ('separable_5x5_2', 1, 'separable_3x3_2', 1),
      ('avg_pool_3x3', 0, 'none', 1),
      ('avg_pool_3x3', 1, 'avg_pool_3x3', 1),
      ('separable_3x3_2', 0, 'none', 0),
  )
  USED = (1, 0, 0, 0, 0, 0, 0)


class NasNetAReductionCell(TabledCell):
  """The cell of NASNet-A that halves the resolution; 4 times as deep as a block."""

  BLOCKS = (
      ('separable_5x5_2', 0, 'separable_7x7_2', 1),
      ('max_pool_3x3', 0, 'separable_7x7_2', 1),
      ('avg_pool_3x3', 0, 'separable_5x5_2', 1),
      ('none', 3, 'avg_pool_3x3', 2),
      ('separable_3x3_2', 2, 'max_pool_3x3', 0),
  )
  USED = (1, 1, 1, 0, 0, 0, 0)
