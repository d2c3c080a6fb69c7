"""How image files become predictions: reading, names, Grad-CAM, features, sheets."""

import dataclasses
import io
import os
import threading
import time
import zlib

import numpy as np
import pytest
from PIL import Image

from slim_zoo import diagnostics
from slim_zoo.checkpoints import identified_network
from slim_zoo.checkpoints.trained_network import NetworkOptions
from slim_zoo.dataset_building import image_folder
from slim_zoo.drawing import fonts
from slim_zoo.images import image_files
from slim_zoo.nets import nets_factory
from slim_zoo.prediction import (
    checkpoint_model,
    class_names,
    classifier,
    contact_sheet,
    explanation,
    feature_file,
    sources,
)
from slim_zoo.tf_compat import slim, tf
from tests import image_kinds, scripts
from tests.stored_images import encoded, files_in, picture, read_split


def test_files_are_found_once_and_in_order(tmp_path):
  files_in(tmp_path / 'top' / 'b', {'2.PNG': b'', '.hidden.png': b'', 'list.csv': b''})
  files_in(tmp_path / 'top' / '.cache', {'3.png': b''})
  files_in(tmp_path / 'top', {'1.jpg': b'', '[x].png': b''})
  os.symlink('..', tmp_path / 'top' / 'b' / 'round')
  top = str(tmp_path / 'top')
  found = sources.find([top, f'{top}/**/*.PNG', f'{top}/b/list.csv', f'{top}/[x].png'],
                       io.BytesIO())
  assert [os.path.relpath(path, top) for path in found.files] == [
      '1.jpg', '[x].png', 'b/2.PNG', 'b/list.csv']
  assert found.left_out == (f'{top}/b/list.csv',)
  assert sources.relative_names(found.files)[f'{top}/b/2.PNG'] == 'b/2.PNG'
  assert sources.relative_names([f'{top}/b/2.PNG']) == {f'{top}/b/2.PNG': '2.PNG'}


def test_images_are_read_as_the_conversion_stores_them(tmp_path):
  """Pixel for pixel, of every kind of file."""
  kinds = {name: data for name, (data, *_) in image_kinds.KINDS.items()}
  files_in(tmp_path / 'photos' / 'a', kinds)
  files_in(tmp_path / 'photos' / 'b', {'one.png': encoded(picture(3))})
  image_folder.convert(str(tmp_path / 'photos'), str(tmp_path / 'data'), 'kinds', 0.0)
  stored = {record['image'].tobytes() for record in read_split(
      'kinds', 'train', tmp_path / 'data')}
  decode = checkpoint_model.Preparation(
      lambda image, height, width: image, image_size=None, channels=3)
  reader, changes = image_files.Reader(), {}
  for name in kinds:
    with reader.open(str(tmp_path / 'photos' / 'a' / name)) as file:
      assert decode(file.data).tobytes() in stored, name
      changes[name] = file.change
  decode.close()
  assert {name for name, change in changes.items() if change is None} == set(
      image_kinds.AS_THEY_ARE)
  assert changes['moving.gif'] == 'GIF, its first frame'
  assert changes['upside_down.jpg'] == 'JPEG turned upright'


@pytest.mark.parametrize('name', sorted(
    name for name in image_kinds.REFUSED if '/' not in name))
def test_bad_files_are_refused_with_the_reason(name, tmp_path):
  data, reason = image_kinds.REFUSED[name]
  if name == 'huge.png':
    reason = 'more than 100 million pixels'
  path = files_in(tmp_path, {name: data}) / name
  with pytest.raises(image_files.RefusedError, match=reason):
    with image_files.Reader().open(str(path)):
      pass


def test_what_is_too_large_is_refused_before_it_is_decoded(tmp_path):
  """A header alone says 20,000 x 20,000, and 11,000 x 10,000; there are no pixels."""
  reader = image_files.Reader()
  for width, height in ((20_000, 20_000), (11_000, 10_000)):
    data = bytearray(encoded(np.zeros([8, 8, 3], np.uint8)))
    data[16:24] = width.to_bytes(4, 'big') + height.to_bytes(4, 'big')
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, 'big')
    path = tmp_path / f'{width}.png'
    path.write_bytes(data)
    with pytest.raises(image_files.RefusedError, match='100 million pixels'):
      with reader.open(str(path)):
        pass
  os.mkfifo(tmp_path / 'pipe.png')
  for path, reason in ((tmp_path, 'it is a folder'), (tmp_path / 'pipe.png', 'regular'),
                       (tmp_path / 'none.png', 'no such file')):
    with pytest.raises(image_files.RefusedError, match=reason):
      with reader.open(str(path)):
        pass


