"""From a slim Dataset to batches of network-ready images, by tf.data.

Training reads without end, shuffled; evaluation reads each record once, in
order. In both an image that cannot be decoded is skipped and named, a label
outside the classes and a corrupt record file end the run with a clear line.
"""

import collections
import dataclasses
import glob
import os
import time
from collections.abc import Callable

from slim_zoo import diagnostics
from slim_zoo.images import image_decoding
from slim_zoo.input import balance as balance_lib
from slim_zoo.input import (
  batch_labels,
  chunks,
  data_service,
  first_records,
  held_out,
  image_cache,
  record_faults,
  record_log,
  records,
)
from slim_zoo.tf_compat import is_deterministic, slim, tf

_SHUFFLE_BYTES = 256 * 2**20
# Of small records a buffer of that size would take long to fill before the first step,
# and what TensorFlow needs for each comes on top.
_FEWEST_SHUFFLED, _MOST_SHUFFLED = 1024, 32768
# With so many files for each, workers have files of their own.
_FILES_FOR_WORKER = 8
# Decoded images are ten times as large: a buffer of the fewest may take up to this.
_MOST_SHUFFLE_BYTES = 2**30

Batch = collections.namedtuple(
    'Batch', ('images', 'labels', 'numbers', 'keys', 'waited'))
Batch.__doc__ = """Tensors of a batch.

images float32 [batch, height, width, channels]; labels int64 [batch], from 0,
or float32 [batch, classes]: ones for the labels of records that may have several, or
the targets of a `mix`, or masks, uint8 [batch, height, width]; numbers int64 [batch],
counting records as they were read; keys int64 [batch, 2], the index of the record's
file and its position there; waited float64 scalar, the seconds for which the step had
to wait for this batch.
"""


@dataclasses.dataclass
class Input:
  """An input pipeline in the current graph.

  Attributes:
    next_batch: returns the `Batch` that follows, as tensors, at each call; the
      batches of several calls are in the order of the calls.
    log: the `RecordLog`; it needs the `numbers` of each batch.
    initializer: the op that starts the pipeline.
    files: the record files.
    faults: says why records were skipped.
    part: the part of their records that is read; None: all.
    shard: what this worker reads of them; None: all.
    service: the tf.data service that makes the images; None: this process.
    make_noise: returns an op that starts a pipeline of the same batch of noise, without
      records, in place of `initializer`.
    make_ender: returns an op that ends the pipeline. A server keeps pipelines beyond
      their sessions, and their threads, which call Python, abort a process that exits.
    copies: the files that are read in their place; see `decoded_copies`.
  """

  next_batch: Callable[[], Batch]
  log: record_log.RecordLog
  initializer: tf.Operation
  files: list[str]
  faults: record_faults.FaultCounts
  part: held_out.Part | None = None
  copies: list[str] = dataclasses.field(default_factory=list)
  shard: held_out.Shard | None = None
  service: data_service.Service | None = None
  make_ender: Callable[[], tf.Operation] | None = None
  make_noise: Callable[[], tf.Operation] | None = None

  def count_records(self, shard: held_out.Shard | None = None) -> int:
    """Returns how many records an epoch has; raises UserError for a damaged file.

    Args:
      shard: counts those of one worker; None: of all.
    """
    return held_out.count(self.files, self.part, shard)

  def image_sizes(self) -> list[tuple[int, int]]:
    """Returns (height, width) of the first images, in pixels."""
    return first_records.sizes(self.files, self.faults.expected)

  def failure(self, error: tf.errors.OpError) -> diagnostics.UserError | None:
    """Returns the user's view of an error, None if the input did not cause it."""
    for kind in ('ValueError: ', 'AllUnreadableError: '):
      if kind in error.message:
        return diagnostics.UserError(error.message.split(kind)[1].splitlines()[0])
    if isinstance(error, tf.errors.DataLossError):
      return (records.find_damage(self.files) or
              image_cache.find_damage(self.copies))
    if self.service and data_service.is_failure(error):
      return data_service.failure(self.service, error)
    return None


def record_files(dataset: slim.dataset.Dataset) -> list[str]:
  """Returns the record files of a data set, sorted.

  Raises:
    UserError: there is none, or they are not TFRecord files.
  """
  sources = dataset.data_sources
  patterns = [sources] if isinstance(sources, str) else list(sources)
  if dataset.reader is not None and dataset.reader is not tf.TFRecordReader:
    raise diagnostics.UserError(
        f'the reader {dataset.reader} is not supported: records are read from'
        ' TFRecord files')
  files = sorted({name for pattern in patterns for name in glob.glob(pattern)})
  if not files:
    raise diagnostics.UserError(f"no record file matches '{', '.join(patterns)}'")
  return files


