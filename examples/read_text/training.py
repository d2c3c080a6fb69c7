"""Trains TextScanner by slim.learning, with clones."""

import dataclasses
import os

import numpy as np

from examples.read_text import lines, network, reading, records, targets
from slim_zoo.checkpoints import checkpoint_names, run_checkpoints
from slim_zoo.deployment import model_deploy, session_configs
from slim_zoo.tf_compat import slim, tf
from slim_zoo.training import eval_network, named_losses
from slim_zoo.training.callbacks import example_pictures, slim_steps

_PICTURES = 6


@dataclasses.dataclass(frozen=True)
class Options:
  """Options of a run.

  Attributes:
    train_dir: for checkpoints, summaries and pictures.
    train_file: the lines, of `records.write`.
    picture_file: the first lines of it are drawn during training.
    architecture: of the network.
    steps: of the whole run.
    batch_size: lines of a clone.
    num_clones: copies of the network, on as many logical CPU devices.
    learning_rate: at the begin; it falls to 0 with a cosine.
    seed: of weights and order.
    every_steps: steps between two progress lines.
    picture_steps: steps between two pictures.
  """

  train_dir: str
  train_file: str
  picture_file: str
  architecture: network.Architecture
  steps: int = 3000
  batch_size: int = 32
  num_clones: int = 1
  learning_rate: float = 0.002
  seed: int = 0
  every_steps: int = 100
  picture_steps: int = 500


def character_loss(logits, classes):
  """Returns the cross entropy of the classes; digits count as much as the background.

  Args:
    logits: float32 [batch, rows, columns, CLASSES].
    classes: int32 [batch, rows, columns].
  """
  is_digit = tf.cast(classes > 0, tf.float32)
  share = tf.reduce_mean(is_digit)
  weights = (is_digit / tf.maximum(share, 1e-3)
             + (1 - is_digit) / tf.maximum(1 - share, 1e-3)) / 2
  entropies = tf.nn.sparse_softmax_cross_entropy_with_logits(
      labels=classes, logits=logits)
  return tf.reduce_mean(weights * entropies)


def localization_loss(logits, heat):
  """Returns the smooth L1 distance, the mean over cells; both are [batch, rows, cols].
  """
  distance = tf.abs(tf.sigmoid(logits) - heat)
  return tf.reduce_mean(tf.where(
      distance < 1, 0.5 * tf.square(distance), distance - 0.5))


def order_loss(logits, orders):
  """Returns the cross entropy of the positions in the line, see `character_loss`."""
  return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(
      labels=orders, logits=logits))


# The weights of the paper.
LOSSES = (named_losses.OutputLoss('characters', 1, character_loss),
          named_losses.OutputLoss('localization', 10, localization_loss),
          named_losses.OutputLoss('order', 10, order_loss))


def train(options: Options) -> None:
  """Trains, or continues from the last checkpoint of the folder.

  Raises:
    UserError: the backbone does not exist, or has no feature map at a stride.
    Stopped: a signal ended the run, which is saved.
  """
  done = run_checkpoints.newest_first(options.train_dir)
  if done and checkpoint_names.step_of(done[0]) >= options.steps:
    print(f'{done[0]} has all {options.steps} steps: nothing is left to do')
    return
  with tf.Graph().as_default():
    tf.set_random_seed(options.seed)
    config = model_deploy.DeploymentConfig(
        options.num_clones, clone_devices=[
            f'/device:CPU:{index}' for index in range(options.num_clones)])
    with tf.device(config.variables_device()):
      global_step = tf.train.get_or_create_global_step()
    with tf.device(config.inputs_device()):
      batches = records.training_batches(
          options.train_file, options.batch_size, options.seed)
    clones = model_deploy.create_clones(config, _build_clone, [batches, options])
    train_op = _train_op(config, clones, global_step, options)
    parts = named_losses.summarized(clones)
    model_deploy.keep_first_clone_items(clones, tf.GraphKeys.SUMMARIES)
    network.save_architecture(options.architecture, options.train_dir)
    writer = tf.summary.FileWriter(options.train_dir)
    steps = slim_steps.SlimSteps(
        [_pictures(options, config)], parts, writer, options.every_steps, options.steps)
    with steps.saving_at_signals(options.train_dir):
      slim.learning.train(
          train_op, options.train_dir, train_step_fn=steps,
          number_of_steps=options.steps, summary_writer=writer, save_summaries_secs=60,
          save_interval_secs=60,
          session_config=session_configs.session_config(num_cpus=options.num_clones))


def _build_clone(batches, options):
  batch = records.Batch(*batches.get_next())
  maps = network.build(batch.images, options.architecture, is_training=True)
  named_losses.add_all(
      LOSSES, maps._asdict(), targets.of_batch(batch)._asdict())
  return maps


def _train_op(config, clones, global_step, options):
  model_deploy.keep_first_clone_items(clones, tf.GraphKeys.UPDATE_OPS)
  with tf.device(config.optimizer_device()):
    rate = tf.train.cosine_decay(options.learning_rate, global_step, options.steps)
    tf.summary.scalar('learning_rate', rate)
    optimizer = model_deploy.CloneOptimizer(tf.train.AdamOptimizer(rate), clones)
    return slim.learning.create_train_op(
        optimizer.total_loss, optimizer, global_step, clip_gradient_norm=5.0)


def _pictures(options, config):
  """Returns the callback that draws the first lines of a file."""
  shown = list(records.read(options.picture_file, _PICTURES))
  images = tf.placeholder(tf.uint8, [None, lines.HEIGHT, lines.WIDTH], 'pictures')
  maps = eval_network.build(
      lambda images: (network.build(images, options.architecture), {}), images,
      config).logits
  probabilities = network.readings(maps)
  feeds = {images: np.stack([line.image for line in shown])}

  return example_pictures.ExamplePictures(
      probabilities, feeds, len(shown),
      lambda index, maps: reading.example(
          shown[index].image, maps, index, shown[index].text),
      options.picture_steps, os.path.join(options.train_dir, 'pictures'), side=240)
