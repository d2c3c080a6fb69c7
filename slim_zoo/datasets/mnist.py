"""MNIST: 70,000 handwritten digits of 28x28 pixels, gray.

LeCun 1998, Proceedings of the IEEE 86(11). Established files: mnist_train.tfrecord,
mnist_test.tfrecord.
"""

from slim_zoo.catalog.datasets import DATASETS
from slim_zoo.datasets.record_dataset import split_reader

SPLITS_TO_SIZES = dict(DATASETS['mnist'].splits)
get_split = split_reader('mnist')