@pytest.mark.parametrize(('text', 'offset', 'expected'), [
    ('0:daisy\n1:rose\n2:tulip\n', 0, ['daisy', 'rose', 'tulip']),
    ('2:tulip\n0:daisy: white\n\n1:rose', 0, ['daisy: white', 'rose', 'tulip']),
    ('\ufeffdaisy\r\nrose\r\ntulip\r\n', 0, ['daisy', 'rose', 'tulip']),
    ('0:background\n1:daisy\n2:rose\n3:tulip\n', 1, ['daisy', 'rose', 'tulip']),
    ('1:daisy\n2:rose\n3:tulip\n', 1, ['daisy', 'rose', 'tulip'])])
def test_labels_files_name_the_classes(text, offset, expected, tmp_path):
  path = tmp_path / 'labels.txt'
  path.write_text(text, encoding='utf-8', newline='')
  assert class_names.fit(class_names.read(str(path)), str(path), 3, offset) == expected
  assert class_names.find([None, str(tmp_path)], 3, offset) == (expected, [])


@pytest.mark.parametrize(('data', 'words'), [
    (b'daisy\nrose\n', 'names 2 classes, 0 to 1, but the network has 3, 0 to 2'),
    (b'0:daisy\n1:rose\n3:tulip\n', '0 to 3, with gaps'),
    (b'background\ndaisy\nrose\ntulip\n', "if 'background' .* --labels_offset=1"),
    (b'0:daisy\nrose\n', 'expected LABEL:NAME'), (b'\n', 'is empty'),
    (image_kinds.PNG, 'is not text')])
def test_wrong_labels_files_are_refused(data, words, tmp_path):
  path = tmp_path / 'labels.txt'
  path.write_bytes(data)
  with pytest.raises(diagnostics.UserError, match=words):
    class_names.fit(class_names.read(str(path)), str(path), 3)
  names, unfit = class_names.find([str(tmp_path)], 3)
  assert (names, len(unfit)) == (None, 1)


class Counting:
  """A model that keeps count of the images that are prepared but not yet answered."""

  num_classes = 2

  def __init__(self, value=0.5):
    self.value, self.prepared, self.batches = value, 0, []
    self._lock = threading.Lock()

  def prepare(self, data):
    with self._lock:
      self.prepared += 1
    return data

  def predict(self, images):
    self.batches.append(len(images))
    return classifier.Predictions(np.full([len(images), 2], self.value, np.float32))


def test_folders_stream(tmp_path):
  files = {f'{number:03}.png': image_kinds.PNG for number in range(100)}
  files['010.png'] = b''
  folder = files_in(tmp_path, files)
  model, done = Counting(), 0
  for answer in classifier.classify(
      sorted(map(str, folder.iterdir())), model, batch_size=4, num_threads=3):
    done += 1
    # A batch is waiting, and another two are being prepared ahead.
    assert model.prepared - done <= 3 * 4 + 1
    assert bool(answer.refused) == answer.path.endswith('010.png')
  assert (done, model.batches) == (100, [4] * 24 + [3])


class Ahead(Counting):
  """A model that predicts a batch when the next one is prepared, and not before."""

  def __init__(self, total):
    super().__init__()
    self.total = total

  def predict(self, images):
    needed = min(self.total, sum(self.batches) + 2 * len(images))
    deadline = time.monotonic() + 60
    while self.prepared < needed:
      assert time.monotonic() < deadline, 'the next batch is not prepared meanwhile'
      time.sleep(0.001)
    return super().predict(images)


def test_the_next_batch_is_prepared_while_one_is_predicted(tmp_path):
  names = [f'{number}.png' for number in range(20)]
  folder = files_in(tmp_path, dict.fromkeys(names, image_kinds.PNG))
  model = Ahead(total=20)
  answers = list(classifier.classify(
      sorted(map(str, folder.iterdir())), model, batch_size=4, num_threads=2))
  assert (len(answers), model.batches) == (20, [4] * 5)


