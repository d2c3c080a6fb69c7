"""CIFAR-10: 60,000 photos of 32x32 pixels in 10 classes.

Krizhevsky 2009, Learning multiple layers of features from tiny images (technical
report). Established files: cifar10_train.tfrecord, cifar10_test.tfrecord.
"""

from slim_zoo.catalog.datasets import DATASETS
from slim_zoo.datasets.record_dataset import split_reader

SPLITS_TO_SIZES = dict(DATASETS['cifar10'].splits)
get_split = split_reader('cifar10')
