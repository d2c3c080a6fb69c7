"""Corruptions of images: noise, blur, weather, digital; each in five severities.

The kinds are those of Hendrycks and Dietterich 2019, arXiv 1903.12261. The algorithms
and the strengths are different, so accuracies cannot be compared with published ones on
ImageNet-C. Lengths are relative to the size of the image, so that small images are
corrupted as much as large ones; only the blocks of `pixelate` are in pixels.
"""

from slim_zoo.evaluation.corruptions.table import corrupt

__all__ = ['corrupt']
