"""Training input from a tf.data service: its processes read and decode the images.

A tf.data service is a dispatcher and several processes that make images. Each epoch is
a job of the service that all workers of the run share. The service gives each piece of
the record files to one of its processes, and each batch to the worker that asks first.
So together the workers get each image once in an epoch. The order within an epoch
depends on the seed of the run and on the speed of the processes.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from slim_zoo import diagnostics
from slim_zoo.input import batch_labels, chunks
from slim_zoo.tf_compat import distribute_to_service, tf

# Files are divided if there are fewer, so that several processes have work.
_FEWEST_PIECES = 8


@dataclasses.dataclass(frozen=True)
class Service:
  """A tf.data service, and the job of a run on it.

  Attributes:
    address: 'HOST:PORT' of its dispatcher.
    job: the same text in all workers of a run, and in no other run.
    seed: of the order of the images; the same in all workers.
  """

  address: str
  job: str
  seed: int

  @property
  def name(self) -> str:
    """The service in messages."""
    return name_of(self.address)


def name_of(address: str) -> str:
  """Returns the name of a service for messages; `address` is HOST:PORT."""
  return f'the tf.data service ({address})'


def pieces_of(num_files: int) -> tuple[np.ndarray, int]:
  """Returns what the service hands out, and the number of pieces of a file.

  Args:
    num_files: the number of record files.

  Returns:
    int64 [pieces, 2], the index of a file and the number of the piece in it; and the
    number of pieces of each file.
  """
  count = -(-_FEWEST_PIECES // num_files)
  pieces = np.stack(np.meshgrid(np.arange(num_files), np.arange(count)), -1)
  return pieces.reshape([-1, 2]).astype(np.int64), count


def images(service: Service, files: Sequence[str], read_file: Callable,
           to_image: Callable, buffer: int, batch_size: int, multi_label: bool,
           num_readers: int, num_threads: int) -> tf.data.Dataset:
  """Returns (image, label or labels, number, key) without end.

  Numbers count the records that this worker gets. A number that is left out stands for
  a record whose image cannot be decoded.

  Args:
    service: where the images are made.
    files: the record files, as the processes of the service see them.
    read_file: called as read_file(file_index, name); returns (record, key) of a file.
    to_image: called as to_image(number, record, key); returns (image, label, number,
      key), or fails. The augmentation depends on the number.
    buffer: records in the shuffle buffer of each process of the service.
    batch_size: images that are sent together.
    multi_label: whether an image has any number of labels.
    num_readers: files that each process of the service reads at the same time.
    num_threads: images that each process of the service decodes at the same time.
  """
  pieces, count = pieces_of(len(files))

  def read_piece(index, piece):
    keyed = read_file(index, tf.gather(list(files), index))
    return keyed.shard(count, piece) if count > 1 else keyed

  def read_epoch(epoch):
    seeds = tf.stack([tf.constant(service.seed, tf.int64), epoch])
    order = tf.argsort(tf.random.stateless_uniform([len(pieces)], seeds))
    # Not `Dataset.shuffle`: its buffer would take all pieces for one process.
    ordered = tf.gather(tf.constant(pieces), order)
    return (tf.data.Dataset.from_tensor_slices((ordered[:, 0], ordered[:, 1]))
            .interleave(read_piece, cycle_length=num_readers,
                        num_parallel_calls=num_readers, deterministic=True)
            .shuffle(buffer, tf.random.stateless_uniform(
                [], seeds, maxval=tf.int64.max, dtype=tf.int64),
                reshuffle_each_iteration=False))

  def made_by_service(epoch):
    def made(position, record, key):
      # `position` counts the records of one process of the service only.
      number = epoch * 2**48 + key[0] * 2**31 + key[1]
      image, label, *_ = to_image(number, record, key)
      return image, label, position, key

    numbered = read_epoch(epoch).enumerate().map(
        lambda position, keyed: (position, keyed[0], tf.stack(keyed[1])))
    made_images = chunks.passing_over_failures(
        numbered.window(chunks.SIZE), made, num_threads).apply(
            tf.data.experimental.scan(tf.constant(-1, tf.int64), _count_lost))
    batches = batch_labels.batched(
        made_images, batch_size, multi_label, drop_remainder=False)
    job = tf.strings.join([service.job, tf.as_string(epoch)], '-')
    return batches.apply(distribute_to_service(f'grpc://{service.address}', job))

  one_ahead = tf.data.experimental.parallel_interleave(
      made_by_service, cycle_length=1, buffer_output_elements=1,
      prefetch_input_elements=1)
  return (tf.data.Dataset.range(tf.int64.max).apply(one_ahead).unbatch()
          .apply(tf.data.experimental.scan(tf.constant(0, tf.int64), _number)))


def _count_lost(last, element):
  """Replaces the position of an image by the number of lost images before it."""
  image, label, position, key = element
  return position, (image, label, position - last - 1, key)


def _number(following, element):
  """Replaces the number of lost images before an image by the number of its record."""
  image, label, lost, key = element
  return following + lost + 1, (image, label, following + lost, key)


def is_failure(error: tf.errors.OpError) -> bool:
  """Returns whether a tf.data service is the cause of an error of a step."""
  return any(word in error.message for word in (
      'data service', 'dispatcher', 'DataService', 'DispatcherService'))


def failure(service: Service, error: tf.errors.OpError) -> diagnostics.UserError:
  """Returns the error for the user if a tf.data service is the cause."""
  reason = error.message.strip().split('\n')[0].split(' [[')[0].split('[type.')[0]
  return diagnostics.UserError(
      f'{service.name} gives no more images ({reason}): start its dispatcher and its'
      ' other processes again, then run the same command')
