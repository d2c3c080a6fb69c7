"""--balance: exact numbers of each class in each epoch, also in a resumed run."""

import collections

import numpy as np
import pytest

from slim_zoo import diagnostics
from slim_zoo.catalog.datasets import DATASETS
from slim_zoo.config.training import TrainConfig
from slim_zoo.input import balance, held_out, pipeline
from slim_zoo.tf_compat import tf
from tests import records_for_tests

IMAGES = (40, 12, 3, 5)


@pytest.fixture(scope='module')
def unequal_dir(tmp_path_factory):
  """Returns a folder with 60 images of four classes; their pixels are their number."""
  folder = tmp_path_factory.mktemp('unequal')
  labels = np.repeat(np.arange(4), IMAGES)
  records_for_tests.write(
      folder / 'digits_train.tfrecord',
      [records_for_tests.png(number) for number in range(60)], labels.tolist())
  return folder


def read(folder, kind, count, part=None, first_record=0):
  """Returns (label, number of the image) of the first records, in their order."""
  with tf.Graph().as_default():
    dataset = records_for_tests.dataset(folder / 'digits_train.tfrecord', 60)
    shares = balance.of_records(
        kind, pipeline.record_files(dataset), DATASETS['digits'], part=part)
    images = pipeline.training_input(
        dataset, records_for_tests.as_they_are, batch_size=1, seed=4, part=part,
        first_record=first_record, balance=shares)
    batch = images.next_batch()
    with tf.Session() as session:
      session.run(images.initializer)
      found = [session.run([batch.labels, batch.images]) for _ in range(count)]
  return shares, [(int(labels[0]), int(pixels[0, 0, 0, 0])) for labels, pixels in found]


@pytest.mark.parametrize(('kind', 'draws'), [
    ('sampling', [15, 15, 15, 15]), ('sqrt', [28, 15, 7, 10])])
def test_shares_are_exact_and_images_take_turns(unequal_dir, kind, draws):
  """Over ten epochs no image of a class is read more than once more than another."""
  shares, found = read(unequal_dir, kind, 600)
  assert shares.draws.tolist() == draws + [0] * 6
  for epoch in range(10):
    counts = collections.Counter(
        label for label, _ in found[60 * epoch:60 * (epoch + 1)])
    assert [counts[label] for label in range(4)] == draws
  reads = collections.Counter(found)
  for label, images in enumerate(IMAGES):
    own = [count for (other, _), count in reads.items() if other == label]
    assert len(own) == images
    assert max(own) - min(own) <= 1
    assert sum(own) == 10 * draws[label]


def test_a_resumed_run_reads_what_it_would_have_read(unequal_dir):
  _, whole = read(unequal_dir, 'sampling', 200)
  _, resumed = read(unequal_dir, 'sampling', 200 - 77, first_record=77)
  assert resumed == whole[77:]


def test_a_validation_share_is_not_read(unequal_dir):
  part = held_out.Part(0.3, is_held_out=False)
  kept = part.keys([str(unequal_dir / 'digits_train.tfrecord')])
  shares, found = read(unequal_dir, 'sampling', len(kept), part)
  assert shares.draws.sum() == len(kept)
  assert {image for _, image in found} <= set(kept[:, 1].tolist())
  counts = collections.Counter(label for label, _ in found)
  assert [counts[label] for label in range(4)] == shares.draws[:4].tolist()


def test_draws_add_up_and_absent_classes_get_none():
  for kind in balance.SHARES:
    images = np.array([1000, 0, 7, 1, 333])
    draws = balance.draws_of_epoch(kind, images)
    assert draws.sum() == images.sum()
    assert draws[1] == 0
  assert balance.draws_of_epoch('sampling', np.array([5, 1, 1])).tolist() == [3, 2, 2]


@pytest.mark.parametrize(('given', 'words'), [
    ({'balance': 'weights', 'class_weights': 'inverse_frequency'}, 'both balance'),
    ({'balance': 'sqrt', 'class_weights': 'inverse_frequency'}, 'both balance'),
    ({'balance': 'sampling', 'data_service': 'grpc://a:1'}, '--data_service'),
    ({'balance': 'sqrt', 'worker_hosts': 'a:1,b:1'}, '2 workers')])
def test_refused_with_one_line(unequal_dir, given, words):
  from slim_zoo.config.clusters import adopt_cluster
  config = adopt_cluster(TrainConfig.from_options({
      'dataset_name': 'digits', 'dataset_dir': str(unequal_dir), **given}), {})
  with pytest.raises(diagnostics.UserError, match=words):
    config.data.check_balance(config.distribution, config.loss.class_weights)
