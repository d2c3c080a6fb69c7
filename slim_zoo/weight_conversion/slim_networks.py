"""Networks of slim in a conversion: reads, writes and runs checkpoints."""

import glob
import os

import numpy as np

from slim_zoo import diagnostics
from slim_zoo.checkpoints import comparison, restore, run_card
from slim_zoo.files import staging
from slim_zoo.nets import nets_factory
from slim_zoo.tf_compat import slim, tf
from slim_zoo.weight_conversion import pairs
from slim_zoo.weight_conversion.graphs import reading


def read(path: str, pair: pairs.Pair, moving_averages: bool = False) -> dict:
  """Returns the network's variables in a checkpoint, without auxiliary heads.

  Args:
    path: the checkpoint's prefix.
    pair: the pair of networks.
    moving_averages: whether to read the moving averages of the weights.

  Raises:
    UserError: there is no checkpoint, it is damaged, or it is of another network.
  """
  shapes = restore.open_reader(path).get_variable_to_shape_map()
  names = pair.shapes(0, 0)
  missing = [name for name in names if name not in shapes]
  if missing:
    raise diagnostics.UserError(
        f"'{path}' lacks {len(missing)} variables of {pair.model_name}"
        f' ({diagnostics.some(missing)}): check --model_name;'
        f' slim-zoo inspect --checkpoint_path={path} shows the network')
  averages = {name: f'{name}/ExponentialMovingAverage' for name in names}
  if moving_averages and not any(name in shapes for name in averages.values()):
    raise diagnostics.UserError(
        f"'{path}' has no moving averages: leave out --use_moving_averages")
  sources = {name: averages[name] if moving_averages and averages[name] in shapes
             else name for name in names}
  values = restore.read_values(path, sources.values())
  return {name: values[source] for name, source in sources.items()}


def sizes(values: dict, pair: pairs.Pair) -> tuple[int, int]:
  """Returns (number of logits, channels of the images) of the network's variables."""
  first = values[pair.rows()[0].kernel]
  return values[f'{pair.head()}/weights'].shape[-1], first.shape[2]


def image_size(model_name: str) -> int:
  """Returns the height and width of the images of a network."""
  return nets_factory.networks_map[model_name].default_image_size


def run(pair: pairs.Pair, values: dict, images: np.ndarray) -> np.ndarray:
  """Runs slim's network in float64.

  Args:
    pair: the pair of networks.
    values: all its variables, without those of auxiliary heads.
    images: float32 [batch, height, width, channels].

  Returns:
    float64 logits [batch, classes].
  """
  num_classes, _ = sizes(values, pair)
  network_fn = nets_factory.get_network_fn(pair.model_name, num_classes)
  with tf.Graph().as_default(), tf.Session() as session:
    placeholder = tf.placeholder(tf.float64, images.shape)
    logits, _ = network_fn(placeholder)
    variables = {variable.op.name: variable for variable in slim.get_model_variables()
                 if not comparison.is_auxiliary(variable.op.name)}
    assert set(variables) == set(values), set(variables) ^ set(values)
    assert logits.dtype == tf.float64, logits.dtype
    assign(session, variables, values)
    return session.run(logits, {placeholder: images})


def write_with_card(values: dict, path: str, model_name: str, num_classes: int | None,
                    image_size: int, channels: int,
                    preprocessing_name: str | None = None) -> None:
  """Writes a checkpoint and its card; nothing stays if it fails.

  Args:
    values: the variables, by name.
    path: the prefix of the checkpoint; its folder is made if it is missing.
    model_name: see `run_card.write_facts` for this and the others.
    num_classes: number of logits; None: without a head.
    image_size: height and width of its images.
    channels: of its images.
    preprocessing_name: a family or a network; None: that of the network.

  Raises:
    UserError: it cannot be written, or the file read back differs from the values.
  """
  with staging.created(os.path.dirname(path) or '.'):
    pattern = f'{glob.escape(path)}.*'
    before = glob.glob(pattern)
    try:
      write(values, path)
      run_card.write_facts(
          path, model_name, num_classes, image_size, channels, preprocessing_name)
    except BaseException:
      for file in set(glob.glob(pattern)) - set(before):
        os.remove(file)
      raise


def write(values: dict, path: str) -> None:
  """Writes a checkpoint with `values` at the prefix `path`.

  Raises:
    UserError: it cannot be written, or the file read back differs from the values.
  """
  with tf.Graph().as_default(), tf.Session() as session:
    variables = {name: tf.get_variable(name, value.shape, tf.float32)
                 for name, value in values.items()}
    assign(session, variables, values)
    try:
      tf.train.Saver(variables).save(session, path, write_meta_graph=False,
                                     write_state=False)
    except (tf.errors.OpError, ValueError, OSError) as error:
      raise diagnostics.UserError(
          f"cannot write the checkpoint '{path}' ({reading.reason_of(error)}): free"
          ' some space, or name another --target') from error
  reader = restore.open_reader(path)
  for name, value in values.items():
    if not np.array_equal(reader.get_tensor(name), value, equal_nan=True):
      raise diagnostics.UserError(
          f"'{path}' was not written correctly: {name} has other values when read back")


def assign(session, variables, values):
  """Gives variables their values, both by name."""
  # Fed to the initializers, so the values are not constants of the graph.
  session.run([variable.initializer for variable in variables.values()],
              {variable.initializer.inputs[1]: values[name]
               for name, variable in variables.items()})

