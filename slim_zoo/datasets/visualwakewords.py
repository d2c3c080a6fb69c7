"""Visual Wake Words: COCO photos with and without a person.

Chowdhery 2019, arXiv 1906.05721. Established files: train.record-00000-of-00100,
val.record-00000-of-00010.
"""

from slim_zoo.catalog.datasets import DATASETS
from slim_zoo.datasets.labels import LABELS_FILENAME
from slim_zoo.datasets.record_dataset import split_reader

__all__ = ['LABELS_FILENAME', 'SPLITS_TO_SIZES', 'get_split']

SPLITS_TO_SIZES = dict(DATASETS['visualwakewords'].splits)
get_split = split_reader('visualwakewords')
