"""The order of records: as in their files, or shuffled in endless epochs."""

import os
from collections.abc import Callable, Sequence

from slim_zoo.input import balance as balance_lib
from slim_zoo.input import held_out
from slim_zoo.tf_compat import tf

_SHUFFLE_BYTES = 256 * 2**20
# Of small records a buffer of that size would take long to fill before the first step,
# and what TensorFlow needs for each comes on top.
_FEWEST_SHUFFLED, _MOST_SHUFFLED = 1024, 32768
# With so many files for each, workers have files of their own.
_FILES_FOR_WORKER = 8
# Decoded images are ten times as large: a buffer of the fewest may take up to this.
_MOST_SHUFFLE_BYTES = 2**30


def file_reader(part: held_out.Part | None,
                shard: held_out.Shard | None = None) -> Callable:
  """Returns a function from the index and the name of a file to its (record, key).

  A key is (index of the file, position in it).

  Args:
    part: the part of the records to read; None: all.
    shard: what this worker reads of them; None: all.
  """
  def read_file(file_index, name):
    # Not a map: calling a function for each record takes longer than reading it.
    keyed = tf.data.Dataset.zip((
        tf.data.TFRecordDataset(name),
        tf.data.Dataset.zip((
            tf.data.Dataset.from_tensors(tf.cast(file_index, tf.int64)).repeat(),
            tf.data.Dataset.range(tf.int64.max)))))
    if shard is not None:
      keyed = shard.of_file(keyed, tf.cast(file_index, tf.int64))
    return keyed if part is None else keyed.filter(
        lambda record, key: part.keeps(*key))

  return read_file


def shuffle_buffer(files: Sequence[str], num_samples: int) -> int:
  """Returns the number of records in the shuffle buffer.

  Args:
    files: the record files.
    num_samples: how many records they hold.
  """
  stored = sum(os.path.getsize(name) for name in files)
  record_size = max(1, stored // max(1, num_samples))
  return min(_MOST_SHUFFLED, max(_FEWEST_SHUFFLED, _SHUFFLE_BYTES // record_size),
             max(1, _MOST_SHUFFLE_BYTES // record_size), max(1, num_samples))


def in_file_order(files: Sequence[str], part: held_out.Part | None = None,
                  shard: held_out.Shard | None = None) -> tf.data.Dataset:
  """Returns (record, key) of each record once; arguments as for `shuffled`."""
  return _numbered(files).flat_map(file_reader(part, shard))


def shuffled(files: Sequence[str], num_readers: int, num_samples: int, seed: int,
             first_record: int = 0, part: held_out.Part | None = None,
             shard: held_out.Shard | None = None,
             balance: balance_lib.Balance | None = None,
             repeats: int = 1) -> tf.data.Dataset:
  """Returns (record, key) without end.

  The order of an epoch is a function of the seed and of the epoch alone, so that a
  resumed run need not read all the epochs before its own. During an epoch the shuffle
  buffer of the next one is filled, so no step waits for it; this takes the memory of a
  second buffer.

  Args:
    files: the record files.
    num_readers: files read at the same time.
    num_samples: how many records the files hold.
    seed: of the order.
    first_record: how many records to pass over.
    part: the part of the records to read; None: all.
    shard: what this worker reads of them; None: all.
    balance: how often each record is read in an epoch; None: once.
    repeats: how often each record comes in succession.
  """
  numbered = _numbered(files)
  if shard is not None and len(files) >= _FILES_FOR_WORKER * shard.count:
    # Nobody reads a file for a part of its records.
    numbered, shard = numbered.shard(shard.count, shard.index), None
  read_file = file_reader(part, shard)
  buffer = shuffle_buffer(files, num_samples)

  def read_epoch(epoch):
    file_seed, record_seed = tf.unstack(tf.random.stateless_uniform(
        [2], tf.stack([tf.constant(seed, tf.int64), epoch]), maxval=tf.int64.max,
        dtype=tf.int64))
    of_epoch = (numbered
                .shuffle(len(files), file_seed, reshuffle_each_iteration=False)
                .interleave(read_file, cycle_length=num_readers,
                            num_parallel_calls=num_readers, deterministic=True))
    if balance is not None:
      of_epoch = balance.read_together(of_epoch, epoch)
    return of_epoch.shuffle(buffer, record_seed, reshuffle_each_iteration=False)

  first_record, read_before = divmod(first_record, repeats)
  first_epoch, passed_over = (
      divmod(first_record, held_out.count(files, part)) if first_record else (0, 0))
  # `Dataset.interleave` would fill the buffers of two epochs ahead.
  one_ahead = tf.data.experimental.parallel_interleave(
      read_epoch, cycle_length=1, buffer_output_elements=1, prefetch_input_elements=1)
  read = (tf.data.Dataset.range(first_epoch, tf.int64.max)
          .apply(one_ahead).skip(passed_over))
  if repeats == 1:
    return read
  return read.flat_map(lambda *record: tf.data.Dataset.from_tensors(record).repeat(
      repeats)).skip(read_before)


def _numbered(files):
  """Returns a data set of (index, name) of each file."""
  return tf.data.Dataset.from_tensor_slices((list(range(len(files))), list(files)))
