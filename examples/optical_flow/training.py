"""Trains a network with towers on logical devices, by slim.learning."""

import dataclasses
import json
import os

import numpy as np

from examples.optical_flow import network, pictures, records
from slim_zoo import diagnostics
from slim_zoo.checkpoints import checkpoint_names
from slim_zoo.deployment import model_deploy, session_configs, session_settings
from slim_zoo.files import atomic
from slim_zoo.tf_compat import slim, tf
from slim_zoo.training import eval_network, named_losses, perceptual_loss
from slim_zoo.training.callbacks import example_pictures, slim_steps

MODES = tuple(network.TIMES)
_FACTS = 'motion.json'
_PICTURES = 4
# The learning rate falls to this part.
_LAST_RATE = 0.02


@dataclasses.dataclass(frozen=True)
class Options:
  """Options of a run.

  Attributes:
    data_dir: the clips, of `records.write`.
    train_dir: for checkpoints, summaries and pictures.
    mode: 'flow' or 'middle'.
    steps: of the whole run.
    batch_size: clips of a step, a multiple of `towers`.
    towers: copies of the network, on as many logical devices.
    learning_rate: at the begin; it falls along a half cosine.
    seed: of weights, order and augmentation.
    perceptual_checkpoint: of vgg_19, for the perceptual loss of middle frames; None:
      no such loss.
    perceptual_weight: of this loss.
    every_steps: steps between two progress lines.
    picture_steps: steps between two pictures.
  """

  data_dir: str
  train_dir: str
  mode: str = 'flow'
  steps: int = 1500
  batch_size: int = 16
  towers: int = 2
  learning_rate: float = 0.001
  seed: int = 0
  perceptual_checkpoint: str | None = None
  perceptual_weight: float = 1e-5
  every_steps: int = 100
  picture_steps: int = 500


def mode_of(train_dir: str) -> str:
  """Returns the mode of the network in a folder.

  Raises:
    UserError: the folder has no network.
  """
  facts = atomic.read_json(os.path.join(train_dir, _FACTS))
  if facts is None:
    raise diagnostics.UserError(
        f"no network in '{train_dir}': expected the file {_FACTS}; train one with"
        f' python -m examples.optical_flow train --train_dir={train_dir}')
  return facts['mode']


def train(options: Options) -> None:
  """Trains, or continues from the last checkpoint of the folder.

  Raises:
    UserError: an option does not fit, or there are no clips.
    Stopped: a signal ended the run, which is saved.
  """
  _check(options)
  latest = checkpoint_names.latest(options.train_dir)
  if latest is not None and checkpoint_names.step_of(latest) >= options.steps:
    print(f"'{latest}' has all {options.steps} steps: raise --steps to continue",
          flush=True)
    return
  with tf.Graph().as_default():
    tf.set_random_seed(options.seed)
    has_gpu = bool(tf.config.list_physical_devices('GPU'))
    config = towers_on('GPU' if has_gpu else 'CPU', options.towers)
    with tf.device(config.inputs_device()):
      clip = records.batches(
          options.data_dir, 'train', options.batch_size, options.seed)
    train_op, losses = _train_op(clip, options, config)
    os.makedirs(options.train_dir, exist_ok=True)
    atomic.write_text(os.path.join(options.train_dir, _FACTS),
                      json.dumps({'mode': options.mode}) + '\n')
    writer = tf.summary.FileWriter(options.train_dir)
    steps = slim_steps.SlimSteps(
        [_pictures(options, config)], losses, writer, options.every_steps,
        options.steps)
    with steps.saving_at_signals(options.train_dir):
      slim.learning.train(
          train_op, options.train_dir, train_step_fn=steps,
          number_of_steps=options.steps, summary_writer=writer, save_summaries_secs=60,
          save_interval_secs=120, session_config=session_configs.session_config(
              session_settings.SessionSettings(num_gpus=options.towers),
              num_cpus=options.towers))


