"""Flowers: 3,670 photos of daisies, dandelions, roses, sunflowers and tulips.

The TensorFlow authors 2019. Established files, five for each of the splits train and
validation: flowers_train_00000-of-00005.tfrecord.
"""

from slim_zoo.catalog.datasets import DATASETS
from slim_zoo.datasets.record_dataset import split_reader

SPLITS_TO_SIZES = dict(DATASETS['flowers'].splits)
get_split = split_reader('flowers')
