"""From a slim Dataset to batches of network-ready images, by tf.data.

Training reads without end, shuffled; evaluation reads each record once, in
order. In both an image that cannot be decoded is skipped and named, a label
outside the classes and a corrupt record file end the run with a clear line.
"""

import collections
import dataclasses
import glob
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
  record_decoding,
  record_faults,
  record_form,
  record_log,
  record_order,
  records,
)
from slim_zoo.tf_compat import is_deterministic, slim, tf

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
    copies: the files that are read in their place; see `image_cache`.
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


# Nothing here needs autograph, which takes half the time to build a small network.
@tf.autograph.experimental.do_not_convert
def _build(dataset, preprocess, batch_size, labels_offset, num_readers, num_threads,
           prefetch, seed, runs_here=True, first_record=0, mix=None, part=None,
           cache_dir=None, reduced_decoding=False, shard=None, service=None,
           mixed_batches=None, balance=None, repeats=1):
  """Returns an input; the arguments are those of `training_input`, and two more.

  Args:
    prefetch: batches that are kept ready.
    seed: None: each record once, in the order of the files.
  """
  files, multi_label = record_files(dataset), batch_labels.is_multi_label(dataset)
  expected = record_form.expected_of(dataset)
  first_records.check(files, expected, labels_offset)
  faults = record_faults.FaultCounts(files, expected)
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
    decoder = record_decoding.EncodedDecoder(dataset)
  with tf.device('/cpu:0'), tf.name_scope('input'):
    to_image = record_decoding.to_image(dataset, decoder, preprocess)
    if service is not None:
      images = data_service.images(
          service, files, record_order.file_reader(part), to_image,
          record_order.shuffle_buffer(files, dataset.num_samples), batch_size,
          multi_label, num_readers, num_threads)
    else:
      keyed = record_order.in_file_order(copies, part, shard) if seed is None else (
          record_order.shuffled(
              copies, num_readers, dataset.num_samples, seed, first_record, part,
              shard, balance, repeats))
      images = record_decoding.decoded(
          keyed, to_image, num_threads, log, runs_here, first_record)
    batches = _batches(dataset, images, batch_size, labels_offset, files, seed,
                       runs_here, mix, mixed_batches).prefetch(prefetch)
    if seed is not None:
      # The first batches are read while the graph is compiled.
      options = tf.data.Options()
      options.experimental_warm_start = True
      batches = batches.with_options(options)
    iterator = tf.data.make_initializable_iterator(batches)
  return Input(
      _next_batch_of(iterator), log, iterator.initializer, files, faults, part, copies,
      shard, service,
      make_ender=lambda: iterator.make_initializer(batches.take(0)),
      make_noise=lambda: iterator.make_initializer(_noise(batches)))


def _as_stored(image, **unused):
  return image


def _batches(dataset, images, batch_size, labels_offset, files, seed, runs_here, mix,
             mixed_batches):
  """Returns batches of images, with checked labels, targets or masks."""
  num_classes = dataset.num_classes - labels_offset
  multi_label = batch_labels.is_multi_label(dataset)
  batches = batch_labels.batched(
      images, batch_size, multi_label, drop_remainder=seed is not None)
  if batch_labels.has_masks(dataset):
    batches = batches.map(batch_labels.check_masks(num_classes, files, runs_here))
  else:
    batches = batches.map(
        batch_labels.check(num_classes, labels_offset, files, runs_here))
  if multi_label:
    batches = batches.map(batch_labels.to_targets(num_classes))
  if mix is not None:
    batches = batches.enumerate().map(
        batch_labels.mixed(mix, num_classes, seed, mixed_batches))
  return batches


def _next_batch_of(iterator):
  """Returns a function that returns the next `Batch` of an iterator at each call."""
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

  return next_batch


def _now():
  """Returns the time in seconds, as a float64 scalar tensor, when it is run."""
  if not is_deterministic():
    return tf.timestamp()
  # TensorFlow's own clock is then refused, though no result depends on it.
  now = tf.numpy_function(time.time, [], tf.float64)
  now.set_shape([])
  return now


def _noise(batches):
  """Returns a data set that repeats a batch of noise, in the form of others."""
  shapes, types = tf.data.get_output_shapes(batches), tf.data.get_output_types(batches)
  images, *others = [
      tf.zeros(shape, dtype) for shape, dtype in zip(shapes, types, strict=True)]
  return tf.data.Dataset.from_tensors(
      (tf.random.uniform(images.shape, -1, 1), *others)).repeat()