def towers_on(kind: str, count: int) -> model_deploy.DeploymentConfig:
  """Returns the deployment on logical devices of a kind, 'CPU' or 'GPU'."""
  return model_deploy.DeploymentConfig(
      count, clone_devices=[f'/device:{kind}:{index}' for index in range(count)])


def _check(options):
  """Raises UserError if options do not fit together."""
  if options.mode not in MODES:
    raise diagnostics.unknown_name('mode', options.mode, MODES)
  if options.batch_size % options.towers:
    raise diagnostics.UserError(
        f'batch_size is {options.batch_size} with {options.towers} towers: expected a'
        ' multiple of the towers, which have equal parts')
  if options.perceptual_checkpoint is not None and options.mode != 'middle':
    raise diagnostics.UserError(
        f"perceptual_checkpoint with the mode '{options.mode}': the perceptual loss"
        " compares images; leave it out, or take the mode 'middle'")
  before = atomic.read_json(os.path.join(options.train_dir, _FACTS))
  if before is not None and before['mode'] != options.mode:
    raise diagnostics.UserError(
        f"'{options.train_dir}' has a network of the mode '{before['mode']}', not"
        f" '{options.mode}': give another train_dir")


def build_towers(clip: dict[str, tf.Tensor], options: Options,
                 config: model_deploy.DeploymentConfig) -> list[model_deploy.Clone]:
  """Builds a network and its losses for each equal part of a batch.

  Args:
    clip: of `records.batches`.
    options: of the run.
    config: of `towers_on`.
  """
  parts = {name: iter(tf.split(value, options.towers)) for name, value in clip.items()}
  return model_deploy.create_clones(config, _build_tower, [parts, options])


def _build_tower(parts, options):
  part = {name: next(values) for name, values in parts.items()}
  motion = network.build(part['first'], part['second'], network.TIMES[options.mode])
  for name, (value, weight) in network.losses(motion, part, options.mode).items():
    named_losses.add(name, value, weight)
  if options.perceptual_checkpoint is not None:
    perception = perceptual_loss.add(
        motion.image, part['middle'], options.perceptual_checkpoint,
        value_range=(0, 1), loss_collection=None)
    named_losses.add('perceptual', perception.loss, options.perceptual_weight)
  return motion


def _train_op(clip, options, config):
  """Returns the op of a step, and the parts of the loss by name.

  The gradients of the towers are added up. The loss of a tower is divided by their
  number, so the sum is the gradient of the mean loss over the whole batch.
  """
  with tf.device(config.step_device()):
    step = tf.train.get_or_create_global_step()
  towers = build_towers(clip, options, config)
  losses = named_losses.summarized(towers)
  model_deploy.keep_first_clone_items(towers, tf.GraphKeys.SUMMARIES)
  with tf.device(config.optimizer_device()):
    rate = tf.train.cosine_decay(
        options.learning_rate, step, options.steps, alpha=_LAST_RATE)
    tf.summary.scalar('learning_rate', rate)
    optimizer = model_deploy.CloneOptimizer(tf.train.AdamOptimizer(rate), towers)
    return slim.learning.create_train_op(
        optimizer.total_loss, optimizer, step, clip_gradient_norm=1.0), losses


def _pictures(options, config):
  """Returns the callback that draws predictions for the first test clips."""
  clip = next(records.read(options.data_dir, 'test', _PICTURES))
  frames = [tf.placeholder(tf.float32, [None, *clip['first'].shape[1:]], name)
            for name in ('first_frames', 'second_frames')]
  motion = eval_network.build(
      lambda first: (network.build(first, frames[1], network.TIMES[options.mode]), {}),
      frames[0], config).logits
  largest = float(np.linalg.norm(clip['flow'], axis=-1).max())

  def show(index, values):
    one = {name: value[index] for name, value in clip.items()}
    return example_pictures.Example(pictures.row(
        one, values.flow[index], values.image[index], options.mode, largest))

  return example_pictures.ExamplePictures(
      motion, dict(zip(frames, (clip['first'], clip['second']), strict=True)),
      len(clip['first']), show, options.picture_steps,
      os.path.join(options.train_dir, 'pictures'), side=480)