def test_values_that_are_not_finite_end_it(tmp_path):
  folder = files_in(tmp_path, {'a.png': image_kinds.PNG})
  with pytest.raises(diagnostics.UserError, match='not finite'):
    list(classifier.classify([str(folder / 'a.png')], Counting(np.nan), 1, 1))


@pytest.fixture(scope='module')
def colour_network(tmp_path_factory):
  """Returns (checkpoint, images, heat, features, probabilities) of a MobileNet.

  Heat is that of each class, [classes, batch, height, width].

  They are computed here with variables and batch norm in place, and the heat by the
  definition, in numpy.
  """
  random = np.random.default_rng(0)
  images = random.uniform(-1, 1, [3, 64, 64, 3]).astype(np.float32)
  with tf.Graph().as_default(), tf.Session() as session:
    given = tf.placeholder(tf.float32, [None, 64, 64, 3])
    logits, end_points = nets_factory.get_network_fn('mobilenet_v1_025', 7)(given)
    maps = end_points['Conv2d_13_pointwise']
    of_classes = [tf.gradients(logits[:, label], maps)[0] for label in range(7)]
    session.run(tf.global_variables_initializer())
    for variable in slim.get_model_variables():
      name, shape = variable.op.name, variable.shape.as_list()
      if name.endswith('moving_variance'):
        variable.load(random.uniform(0.5, 1.5, shape), session)
      elif not name.endswith('/weights'):
        variable.load(random.normal(size=shape), session)
    path = tf.train.Saver(slim.get_model_variables()).save(
        session, str(tmp_path_factory.mktemp('colour') / 'model.ckpt'))
    features, probabilities, gradients, values_there = session.run(
        [end_points['AvgPool_1a'], tf.nn.softmax(logits), of_classes, maps],
        {given: images})
  heat = []
  for of_class in gradients:
    weights = of_class.mean(axis=(1, 2), keepdims=True)
    heat.append(np.maximum((values_there * weights).sum(axis=-1), 0))
  return path, images, np.stack(heat), features[:, 0, 0], probabilities


def test_grad_cam_and_features_of_the_frozen_graph_are_the_networks(colour_network):
  path, images, heat_of, features, probabilities = colour_network
  heat = heat_of[probabilities.argmax(axis=1), [0, 1, 2]]
  choice = identified_network.find(path, NetworkOptions(image_size=64))
  assert (choice.model_name, choice.num_classes, choice.channels) == (
      'mobilenet_v1_025', 7, 3)
  with checkpoint_model.CheckpointModel(
      choice, checkpoint_model.ModelOutputs(features=True, heat=True)) as model:
    # The images of a batch have no part in each other's heat.
    for batch in ([0, 1, 2], [1]):
      given = model.predict([images[number] for number in batch])
      np.testing.assert_allclose(
          given.probabilities, probabilities[batch], atol=1e-5)
      np.testing.assert_allclose(given.features, features[batch], atol=1e-4)
      np.testing.assert_allclose(
          given.heat, heat[batch], atol=1e-4 * heat.max(), rtol=1e-3)
    other = model.predict(list(images), explained=[6, 2, 0])
    np.testing.assert_allclose(other.heat, heat_of[[6, 2, 0], [0, 1, 2]],
                               atol=1e-4 * heat_of.max(), rtol=1e-3)
  assert heat.max() > 0
  assert given.pictures.shape == (1, 64, 64, 3)
  np.testing.assert_allclose(given.pictures[0], (images[1] + 1) * 127.5, atol=0.51)


def test_classes_of_several_each_have_their_own_probability(colour_network):
  path, images, *_, probabilities = colour_network
  choice = identified_network.find(path, NetworkOptions(image_size=64))
  with checkpoint_model.CheckpointModel(
      dataclasses.replace(choice, multi_label=True)) as model:
    given = model.predict(list(images)).probabilities
  # The softmax knows the logits but for a number that is the same for all classes.
  logits, log_softmax = np.log(given / (1 - given)), np.log(probabilities)
  assert np.ptp(logits - log_softmax, axis=1).max() < 1e-3
  assert np.abs(given.sum(axis=1) - 1).min() > 0.01


