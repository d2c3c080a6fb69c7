"""PNASNet-5 (Liu et al. 2018, arXiv 1712.00559).

                      cells        filters     depth after each run of cells
    pnasnet_mobile    3, 3, 3      54           270         540        1080
    pnasnet_large     4, 4, 4      216         1080        2160        4320
    resolution at 224                            28          14           7
                  331                            42          21          11

There is one cell. With stride 2 it reduces: the first cell of the second and of the
third run does, and the filters of an operation double.
"""

import functools

from slim_zoo.catalog import architectures
from slim_zoo.nets.nasnet import cell_stack
from slim_zoo.nets.nasnet.cell import TabledCell
from slim_zoo.nets.nasnet.cell_stack import Hyperparameters, Step


class PNasNetNormalCell(TabledCell):
  """The cell of PNASNet-5 (figure 1); output depth 5 times a block's."""

  # State 0 is the output of the previous cell, 1 of the cell before it, 2 of the first
  # block, and so on. A block is the sum of two operations, each on a state.
  BLOCKS = (
      ('separable_5x5_2', 1, 'max_pool_3x3', 1),     # state 2
      ('separable_7x7_2', 0, 'max_pool_3x3', 0),     # 3
      ('separable_5x5_2', 0, 'separable_3x3_2', 0),  # 4
      ('separable_3x3_2', 4, 'max_pool_3x3', 0),     # 5
      ('separable_3x3_2', 1, 'none', 0),             # 6
  )
  # The output is the concatenation of the states that are not marked.
  USED = (1, 1, 0, 0, 0, 0, 0)


def _plan(config):
  """Yields the cells after the stem; all runs but the first start with stride 2."""
  reductions = cell_stack.calc_reduction_layers(
      config.num_cells, config.num_reduction_layers)
  level = 0
  for number in range(config.num_cells):
    reduces = number in reductions
    level += reduces
    yield Step(
        f'cell_{number}', f'Cell_{number}', level, stride=2 if reduces else 1,
        second_input=-2 if config.skip_reduction_layer_input or not reduces else -3)


FAMILY = cell_stack.Family({1: PNasNetNormalCell, 2: PNasNetNormalCell}, _plan)
_build = functools.partial(cell_stack.build, FAMILY)


def large_imagenet_config() -> Hyperparameters:
  """Returns the hyperparameters of PNASNet-5 (N = 4, F = 216)."""
  return Hyperparameters(
      num_cells=architectures.PNASNET_CELLS['pnasnet_large'], num_conv_filters=216,
      stem_multiplier=3.0, drop_path_keep_prob=0.6, dense_dropout_keep_prob=0.5,
      total_training_steps=250000, skip_reduction_layer_input=1)


def mobile_imagenet_config() -> Hyperparameters:
  """Returns the hyperparameters of PNASNet-5 (N = 3, F = 54)."""
  return Hyperparameters(
      num_cells=architectures.PNASNET_CELLS['pnasnet_mobile'], num_conv_filters=54,
      stem_multiplier=1.0, drop_path_keep_prob=1.0, dense_dropout_keep_prob=0.5,
      total_training_steps=250000, skip_reduction_layer_input=1)


def pnasnet_large_arg_scope(weight_decay=4e-5, batch_norm_decay=0.9997,
                            batch_norm_epsilon=1e-3):
  """Returns the arg scope of `build_pnasnet_large`; see `cell_stack.arg_scope`."""
  return cell_stack.arg_scope(weight_decay, batch_norm_decay, batch_norm_epsilon)


def pnasnet_mobile_arg_scope(weight_decay=4e-5, batch_norm_decay=0.9997,
                             batch_norm_epsilon=1e-3):
  """Returns the arg scope of `build_pnasnet_mobile`; see `cell_stack.arg_scope`."""
  return cell_stack.arg_scope(weight_decay, batch_norm_decay, batch_norm_epsilon)


def build_pnasnet_large(images, num_classes, is_training=True, final_endpoint=None,
                        config=None):
  """PNASNet-5 (N = 4, F = 216); arguments and returns as in `cell_stack.build`."""
  return _build('imagenet', images, num_classes, is_training,
                config or large_imagenet_config(), final_endpoint)


def build_pnasnet_mobile(images, num_classes, is_training=True, final_endpoint=None,
                         config=None):
  """PNASNet-5 (N = 3, F = 54); arguments and returns as in `cell_stack.build`."""
  return _build('imagenet', images, num_classes, is_training,
                config or mobile_imagenet_config(), final_endpoint)


build_pnasnet_large.default_image_size = 331
build_pnasnet_mobile.default_image_size = 224
build_pnasnet_large.default_config = large_imagenet_config
build_pnasnet_mobile.default_config = mobile_imagenet_config
