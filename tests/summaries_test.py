"""What TensorBoard shows: tags, accuracy, pictures of input and of predictions."""

import collections
import io
import time

import numpy as np
import pytest
from PIL import Image

from slim_zoo.deployment import model_deploy
from slim_zoo.preprocessing import display, preprocessing_factory
from slim_zoo.tf_compat import slim, tf
from slim_zoo.training import eval_network, intervals
from slim_zoo.training.callbacks import sample_predictions, summaries
from tests import records_for_tests

CONFIG = model_deploy.DeploymentConfig(clone_on_cpu=True)
Batch = collections.namedtuple('Batch', ('images', 'labels'))
BLUE, VERMILION = (0, 0x72, 0xb2), (0xd5, 0x5e, 0)


class Writer:
  """Keeps what a FileWriter would write: (step, tag, value) in order."""

  def __init__(self):
    self.values = []

  def add_summary(self, summary, step):
    self.values += [(step, value.tag, value) for value in summary.value]


def small_network(images, is_training):
  """A network with batch norm and dropout, whose classes are pixel values."""
  normalizer = {'is_training': is_training, 'decay': 0.5}
  net = slim.conv2d(images, 4, 3, scope='conv1', normalizer_fn=slim.batch_norm,
                    normalizer_params=normalizer)
  end_points = {'conv1': net}
  net = slim.dropout(slim.flatten(net), 0.5, is_training=is_training)
  logits = slim.fully_connected(
      net, 10, None, scope='logits', weights_regularizer=slim.l2_regularizer(0.01))
  return logits, end_points


def clones_of(labels, num_clones=1):
  """Returns clones of the small network, each with a loss."""
  config = model_deploy.DeploymentConfig(num_clones, clone_on_cpu=True)

  def build():
    batch = Batch(tf.random.uniform([3, 8, 8, 1], -1.0, 1.0), labels)
    logits, end_points = small_network(batch.images, is_training=True)
    tf.losses.softmax_cross_entropy(tf.one_hot(tf.argmax(logits, 1), 10), logits)
    return batch, logits, end_points

  return model_deploy.create_clones(config, build)


def written_tags():
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    data = session.run(tf.summary.merge_all())
  return {value.tag: value for value in tf.Summary.FromString(data).value}


# --- Of the graph.

def test_the_established_tags_are_exact_and_the_new_ones_beside_them():
  clones = clones_of(tf.constant([1, 2, 3], tf.int64))
  summaries.add(
      clones, tf.constant(1.5, name='total_loss'),
      tf.constant(0.1, name='learning_rate'), {'conv1': tf.constant(0.01)},
      lambda images: display.displayable(images, 'lenet'))
  found = written_tags()
  images = {f'images/as_the_network_sees_them/image/{index}' for index in range(3)}
  assert {tag for tag in found if 'losses/' not in tag} == {
      'activations/conv1', 'sparsity/conv1', 'conv1/weights',
      'conv1/BatchNorm/beta', 'conv1/BatchNorm/moving_mean',
      'conv1/BatchNorm/moving_variance', 'logits/weights', 'logits/biases',
      'learning_rate', 'learning_rates/conv1', 'total_loss',
      'accuracy/training_batch', *images}
  assert [tag for tag in found if 'losses/' in tag] == [
      'losses/softmax_cross_entropy_loss/value']
  assert found['learning_rates/conv1'].simple_value == pytest.approx(0.01)
  picture = found[min(images)].image
  assert (picture.height, picture.width, picture.colorspace) == (8, 8, 1)


def test_the_accuracy_is_of_all_clones_and_histograms_of_the_first():
  clones = clones_of(tf.constant([1, 2, 3], tf.int64), num_clones=2)
  logits = [tf.one_hot([1, 2, 3], 10), tf.one_hot([1, 0, 0], 10)]
  clones = [clone._replace(outputs=(clone.outputs[0], values, clone.outputs[2]))
            for clone, values in zip(clones, logits, strict=True)]
  summaries.add(clones, tf.constant(0.0), tf.constant(0.0))
  found = written_tags()
  assert found['accuracy/training_batch'].simple_value == pytest.approx(4 / 6)
  assert 'losses/clone_0/softmax_cross_entropy_loss/value' in found
  assert not [tag for tag in found if 'clone_1' in tag or tag.startswith('images/')]


