"""slim-zoo curves: what it reads of event files, and what it draws."""

import numpy as np
import pytest
from matplotlib.axes import Axes
from PIL import Image

from slim_zoo import diagnostics
from slim_zoo.evaluation import learning_curves
from slim_zoo.tf_compat import tf
from tests import scripts


def write(folder, points, suffix=''):
  """Writes an event file of (step, tag, value); returns the folder."""
  with tf.summary.FileWriter(str(folder), filename_suffix=suffix) as writer:
    for step, tag, value in points:
      writer.add_summary(tf.Summary(
          value=[tf.Summary.Value(tag=tag, simple_value=value)]), step)
  return str(folder)


def test_the_last_value_of_a_step_counts_and_a_cut_file_is_read_as_far_as_it_goes(
    tmp_path):
  write(tmp_path, [(1, 'total_loss', 4.0), (2, 'total_loss', 9.0)], '.1')
  write(tmp_path, [(2, 'total_loss', 3.0), (3, 'total_loss', 2.0),
                   (4, 'total_loss', 1.0)], '.2')
  last = max(tmp_path.iterdir())
  last.write_bytes(last.read_bytes()[:-5])
  steps, values = learning_curves.read(str(tmp_path))['total_loss']
  assert steps.tolist() == [1, 2, 3]
  assert values.tolist() == [4.0, 3.0, 2.0]


def test_smoothing_keeps_a_slope_and_its_ends():
  steps = np.arange(1000)
  line = steps / 2
  np.testing.assert_allclose(learning_curves.smoothed(steps, line), line)
  noisy = line + np.resize([3, -3], 1000)
  assert np.abs(learning_curves.smoothed(steps, noisy) - line)[9:-9].max() < 0.5
  assert learning_curves.smoothed(steps[:1], line[:1]).tolist() == [0]


def blue_pixels(path):
  """Returns how many pixels are of the colour of the first run."""
  pixels = np.asarray(Image.open(path).convert('RGB')).astype(int)
  return int((np.abs(pixels - [0, 0x72, 0xb2]).sum(axis=2) < 20).sum())


def test_a_run_and_its_evaluations_are_drawn(tmp_path):
  train = write(tmp_path / 'train', [
      (step, tag, 1 / (step + 1)) for step in range(60)
      for tag in ('total_loss', 'accuracy/training_batch', 'learning_rate')])
  evaluated = write(tmp_path / 'eval', [(59, 'eval/Accuracy', 0.9)])
  done = scripts.run('curves', train, evaluated,
                     output=tmp_path / 'new' / 'curves.png')
  assert done.returncode == 0, done.stderr
  whole = blue_pixels(tmp_path / 'new' / 'curves.png')
  learning_curves.draw(tmp_path / 'less.png', {'train': {
      'total_loss': (np.arange(3), np.array([1.0, np.nan, 0.5]))}})
  assert 0 < blue_pixels(tmp_path / 'less.png') < whole


@pytest.mark.parametrize(('folders', 'flags', 'words'), [
    ([], {}, ['no folders']),
    (['absent'], {}, ["no folder 'absent'"]),
    (['{tmp}'], {}, ["no numbers for TensorBoard in '"]),
    (['{tmp}'], {'output': '{tmp}'}, ['--output=', 'is not a file']),
])
def test_mistakes_are_answered_in_one_line(folders, flags, words, tmp_path):
  done = scripts.run('curves',
                     *(folder.format(tmp=tmp_path) for folder in folders),
                     **{name: value.format(tmp=tmp_path)
                        for name, value in flags.items()})
  scripts.answer(done, *words, code=1)


def test_numbers_that_no_panel_shows_are_told(tmp_path):
  folder = write(tmp_path, [(1, 'progress/images_per_second', 3.0)])
  with pytest.raises(diagnostics.UserError, match='none of the folders'):
    learning_curves.draw(tmp_path / 'a.png', {'a': learning_curves.read(folder)})


def drawn_lines(monkeypatch, tmp_path, curves):
  """Draws the loss of a run; returns its lines by label: (style, marker, values)."""
  lines = {}

  def keep(axes, *arguments, **options):
    line, = plot(axes, *arguments, **options)
    lines[line.get_label()] = (
        line.get_linestyle(), line.get_marker(), line.get_ydata().tolist())
    return [line]

  plot = Axes.plot
  monkeypatch.setattr(Axes, 'plot', keep)
  learning_curves.draw(tmp_path / 'curves.png', {'run': {
      tag: (np.arange(len(values)), np.array(values))
      for tag, values in curves.items()}})
  return lines


def test_the_loss_beside_evaluations_is_without_the_penalty(tmp_path, monkeypatch):
  lines = drawn_lines(monkeypatch, tmp_path, {
      'total_loss': [19.0, 18.0], 'cross_entropy/training_batch': [2.0, 1.0],
      'validation/loss': [2.5]})
  assert lines == {'run: batches': ('-', 'o', [2.0, 1.0]),
                   'run: validations': ('-', 'o', [2.5])}


def test_the_total_loss_of_older_runs_is_called_so(tmp_path, monkeypatch):
  lines = drawn_lines(monkeypatch, tmp_path, {'total_loss': [19.0]})
  assert lines == {'run: batches, total loss, with the penalty on weights': (
      '--', 'o', [19.0])}
