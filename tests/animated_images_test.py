"""Animated GIFs in records of other tools: their first frame is used everywhere."""

import io
import json

import numpy as np
import pytest
from PIL import Image

import slim_zoo
from slim_zoo.catalog import datasets as catalog
from slim_zoo.input import plain_records
from tests.stored_images import encoded, picture

CLASSES, COUNT, SIDE = 10, 12, 28


def frame(number):
  """Returns a gray picture."""
  return Image.fromarray(picture(number, SIDE, SIDE, channels=1))


def animation(number, size=SIDE, **options):
  """Returns a GIF: a picture, and two others after it."""
  following = [frame(100 + number).resize((size, size)), frame(200 + number)]
  return encoded(frame(number), 'GIF', save_all=True, append_images=following,
                 duration=100, **options)


def cut(number):
  """Returns a GIF that ends in the middle of its last frame."""
  data = animation(number)
  return data[:-40]


def small_first(number):
  """Returns a GIF whose first frame fills only a part of it."""
  data = bytearray(animation(number))
  # The size in the header, little-endian.
  data[6:10] = (SIDE + 4).to_bytes(2, 'little') * 2
  return bytes(data)


def write(folder, make):
  """Writes records of images, as a data set of its own."""
  folder.mkdir()
  plain_records.write(str(folder / 'all.tfrecord'), [plain_records.example({
      'image/encoded': plain_records.texts(make(number)),
      'image/class/label': plain_records.ints(number % CLASSES)})
                                                     for number in range(COUNT)])
  (folder / catalog.DESCRIPTION_FILENAME).write_text(json.dumps({
      'format_version': 1, 'name': 'moving', 'num_classes': CLASSES, 'channels': 1,
      'splits': {split: {'images': COUNT, 'files': 'all.tfrecord'}
                 for split in ('train', 'test')}}))
  return folder


def evaluated(folder, trained_dir, eval_dir, **options):
  """Returns the predictions of an evaluation by the number of the image."""
  result = slim_zoo.evaluate(
      dataset_name='moving', dataset_dir=folder, checkpoint_path=trained_dir,
      eval_dir=eval_dir, **options)
  assert result.num_images == COUNT
  return result.metrics.records


@pytest.fixture(scope='module')
def of_first_frames(trained_dir, tmp_path_factory):
  """Returns the predictions for the first frames, as PNG files."""
  folder = tmp_path_factory.mktemp('still')
  return evaluated(write(folder / 'data', lambda number: encoded(frame(number))),
                   trained_dir, folder / 'eval')


@pytest.mark.parametrize('options', [{}, {'cache_dir': 'cache'}])
@pytest.mark.parametrize('make', [animation, lambda number: animation(
    number, disposal=2, transparency=0)], ids=['frames', 'transparent'])
def test_an_evaluation_reads_the_first_frame(
    make, options, trained_dir, of_first_frames, tmp_path):
  options = {name: tmp_path / value for name, value in options.items()}
  found = evaluated(write(tmp_path / 'data', make), trained_dir, tmp_path / 'eval',
                    **options)
  assert found.readable.all()
  np.testing.assert_array_equal(found.top_classes, of_first_frames.top_classes)
  np.testing.assert_allclose(found.confidences, of_first_frames.confidences, atol=1e-5)


@pytest.mark.parametrize('make', [cut, small_first])
def test_an_animation_with_a_fault_is_read_or_named(
    make, trained_dir, tmp_path, capsys):
  found = evaluated(write(tmp_path / 'data', make), trained_dir, tmp_path / 'eval')
  lines = [line for line in capsys.readouterr().out.splitlines()
           if 'cannot decode' in line]
  assert len(lines) == min(8, (~found.readable).sum())


def test_a_run_trains_on_the_first_frames(tmp_path):
  losses = []
  for name, make in (('moving', animation),
                     ('still', lambda number: encoded(frame(number)))):
    run = slim_zoo.train(
        model_name='lenet', dataset_name='moving', train_dir=tmp_path / name / 'run',
        dataset_dir=write(tmp_path / name, make), max_number_of_steps=2, batch_size=4,
        seed=1, sample_predictions=0, deterministic=True)
    card = json.loads((tmp_path / name / 'run' / 'run_card.json').read_text())
    losses.append(card['results']['loss'])
    assert run.step == 2
  assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_classify_reads_the_first_frame(trained_dir, tmp_path):
  (tmp_path / 'a.gif').write_bytes(animation(3))
  (tmp_path / 'b.png').write_bytes(encoded(frame(3)))
  moving, still = slim_zoo.classify(
      [tmp_path / 'a.gif', tmp_path / 'b.png'], checkpoint_path=trained_dir)
  assert moving.read_as == 'GIF, its first frame'
  assert [known.label for known in moving.classes] == [
      known.label for known in still.classes]
  assert moving.classes[0].probability == pytest.approx(
      still.classes[0].probability, abs=1e-5)


def test_the_animations_have_three_frames():
  with Image.open(io.BytesIO(animation(3))) as image:
    assert image.n_frames == 3
    np.testing.assert_array_equal(image.convert('L'), frame(3))
