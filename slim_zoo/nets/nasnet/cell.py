"""The searched cell (Zoph et al. 2018, arXiv 1707.07012) as a table of operations.

The inputs of a cell are the outputs of the two cells before it. Each of its blocks adds
the results of two operations; the input of an operation is one of the hidden states:

    0  the output of the previous cell      2  the sum of the first block
    1  the output of the cell before it     3  the sum of the second, and so on

The output of the cell is the concatenation of the states that are not marked as used.
"""

import functools
import re

from slim_zoo import diagnostics
from slim_zoo.nets import normalization
from slim_zoo.nets.nasnet import layers
from slim_zoo.tf_compat import slim, tf

# The limit of bounded activations, as in relu6.
CLIP_BY_VALUE_CAP = 6

_OPERATION = re.compile(
    r'none|(?P<pool>avg|max)_pool_(?P<window>\d+)x(?P=window)'
    r'|separable_(?P<kernel>\d+)x(?P=kernel)_(?P<layers>\d+)')


class _HiddenState:
  """An input of operations of a cell.

  Attributes:
    net: float, a batch of feature maps.
    stride: the stride of operations on it.
  """

  def __init__(self, net, stride, activation_fn):
    self.net, self.stride, self._activation_fn = net, stride, activation_fn

  @functools.cached_property
  def activated(self):
    """The activation of `net`: one op for all operations that start with it."""
    return self._activation_fn(self.net)


