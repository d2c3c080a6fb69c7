"""A trained network for pairs of images of any size."""

import os
import struct

import numpy as np
from PIL import Image

from examples.optical_flow import network, pictures, training
from slim_zoo import diagnostics
from slim_zoo.checkpoints import restore
from slim_zoo.drawing import animations, flow_colours
from slim_zoo.files import atomic
from slim_zoo.tf_compat import slim, tf

_FRAMES = 9
# The beginning of files of flow; by it a reader knows the order of the bytes.
_FLO_TAG = 202021.25


class Predictor:
  """The network of a folder. Use it as a context manager: it has a session.

  Args:
    train_dir: folder of the network.

  Attributes:
    mode: 'flow' or 'middle'.

  Raises:
    UserError: the folder has no network or no checkpoint.
  """

  def __init__(self, train_dir: str):
    self.mode = training.mode_of(train_dir)
    path = restore.find(train_dir)
    with tf.Graph().as_default() as graph:
      self._frames = [tf.placeholder(tf.float32, [None, None, None, 3])
                      for _ in range(2)]
      self._motion = network.build(*self._frames, network.TIMES[self.mode])
      self._session = tf.Session(graph=graph)
      tf.train.Saver(slim.get_model_variables()).restore(self._session, path)

  def __enter__(self):
    return self

  def __exit__(self, *unused_error):
    self._session.close()

  def predict(self, first: np.ndarray, second: np.ndarray) -> network.Motion:
    """Returns the motion of a batch as arrays.

    Args:
      first: float32 [batch, height, width, 3], values from 0 to 1, of any size.
      second: the same shape.
    """
    height, width = first.shape[1:3]
    below, right = (-side % network.LARGEST_STRIDE for side in (height, width))
    padded = [np.pad(frames, [[0, 0], [0, below], [0, right], [0, 0]], 'edge')
              for frames in (first, second)]
    flow, pyramid, image = self._session.run(
        tuple(self._motion), dict(zip(self._frames, padded, strict=True)))
    return network.Motion(flow[:, :height, :width], pyramid, image[:, :height, :width])

  def frames_between(self, first: np.ndarray, second: np.ndarray) -> list[np.ndarray]:
    """Returns 9 frames from the first to the second, float [height, width, 3].

    A network of middle frames predicts the middle of the middle frames, too.
    """
    if self.mode == 'flow':
      flow = self.predict(first[None], second[None]).flow[0]
      return pictures.moved_frames(first, second, flow, _FRAMES)
    frames = [first, second]
    while len(frames) < _FRAMES:
      middles = self.predict(np.stack(frames[:-1]), np.stack(frames[1:])).image
      middles = np.clip(middles, 0, 1)
      frames = [frame for pair in zip(frames[:-1], middles, strict=True)
                for frame in pair] + [second]
    return frames


def write(predictor: Predictor, first: Image.Image, second: Image.Image,
          folder: str, suffix: str = '.gif') -> list[str]:
  """Writes the prediction for two images as pictures; returns the paths.

  flow.png has the colours of flow_wheel.png, flow.flo the values. middle.png is the
  middle frame, and animation.gif moves from the first image to the second and back.

  Args:
    predictor: of the network.
    first: RGB.
    second: RGB, of the same size.
    folder: is created.
    suffix: of the animation, one of `animations.SUFFIXES`.

  Raises:
    UserError: the images have different sizes, or the suffix is unknown.
    OSError: a file cannot be written.
  """
  if first.size != second.size:
    raise diagnostics.UserError(
        'the images have {} x {} and {} x {} pixels: give two of the same size'.format(
            *first.size, *second.size))
  frames = [np.asarray(image, np.float32) / 255 for image in (first, second)]
  motion = predictor.predict(*(frame[None] for frame in frames))
  flow, between = motion.flow[0], predictor.frames_between(*frames)
  middle = motion.image[0] if predictor.mode == 'middle' else between[_FRAMES // 2]
  images = {'flow.png': flow_colours.draw(flow),
            'flow_wheel.png': flow_colours.legend(),
            'middle.png': pictures.as_image(middle)}
  longest = float(np.linalg.norm(flow, axis=-1).max())
  images['sheet.png'] = pictures.sheet(
      [('first image', first), ('second image', second),
       (f'flow, up to {longest:.1f} pixels', images['flow.png']),
       ('middle frame', images['middle.png'])], 'Motion between two images')
  os.makedirs(folder, exist_ok=True)
  paths = {name: os.path.join(folder, name)
           for name in (*images, 'flow.flo', f'animation{suffix}')}
  # First, because it may refuse the suffix.
  animations.write(paths[f'animation{suffix}'], pictures.there_and_back(between))
  for name, image in images.items():
    with atomic.replacing(paths[name]) as unfinished:
      image.save(unfinished, 'PNG')
  write_flow(paths['flow.flo'], flow)
  return list(paths.values())


def write_flow(path: str, flow: np.ndarray) -> None:
  """Writes a flow, float [height, width, 2], as a .flo file of the Middlebury format.

  It has a tag, the width, the height and the values, all little-endian, 4 bytes each.

  Raises:
    OSError: the file cannot be written.
  """
  with atomic.replacing(path) as unfinished, open(unfinished, 'wb') as file:
    file.write(struct.pack('<fii', _FLO_TAG, flow.shape[1], flow.shape[0]))
    file.write(flow.astype('<f4').tobytes())