def _reader(part, shard=None):
  """Returns a function from the index and the name of a file to its (record, key).

  A key is (index of the file, position in it).
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


def _buffer(files, num_samples):
  """Returns the number of records in the shuffle buffer."""
  stored = sum(os.path.getsize(name) for name in files)
  record_size = max(1, stored // max(1, num_samples))
  return min(_MOST_SHUFFLED, max(_FEWEST_SHUFFLED, _SHUFFLE_BYTES // record_size),
             max(1, _MOST_SHUFFLE_BYTES // record_size), max(1, num_samples))


def _read(files, num_readers, num_samples, seed, first_record=0, part=None,
          shard=None, balance=None, repeats=1):
  """Returns a data set of (record, key); shuffled without end if there is a seed.

  The order of an epoch is a function of the seed and of the epoch alone, so that a
  resumed run need not read all the epochs before its own. During an epoch the shuffle
  buffer of the next one is filled, so no step waits for it; this takes the memory of a
  second buffer.
  """
  numbered = tf.data.Dataset.from_tensor_slices(
      (list(range(len(files))), list(files)))
  if shard is not None and seed is not None and (
      len(files) >= _FILES_FOR_WORKER * shard.count):
    # Nobody reads a file for a part of its records.
    numbered, shard = numbered.shard(shard.count, shard.index), None
  read_file = _reader(part, shard)
  if seed is None:
    return numbered.flat_map(read_file)
  buffer = _buffer(files, num_samples)

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


class _EncodedDecoder:
  """Decodes records as the decoder of a data set, but images by their parts.

  The item 'image' is an `image_decoding.EncodedImage`.
  """

  def __init__(self, dataset):
    self._decoder, self._channels = dataset.encoded_decoder, dataset.channels

  def list_items(self):
    return self._decoder.list_items()

  def decode(self, record, items):
    values = self._decoder.decode(record, items)
    return [image_decoding.open_encoded(value, self._channels) if item == 'image'
            else value for item, value in zip(items, values, strict=True)]


def _to_image(dataset, decoder, preprocess):
  """Returns a function of (number, record, key) to (image, label or labels, ...)."""
  if batch_labels.has_masks(dataset):
    return _to_masked_image(decoder, preprocess)
  label_shape = [-1] if batch_labels.is_multi_label(dataset) else []
  items = [item for item in ('image', 'label', 'object/bbox')
           if item in decoder.list_items()]

  def to_image(number, record, key):
    values = dict(zip(items, decoder.decode(record, items), strict=True))
    label = tf.reshape(tf.cast(values.pop('label'), tf.int64), label_shape)
    return preprocess(number=number, **values), label, number, key

  return to_image


def _to_masked_image(decoder, preprocess):
  """Returns a function of (number, record, key) to (image, mask, number, key)."""
  def to_image(number, record, key):
    image, mask = decoder.decode(record, ['image', 'mask'])
    with tf.control_dependencies([
        tf.assert_equal(tf.shape(image)[:2], tf.shape(mask))]):
      image = tf.identity(image)
    return *preprocess(number=number, image=image, mask=mask), number, key

  return to_image


def _decode(source, to_image, num_threads, log, runs_here, first_record=0):
  """Returns the data set of (image, label or labels, number, key) of (record, key)."""
  def note(numbers, records_of_window, keys):
    if runs_here:
      tf.numpy_function(log.issue, [
          window.batch(chunks.SIZE).get_single_element()
          for window in (numbers, keys)], [])
    return numbers, records_of_window, keys

  numbered = source.enumerate(first_record).map(
      lambda number, keyed: (number, keyed[0], tf.stack(keyed[1])))
  return chunks.passing_over_failures(
      numbered.window(chunks.SIZE).map(note), to_image, num_threads)


# Nothing here needs autograph, which takes half the time to build a small network.
@tf.autograph.experimental.do_not_convert
def _build(dataset, preprocess, batch_size, labels_offset, num_readers, num_threads,
           prefetch, seed, runs_here=True, first_record=0, mix=None, part=None,
           cache_dir=None, reduced_decoding=False, shard=None, service=None,
           mixed_batches=None, balance=None, repeats=1):
  files = record_files(dataset)
  multi_label = batch_labels.is_multi_label(dataset)
  expected = record_faults.expected_of(dataset)
  first_records.check(files, expected, labels_offset)
  faults = record_faults.FaultCounts(files, expected)
  num_classes = dataset.num_classes - labels_offset
  # Several times what can be under way when nearly every image decodes.
  patience = 4 * (2 * chunks.SIZE + num_threads + (prefetch + 2) * batch_size)
  log = record_log.RecordLog(
      files, patience, first_record, lambda key: faults.explain(key).reason)
  copies, decoder = files, dataset.decoder
  if cache_dir:
    # What evaluation makes of an image is the same each time.
    prepare = preprocess if seed is None else None
    decoder = image_cache.CopyDecoder(decoder, prepare)
    copies = image_cache.make(files, decoder, cache_dir, num_threads)
    preprocess = _as_stored if prepare else preprocess
  elif reduced_decoding and hasattr(dataset, 'encoded_decoder'):
    decoder = _EncodedDecoder(dataset)
  with tf.device('/cpu:0'), tf.name_scope('input'):
    to_image = _to_image(dataset, decoder, preprocess)
    if service is None:
      images = _decode(
          _read(copies, num_readers, dataset.num_samples, seed, first_record, part,
                shard, balance, repeats),
          to_image, num_threads, log, runs_here, first_record)
    else:
      images = data_service.images(
          service, files, _reader(part), to_image, _buffer(files, dataset.num_samples),
          batch_size, multi_label, num_readers, num_threads)
    batches = batch_labels.batched(
        images, batch_size, multi_label, drop_remainder=seed is not None).map(
            batch_labels.check_masks(num_classes, files, runs_here)
            if batch_labels.has_masks(dataset) else
            batch_labels.check(num_classes, labels_offset, files, runs_here))
    if multi_label:
      batches = batches.map(batch_labels.to_targets(num_classes))
    if mix is not None:
      batches = batches.enumerate().map(
          batch_labels.mixed(mix, num_classes, seed, mixed_batches))
    batches = batches.prefetch(prefetch)
    if seed is not None:
      # The first batches are read while the graph is compiled.
      options = tf.data.Options()
      options.experimental_warm_start = True
      batches = batches.with_options(options)
    iterator = tf.data.make_initializable_iterator(batches)
  latest = []

  def next_batch():
    # Each waits for the one before, or the order of clones would be random.
    with tf.device('/cpu:0'), tf.name_scope('next_batch'):
      with tf.control_dependencies(latest):
        before = _now()
      with tf.control_dependencies([before]):
        images, labels, numbers, keys = iterator.get_next()
      with tf.control_dependencies([numbers]):
        after = _now()
    latest[:] = [after]
    return Batch(images, labels, numbers, keys, after - before)

  return Input(next_batch, log, iterator.initializer, files, faults, part, copies,
               shard, service, lambda: iterator.make_initializer(batches.take(0)),
               lambda: iterator.make_initializer(_noise(batches)))


def _as_stored(image, **unused):
  return image


def _now():
  """Returns the time in seconds, as a float64 scalar tensor, when it is run."""
  if not is_deterministic():
    return tf.timestamp()
  # TensorFlow's own clock is then refused, though no result depends on it.
  now = tf.numpy_function(time.time, [], tf.float64)
  now.set_shape([])
  return now


def fed_shard() -> held_out.Shard:
  """Returns a shard that is fed when an evaluation begins; all records by default."""
  return held_out.Shard(*[
      tf.placeholder_with_default(tf.constant(value, tf.int64), [])
      for value in (0, 1)])


def preprocess_with(preprocessing_fn: Callable, image_size: int,
                    seed: int | None = None) -> Callable:
  """Returns the `preprocess` argument of the inputs below.

  Args:
    preprocessing_fn: of `preprocessing_factory.get_preprocessing`; it is given a
      seed, and the boxes of a record, if its `options` name them.
    image_size: height and width of its output.
    seed: of the augmentation; image number n always gets the same.
  """
  def preprocess(number, image, **values):
    offered = {'add_image_summaries': False}
    if seed is not None:
      offered['seed'] = tf.stack([tf.constant(seed, tf.int64), number])
    if 'object/bbox' in values:
      offered['bbox'] = values['object/bbox'][tf.newaxis]
    if isinstance(image, image_decoding.EncodedImage) and not (
        preprocessing_fn.takes_lazy_images):
      image = image.decode()
    return preprocessing_fn(image, image_size, image_size, **{
        name: value for name, value in offered.items()
        if name in preprocessing_fn.options})

  return preprocess


def preprocess_masks_with(preprocessing_fn: Callable, seed: int | None = None
                          ) -> Callable:
  """Returns the `preprocess` argument of the inputs below, for records with masks.

  Args:
    preprocessing_fn: of (image, mask), returns both; with a seed also of seed=, an
      integer tensor of shape [2].
    seed: of the augmentation; image number n always gets the same. None: there is none.
  """
  def preprocess(number, image, mask):
    offered = {} if seed is None else {
        'seed': tf.stack([tf.constant(seed, tf.int64), number])}
    return preprocessing_fn(image, mask, **offered)

  return preprocess


def _noise(batches):
  """Returns a data set that repeats a batch of noise, in the form of others."""
  shapes, types = tf.data.get_output_shapes(batches), tf.data.get_output_types(batches)
  images, *others = [
      tf.zeros(shape, dtype) for shape, dtype in zip(shapes, types, strict=True)]
  return tf.data.Dataset.from_tensors(
      (tf.random.uniform(images.shape, -1, 1), *others)).repeat()


def training_input(dataset: slim.dataset.Dataset, preprocess: Callable,
                   batch_size: int, labels_offset: int = 0, num_readers: int = 4,
                   num_threads: int = 4, num_clones: int = 1,
                   seed: int = 0, runs_here: bool = True,
                   first_record: int = 0, mix: Callable | None = None,
                   part: held_out.Part | None = None,
                   cache_dir: str | None = None,
                   reduced_decoding: bool = False,
                   shard: held_out.Shard | None = None,
                   service: data_service.Service | None = None,
                   mixed_batches: int | None = None,
                   balance: balance_lib.Balance | None = None,
                   repeats: int = 1) -> Input:
  """Returns endless shuffled batches.

  Args:
    dataset: what to read; its decoder must know 'image' and 'label', or 'mask'.
    preprocess: called as preprocess(number=..., image=..., and 'object/bbox'=...
      where records have boxes); returns one float32 image of known shape. With masks,
      called as preprocess(number=..., image=..., mask=...); returns both.
    batch_size: images a batch.
    labels_offset: taken off every label.
    num_readers: files read at the same time.
    num_threads: images decoded at the same time.
    num_clones: how many batches a step takes: twice that many are kept ready.
    seed: of the order in which records come.
    runs_here: whether the session runs in this process. In another one, which
      --master names, there is no Python: records are skipped by number only.
    first_record: how many records to skip, as if an input with the same seed
      had read them. Those of its epoch are read, but not decoded.
    mix: called as mix(images, targets, seed) with each batch, the targets float32
      [batch, classes] and the seed of shape [2]; returns other images and targets,
      which become the labels of the batch.
    part: the part of the records to read; None: all.
    shard: what this worker reads of them, where several read them together.
    cache_dir: folder of copies of the records with decoded images, which are read in
      their place and made where they are missing; None: records are read themselves.
    reduced_decoding: whether `preprocess` is called with an
      `image_decoding.EncodedImage`, to decode a part of it; has no effect on copies,
      and where the dataset has no `encoded_decoder`.
    service: the tf.data service that reads, decodes and preprocesses the records,
      without a `shard`, a `first_record` and a `cache_dir`; None: this process.
    mixed_batches: how many batches `mix` is called with, from the first on; the others
      only get targets. None: all.
    balance: how often each record is read in an epoch, which has as many images as
      there are records; None: once. Not with a `shard` or a `service`.
    repeats: how often each record comes in succession, each time with other
      augmentation. Not with a `service`.

  Returns:
    An `Input` whose batches always hold `batch_size` images.

  Raises:
    UserError: no file, or not TFRecord files; or copies cannot be written.
  """
  return _build(dataset, preprocess, batch_size, labels_offset, num_readers,
                num_threads, prefetch=2 * num_clones, seed=seed, runs_here=runs_here,
                first_record=first_record, mix=mix, part=part, cache_dir=cache_dir,
                reduced_decoding=reduced_decoding, shard=shard, service=service,
                mixed_batches=mixed_batches, balance=balance, repeats=repeats)


def evaluation_input(dataset: slim.dataset.Dataset, preprocess: Callable,
                     batch_size: int, labels_offset: int = 0,
                     num_threads: int = 4, runs_here: bool = True,
                     part: held_out.Part | None = None,
                     cache_dir: str | None = None,
                     shard: held_out.Shard | None = None) -> Input:
  """Returns batches that hold each image of a split once, in the files' order.

  Arguments and errors are those of `training_input`. The last batch holds what
  is left; after it the iterator raises tf.errors.OutOfRangeError. Copies in `cache_dir`
  hold what `preprocess` returns, which may depend on the image only.
  """
  return _build(dataset, preprocess, batch_size, labels_offset, num_readers=1,
                num_threads=num_threads, prefetch=2, seed=None, runs_here=runs_here,
                part=part, cache_dir=cache_dir, shard=shard)
