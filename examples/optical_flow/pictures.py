"""Pictures and animations of clips, flows and predicted frames."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from examples.optical_flow import clips
from slim_zoo.drawing import flow_colours, sheets

_GAP = 4


def as_image(frame: np.ndarray) -> Image.Image:
  """Returns the picture of a frame, float [height, width, 3] from 0 to 1."""
  return Image.fromarray(_bytes(frame))


def row(clip: dict[str, np.ndarray], flow: np.ndarray, image: np.ndarray, mode: str,
        largest: float) -> np.ndarray:
  """Returns a clip and its prediction in a row of pictures.

  Args:
    clip: one clip, with the names of `records.batches`.
    flow: predicted, float [height, width, 2].
    image: predicted, float [height, width, 3].
    mode: 'flow': both frames, the true and the predicted flow; 'middle': the mean of
      both frames, the true and the predicted middle frame.
    largest: length of the flow with the full colour, in pixels.

  Returns:
    uint8 [height, width of all, 3].
  """
  if mode == 'flow':
    shown = [_bytes(clip['first']), _bytes(clip['second']),
             flow_colours.colours_of(clip['flow'], largest),
             flow_colours.colours_of(flow, largest)]
  else:
    mean = (clip['first'] + clip['second']) / 2
    shown = [_bytes(frame) for frame in (mean, clip['middle'], image)]
    shown.append(flow_colours.colours_of(flow, largest))
  gap = np.full([len(shown[0]), _GAP, 3], 255, np.uint8)
  return np.hstack([part for picture in shown for part in (gap, picture)][1:])


CAPTIONS = {
    'flow': 'first frame, second frame, true flow, predicted flow',
    'middle': 'mean of both frames, true middle, predicted middle, its flow'}


def clips_sheet(clip: dict[str, np.ndarray], motion, mode: str,
                count: int) -> Image.Image:
  """Returns a sheet of the first clips of a batch with their predictions.

  Args:
    clip: a batch of `records.batches`.
    motion: its `network.Motion`, as arrays.
    mode: as for `row`.
    count: number of clips, at most.
  """
  largest = float(np.linalg.norm(clip['flow'], axis=-1).max())
  rows = [Image.fromarray(row(
      {name: values[index] for name, values in clip.items()}, motion.flow[index],
      motion.image[index], mode, largest))
          for index in range(min(count, len(motion.flow)))]
  return sheets.draw([sheets.Section(
      CAPTIONS[mode].capitalize(), [sheets.Tile(image) for image in rows])],
      columns=1, side=640, is_tight=True)


def sheet(tiles: Sequence[tuple[str, Image.Image]], title: str,
          side: int = 240) -> Image.Image:
  """Returns a sheet of pictures with captions."""
  return sheets.draw([sheets.Section(title, [
      sheets.Tile(image, [sheets.Line(caption)]) for caption, image in tiles])],
      columns=min(len(tiles), 4), side=side, is_tight=True)


def moved_frames(first: np.ndarray, second: np.ndarray, flow: np.ndarray,
                 count: int) -> list[np.ndarray]:
  """Returns frames between two, moved by the flow of the first one and mixed.

  The flow at a pixel of a frame between them is about that of the first frame.

  Args:
    first: float [height, width, 3].
    second: the same.
    flow: float [height, width, 2].
    count: number of frames, both given ones included, 2 or more.
  """
  columns, rows = np.meshgrid(np.arange(first.shape[1]), np.arange(first.shape[0]))
  points = np.stack([columns, rows], -1).astype(np.float32)
  frames = []
  for time in np.linspace(0, 1, count, dtype=np.float32):
    frames.append((1 - time) * clips.bilinear(first, points - time * flow)
                  + time * clips.bilinear(second, points + (1 - time) * flow))
  return frames


def there_and_back(frames: Sequence[np.ndarray]) -> list[Image.Image]:
  """Returns the pictures of an animation that goes through the frames and back."""
  images = [as_image(frame) for frame in frames]
  return images + images[-2:0:-1]


def _bytes(frame):
  return np.rint(255 * np.clip(frame, 0, 1)).astype(np.uint8)
