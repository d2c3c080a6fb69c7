"""Corruptions of images: noise, blur, weather, digital; five severities each.

The kinds are those of Hendrycks and Dietterich 2019, arXiv 1903.12261. Everything else
is this project's own: how an image is corrupted, and the strengths. Lengths are
relative to its size, so that small images are corrupted as much as large ones; only the
blocks of `pixelate` are in pixels. Accuracies cannot be compared with published ones on
ImageNet-C.
"""

from slim_zoo.evaluation.corruptions.table import corrupt

__all__ = ['corrupt']