@pytest.mark.parametrize(('extras', 'words'), [
    ({'heat': True, 'heat_end_point': 'Predictions'}, 'batch, height, width'),
    ({'heat': True, 'heat_end_point': 'Conv2d_13'}, 'no end point'),
    ({'features': True, 'feature_end_point': 'AvgPool'}, "did you mean 'AvgPool_1a'")])
def test_end_points_that_do_not_fit_are_refused(extras, words, colour_network):
  choice = identified_network.find(
      colour_network[0], NetworkOptions(image_size=64))
  with pytest.raises(diagnostics.UserError, match=words):
    checkpoint_model.CheckpointModel(
        choice, checkpoint_model.ModelOutputs(**extras))


@pytest.mark.parametrize(('flags', 'words'), [
    ({'use_grayscale': True}, ['images of 3 channels', 'leave the flag out']),
    ({'labels_offset': 1}, ['no effect without a --labels_file'])])
def test_flags_that_do_not_fit_the_checkpoint_are_refused(
    flags, words, colour_network, tmp_path):
  image = files_in(tmp_path, {'a.png': image_kinds.PNG}) / 'a.png'
  done = scripts.run('classify', image, checkpoint_path=colour_network[0],
                     **flags)
  scripts.answer(done, *words, code=1)


def test_averages_that_are_not_there_are_not_used(colour_network):
  choice = identified_network.find(
      colour_network[0], NetworkOptions(moving_averages=True))
  with pytest.raises(diagnostics.UserError, match='has no moving averages'):
    checkpoint_model.CheckpointModel(choice)


def test_explanations_are_of_the_last_convolution():
  assert explanation.default_end_point('vgg_16') == 'vgg_16/conv5/conv5_3'
  assert explanation.default_end_point('lenet') == 'conv2'
  assert explanation.default_end_point('inception_v3') == 'Mixed_7c'
  assert explanation.default_end_point('resnet_v1_50') == 'resnet_v1_50/block4'


def test_features_are_written_without_being_kept(tmp_path):
  path = str(tmp_path / 'features.npz')
  with feature_file.FeatureFile(path, 'conv2') as file:
    for number in range(3):
      file.add(classifier.Answer(f'{number}.png', features=np.full([2, 4], number)))
      file.add(classifier.Answer('bad.png', refused='the file is empty'))
    # The values are on their way to the disk, not in memory.
    assert not any(isinstance(value, np.ndarray) for value in vars(file).values())
    file.finish()
  assert os.listdir(tmp_path) == ['features.npz']
  with np.load(path) as archive:
    assert archive['features'].tolist() == [[[number] * 4] * 2 for number in range(3)]
    assert archive['features'].dtype == np.float32
    assert archive['files'].tolist() == ['0.png', '1.png', '2.png']
    assert archive['end_point'] == 'conv2'


def test_contact_sheets_show_images_from_all_over():
  files = [f'{number}.png' for number in range(1000)]
  shown = contact_sheet.spread(files)
  assert (len(shown), shown[0]) == (contact_sheet.MAX_IMAGES, '0.png')
  assert int(shown[-1].removesuffix('.png')) > 950
  assert contact_sheet.spread(files[:7]) == files[:7]
  grey = Image.new('RGB', (132, 66), '#808080')
  sheet = np.asarray(contact_sheet.draw(
      [contact_sheet.Entry(grey, 'a' * 90 + '.png', 'tulip ' * 30, 0.25)] * 5, 'title'))
  blue = (sheet == [0, 0x72, 0xb2]).all(axis=-1)
  bars = blue.sum(axis=1).max()
  # Of five bars a quarter each is filled; the row's percentages lie below.
  assert bars == pytest.approx(4 * 134 * 0.25, abs=4)


def test_long_names_are_shortened_where_it_says_least():
  name = 'holidays_2019_0001_original_of_the_camera.jpeg'
  short = fonts.shorten(name, 11, 100, middle=True)
  assert short[:4] == name[:4]
  assert short.endswith('.jpeg')
  assert '…' in short
  assert fonts.font(11).getlength(short) <= 100
  assert fonts.shorten('two\nlines', 11, 100) == 'two lines'