def test_a_sample_is_from_all_channels_and_small_tensors_are_whole():
  # The stride alone, 20, would meet every fourth channel only.
  channels = tf.tile(tf.range(16)[tf.newaxis, tf.newaxis], [25, 50, 1])
  sample = summaries.sample_of(channels, count=1000)
  assert 900 <= sample.shape.num_elements() < 2000
  with tf.Session() as session:
    counts = np.bincount(session.run(sample), minlength=16)
  assert counts.max() - counts.min() <= 1
  for whole in (channels[:1], tf.placeholder(tf.float32, [None, 50, 16])):
    assert summaries.sample_of(whole, count=1000) is whole


@pytest.mark.parametrize(('labels', 'accuracy'), [
    (np.array([0, 1, 2, 2]), 0.75),
    # Mixed images count for the class that they show most of.
    (np.float32([[0.7, 0.3, 0], [0.4, 0.6, 0], [0, 0.2, 0.8], [0, 0.3, 0.7]]), 0.75),
    # Several classes, or none.
    (np.float32([[1, 0, 1], [1, 1, 0], [0, 0, 1], [0, 0, 0]]), 0.75)])
def test_batch_accuracy_of_labels_and_of_targets(labels, accuracy):
  logits = tf.constant(np.float32([[3, 1, 2], [1, 3, 2], [0, 1, 2], [0, 2, 1]]))
  with tf.Session() as session:
    assert session.run(
        summaries.batch_accuracy(logits, tf.constant(labels))) == accuracy


@pytest.mark.parametrize(('name', 'channels'), [
    ('lenet', 1), ('lenet', 3), ('inception', 1), ('inception', 3), ('vgg', 1),
    ('vgg', 3), ('resnet_v1_50', 3)])
def test_pictures_of_the_input_undo_the_scaling(name, channels):
  image = np.random.RandomState(0).randint(0, 256, [256, 256, 3], np.uint8)
  image[..., 1:] = image[..., :1]  # Gray, so that both depths have the same values.
  preprocessing_fn = preprocessing_factory.get_preprocessing(
      name, use_grayscale=channels == 1)
  ready = preprocessing_fn(tf.constant(image), 256, 256)
  shown = display.displayable(ready[tf.newaxis], name)
  with tf.Session() as session:
    ready, shown = session.run([ready, shown])
  assert shown.dtype == np.uint8
  assert shown.shape == (1, 256, 256, channels)
  if name == 'inception':  # It crops and resizes: the scale alone is compared.
    np.testing.assert_allclose(shown[0], (ready + 1) * 127.5, atol=0.51)
  else:
    np.testing.assert_allclose(
        shown[0].astype(int), image[..., :channels].astype(int), atol=1)


def test_standardized_images_are_stretched():
  images = np.float32([[[[-2.0], [0.0]]], [[[5.0], [5.0]]]])
  with tf.Session() as session:
    shown = session.run(display.displayable(tf.constant(images), 'cifarnet'))
  assert shown[:, 0, :, 0].tolist() == [[0, 255], [0, 0]]


# --- Between the steps.

def test_progress_is_the_mean_since_the_last_time():
  writer, callback = Writer(), summaries.ProgressSummaries(3600, images_per_step=8)
  callback.begin(None, 0, writer)
  for step, loss in enumerate((1.0, 2.0, 6.0), start=1):
    callback.measured(step, loss, 0.0)
    callback.after_step(None, step)
  assert writer.values == []
  callback.end(None, 3)
  found = {tag: value.simple_value for _, tag, value in writer.values}
  assert {step for step, _, _ in writer.values} == {3}
  assert found['progress/mean_loss'] == 3.0
  assert found['progress/input_wait_share'] == 0.0
  assert found['progress/images_per_second'] > 0
  callback.end(None, 3)
  assert len(writer.values) == 3


