"""Test-time augmentation: views of an image, whose probabilities are averaged.

Ten crops are those of Krizhevsky et al. 2012, ImageNet classification with deep
convolutional neural networks (NeurIPS): four corners and the centre, each also flipped.
"""

# The number of views of an image, by the kind of augmentation.
COUNTS = {'flip': 2, 'five_crop': 5, 'ten_crop': 10}
# The kinds with several crops.
CROPPING = ('five_crop', 'ten_crop')


def count(kind: str | None) -> int:
  """Returns the number of views of an image; 1 without augmentation (None)."""
  return COUNTS[kind] if kind else 1


def images_in_batch(batch_size: int, kind: str | None) -> int:
  """Returns the number of images whose views fill a batch, at least 1.

  Args:
    batch_size: inputs of the network in a batch.
    kind: of `COUNTS`, or None.
  """
  return max(1, batch_size // count(kind))


def describe(kind: str) -> str:
  """Returns a description of the probabilities of an image."""
  return f'{kind}, the mean of the probabilities of {count(kind)} views'