class NasNetABaseCell:
  """Builds cells of one table, with any width and stride.

  Args:
    num_conv_filters: depth of each operation, before `filter_scaling`.
    operations: two names per block: 'separable_KxK_N' (N times activation, separable
      convolution and batch norm), 'avg_pool_KxK', 'max_pool_KxK' or 'none' (the
      identity).
    used_hiddenstates: one flag per hidden state; the output is made of those not set.
    hiddenstate_indices: the hidden state that each operation reads.
    drop_path_keep_prob: the share of paths that the last cell keeps at the end of
      training. The share falls linearly from 1, with depth and with the step.
    total_num_cells: the number of cells of the network.
    total_training_steps: the step at which path dropping reaches its maximum.
    use_bounded_activation: whether activations are limited to [-6, 6], for quantized
      inference.

  Raises:
    UserError: an operation does not exist; it is a ValueError.
  """

  def __init__(self, num_conv_filters, operations, used_hiddenstates,
               hiddenstate_indices, drop_path_keep_prob, total_num_cells,
               total_training_steps, use_bounded_activation=False):
    self._num_conv_filters = num_conv_filters
    self._operations = [_parse_operation(name) for name in operations]
    self._used_hiddenstates = used_hiddenstates
    self._hiddenstate_indices = hiddenstate_indices
    self._drop_path_keep_prob = drop_path_keep_prob
    self._total_num_cells = total_num_cells
    self._total_training_steps = total_training_steps
    self._bounded = use_bounded_activation
    self._activation_fn = tf.nn.relu6 if use_bounded_activation else tf.nn.relu

  def __call__(self, net, scope=None, filter_scaling=1, stride=1, prev_layer=None,
               cell_num=-1, current_step=None, prev_is_larger=None):
    """Builds a cell.

    The arg scope must set the `data_format` of this module's functions.

    Args:
      net: the previous cell's output, a float batch of feature maps.
      scope: variable scope.
      filter_scaling: factor of `num_conv_filters`.
      stride: stride of the operations on hidden states 0 and 1.
      prev_layer: the output of the cell before the previous one; None means `net`.
      cell_num: the cell's number from 0; the share of dropped paths depends on it.
      current_step: training step; None for the global step.
      prev_is_larger: whether `prev_layer` has twice the resolution of `net`; used only
        if their heights and widths are unknown.

    Returns:
      float, a batch of feature maps of size ceil(size / stride).
    """
    filters = int(self._num_conv_filters * filter_scaling)
    keep_prob = functools.cache(lambda: self._keep_prob(cell_num, current_step))
    with tf.variable_scope(scope):
      previous = net if prev_layer is None else self._fit_previous(
          prev_layer, net, filters, prev_is_larger)
      net = self._convolve(self._activation_fn(net), filters, '1x1', 'beginning_bn')
      states = [_HiddenState(net, stride, self._activation_fn),
                _HiddenState(previous, stride, self._activation_fn)]
      paths = list(zip(self._operations, self._hiddenstate_indices, strict=True))
      for block, pair in enumerate(zip(paths[::2], paths[1::2], strict=True)):
        with tf.variable_scope(f'comb_iter_{block}'):
          terms = []
          for side, (operation, index) in zip(('left', 'right'), pair, strict=True):
            with tf.variable_scope(side):
              terms.append(self._operate(operation, states[index], filters, keep_prob))
          net = terms[0] + terms[1]
          net = self._activation_fn(net) if self._bounded else net
        states.append(_HiddenState(net, 1, self._activation_fn))
      with tf.variable_scope('cell_output'):
        return self._concat_unused(states, filters)

  def _fit_previous(self, previous, net, filters, is_larger):
    """Brings the output of the cell before to the size of `net` and depth `filters`."""
    sizes, previous_sizes = layers.static_sizes(net), layers.static_sizes(previous)
    if None not in sizes + previous_sizes:
      is_larger = sizes != previous_sizes
    elif is_larger is None:
      raise diagnostics.UserError(
          'the height and width of the images are unknown: give the cell the argument'
          ' prev_is_larger')
    if is_larger:
      return self._bound(layers.factorized_reduction(
          self._activation_fn(previous), filters, stride=2))
    if layers.get_channel_dim(previous.shape) != filters:
      return self._convolve(
          self._activation_fn(previous), filters, 'prev_1x1', 'prev_bn')
    return previous

  def _operate(self, operation, state, filters, keep_prob):
    """Builds one operation. Paths may be dropped, except identities."""
    net = state.activated if self._bounded else state.net
    same_depth = layers.get_channel_dim(net.shape) == filters
    if operation['layers']:
      net = self._convolve_separably(operation, state, filters)
    elif operation['pool']:
      pool = slim.avg_pool2d if operation['pool'] == 'avg' else slim.max_pool2d
      window = int(operation['window'])
      net = pool(net, window, state.stride, padding='SAME')
      if not same_depth:
        net = self._convolve(net, filters, '1x1', 'bn_1')
    elif same_depth and state.stride == 1:
      return net
    else:
      return self._convolve(state.activated, filters, '1x1', 'bn_1', state.stride)
    if self._drop_path_keep_prob < 1:
      net = layers.drop_path(net, keep_prob())
    return net

  def _convolve_separably(self, operation, state, filters):
    kernel, count = int(operation['kernel']), int(operation['layers'])
    net, stride = state.activated, state.stride
    for layer in range(1, count + 1):
      name = f'{kernel}x{kernel}_{layer}'
      net = slim.separable_conv2d(
          net, filters, kernel, depth_multiplier=1, stride=stride,
          scope=f'separable_{name}')
      net = normalization.batch_norm(net, scope=f'bn_sep_{name}')
      if layer < count:
        net, stride = self._activation_fn(net), 1
    return self._bound(net)

  def _convolve(self, net, filters, scope, norm_scope, stride=1):
    """Builds a 1x1 convolution, normalized."""
    net = slim.conv2d(net, filters, 1, stride=stride, scope=scope)
    return self._bound(normalization.batch_norm(net, scope=norm_scope))

  def _bound(self, net):
    if not self._bounded:
      return net
    return tf.clip_by_value(net, -CLIP_BY_VALUE_CAP, CLIP_BY_VALUE_CAP)

  def _keep_prob(self, cell_num, current_step):
    """Returns the share of paths that a cell keeps at a step, a scalar tensor."""
    if current_step is None:
      # The global step may not exist yet, although the other variables do.
      with tf.variable_scope(tf.get_variable_scope(), reuse=tf.AUTO_REUSE):
        current_step = tf.train.get_or_create_global_step()
    depth = (cell_num + 1) / self._total_num_cells
    time = tf.minimum(
        1.0, tf.cast(current_step, tf.float32) / self._total_training_steps)
    return 1 - time * (depth * (1 - self._drop_path_keep_prob))

  def _concat_unused(self, states, filters):
    """Concatenates the states not marked as used, at one size and depth."""
    nets = []
    for index, state in enumerate(states):
      if self._used_hiddenstates[index]:
        continue
      net = state.net
      if state.stride != 1 or layers.get_channel_dim(net.shape) != filters:
        with tf.variable_scope(f'reduction_{index}'):
          net = self._bound(layers.factorized_reduction(net, filters, state.stride))
      nets.append(net)
    return tf.concat(nets, layers.get_channel_index())


def _parse_operation(name):
  """Returns the parts of an operation's name; None for parts that it lacks."""
  match = _OPERATION.fullmatch(name)
  if match is None:
    raise diagnostics.unknown_name(
        'operation', name,
        ('none', 'avg_pool_3x3', 'max_pool_3x3', 'separable_3x3_2'))
  return match.groupdict()


class TabledCell(NasNetABaseCell):
  """A cell whose class holds the table.

  Attributes:
    BLOCKS: per block (left operation, its state, right operation, its state).
    USED: one flag per hidden state, see `used_hiddenstates`.
  """

  BLOCKS = ()
  USED = ()

  def __init__(self, num_conv_filters, drop_path_keep_prob, total_num_cells,
               total_training_steps, use_bounded_activation=False):
    super().__init__(
        num_conv_filters,
        [name for left, _, right, _ in self.BLOCKS for name in (left, right)],
        self.USED,
        [index for _, left, _, right in self.BLOCKS for index in (left, right)],
        drop_path_keep_prob, total_num_cells, total_training_steps,
        use_bounded_activation)