def test_the_steps_of_other_workers_count_in_the_rate():
  interval = intervals.Interval()
  interval.start(10)
  for step, loss in ((12, 1.0), (14, 2.0)):  # Another worker took steps 11 and 13.
    interval.add(step, loss, 0.0)
  sums = interval.restart()
  assert (sums.steps, sums.mean_loss) == (4, 1.5)
  interval.add(15, 1.0, 0.0)
  assert interval.restart().steps == 1


def test_a_worker_without_a_writer_writes_nothing():
  callback = summaries.ProgressSummaries(1e-9, 8)
  callback.begin(None, 0, None)
  callback.measured(1, 1.0, 0.0)
  callback.after_step(None, 1)
  callback.end(None, 1)


# --- The network in evaluation mode, and what it says of a few images.

def test_the_network_in_evaluation_mode_leaves_the_training_graph_alone():
  images = tf.constant(np.random.RandomState(0).rand(4, 8, 8, 1).astype(np.float32))
  small_network(images, is_training=True)
  before = {name: list(tf.get_collection(name))
            for name in tf.get_default_graph().get_all_collection_keys()
            if not isinstance(name, tuple)}
  network = eval_network.build(
      lambda images: small_network(images, is_training=False), images, CONFIG)
  for name, items in before.items():
    assert tf.get_collection(name) == items, name
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    first = session.run(network.logits)
    assert (first == session.run(network.logits)).all()
    session.run(tf.get_collection(tf.GraphKeys.UPDATE_OPS))
    # The moving averages are what counts.
    assert (first != session.run(network.logits)).any()


