"""The example of optical flow: its clips, its towers, its numbers and its files."""

import importlib.util
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from examples.optical_flow import (
    clips,
    evaluation,
    network,
    photographs,
    prediction,
    records,
    training,
)
from slim_zoo import diagnostics, image_ops
from slim_zoo.deployment import model_deploy
from slim_zoo.tf_compat import tf
from tests.conftest import ROOT

SIZE = 32
COUNTS = {'train': 8, 'test': 3}


@pytest.fixture(scope='module')
def photograph():
  """Returns a photograph that comes with scikit-learn, at a quarter of its size."""
  return photographs.load('china').reduce(2)


@pytest.fixture(scope='module')
def data_dir(photograph, tmp_path_factory):
  """Returns a folder with a few small clips of it."""
  folder = str(tmp_path_factory.mktemp('clips'))
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(photographs, 'load_split', lambda split: [photograph])
    records.write(folder, COUNTS, SIZE, seed=3)
  return folder


@pytest.fixture(scope='module')
def train_dirs(data_dir, tmp_path_factory):
  """Returns the folder of a network of each mode, after two steps."""
  folders = {}
  for mode, towers in (('flow', 2), ('middle', 1)):
    folders[mode] = str(tmp_path_factory.mktemp(mode))
    training.train(training.Options(
        data_dir, folders[mode], mode, steps=2, batch_size=4, towers=towers,
        every_steps=1))
  return folders


def warped_by_scipy(frame, flow):
  rows, columns = np.mgrid[:frame.shape[0], :frame.shape[1]]
  return np.stack([ndimage.map_coordinates(
      channel, [rows + flow[..., 1], columns + flow[..., 0]], order=1, mode='nearest')
                   for channel in np.moveaxis(frame.astype(np.float64), -1, 0)], -1)


def warped_by_library(frame, flow):
  with tf.Session() as session:
    return session.run(image_ops.inverse_warp(
        frame[None].astype(np.float32), flow[None]))[0]


@pytest.mark.parametrize('warp', [warped_by_scipy, warped_by_library])
def test_the_flow_leads_from_the_first_frame_to_the_others(photograph, warp):
  clip = clips.draw(np.random.default_rng(1), [photograph], 64, objects=0)
  assert np.linalg.norm(clip.flow, axis=-1).mean() > 1.5
  unmoved = np.abs(clip.second.astype(float) - clip.first)
  # Near the border, content leaves the frame. Both samplings blur a little.
  inner = np.s_[16:-16, 16:-16]
  for frame, part in ((clip.second, 1), (clip.middle, 0.5)):
    error = np.abs(warp(frame, part * clip.flow) - clip.first)[inner]
    assert error.mean() < unmoved[inner].mean() / 3


def test_a_linear_texture_moves_exactly():
  columns, rows = np.meshgrid(np.arange(160.0), np.arange(160.0))
  texture = np.stack([columns, rows, 80 + (columns - rows) / 2], -1)
  motion = clips.Motion(
      np.array([4.0, -3.0]), np.array([[0.04, -0.03], [0.03, 0.04]]),
      np.array([10.0, 20.0]), np.array([[1.0, 0.8, 0.05, -0.08, 0.4]]))
  clip = clips.render([clips.Layer(texture, (-40, -40), None, motion)], 60, 80)
  for frame, part in ((clip.second, 1), (clip.middle, 0.5)):
    error = np.abs(warped_by_scipy(frame, part * clip.flow) - clip.first)
    # Two frames that are rounded to integers.
    assert error[16:-16, 16:-16].max() <= 1.01
  points = np.random.default_rng(0).uniform(0, 80, [50, 2])
  for time in (0, 0.5, 1):
    start = motion.start_of(points, time)
    np.testing.assert_allclose(
        start + time * motion.displacement(start), points, atol=1e-3)


def test_shapes_move_in_front_of_the_background():
  flat = lambda value: np.full([100, 100, 3], value, np.float32)
  still = clips.Motion(np.zeros(2), np.zeros([2, 2]), np.zeros(2), np.zeros([0, 5]))
  moving = clips.Motion(
      np.array([6.0, 2.0]), np.zeros([2, 2]), np.zeros(2), np.zeros([0, 5]))
  square = lambda points: np.all(np.abs(points - 20) <= 5, -1).astype(np.float32)
  clip = clips.render([clips.Layer(flat(50), (0, 0), None, still),
                       clips.Layer(flat(200), (0, 0), square, moving)], 40, 50)
  for frame, left, top in (
      (clip.first, 15, 15), (clip.middle, 18, 16), (clip.second, 21, 17)):
    expected = np.full([40, 50, 3], 50)
    expected[top:top + 11, left:left + 11] = 200
    np.testing.assert_array_equal(frame, expected)
  assert clip.flow[20, 20].tolist() == [6, 2]
  assert np.count_nonzero(clip.flow[..., 0]) == 11 * 11


