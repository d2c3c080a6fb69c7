"""A picture in TensorBoard of a few images after each step of augmentation.

Under 'augmentation/steps' it shows the same images at each time, first as stored,
then after the recipe of their preprocessing, then after each further step: what was
drawn for one row holds in the rows below, so two rows are before and after.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from slim_zoo.drawing import colours, sheets
from slim_zoo.tf_compat import slim, tf
from slim_zoo.training import intervals
from slim_zoo.training.callbacks import sample_predictions, summaries
from slim_zoo.training.callbacks.callback import Callback

TAG = 'augmentation/steps'


@dataclasses.dataclass(frozen=True)
class Row:
  """The images after one step of augmentation.

  Attributes:
    title: names the step.
    pictures: uint8, each [height, width] or [height, width, 1 or 3].
    captions: a line below each picture, or none.
  """

  title: str
  pictures: Sequence[np.ndarray]
  captions: Sequence[str] = ()


class AugmentationPictures(Callback):
  """Draws images after each step of augmentation, now and then.

  Everything is computed only then, on the CPU.

  Args:
    dataset: whose decoder knows 'image'.
    samples: of `sample_predictions.choose`, at least one.
    steps: (title, preprocess) pairs; the latter are of `pipeline.preprocess_with`,
      each doing what the one before it does, and more.
    mixers: (title, mix) pairs of `mixing.make_mixer`, each for itself on the images
      of the last step.
    displayable: makes uint8 pictures of float32 images [batch, height, width,
      channels].
    every_secs: seconds between two pictures; 0: none at all.
  """

  def __init__(self, dataset: slim.dataset.Dataset,
               samples: Sequence[sample_predictions.Sample],
               steps: Sequence[tuple[str, Callable]],
               mixers: Sequence[tuple[str, Callable]], displayable: Callable,
               every_secs: float):
    self._samples = samples
    self._due, self._every_secs = intervals.Every(every_secs), every_secs
    self._writer, self._drawn_at = None, None
    self._titles = [title for title, _ in steps]
    self._mixed_titles = [title for title, _ in mixers]
    with tf.device('/cpu:0'), tf.name_scope('augmentation_pictures'):
      self._record = tf.placeholder(tf.string, [], name='record')
      self._number = tf.placeholder(tf.int64, [], name='number')
      values = _decode(dataset, self._record)
      self._images = [preprocess(number=self._number, **values)
                      for _, preprocess in steps]
      self._batch = tf.placeholder(
          tf.float32, [None, *self._images[0].shape], name='batch')
      self._displayable = displayable(self._batch)
      # With one class per image, the targets are the shares of the images.
      own = tf.eye(len(samples))
      seed = tf.stack([tf.constant(0, tf.int64), self._number])
      self._mixed = [mix(self._batch, own, seed) for _, mix in mixers]

  def begin(self, session, step, writer):
    """Draws the first picture."""
    if writer is not None and self._every_secs:
      self._writer = writer
      self._draw(session, step)

  def after_step(self, session, step):
    """Draws, where it is time."""
    if self._due.due():
      self._draw(session, step)

  def end(self, session, step):
    """Draws once more."""
    self._draw(session, step)

  def rows(self, session, step: int) -> list[Row]:
    """Returns the images after each step, as they are drawn at a global step."""
    first = step * len(self._samples)
    images = zip(*[
        session.run(self._images, {self._record: sample.record,
                                   self._number: first + place})
        for place, sample in enumerate(self._samples)], strict=True)
    rows = [Row(
        'as stored', [sample.picture for sample in self._samples])]
    for title, batch in zip(self._titles, images, strict=True):
      rows.append(Row(title, self._pictures(session, batch)))
    mixed = session.run(
        self._mixed, {self._batch: np.stack(batch), self._number: first})
    for title, (batch, shares) in zip(self._mixed_titles, mixed, strict=True):
      rows.append(Row(
          title, self._pictures(session, batch),
          [_caption(place, row) for place, row in enumerate(shares)]))
    return rows

  def _pictures(self, session, batch):
    return session.run(self._displayable, {self._batch: batch})

  def _draw(self, session, step):
    if self._writer is None or step == self._drawn_at:
      return
    self._drawn_at = step
    sheet = draw_sheet(self.rows(session, step))
    summaries.write_picture(self._writer, TAG, sheet, step)


def _decode(dataset, record):
  """Returns the arguments of a `preprocess` that a record has."""
  items = [item for item in ('image', 'object/bbox')
           if item in dataset.decoder.list_items()]
  return dict(zip(items, dataset.decoder.decode(record, items), strict=True))


def draw_sheet(rows: Sequence[Row]) -> Image.Image:
  """Draws rows of as many pictures each, the titles above them."""
  sections = []
  for row in rows:
    captions = [[sheets.Line(caption, colours.MUTED, size=11)]
                for caption in row.captions] or [()] * len(row.pictures)
    sections.append(sheets.Section(row.title, [
        sheets.Tile(sheets.image_of(picture), lines)
        for picture, lines in zip(row.pictures, captions, strict=True)]))
  return sheets.draw(sections, columns=max(len(row.pictures) for row in rows))


def _caption(place, shares):
  """Returns in words what share of a label is of which image, its own first."""
  others = [other for other in np.flatnonzero(shares) if other != place]
  return ' + '.join(f'{shares[image]:.0%} of {image + 1}' for image in [place, *others])
