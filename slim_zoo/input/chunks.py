"""A map in parallel that skips the elements it fails for, and no others."""

from collections.abc import Callable

from slim_zoo.tf_compat import tf

# Elements of a chunk: large enough that its bookkeeping costs little, small enough that
# few records wait for it.
SIZE = 128


def passing_over_failures(windows: tf.data.Dataset, function: Callable,
                          num_threads: int) -> tf.data.Dataset:
  """Returns the elements of windows, mapped; those whose function fails are left out.

  An error that comes from `windows`, such as one in a record file, comes through.

  Args:
    windows: the elements in windows of `SIZE`, as `tf.data.Dataset.window` makes them:
      unlike batches they hold long strings without a copy.
    function: called with the tensors of one element.
    num_threads: how many calls run at the same time. Their order is kept.
  """
  def mapped(*window):
    return (tf.data.Dataset.zip(window)
            .map(function, num_parallel_calls=num_threads, deterministic=True)
            .apply(tf.data.experimental.ignore_errors()))

  # The next window is read while this one is mapped. Decoding two at the same time
  # would keep their images, of a megabyte each, from the processor's caches.
  return windows.prefetch(1).flat_map(mapped)