def test_no_test_photograph_is_in_training():
  assert not set(photographs.NAMES['train']) & set(photographs.NAMES['test'])
  assert photographs.load('flower').mode == 'RGB'
  with pytest.raises(diagnostics.UserError, match="did you mean 'astronaut'"):
    photographs.load('astronomer')


def test_a_missing_package_is_named(monkeypatch):
  monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
  with pytest.raises(diagnostics.UserError, match=r"'scikit-image'.*\[examples\]"):
    photographs.load('cat')


def test_the_flow_of_the_stereo_pair_is_the_disparity(tmp_path, monkeypatch):
  (tmp_path / 'data').mkdir()
  for number, side in enumerate(('left', 'right')):
    Image.new('RGB', (11, 9), (number, 0, 0)).save(
        tmp_path / 'data' / f'motorcycle_{side}.png')
  disparity = np.arange(99, dtype=np.float32).reshape(9, 11)
  disparity[1, 1] = np.inf
  np.savez(tmp_path / 'data' / 'motorcycle_disp.npz', disparity)
  monkeypatch.setattr(photographs, '_package_folder', lambda package: tmp_path)
  left, right, flow = photographs.stereo_pair(2)
  assert left.size == right.size == (5, 4)
  assert [image.getpixel((0, 0))[0] for image in (left, right)] == [0, 1]
  assert np.isnan(flow[0, 0]).all()
  assert flow[1, 2].tolist() == [-(3 * 11 + 5) / 2, 0]
  assert flow.shape == (4, 5, 2)


@pytest.mark.parametrize(('arguments', 'words'), [
    (['evalute'], "optical_flow: no command 'evalute'; did you mean 'evaluate'?"),
    (['evaluate', '--seed=3'], '--seed has no effect on evaluate: it is for data and'),
    (['train', '--perceptual_weight=1'], 'no effect without --perceptual_checkpoint'),
    (['predict', 'one.png'], 'predict got 1 arguments: expected two images'),
])
def test_a_wrong_command_is_answered_in_one_line(arguments, words):
  done = subprocess.run(
      [sys.executable, '-m', 'examples.optical_flow', *arguments], cwd=ROOT,
      capture_output=True, text=True, check=False)
  assert done.returncode == 1
  assert words in done.stderr
  assert len(done.stderr.splitlines()) == 1


def test_a_file_of_16_bits_is_read_as_its_8_bits(photograph, tmp_path):
  gray = np.asarray(photograph.convert('L'))
  Image.fromarray(gray.astype(np.uint16) * 257).save(tmp_path / 'x.png')
  image, = photographs.open_files([str(tmp_path / 'x.png')])
  np.testing.assert_array_equal(np.asarray(image)[..., 1], gray)
  with pytest.raises(diagnostics.UserError, match='no such file'):
    photographs.open_files(['nowhere.png'])


def test_records_hold_the_clips_of_the_seed(data_dir, photograph):
  (batch,) = records.read(data_dir, 'test', 8)
  random = np.random.default_rng([3, 1])
  for number in range(COUNTS['test']):
    clip = clips.draw(random, [photograph], SIZE)
    for name in ('first', 'middle', 'second'):
      np.testing.assert_allclose(255 * batch[name][number], getattr(clip, name),
                                 atol=1e-3)
    np.testing.assert_allclose(batch['flow'][number], clip.flow, atol=0.01)


def test_augmented_clips_have_a_flow_that_fits(data_dir):
  clip = records.batches(data_dir, 'train', 8, seed=5)
  warped = image_ops.inverse_warp(clip['second'], clip['flow'])
  errors = [tf.reduce_mean(tf.abs(image - clip['first'])[:, 8:-8, 8:-8], [1, 2, 3])
            for image in (warped, clip['second'])]
  with tf.Session() as session:
    found, unmoved = np.concatenate(
        [session.run(errors) for _ in range(4)], 1)
  # Parts that are covered in the second frame do not fit.
  assert np.median(found) < np.median(unmoved) / 2


@pytest.mark.parametrize('mode', training.MODES)
def test_both_modes_train_predict_and_are_measured(train_dirs, data_dir, mode,
                                                   photograph, tmp_path):
  with prediction.Predictor(train_dirs[mode]) as predictor:
    assert predictor.mode == mode
    result = evaluation.compare(mode, (
        (clip, predictor.predict(clip['first'], clip['second']))
        for clip in records.read(data_dir, 'test', 2)))
    assert len(result.found) == COUNTS['test']
    low, high = result.interval
    assert low <= result.advantage <= high
    first = photograph.crop((0, 0, 50, 39))
    paths = prediction.write(
        predictor, first, photograph.crop((2, 1, 52, 40)), str(tmp_path))
    with pytest.raises(diagnostics.UserError, match='50 x 39 and 40 x 39'):
      prediction.write(predictor, first, first.crop((0, 0, 40, 39)), str(tmp_path))
  assert {path.rpartition('/')[2] for path in paths} == {
      'animation.gif', 'flow.flo', 'flow.png', 'flow_wheel.png', 'middle.png',
      'sheet.png'}
  tag, = np.fromfile(tmp_path / 'flow.flo', '<f4', 1)
  assert tag == np.float32(202021.25)
  assert np.fromfile(tmp_path / 'flow.flo', '<i4', 3)[1:].tolist() == [50, 39]
  assert (tmp_path / 'flow.flo').stat().st_size == 12 + 50 * 39 * 2 * 4
  for name in ('flow.png', 'middle.png'):
    with Image.open(tmp_path / name) as image:
      assert image.size == (50, 39)
  with Image.open(tmp_path / 'animation.gif') as image:
    assert image.n_frames == 16


