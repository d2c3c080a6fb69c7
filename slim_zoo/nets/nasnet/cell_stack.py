"""Networks of searched cells: NASNet and PNASNet differ in cells and plan.

A network is a convolution, two strided stem cells for large images, the cells of the
plan and the logits. Training adds an auxiliary classifier at about two thirds.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from slim_zoo import diagnostics
from slim_zoo.nets import normalization
from slim_zoo.nets.nasnet import layers
from slim_zoo.tf_compat import slim, tf

_AUX_POOL = 5


@dataclasses.dataclass(slots=True)
class Hyperparameters:
  """The options of a network of searched cells.

  Attributes:
    num_cells: the number of cells, without the stem and NASNet's reduction cells.
    num_conv_filters: depth of an operation before the first reduction.
    stem_multiplier: width of the stem's convolution.
    drop_path_keep_prob: the share of paths that the last cell keeps at the end of
      training; 1 drops none.
    dense_dropout_keep_prob: the share of features kept before the logits.
    total_training_steps: the step at which path dropping reaches its maximum.
    skip_reduction_layer_input: NASNet: with 1, the second input of the cell after a
      reduction is one cell earlier than the reduction's input. PNASNet: with 0, the
      second input of a reduction is one cell earlier.
    filter_scaling_rate: factor of the depth of cells at each reduction.
    num_reduction_layers: the number of reductions after the stem.
    use_aux_head: whether training has the auxiliary classifier.
    data_format: 'NHWC', or 'NCHW' for GPUs; images are NHWC in both.
    use_bounded_activation: whether activations are limited to [-6, 6].
  """

  num_cells: int
  num_conv_filters: int
  stem_multiplier: float
  drop_path_keep_prob: float
  dense_dropout_keep_prob: float
  total_training_steps: int
  skip_reduction_layer_input: int
  filter_scaling_rate: float = 2.0
  num_reduction_layers: int = 2
  use_aux_head: int = 1
  data_format: str = layers.DATA_FORMAT_NHWC
  use_bounded_activation: bool = False

  def set_hparam(self, name: str, value) -> None:
    """Sets the hyperparameter `name`.

    Raises:
      UserError: it does not exist; it is a ValueError.
    """
    if name not in self.__slots__:
      raise diagnostics.unknown_name('hyperparameter', name, self.__slots__)
    setattr(self, name, value)


class Stem(NamedTuple):
  """The start of a network: one convolution and `num_cells` strided cells.

  The depth of the convolution is `base_filters` times the stem multiplier; None means
  num_conv_filters.
  """

  scope: str
  norm_scope: str
  base_filters: int | None
  stride: int
  padding: str
  num_cells: int


STEMS = {
    'cifar': Stem('l1_stem_3x3', 'l1_stem_bn', None, 1, 'SAME', 0),
    'imagenet': Stem('conv0', 'conv0_bn', 32, 2, 'VALID', 2),
}


class Step(NamedTuple):
  """One cell of the plan.

  Attributes:
    scope: variable scope.
    end_point: name of its output, or None.
    level: exponent of the filter scaling rate.
    stride: 1, or 2 for a reduction.
    second_input: index into the outputs so far of the cell's second input.
  """

  scope: str
  end_point: str | None
  level: int
  stride: int = 1
  second_input: int = -2


class Family(NamedTuple):
  """The differences between NASNet and PNASNet.

  Attributes:
    cells: the cell class by stride, such as {1: normal, 2: reduction}.
    plan: function from the hyperparameters to the steps after the stem.
  """

  cells: Mapping[int, type]
  plan: Callable[[Hyperparameters], Iterator[Step]]


def calc_reduction_layers(num_cells: int, num_reduction_layers: int) -> list[int]:
  """Returns the numbers of the cells at which the resolution is halved.

  They divide `num_cells` cells into num_reduction_layers + 1 equal runs.
  """
  return [number * num_cells // (num_reduction_layers + 1)
          for number in range(1, num_reduction_layers + 1)]


def arg_scope(weight_decay, batch_norm_decay, batch_norm_epsilon):
  """Returns the arg scope of all networks of searched cells.

  Args:
    weight_decay: L2 penalty on the weights of all convolutions and of the logits.
    batch_norm_decay: decay of the moving mean and variance.
    batch_norm_epsilon: added to the variance.
  """
  with slim.arg_scope(
      [slim.fully_connected, slim.conv2d, slim.separable_conv2d],
      activation_fn=None,
      weights_regularizer=slim.l2_regularizer(weight_decay),
      weights_initializer=slim.variance_scaling_initializer(mode='FAN_OUT')):
    with slim.arg_scope([slim.conv2d, slim.separable_conv2d],
                        biases_initializer=None):
      with slim.arg_scope([slim.batch_norm], decay=batch_norm_decay,
                          epsilon=batch_norm_epsilon, scale=True) as scope:
        return scope


def build(family, stem, images, num_classes, is_training, config,
          final_endpoint=None, current_step=None):
  """Builds a network of searched cells.

  Args:
    family: a `Family`.
    stem: a key of `STEMS`.
    images: float32 [batch, height, width, 3]. Height and width may be unknown,
      except in training with the auxiliary classifier.
    num_classes: number of logits; 0 or None returns the features before them.
    is_training: whether batch norm uses batch statistics, paths and features are
      dropped, and the auxiliary classifier is built.
    config: a `Hyperparameters`.
    final_endpoint: name of the last end point to build; None builds all.
    current_step: training step for path dropping; None for the global step.

  Returns:
    (net, end_points): the final end point: by default the logits, float32 [batch,
    num_classes], or without classes the features [batch, depth]; end_points by name.

  Raises:
    UserError: the `final_endpoint` or data format does not exist, or the images are too
      small for the auxiliary classifier; it is a ValueError.
  """
  stem = STEMS[stem]
  plan = [*_stem_plan(stem), *family.plan(config)]
  _check_final_endpoint(final_endpoint, plan, num_classes)
  activation_fn = tf.nn.relu6 if config.use_bounded_activation else tf.nn.relu
  auxiliary = _auxiliary_cell(config) if num_classes and is_training else None
  end_points = {}
  with _modes(config.data_format, is_training):
    for name, net in _features(
        images, stem, plan, family.cells, config, is_training, current_step):
      if name is None:
        continue
      end_points[name] = net
      if name == final_endpoint:
        return net, end_points
      if name == f'Cell_{auxiliary}':
        end_points['AuxLogits'] = _auxiliary_logits(
            net, num_classes, activation_fn, f'aux_{auxiliary}')
    _classify(net, end_points, activation_fn, config.dense_dropout_keep_prob,
              None if final_endpoint == 'global_pool' else num_classes)
  default = 'Logits' if num_classes else 'global_pool'
  return end_points[final_endpoint or default], end_points


def _features(images, stem, plan, cells, config, is_training, current_step):
  """Builds layer by layer while the caller iterates: (end point or None, output)."""
  net = _stem_convolution(images, stem, config)
  yield None if stem.num_cells else 'Stem', net
  cells = {
      stride: cell(config.num_conv_filters,
                   config.drop_path_keep_prob if is_training else 1.0, len(plan),
                   config.total_training_steps, config.use_bounded_activation)
      for stride, cell in cells.items()}
  outputs, strides = [None, net], [None, 1]
  for number, step in enumerate(plan):
    net = cells[step.stride](
        net, scope=step.scope, stride=step.stride,
        filter_scaling=config.filter_scaling_rate ** step.level,
        prev_layer=outputs[step.second_input], cell_num=number,
        current_step=current_step,
        prev_is_larger=strides[step.second_input] != strides[-1])
    outputs.append(net)
    strides.append(strides[-1] * step.stride)
    yield step.end_point, net


def _stem_plan(stem):
  """Returns the steps of the stem; its last output is the end point 'Stem'."""
  return [
      Step(f'cell_stem_{number}', 'Stem' if number + 1 == stem.num_cells else None,
           level=number - stem.num_cells, stride=2)
      for number in range(stem.num_cells)]


def _check_final_endpoint(final_endpoint, plan, num_classes):
  names = [step.end_point for step in plan if step.end_point]
  known = [*dict.fromkeys(['Stem', *names]), 'global_pool']
  if num_classes:
    known += ['Logits', 'Predictions']
  if final_endpoint is not None and final_endpoint not in known:
    raise diagnostics.unknown_name('end point', final_endpoint, known)


@contextlib.contextmanager
def _modes(data_format, is_training):
  """Sets the data format and the mode of all layers."""
  with slim.arg_scope(
      [slim.conv2d, slim.separable_conv2d, slim.batch_norm, slim.avg_pool2d,
       slim.max_pool2d, layers.factorized_reduction, layers.get_channel_index,
       layers.get_channel_dim, layers.global_avg_pool], data_format=data_format):
    with slim.arg_scope([slim.batch_norm, slim.dropout, layers.drop_path],
                        is_training=is_training):
      yield


def _stem_convolution(images, stem, config):
  if layers.get_channel_index() == 1:
    images = tf.transpose(images, [0, 3, 1, 2])
  filters = int((stem.base_filters or config.num_conv_filters)
                * config.stem_multiplier)
  net = slim.conv2d(images, filters, 3, stride=stem.stride, padding=stem.padding,
                    scope=stem.scope)
  return normalization.batch_norm(net, scope=stem.norm_scope)


def _auxiliary_cell(config):
  """Returns the number of the last cell before the second reduction, or None."""
  reductions = calc_reduction_layers(config.num_cells, config.num_reduction_layers)
  if not config.use_aux_head or len(reductions) < 2:
    return None
  return reductions[1] - 1


def _auxiliary_logits(net, num_classes, activation_fn, scope):
  """Builds the auxiliary classifier: one convolution over the whole feature map."""
  sizes = layers.static_sizes(net)
  if None in sizes or min(sizes) < _AUX_POOL:
    raise diagnostics.UserError(
        'the auxiliary classifier needs features of a known size of at least'
        f' {_AUX_POOL}x{_AUX_POOL}, not {sizes[0]}x{sizes[1]}: give larger images of'
        ' known size, or a config with use_aux_head 0')
  with tf.variable_scope(scope), tf.variable_scope('aux_logits'):
    net = slim.avg_pool2d(
        activation_fn(net), _AUX_POOL, stride=3, padding='VALID')
    net = slim.conv2d(net, 128, 1, scope='proj')
    net = activation_fn(normalization.batch_norm(net, scope='aux_bn0'))
    net = slim.conv2d(
        net, 768, layers.static_sizes(net), padding='VALID', scope='Conv')
    net = activation_fn(normalization.batch_norm(net, scope='aux_bn1'))
    net = tf.squeeze(net, layers.spatial_indices(layers.get_channel_index()))
    return slim.fully_connected(net, num_classes, scope='FC')


def _classify(net, end_points, activation_fn, dropout_keep_prob, num_classes):
  """Adds the end points from the features to the predictions."""
  with tf.variable_scope('final_layer'):
    net = layers.global_avg_pool(activation_fn(net))
    end_points['global_pool'] = net
    if not num_classes:
      return
    net = slim.dropout(net, dropout_keep_prob, scope='dropout')
    logits = slim.fully_connected(net, num_classes, scope='FC')
    end_points['Logits'] = logits
    end_points['Predictions'] = tf.nn.softmax(logits, name='predictions')