@pytest.fixture
def split(tmp_path):
  """Three files sorted by class, one record without image; 60 records."""
  for index in range(3):
    values = range(20 * index, 20 * index + 20)
    images = [records_for_tests.png(value) for value in values]
    if index == 1:
      images[0] = b'no image'
    records_for_tests.write(
        tmp_path / f'part-{index}', images, [value // 6 for value in values])
  return [str(tmp_path / f'part-{index}') for index in range(3)]


def test_the_same_images_of_every_class_are_chosen(split):
  chosen = sample_predictions.choose(split, 60, 10)
  assert [sample.labels for sample in chosen] == [frozenset([i]) for i in range(10)]
  assert all(sample.picture.shape == (8, 8) for sample in chosen)
  again = sample_predictions.choose(split, 60, 10)
  assert [a.record for a in chosen] == [b.record for b in again]
  pixels = [int(s.picture[0, 0]) for s in sample_predictions.choose(split, 60, 99)]
  assert pixels == [value for value in range(60) if value != 20]
  # The first and the last class of the records are none of the network's.
  offset = sample_predictions.choose(split, 60, 99, labels_offset=1, num_classes=8)
  assert {min(sample.labels) for sample in offset} == set(range(8))


def callback_of(split, every_secs, count=12):
  """Returns a callback that draws what a trained network says, and its writer."""
  small_network(tf.placeholder(tf.float32, [None, 8, 8, 1]), is_training=True)
  samples = sample_predictions.choose(split, 60, count)
  dataset = records_for_tests.dataset(split[0], 20)
  record, image = sample_predictions.image_of_record(
      dataset, records_for_tests.as_they_are)
  network = eval_network.build(
      lambda images: small_network(images, is_training=False),
      tf.placeholder(tf.float32, [None, *image.shape]), CONFIG)
  return sample_predictions.SamplePredictions(
      network, samples, record, image, {3: 'three'}, every_secs, batch_size=5)


def biases_to(session, label):
  variable = tf.global_variables()[-1]
  assert variable.op.name == 'logits/biases'
  session.run(variable.assign(100.0 * tf.one_hot(label, 10)))


def frame_colours(value):
  """Returns the set of colours in a sheet."""
  sheet = Image.open(io.BytesIO(value.image.encoded_image_string))
  assert sheet.size == (value.image.width, value.image.height)
  return sheet, {colour for _, colour in sheet.getcolors(1 << 24)}


def test_pictures_change_as_the_network_does(split):
  callback, writer = callback_of(split, every_secs=3600), Writer()
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    session.run([variable.assign(tf.zeros_like(variable))
                 for variable in tf.trainable_variables()])
    biases_to(session, 3)
    callback.begin(session, 0, writer)
    assert not writer.values  # The first step need not wait.
    callback.after_step(session, 1)
    probabilities = callback.predict(session)
    assert probabilities.shape == (12, 10)
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
    callback.after_step(session, 2)
    assert len(writer.values) == 1
    biases_to(session, 4)
    callback.end(session, 3)
    callback.end(session, 3)
  assert [(step, tag) for step, tag, _ in writer.values] == [
      (1, 'predictions/fixed_images'), (3, 'predictions/fixed_images')]
  (first, colours), (second, _) = (
      frame_colours(value) for _, _, value in writer.values)
  assert {BLUE, VERMILION} <= colours
  assert first.size == second.size
  assert first.tobytes() != second.tobytes()


def test_a_network_that_takes_long_is_asked_less_often(split):
  callback, writer = callback_of(split, every_secs=1e-6), Writer()
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    callback.begin(session, 0, writer)
    for step in (1, 2, 3):
      callback.after_step(session, step)
  assert [step for step, *_ in writer.values] == [1]


@pytest.mark.parametrize(('every_secs', 'writer'), [(0, Writer()), (3600, None)])
def test_without_summaries_nothing_is_predicted(split, every_secs, writer):
  callback = callback_of(split, every_secs)
  callback.begin(None, 0, writer)  # Without a session: it must not be asked.
  callback.after_step(None, 1)
  callback.end(None, 1)
  assert not (writer and writer.values)


@pytest.mark.parametrize('begins', [True, False])
def test_a_run_that_fails_before_its_first_step_has_no_pictures(split, begins):
  callback, writer = callback_of(split, every_secs=3600), Writer()
  if begins:
    callback.begin(None, 0, writer)
  callback.end(None, 0)
  assert not writer.values


def answer(truth, probabilities, several=False, size=(8, 8)):
  return sample_predictions.Answer(
      np.zeros(size, np.uint8), frozenset(truth), np.float32(probabilities), several)


@pytest.mark.parametrize(('truth', 'probabilities', 'several', 'predicted'), [
    ([1], [0.2, 0.7, 0.1], False, [1]), ([0], [0.2, 0.7, 0.1], False, [1]),
    ([0, 1], [0.6, 0.7, 0.1], True, [0, 1]), ([], [0.1, 0.2, 0.3], True, []),
    ([2], [0.1, 0.2, 0.3], True, [])])
def test_an_answer_is_right_when_its_classes_are(
    truth, probabilities, several, predicted):
  found = answer(truth, probabilities, several)
  assert found.predicted == frozenset(predicted)
  assert found.is_right == (set(truth) == set(predicted))
  colours = {colour for _, colour in sample_predictions.draw_sheet(
      [found], None, 'title').getcolors(1 << 24)}
  assert (BLUE in colours, VERMILION in colours) == (
      found.is_right, not found.is_right)


def test_a_sheet_has_room_for_any_image_and_name():
  answers = [answer([0], [0.5, 0.5], size=size)
             for size in ((300, 20), (20, 300), (1, 1), (40, 40, 3), (400, 500, 3))]
  names = {0: 'a very long name of a class, with its synonyms, and\nlines', 1: '日本'}
  start = time.process_time()
  sheet = sample_predictions.draw_sheet(answers, names, 'title')
  assert sheet.size == sample_predictions.draw_sheet(answers, {}, 'title').size
  # Seconds of this process: other programs may take as many as they like.
  assert time.process_time() - start < 20
