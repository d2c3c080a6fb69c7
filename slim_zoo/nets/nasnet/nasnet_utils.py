"""slim's module name for the building blocks of searched cells."""

from slim_zoo.nets.nasnet.cell import CLIP_BY_VALUE_CAP, NasNetABaseCell
from slim_zoo.nets.nasnet.cell_stack import calc_reduction_layers
from slim_zoo.nets.nasnet.layers import (
    DATA_FORMAT_NCHW,
    DATA_FORMAT_NHWC,
    INVALID,
    drop_path,
    factorized_reduction,
    get_channel_dim,
    get_channel_index,
    global_avg_pool,
)
from slim_zoo.nets.nasnet.nasnet import NasNetANormalCell, NasNetAReductionCell

__all__ = ['CLIP_BY_VALUE_CAP', 'DATA_FORMAT_NCHW', 'DATA_FORMAT_NHWC', 'INVALID',
           'NasNetABaseCell', 'NasNetANormalCell', 'NasNetAReductionCell',
           'calc_reduction_layers', 'drop_path', 'factorized_reduction',
           'get_channel_dim', 'get_channel_index', 'global_avg_pool']
