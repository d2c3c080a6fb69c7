"""Learns optical flow or middle frames from moving photographs.

  python -m examples.optical_flow data
  python -m examples.optical_flow train --mode=flow
  python -m examples.optical_flow evaluate --mode=flow
  python -m examples.optical_flow predict first.png second.png --mode=flow

`data` makes clips of photographs. `train` trains on them; a second call continues from
the last checkpoint. `evaluate` measures on clips of photographs that are not in
training. `predict` writes pictures and an animation. --mode=middle learns the middle
frame.
"""

import os
import sys

from absl import flags

from examples import command_flags
from slim_zoo import diagnostics, start_up
from slim_zoo.commands import running
from slim_zoo.files import atomic

FLAGS = flags.FLAGS
flags.DEFINE_enum('mode', 'flow', ['flow', 'middle'],
                  'flow: the optical flow; middle: the middle frame.')
flags.DEFINE_string('data_dir', 'demo/optical_flow/data', 'Folder of the clips.')
flags.DEFINE_string('train_dir', None,
                    'Folder of the network; default demo/optical_flow/MODE.')
flags.DEFINE_integer('train_clips', 1500, 'Clips to train on.', lower_bound=1)
flags.DEFINE_integer('test_clips', 200, 'Clips to evaluate on.', lower_bound=1)
flags.DEFINE_integer('size', 96, 'Height and width of the clips, in pixels.',
                     lower_bound=32)
flags.DEFINE_integer('steps', 1500, 'Steps of the run.', lower_bound=1)
flags.DEFINE_integer('batch_size', 16, 'Clips of a step.', lower_bound=1)
flags.DEFINE_integer('towers', 2, 'Copies of the network, on logical devices.',
                     lower_bound=1)
flags.DEFINE_float('learning_rate', 0.001, 'Learning rate at the begin.',
                   lower_bound=0)
flags.DEFINE_integer('seed', 0, 'Seed of clips, weights and order.', lower_bound=0)
flags.DEFINE_string('perceptual_checkpoint', None, 'Checkpoint of vgg_19, for a'
                    ' perceptual loss of middle frames.')
flags.DEFINE_float('perceptual_weight', 1e-5, 'Weight of this loss.', lower_bound=0)
flags.DEFINE_string('output', None, 'evaluate: a PNG file with some predictions;'
                    ' predict: a folder, default demo/optical_flow/predicted.')
flags.DEFINE_string('animation', 'gif', 'Format of the animation: gif or apng.')
_SHOWN = 6
# The flags that have an effect on a command.
_USED = {
    'data': ('data_dir', 'train_clips', 'test_clips', 'size', 'seed'),
    'train': ('mode', 'data_dir', 'train_dir', 'steps', 'batch_size', 'towers',
              'learning_rate', 'seed', 'perceptual_checkpoint', 'perceptual_weight'),
    'evaluate': ('mode', 'data_dir', 'train_dir', 'output'),
    'predict': ('mode', 'train_dir', 'output', 'animation'),
}


def make_data():
  """Writes the clips."""
  from examples.optical_flow import network, records
  if FLAGS.size % network.LARGEST_STRIDE:
    raise diagnostics.UserError(
        f'--size={FLAGS.size}: expected a multiple of {network.LARGEST_STRIDE}')
  records.write(FLAGS.data_dir, {
      'train': FLAGS.train_clips, 'test': FLAGS.test_clips}, FLAGS.size, FLAGS.seed)


def train():
  """Trains on the clips."""
  if FLAGS['perceptual_weight'].present and FLAGS.perceptual_checkpoint is None:
    raise diagnostics.UserError(
        f'--perceptual_weight={FLAGS.perceptual_weight} has no effect without'
        ' --perceptual_checkpoint: give a checkpoint of vgg_19, or leave it out')
  from examples.optical_flow import training
  training.train(training.Options(
      FLAGS.data_dir, _train_dir(), FLAGS.mode, steps=FLAGS.steps,
      batch_size=FLAGS.batch_size, towers=FLAGS.towers,
      learning_rate=FLAGS.learning_rate, seed=FLAGS.seed,
      perceptual_checkpoint=FLAGS.perceptual_checkpoint,
      perceptual_weight=FLAGS.perceptual_weight))


def evaluate():
  """Prints the result on the test clips."""
  from examples.optical_flow import evaluation, pictures, prediction, records
  with prediction.Predictor(_train_dir()) as predictor:
    _check_mode(predictor)
    first = None

    def pairs():
      nonlocal first
      for clip in records.read(FLAGS.data_dir, 'test', 8):
        motion = predictor.predict(clip['first'], clip['second'])
        first = first or (clip, motion)  # For the sheet.
        yield clip, motion

    print(evaluation.compare(predictor.mode, pairs()))
    if predictor.mode == 'flow':
      print(evaluate_stereo(predictor))
    if FLAGS.output:
      sheet = pictures.clips_sheet(*first, predictor.mode, _SHOWN)
      with atomic.replacing(FLAGS.output) as unfinished:
        sheet.save(unfinished, 'PNG')
      print(f'written: {FLAGS.output}')


def evaluate_stereo(predictor):
  """Returns the result on two real photographs, in a line."""
  import numpy as np

  from examples.optical_flow import evaluation, photographs
  *images, flow = photographs.stereo_pair()
  frames = [np.asarray(image, np.float32)[None] / 255 for image in images]
  errors = [evaluation.endpoint_errors(found, flow[None])[0]
            for found in (predictor.predict(*frames).flow, np.zeros_like(flow[None]))]
  return ('a real pair of photographs: endpoint error {:.2f} pixels, of no flow {:.2f}:'
          ' ratio {:.3f}'.format(*errors, errors[0] / errors[1]))


def predict(paths):
  """Writes the prediction for two image files."""
  from examples.optical_flow import photographs, prediction
  images = photographs.open_files(paths)
  folder = FLAGS.output or 'demo/optical_flow/predicted'
  with prediction.Predictor(_train_dir()) as predictor:
    _check_mode(predictor)
    for path in prediction.write(predictor, *images, folder, f'.{FLAGS.animation}'):
      print(f'written: {path}')


def _train_dir():
  return FLAGS.train_dir or os.path.join('demo', 'optical_flow', FLAGS.mode)


def _check_mode(predictor):
  """Raises UserError if --mode is given and the network has another one."""
  if FLAGS['mode'].present and FLAGS.mode != predictor.mode:
    raise diagnostics.UserError(
        f"'{_train_dir()}' has a network of the mode '{predictor.mode}', not"
        f" '{FLAGS.mode}': leave out --mode, or give another --train_dir")


def main(argv):
  """Runs the command that the first argument names."""
  command, *paths = argv[1:] or ['']
  commands = {'data': make_data, 'train': train, 'evaluate': evaluate,
              'predict': predict}
  if command not in commands:
    raise diagnostics.unknown_name('command', command, commands)
  if len(paths) != (2 if command == 'predict' else 0):
    raise diagnostics.UserError(
        f"{command} got {len(paths)} arguments: expected "
        + ('two images, such as first.png second.png' if command == 'predict'
           else 'none'))
  command_flags.check(command, _USED)
  start_up.load_tensorflow()
  if command == 'predict':
    predict(paths)
  else:
    commands[command]()


if __name__ == '__main__':
  # The name of the program in messages.
  sys.argv[0] = 'optical_flow'
  running.run(main, takes_arguments=True,
              when_stopped='train continues from the last checkpoint')
