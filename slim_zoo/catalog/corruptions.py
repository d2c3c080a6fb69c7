"""The kinds of corruptions of test images, by group; no TensorFlow.

Kinds and groups are those of Hendrycks and Dietterich 2019, arXiv 1903.12261. The
corruptions and their strengths are this project's own: see `evaluation.corruptions`.
"""

GROUPS = {
    'noise': ('gaussian_noise', 'shot_noise', 'impulse_noise'),
    'blur': ('defocus_blur', 'glass_blur', 'motion_blur', 'zoom_blur'),
    'weather': ('snow', 'frost', 'fog', 'brightness'),
    'digital': ('contrast', 'elastic', 'pixelate', 'jpeg')}
KINDS = tuple(kind for kinds in GROUPS.values() for kind in kinds)
# From weak to strong.
SEVERITIES = (1, 2, 3, 4, 5)
