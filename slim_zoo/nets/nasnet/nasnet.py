"""NASNet-A (Zoph et al. 2018, arXiv 1707.07012).

                     cells            filters     depth after each run of cells
    nasnet_cifar     6, R, 6, R, 6    32           192         384         768
    nasnet_mobile    4, R, 4, R, 4    44           264         528        1056
    nasnet_large     6, R, 6, R, 6    168         1008        2016        4032
    resolution at 32                                32          16           8
                  224                               28          14           7
                  331                               42          21          11

R is a reduction cell; each doubles the filters of an operation. The ImageNet networks
are the paper's NASNet-A (4 @ 1056) and (6 @ 4032).
"""

import functools

from slim_zoo.catalog import architectures
from slim_zoo.nets.nasnet import cell_stack
from slim_zoo.nets.nasnet.cell import TabledCell
from slim_zoo.nets.nasnet.cell_stack import Hyperparameters, Step


class NasNetANormalCell(TabledCell):
  """The cell that keeps the resolution (figure 4); output depth 6 times a block's."""

  # State 0 is the output of the previous cell, 1 of the cell before it, 2 of the first
  # block, and so on. A block is the sum of two operations, each on a state.
  BLOCKS = (
      ('separable_5x5_2', 0, 'separable_3x3_2', 1),  # state 2
      ('separable_5x5_2', 1, 'separable_3x3_2', 1),  # 3
      ('avg_pool_3x3', 0, 'none', 1),                # 4
      ('avg_pool_3x3', 1, 'avg_pool_3x3', 1),        # 5
      ('separable_3x3_2', 0, 'none', 0),             # 6
  )
  # The output is the concatenation of the states that are not marked.
  USED = (1, 0, 0, 0, 0, 0, 0)


class NasNetAReductionCell(TabledCell):
  """The cell that halves the resolution (figure 4); output depth 4 times a block's."""

  BLOCKS = (
      ('separable_5x5_2', 0, 'separable_7x7_2', 1),  # state 2
      ('max_pool_3x3', 0, 'separable_7x7_2', 1),     # 3
      ('avg_pool_3x3', 0, 'separable_5x5_2', 1),     # 4
      ('none', 3, 'avg_pool_3x3', 2),                # 5
      ('separable_3x3_2', 2, 'max_pool_3x3', 0),     # 6
  )
  USED = (1, 1, 1, 0, 0, 0, 0)


def _plan(config):
  """Yields the cells after the stem; a reduction cell is before all runs but one."""
  reductions = cell_stack.calc_reduction_layers(
      config.num_cells, config.num_reduction_layers)
  level = 0
  for number in range(config.num_cells):
    second_input = -2
    if number in reductions:
      level += 1
      index = reductions.index(number)
      yield Step(f'reduction_cell_{index}', f'Reduction_Cell_{index}', level, stride=2)
      if config.skip_reduction_layer_input:
        second_input = -3
    yield Step(f'cell_{number}', f'Cell_{number}', level, second_input=second_input)


FAMILY = cell_stack.Family({1: NasNetANormalCell, 2: NasNetAReductionCell}, _plan)
_build = functools.partial(cell_stack.build, FAMILY)


def cifar_config() -> Hyperparameters:
  """Returns the hyperparameters of NASNet-A (6 @ 768) for CIFAR-10."""
  return Hyperparameters(
      num_cells=architectures.NASNET_CELLS['nasnet_cifar'], num_conv_filters=32,
      stem_multiplier=3.0, drop_path_keep_prob=0.6, dense_dropout_keep_prob=1.0,
      total_training_steps=937500, skip_reduction_layer_input=0)


def large_imagenet_config() -> Hyperparameters:
  """Returns the hyperparameters of NASNet-A (6 @ 4032)."""
  return Hyperparameters(
      num_cells=architectures.NASNET_CELLS['nasnet_large'], num_conv_filters=168,
      stem_multiplier=3.0, drop_path_keep_prob=0.7, dense_dropout_keep_prob=0.5,
      total_training_steps=250000, skip_reduction_layer_input=1)


def mobile_imagenet_config() -> Hyperparameters:
  """Returns the hyperparameters of NASNet-A (4 @ 1056)."""
  return Hyperparameters(
      num_cells=architectures.NASNET_CELLS['nasnet_mobile'], num_conv_filters=44,
      stem_multiplier=1.0, drop_path_keep_prob=1.0, dense_dropout_keep_prob=0.5,
      total_training_steps=250000, skip_reduction_layer_input=0)


def nasnet_cifar_arg_scope(weight_decay=5e-4, batch_norm_decay=0.9,
                           batch_norm_epsilon=1e-5):
  """Returns the arg scope of `build_nasnet_cifar`; see `cell_stack.arg_scope`."""
  return cell_stack.arg_scope(weight_decay, batch_norm_decay, batch_norm_epsilon)


def nasnet_mobile_arg_scope(weight_decay=4e-5, batch_norm_decay=0.9997,
                            batch_norm_epsilon=1e-3):
  """Returns the arg scope of `build_nasnet_mobile`; see `cell_stack.arg_scope`."""
  return cell_stack.arg_scope(weight_decay, batch_norm_decay, batch_norm_epsilon)


def nasnet_large_arg_scope(weight_decay=5e-5, batch_norm_decay=0.9997,
                           batch_norm_epsilon=1e-3):
  """Returns the arg scope of `build_nasnet_large`; see `cell_stack.arg_scope`."""
  return cell_stack.arg_scope(weight_decay, batch_norm_decay, batch_norm_epsilon)


def build_nasnet_cifar(images, num_classes, is_training=True, config=None,
                       current_step=None, final_endpoint=None):
  """NASNet-A (6 @ 768); arguments and returns as in `cell_stack.build`."""
  return _build('cifar', images, num_classes, is_training,
                config or cifar_config(), final_endpoint, current_step)


def build_nasnet_mobile(images, num_classes, is_training=True, final_endpoint=None,
                        config=None, current_step=None):
  """NASNet-A (4 @ 1056); arguments and returns as in `cell_stack.build`."""
  return _build('imagenet', images, num_classes, is_training,
                config or mobile_imagenet_config(), final_endpoint, current_step)


def build_nasnet_large(images, num_classes, is_training=True, final_endpoint=None,
                       config=None, current_step=None):
  """NASNet-A (6 @ 4032); arguments and returns as in `cell_stack.build`."""
  return _build('imagenet', images, num_classes, is_training,
                config or large_imagenet_config(), final_endpoint, current_step)


build_nasnet_cifar.default_image_size = 32
build_nasnet_mobile.default_image_size = 224
build_nasnet_large.default_image_size = 331
build_nasnet_cifar.default_config = cifar_config
build_nasnet_mobile.default_config = mobile_imagenet_config
build_nasnet_large.default_config = large_imagenet_config