def test_two_towers_have_the_gradient_of_one():
  """Of the whole batch: the losses are means over equal parts."""
  random = np.random.default_rng(0)
  clip = {name: random.uniform(size=[4, SIZE, SIZE, 3]).astype(np.float32)
          for name in ('first', 'middle', 'second')}
  clip['flow'] = random.normal(size=[4, SIZE, SIZE, 2]).astype(np.float32)
  gradients = []
  for towers in (1, 2):
    with tf.Graph().as_default():
      tf.set_random_seed(1)
      clones = training.build_towers(
          {name: tf.constant(value) for name, value in clip.items()},
          training.Options('', '', towers=towers), training.towers_on('CPU', towers))
      total, pairs = model_deploy.optimize_clones(
          clones, tf.train.GradientDescentOptimizer(1.0))
      config = tf.ConfigProto(device_count={'CPU': towers}, allow_soft_placement=True)
      with tf.Session(config=config) as session:
        session.run(tf.global_variables_initializer())
        names = [variable.op.name for _, variable in pairs]
        gradients.append([session.run(total), dict(zip(
            names, session.run([gradient for gradient, _ in pairs]), strict=True))])
  (loss, one), (loss_of_two, two) = gradients
  assert loss_of_two == pytest.approx(loss, rel=1e-5)
  assert set(one) == set(two)
  for name, value in one.items():
    np.testing.assert_allclose(two[name], value, rtol=1e-3, atol=1e-5 + 1e-4 * np.abs(
        value).max())


@pytest.mark.parametrize(('changed', 'words'), [
    ({'mode': 'flw'}, "no mode 'flw'; did you mean 'flow'"),
    ({'batch_size': 5}, 'batch_size is 5 with 2 towers'),
    ({'perceptual_checkpoint': 'vgg_19.ckpt'}, "take the mode 'middle'"),
    ({'data_dir': 'nowhere'}, "no clips in 'nowhere'"),
    ({'mode': 'middle'}, "has a network of the mode 'flow'"),
])
def test_options_that_do_not_fit_are_refused(data_dir, train_dirs, changed, words):
  options = {'data_dir': data_dir, 'train_dir': train_dirs['flow'], **changed}
  with pytest.raises(diagnostics.UserError, match=words):
    training.train(training.Options(**options))


def test_numbers_are_those_computed_by_hand():
  flow = np.zeros([2, 1, 2, 2])
  flow[0, 0, 1] = 3, 4
  np.testing.assert_allclose(evaluation.endpoint_errors(flow, 0), [2.5, 0])
  flow[0, 0, 0] = np.nan
  np.testing.assert_allclose(evaluation.endpoint_errors(0, flow), [5, 0])
  image = np.full([1, 2, 2, 3], 0.4)
  np.testing.assert_allclose(evaluation.psnr(image + 0.2, image), 13.9794, atol=1e-4)
  assert evaluation.psnr(image, image) == 99
  result = evaluation.Result('flow', np.array([1.0, 3.0]), np.array([4.0, 4.0]))
  assert result.advantage == 0.5
  assert str(result).startswith(
      'endpoint error 2.00 pixels, of no flow 4.00: ratio 0.500 (95% interval 0.250')
  result = evaluation.Result('middle', np.array([30.0, 32]), np.array([20.0, 21]))
  assert 'gain 10.50 dB' in str(result)


def test_features_are_compared_in_opposite_directions_at_the_middle():
  first = np.zeros([1, 9, 9, 2], np.float32)
  second = first.copy()
  # The content moves by (2, -4) pixels of the map: from (3, 6) to (5, 2).
  first[0, 6, 3], second[0, 2, 5] = 2, 3
  with tf.Session() as session:
    for time, centre, offset in ((0.0, (6, 3), (-4, 2)), (0.5, (4, 4), (-2, 1))):
      products = session.run(network.correlate(
          tf.constant(first), tf.constant(second), time, radius=4))
      number = (offset[0] + 4) * 9 + offset[1] + 4
      # Of two features, 2 * 3 each.
      assert products[0, centre[0], centre[1], number] == 12
      assert np.count_nonzero(products[..., number]) == 1
